/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/agent.h"

/*
 * System states: which patches the record has, and what their payloads declare.
 *
 * The record is there as long as the agent is. The host may unmap the meta of a patch only once no
 * thread is in that patch's payload nor in the agent: so a caller's own patch cannot go, and neither
 * can one whose state a thread is just looking for.
 */

struct upatch_meta_state *upatch_state_get_at(const void *in_payload, unsigned long id);
struct upatch_meta_state *upatch_state_get_prev_at(const void *in_payload, unsigned long id);

static const struct upatch_record *record(void)
{
	return (const void *)(uintptr_t)agent_data.record_addr;
}

static uint32_t state_of(const struct upatch_patch_entry *entry)
{
	return __atomic_load_n(&entry->state, __ATOMIC_ACQUIRE);
}

static bool is_listed(const struct upatch_patch_entry *entry)
{
	uint32_t state = state_of(entry);

	return state == UPATCH_PATCH_ENABLING || state == UPATCH_PATCH_ENABLED ||
	       state == UPATCH_PATCH_DISABLING;
}

/* The patch whose payload this is an address in; one that is disabled may still run. */
static const struct upatch_patch_entry *find_owner(uint64_t addr)
{
	uint64_t seq = 0;

	for (uint32_t i = 0; i < UPATCH_REGIONS_MAX && !seq; i++) {
		const struct upatch_region *region = &record()->regions[i];

		if (region->kind == UPATCH_REGION_PAYLOAD &&
		    __atomic_load_n(&region->state, __ATOMIC_ACQUIRE) == UPATCH_REGION_MAPPED &&
		    addr >= region->addr && addr - region->addr < region->size)
			seq = region->patch_seq;
	}
	for (uint32_t i = 0; i < UPATCH_PATCHES_MAX && seq; i++) {
		const struct upatch_patch_entry *entry = &record()->patches[i];
		uint32_t state = state_of(entry);

		if (state != UPATCH_PATCH_FREE && state != UPATCH_PATCH_LOADING &&
		    entry->seq == seq)
			return entry;
	}
	return NULL;
}

/* Its transition is open, or about to be: pre-patch callbacks of its objects run. */
static const struct upatch_patch_entry *find_open(void)
{
	for (uint32_t i = 0; i < UPATCH_PATCHES_MAX; i++) {
		const struct upatch_patch_entry *entry = &record()->patches[i];
		uint32_t state = state_of(entry);

		if (state == UPATCH_PATCH_LOADED || state == UPATCH_PATCH_ENABLING ||
		    state == UPATCH_PATCH_DISABLING)
			return entry;
	}
	return NULL;
}

/*
 * When all have switched, and post callbacks run: what the transition has superseded, or disabled, waits to
 * be unmapped. Then the transition is that of the patch whose callback asks.
 */
static const struct upatch_patch_entry *find_closing(uint64_t addr)
{
	for (uint32_t i = 0; i < UPATCH_PATCHES_MAX; i++)
		if (state_of(&record()->patches[i]) == UPATCH_PATCH_UNLOADING)
			return find_owner(addr);
	return NULL;
}

static struct upatch_meta_state *find_state(const struct upatch_patch_entry *entry,
					    unsigned long id)
{
	const struct upatch_meta *meta = (const void *)(uintptr_t)entry->meta_addr;
	const struct upatch_meta_object *objects =
		(const void *)((const uint8_t *)meta + meta->objects_offset);

	for (uint32_t i = 0; i < meta->nr_objects; i++) {
		struct upatch_meta_state *states = (void *)(uintptr_t)objects[i].states_addr;

		for (uint64_t n = 0; n < objects[i].nr_states; n++)
			if (states[n].id == id)
				return &states[n];
	}
	return NULL;
}

struct upatch_meta_state *upatch_state_get_at(const void *in_payload, unsigned long id)
{
	const struct upatch_patch_entry *owner;

	if (!agent_data.record_addr || !id)
		return NULL;
	owner = find_owner((uint64_t)(uintptr_t)in_payload);
	return owner ? find_state(owner, id) : NULL;
}

struct upatch_meta_state *upatch_state_get_prev_at(const void *in_payload, unsigned long id)
{
	const struct upatch_patch_entry *open;
	struct upatch_meta_state *found = NULL;
	bool is_closing = false;
	uint64_t seq = 0;

	if (!agent_data.record_addr || !id)
		return NULL;
	/* While it is open the transition counts, whoever asks: as klp's. */
	open = find_open();
	if (!open) {
		open = find_closing((uint64_t)(uintptr_t)in_payload);
		is_closing = true;
	}
	for (uint32_t i = 0; i < UPATCH_PATCHES_MAX && open; i++) {
		const struct upatch_patch_entry *entry = &record()->patches[i];
		struct upatch_meta_state *state;

		if (!is_listed(entry) && !(is_closing && state_of(entry) == UPATCH_PATCH_UNLOADING))
			continue;
		if (entry->seq >= open->seq || entry->seq < seq)
			continue;
		state = find_state(entry, id);
		if (!state)
			continue;
		found = state;
		seq = entry->seq;
	}
	return found;
}
