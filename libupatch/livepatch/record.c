/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "arch/arch.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "livepatch/record_check.h"
#include "target/maps.h"
#include "target/target.h"

/* --- reading ----------------------------------------------------------------------------------- */

static bool is_part(const struct mapping *m)
{
	return !m->inode && !m->is_shared && m->prot & PROT_READ && !(m->prot & PROT_EXEC);
}

/*
 * An agent without the memory file makes pages writable for a moment. From then on they are mappings of their
 * own: what has been writable is accounted, and joined to nothing that is not (mprotect_fixup() in
 * mm/mprotect.c).
 */
static bool has_shape(const struct maps *maps, size_t first)
{
	uint64_t start = maps->mappings[first].start, end = start;
	bool is_read_only = false;

	if ((start & ((1ull << UPATCH_RECORD_ALIGN_BITS) - 1)) != UPATCH_RECORD_ADDR_LOW)
		return false;
	for (size_t i = first; i < maps->nr && end - start < UPATCH_RECORD_SIZE; i++) {
		const struct mapping *m = &maps->mappings[i];

		if (!is_part(m) || m->start != end)
			return false;
		is_read_only = is_read_only || m->prot == PROT_READ;
		end = m->end;
	}
	return is_read_only && end - start == UPATCH_RECORD_SIZE;
}

static bool is_zero(const void *bytes, size_t size)
{
	const uint8_t *p = bytes;

	return size == 0 || (p[0] == 0 && memcmp(p, p + 1, size - 1) == 0);
}

static int read_head(struct record *record, uint64_t addr)
{
	struct target *t = record->target;
	_cleanup_free_ struct upatch_record *head = malloc(sizeof(*head));
	int r;

	if (!head)
		return diag_oom(t->diag);
	r = target_read(t, addr, head, sizeof(*head));
	if (r < 0)
		return diag_err(t->diag, r, UPATCH_E_GONE, NULL, "cannot read its record");
	/* Mapped, and then whoever did it died: nothing is in it yet. */
	if (!is_zero(head, sizeof(*head))) {
		r = record_check_head(t, head, addr);
		if (r < 0)
			return r;
	}
	record->head = take_ptr(head);
	record->addr = addr;
	return 0;
}

static int read_metas(struct record *record)
{
	struct target *t = record->target;
	size_t room = RECORD_METAS_SIZE_MAX;
	int r;

	for (size_t i = 0; i < UPATCH_PATCHES_MAX; i++) {
		const struct upatch_patch_entry *entry = &record->head->patches[i];

		/* While it is loaded its meta is not complete; nothing needs it then. */
		if (entry->state == UPATCH_PATCH_FREE || entry->state == UPATCH_PATCH_LOADING)
			continue;
		if (entry->meta_size > room || entry->meta_size < sizeof(struct upatch_meta))
			return record_raise_corrupt(t, "patch %zu has a meta of %u bytes", i,
						    entry->meta_size);
		room -= entry->meta_size;
		_cleanup_free_ struct upatch_meta *meta = malloc(entry->meta_size);

		if (!meta)
			return diag_oom(t->diag);
		r = target_read(t, entry->meta_addr, meta, entry->meta_size);
		/* On its way out the meta may have gone before the entry did. */
		if (r < 0 && entry->state == UPATCH_PATCH_UNLOADING)
			continue;
		if (r < 0)
			return record_raise_corrupt(t, "the meta of patch %zu is not mapped", i);
		r = record_check_meta(t, meta, entry->meta_size);
		if (r < 0)
			return r;
		record->metas[i] = take_ptr(meta);
	}
	return 0;
}

