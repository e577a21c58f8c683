/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/dl_record.h"

#include "agent/agent.h"

const struct upatch_record *dl_record(void)
{
	return (const void *)(uintptr_t)agent_data.record_addr;
}

/* --- patches ----------------------------------------------------------------------------------- */

uint32_t dl_state(const struct upatch_patch_entry *entry)
{
	return __atomic_load_n(&entry->state, __ATOMIC_ACQUIRE);
}

bool dl_is_in_transition(const struct upatch_patch_entry *entry)
{
	uint32_t state = dl_state(entry);

	return state == UPATCH_PATCH_ENABLING || state == UPATCH_PATCH_DISABLING;
}

static bool has_parts(const struct upatch_patch_entry *entry)
{
	return dl_state(entry) == UPATCH_PATCH_LOADED || dl_state(entry) == UPATCH_PATCH_ENABLED ||
	       dl_is_in_transition(entry);
}

const struct upatch_patch_entry *dl_patch_next(uint64_t seq)
{
	const struct upatch_patch_entry *found = NULL;

	for (int i = 0; i < UPATCH_PATCHES_MAX; i++) {
		const struct upatch_patch_entry *entry = &dl_record()->patches[i];

		if (entry->seq > seq && (!found || entry->seq < found->seq) && has_parts(entry))
			found = entry;
	}
	return found;
}

const struct upatch_patch_entry *dl_patch_by_seq(uint64_t seq)
{
	for (int i = 0; i < UPATCH_PATCHES_MAX; i++)
		if (dl_record()->patches[i].seq == seq &&
		    (has_parts(&dl_record()->patches[i]) ||
		     dl_state(&dl_record()->patches[i]) == UPATCH_PATCH_UNLOADING ||
		     dl_state(&dl_record()->patches[i]) == UPATCH_PATCH_KEPT))
			return &dl_record()->patches[i];
	return NULL;
}

/* --- slots ------------------------------------------------------------------------------------- */

static const struct upatch_meta_func *find_func(const struct upatch_patch_entry *entry,
						uint64_t start, uint64_t slot_addr,
						uint64_t func_addr)
{
	const struct upatch_meta *meta = dl_meta(entry);

	for (uint32_t i = 0; i < meta->nr_objects; i++) {
		const struct upatch_meta_object *o = &dl_objects(meta)[i];
		const struct upatch_meta_func *funcs = dl_funcs(meta) + o->first_func;

		if (o->start != start)
			continue;
		for (uint32_t n = 0; n < o->nr_funcs; n++)
			if (funcs[n].slot_addr &&
			    (funcs[n].slot_addr == slot_addr || funcs[n].old_addr == func_addr))
				return &funcs[n];
	}
	return NULL;
}

uint64_t dl_slot_of(uint64_t start, uint64_t func_addr)
{
	const struct upatch_patch_entry *entry = dl_patch_next(0);

	for (; entry; entry = dl_patch_next(entry->seq)) {
		const struct upatch_meta_func *func = find_func(entry, start, 0, func_addr);

		if (func)
			return func->slot_addr;
	}
	return 0;
}

static bool counts(const struct upatch_patch_entry *entry, uint32_t also)
{
	return dl_state(entry) == UPATCH_PATCH_ENABLED || dl_state(entry) == also;
}

/* The newest patch that has it, or a newer one that replaces all others. */
static uint64_t version(uint64_t start, uint64_t slot_addr, uint64_t gateway, uint32_t also)
{
	const struct upatch_patch_entry *entry = dl_patch_next(0);
	uint64_t found = gateway;

	for (; entry; entry = dl_patch_next(entry->seq)) {
		const struct upatch_meta_func *func;

		if (!counts(entry, also))
			continue;
		func = find_func(entry, start, slot_addr, 0);
		if (func)
			found = func->new_addr;
		else if (dl_meta(entry)->flags & UPATCH_META_REPLACE)
			found = gateway;
	}
	return found;
}

static bool is_any_in_transition(void)
{
	const struct upatch_patch_entry *entry = dl_patch_next(0);

	while (entry && !dl_is_in_transition(entry))
		entry = dl_patch_next(entry->seq);
	return entry;
}

struct dl_words dl_words(uint64_t start, uint64_t slot_addr, uint64_t dispatcher, uint64_t gateway)
{
	struct dl_words words = {
		.old = version(start, slot_addr, gateway, UPATCH_PATCH_DISABLING),
		.new = version(start, slot_addr, gateway, UPATCH_PATCH_ENABLING),
	};

	words.winner = is_any_in_transition() ? dispatcher : words.new;
	return words;
}

bool dl_is_alone(const struct upatch_patch_entry *entry, uint64_t start)
{
	const struct upatch_patch_entry *other = dl_patch_next(0);

	for (; other; other = dl_patch_next(other->seq)) {
		const struct upatch_meta *meta = dl_meta(other);

		if (other == entry)
			continue;
		if (meta->flags & UPATCH_META_REPLACE)
			return false;
		for (uint32_t i = 0; i < meta->nr_objects; i++)
			if (dl_objects(meta)[i].start == start)
				return false;
	}
	return true;
}

struct dl_words dl_words_alone(const struct upatch_patch_entry *entry, uint64_t new_addr,
			       uint64_t dispatcher, uint64_t gateway)
{
	struct dl_words words = {
		.old = counts(entry, UPATCH_PATCH_DISABLING) ? new_addr : gateway,
		.new = counts(entry, UPATCH_PATCH_ENABLING) ? new_addr : gateway,
	};

	words.winner = is_any_in_transition() ? dispatcher : words.new;
	return words;
}

/* --- storing ----------------------------------------------------------------------------------- */

long dl_record_store(const struct poke *poke, const void *field, const void *value, size_t size)
{
	return poke_write(poke, (uint64_t)(uintptr_t)field, value, size, SYS_PROT_READ);
}

long dl_region_add(const struct poke *poke, const struct upatch_region *region)
{
	for (long i = UPATCH_REGIONS_HOST; i < UPATCH_REGIONS_MAX; i++) {
		const struct upatch_region *entry = &dl_record()->regions[i];
		long r;

		if (entry->state != UPATCH_REGION_FREE)
			continue;
		r = dl_record_store(poke, entry, region, sizeof(*region));
		return r < 0 ? r : i;
	}
	return AGENT_ENOSPC;
}

void dl_region_drop(const struct poke *poke, uint64_t addr)
{
	static const uint32_t state = UPATCH_REGION_FREE;

	for (long i = 0; i < UPATCH_REGIONS_MAX; i++) {
		const struct upatch_region *entry = &dl_record()->regions[i];

		if (entry->state != UPATCH_REGION_MAPPED || entry->addr != addr)
			continue;
		/*
		 * Never is a hole called mapped: whoever has forked meanwhile, or loses us here, keeps a
		 * mapping that nobody knows.
		 */
		if (dl_record_store(poke, &entry->state, &state, sizeof(state)) >= 0)
			(void)sys_munmap((void *)(uintptr_t)addr,
					 entry->size); /* cannot fail: it is whole */
	}
}
