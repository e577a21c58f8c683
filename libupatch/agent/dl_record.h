/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AGENT_DL_RECORD_H
#define AGENT_DL_RECORD_H

/* The record, from inside: which patches there are, and what runs at a slot. */

#include <stdbool.h>
#include <stdint.h>
#include <upatch/abi_agent.h>

#include "agent/poke.h"

const struct upatch_record *dl_record(void);

/* The patch after that one, in the order of enabling, that libraries get: NULL behind the last one. */
const struct upatch_patch_entry *dl_patch_next(uint64_t seq);
const struct upatch_patch_entry *dl_patch_by_seq(uint64_t seq);

static inline const struct upatch_meta *dl_meta(const struct upatch_patch_entry *entry)
{
	return (const void *)(uintptr_t)entry->meta_addr;
}

static inline const struct upatch_meta_object *dl_objects(const struct upatch_meta *meta)
{
	return (const void *)((const uint8_t *)meta + meta->objects_offset);
}

static inline const struct upatch_meta_func *dl_funcs(const struct upatch_meta *meta)
{
	return (const void *)((const uint8_t *)meta + meta->funcs_offset);
}

static inline const struct upatch_meta_range *dl_ranges(const struct upatch_meta *meta)
{
	return (const void *)((const uint8_t *)meta + meta->ranges_offset);
}

static inline const char *dl_meta_string(const struct upatch_meta *meta, uint32_t offset)
{
	return (const char *)meta + meta->strings_offset + offset;
}

uint32_t dl_state(const struct upatch_patch_entry *entry);

/* Its transition is open. */
bool dl_is_in_transition(const struct upatch_patch_entry *entry);

/* The slot that other patches have for a function of an object that is here; 0: none. */
uint64_t dl_slot_of(uint64_t start, uint64_t func_addr);

/* Where calls of a function are to go: struct upatch_slot's first three words. */
struct dl_words {
	uint64_t winner;
	uint64_t old;
	uint64_t new;
};

/**
 * dl_words() - as the patches' states have it
 * @start: of the object that it is in
 */
struct dl_words dl_words(uint64_t start, uint64_t slot_addr, uint64_t dispatcher, uint64_t gateway);

/* Has no other patch a say in what runs in that object? */
bool dl_is_alone(const struct upatch_patch_entry *entry, uint64_t start);

/* dl_words() for a patch that is alone, by its replacement's address. */
struct dl_words dl_words_alone(const struct upatch_patch_entry *entry, uint64_t new_addr,
			       uint64_t dispatcher, uint64_t gateway);

/* Change it. Return: 0, or -errno. */
long dl_record_store(const struct poke *poke, const void *field, const void *value, size_t size);

/* Return: index; or -ENOSPC. */
long dl_region_add(const struct poke *poke, const struct upatch_region *region);

/* Unmap it and forget it. */
void dl_region_drop(const struct poke *poke, uint64_t addr);

#endif