static int read_islands(struct record *record)
{
	struct target *t = record->target;
	size_t alloc = 0, room = RECORD_ISLANDS_SIZE_MAX;
	int r;

	for (size_t i = 0; i < UPATCH_REGIONS_MAX; i++) {
		const struct upatch_region *region = &record->head->regions[i];
		uint64_t addr = region->addr + region->text_size;

		if ((region->kind != UPATCH_REGION_ISLAND && region->kind != UPATCH_REGION_HOOKS) ||
		    region->state != UPATCH_REGION_MAPPED || region->patch_seq)
			continue;
		if (region->ro_size > room || region->ro_size < sizeof(struct upatch_island))
			return record_raise_corrupt(t, "region %zu is an island of %u bytes", i,
						    region->ro_size);
		room -= region->ro_size;
		_cleanup_free_ struct upatch_island *head = malloc(region->ro_size);

		if (!head)
			return diag_oom(t->diag);
		r = target_read(t, addr, head, region->ro_size);
		if (r < 0)
			return record_raise_corrupt(t, "island %zu is not mapped", i);
		r = record_check_island(t, t->arch, head, region->ro_size);
		if (r < 0)
			return r;
		if (!array_grow(record->islands, record->nr_islands, alloc))
			return diag_oom(t->diag);
		record->islands[record->nr_islands++] = (struct island){
			.region = i,
			.addr = addr,
			.head = take_ptr(head),
		};
	}
	return 0;
}

int record_read(struct target *target, const struct maps *maps, struct record *ret)
{
	struct record record = { .target = target };
	int r = 0;

	for (size_t i = 0; i < maps->nr && r >= 0; i++) {
		if (!has_shape(maps, i))
			continue;
		if (record.addr)
			r = record_raise_corrupt(target,
						 "there are two of them, at 0x%llx and 0x%llx",
						 (unsigned long long)record.addr,
						 (unsigned long long)maps->mappings[i].start);
		else
			r = read_head(&record, maps->mappings[i].start);
	}
	if (r >= 0 && record.addr)
		r = read_metas(&record);
	if (r >= 0 && record.addr)
		r = read_islands(&record);
	if (r >= 0)
		r = record_check_links(&record);
	if (r < 0) {
		record_deinit(&record);
		return r;
	}
	*ret = record;
	return 0;
}

/* Of a patch that is being loaded: nothing leads there, and what we have of it is what is there. */
static int take_private(struct record *from, struct record *to)
{
	size_t alloc = to->nr_islands;

	for (size_t i = 0; i < UPATCH_PATCHES_MAX; i++)
		if (to->head->patches[i].state == UPATCH_PATCH_LOADING && from->metas[i])
			to->metas[i] = take_ptr(from->metas[i]);
	for (size_t i = 0; i < from->nr_islands; i++) {
		struct island *island = &from->islands[i];

		if (!from->head->regions[island->region].patch_seq)
			continue;
		if (!array_grow(to->islands, to->nr_islands, alloc))
			return diag_oom(to->target->diag);
		to->islands[to->nr_islands++] = *island;
		island->head = NULL;
	}
	return 0;
}

int record_reread(struct record *record)
{
	struct record fresh = { .target = record->target };
	int r;

	r = read_head(&fresh, record->addr);
	if (r >= 0)
		r = read_metas(&fresh);
	if (r >= 0)
		r = read_islands(&fresh);
	if (r >= 0)
		r = take_private(record, &fresh);
	if (r >= 0)
		r = record_check_links(&fresh);
	if (r < 0) {
		record_deinit(&fresh);
		return r;
	}
	record_deinit(record);
	*record = fresh;
	return 0;
}

void record_deinit(struct record *record)
{
	for (size_t i = 0; i < UPATCH_PATCHES_MAX; i++)
		free(record->metas[i]);
	for (size_t i = 0; i < record->nr_islands; i++)
		free(record->islands[i].head);
	free(record->islands);
	free(record->head);
	*record = (struct record){};
}

int record_store(struct record *record, pid_t tracee, const void *field, size_t size)
{
	uint64_t offset = (uint64_t)((const uint8_t *)field - (const uint8_t *)record->head);

	return target_write(record->target, tracee, record->addr + offset, field, size);
}

/* --- patches ----------------------------------------------------------------------------------- */

int record_find_patch(const struct record *record, const char *name)
{
	for (int i = 0; i < UPATCH_PATCHES_MAX; i++)
		if (record->metas[i] && strcmp(record->metas[i]->name, name) == 0)
			return i;
	return -ENOENT;
}

int record_find_open(const struct record *record)
{
	for (int i = 0; record->head && i < UPATCH_PATCHES_MAX; i++)
		if (record->head->patches[i].state == UPATCH_PATCH_ENABLING ||
		    record->head->patches[i].state == UPATCH_PATCH_DISABLING)
			return i;
	return -ENOENT;
}

int record_free_patch(struct record *record)
{
	for (int i = 0; i < UPATCH_PATCHES_MAX; i++)
		if (record->head->patches[i].state == UPATCH_PATCH_FREE)
			return i;
	return diag_err(record->target->diag, -ENOSPC, UPATCH_E_RECORD_FULL, NULL,
			"it has %d patches, and there is no room for more", UPATCH_PATCHES_MAX);
}

int record_set_patch_state(struct record *record, pid_t tracee, size_t index,
			   enum upatch_patch_state state)
{
	struct upatch_patch_entry *entry = &record->head->patches[index];

	entry->state = state;
	return record_store(record, tracee, &entry->state, sizeof(entry->state));
}

int record_store_meta(struct record *record, size_t index, const void *field, size_t size)
{
	uint64_t offset =
		(uint64_t)((const uint8_t *)field - (const uint8_t *)record->metas[index]);

	return target_write(record->target, 0, record->head->patches[index].meta_addr + offset,
			    field, size);
}

const struct upatch_meta_object *meta_objects(const struct upatch_meta *meta)
{
	return (const void *)((const uint8_t *)meta + meta->objects_offset);
}

const struct upatch_meta_func *meta_funcs(const struct upatch_meta *meta)
{
	return (const void *)((const uint8_t *)meta + meta->funcs_offset);
}

const struct upatch_meta_range *meta_ranges(const struct upatch_meta *meta)
{
	return (const void *)((const uint8_t *)meta + meta->ranges_offset);
}

const char *meta_string(const struct upatch_meta *meta, uint32_t offset)
{
	return (const char *)meta + meta->strings_offset + offset;
}

/* --- regions ----------------------------------------------------------------------------------- */

int record_free_region(struct record *record)
{
	for (int i = 0; i < UPATCH_REGIONS_HOST; i++)
		if (record->head->regions[i].state == UPATCH_REGION_FREE)
			return i;
	return diag_err(record->target->diag, -ENOSPC, UPATCH_E_RECORD_FULL, NULL,
			"it has %d mappings of ours, and there is no room for more",
			UPATCH_REGIONS_HOST);
}

int record_set_region_state(struct record *record, pid_t tracee, size_t index,
			    enum upatch_region_state state)
{
	struct upatch_region *region = &record->head->regions[index];

	region->state = state;
	return record_store(record, tracee, &region->state, sizeof(region->state));
}

/* --- slots ------------------------------------------------------------------------------------- */

struct upatch_slot *record_find_slot(const struct record *record, uint64_t func_addr)
{
	for (size_t i = 0; i < record->nr_islands; i++) {
		struct upatch_island *island = record->islands[i].head;

		/* What leads to the agent is nobody's to stack upon. */
		if (record->head->regions[record->islands[i].region].kind == UPATCH_REGION_HOOKS)
			continue;
		for (uint32_t n = 0; n < island->nr_slots; n++)
			if (island->slots[n].is_armed && island->slots[n].func_addr == func_addr)
				return &island->slots[n];
	}
	return NULL;
}

struct upatch_slot *record_slot_at(const struct record *record, uint64_t slot_addr)
{
	for (size_t i = 0; i < record->nr_islands; i++) {
		const struct island *island = &record->islands[i];
		uint64_t first = island->addr + sizeof(*island->head);
		uint64_t n = (slot_addr - first) / sizeof(struct upatch_slot);

		if (slot_addr >= first && n < island->head->nr_slots &&
		    (slot_addr - first) % sizeof(struct upatch_slot) == 0)
			return &island->head->slots[n];
	}
	return NULL;
}

struct island *record_island_of(const struct record *record, const struct upatch_slot *slot)
{
	for (size_t i = 0; i < record->nr_islands; i++) {
		const struct upatch_island *head = record->islands[i].head;

		if (slot >= head->slots && slot < head->slots + head->nr_slots)
			return &record->islands[i];
	}
	return NULL;
}

int record_store_slot(struct record *record, pid_t tracee, const struct upatch_slot *slot,
		      const void *field, size_t size)
{
	const struct island *island = record_island_of(record, slot);
	uint64_t offset = (uint64_t)((const uint8_t *)field - (const uint8_t *)island->head);

	return target_write(record->target, tracee, island->addr + offset, field, size);
}

uint64_t record_gateway(const struct record *record, const struct upatch_slot *slot)
{
	return slot->text_addr + record->target->arch->slot->gateway;
}

bool record_is_stacked(const struct record *record, size_t index)
{
	switch (record->head->patches[index].state) {
	case UPATCH_PATCH_ENABLING:
	case UPATCH_PATCH_ENABLED:
	case UPATCH_PATCH_DISABLING:
		return record->metas[index];
	default:
		return false;
	}
}

uint64_t record_metas_size(const struct record *record)
{
	uint64_t size = 0;

	for (size_t i = 0; i < UPATCH_PATCHES_MAX; i++)
		if (record->metas[i])
			size += record->metas[i]->size;
	return size;
}

bool record_is_superseded(const struct record *record, size_t index)
{
	const struct upatch_patch_entry *entries = record->head->patches;

	if (entries[index].state != UPATCH_PATCH_ENABLED)
		return false;
	for (size_t i = 0; i < UPATCH_PATCHES_MAX; i++)
		if (entries[i].state == UPATCH_PATCH_ENABLED &&
		    entries[i].seq > entries[index].seq && record->metas[i] &&
		    record->metas[i]->flags & UPATCH_META_REPLACE)
			return true;
	return false;
}

const struct upatch_meta_func *record_func_of(const struct record *record, size_t index,
					      const struct upatch_slot *slot)
{
	const struct island *island = record_island_of(record, slot);
	const struct upatch_meta *meta = record->metas[index];
	const struct upatch_meta_func *funcs = meta_funcs(meta);
	size_t n = (size_t)(slot - island->head->slots);
	uint64_t addr = island->addr + offsetof(struct upatch_island, slots) + n * sizeof(*slot);

	/* An island's slots are made in the order of functions: mostly there is nothing to search. */
	if (n < meta->nr_funcs && funcs[n].slot_addr == addr)
		return &funcs[n];
	for (uint32_t i = 0; i < meta->nr_funcs; i++)
		if (funcs[i].slot_addr == addr)
			return &funcs[i];
	return NULL;
}

/* Whose word counts for a slot: its newest patch, or a newer one that replaces all others. */
static int winning_patch(const struct record *record, const struct upatch_slot *slot, int skip)
{
	uint64_t seq = 0;
	int winner = -1;

	for (int i = 0; i < UPATCH_PATCHES_MAX; i++) {
		const struct upatch_patch_entry *entry = &record->head->patches[i];

		if (i == skip || entry->seq < seq || !record_is_stacked(record, (size_t)i))
			continue;
		if (!(record->metas[i]->flags & UPATCH_META_REPLACE) &&
		    !record_func_of(record, (size_t)i, slot))
			continue;
		winner = i;
		seq = entry->seq;
	}
	return winner;
}

const struct upatch_meta_func *record_winning_func(const struct record *record,
						   const struct upatch_slot *slot, int skip)
{
	int patch = winning_patch(record, slot, skip);

	return patch < 0 ? NULL : record_func_of(record, (size_t)patch, slot);
}

uint64_t record_winner(const struct record *record, const struct upatch_slot *slot, int skip)
{
	const struct upatch_meta_func *func = record_winning_func(record, slot, skip);

	return func ? func->new_addr : record_gateway(record, slot);
}
