/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_RECORD_H
#define LIVEPATCH_RECORD_H

/*
 * The record in a target, and our copy of it.
 *
 * Everything is read at once and validated; after that the copy is trusted, and every change is
 * made in the copy and stored through record_store() at once. Layout: <upatch/abi.h>.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <upatch/abi.h>

struct arch_ops;
struct maps;
struct target;

/* What is read of one target: the same page may be many there, and is paid for once. */
enum {
	RECORD_METAS_SIZE_MAX = 64 << 20,
	RECORD_ISLANDS_SIZE_MAX = 64 << 20,
};

/* One island: our copy of its read-only part. */
struct island {
	size_t region; /* index into the record's regions */
	uint64_t addr; /* of the read-only part */
	struct upatch_island *head;
};

struct record {
	struct target *target;
	uint64_t addr; /* 0: the target has none */
	struct upatch_record *head;
	struct upatch_meta *metas[UPATCH_PATCHES_MAX]; /* of the patches in use */
	struct island *islands;
	size_t nr_islands;
};

/**
 * record_read() - read and validate what is there
 * @maps: a snapshot
 *
 * Return: 0, also when there is none (addr is 0), or -errno raised: UPATCH_E_RECORD_CORRUPT (the
 * message says what is wrong), UPATCH_E_RECORD_VERSION.
 */
int record_read(struct target *target, const struct maps *maps, struct record *ret);
void record_deinit(struct record *record);

/**
 * record_reread() - read it again where it is
 * What belongs to a patch alone that is being loaded is kept as it is here.
 * Return: 0, or -errno raised with the record unchanged.
 */
int record_reread(struct record *record);

/* Is the object of a meta in the target? */
static inline bool meta_object_is_here(const struct upatch_meta_object *object)
{
	return object->start;
}

/* Header and metas from bytes, for record_read(), tests and the fuzzer. Return: as above. */
int record_check_head(struct target *target, const struct upatch_record *head, uint64_t addr);
int record_check_meta(struct target *target, const struct upatch_meta *meta, uint64_t size);
int record_check_island(struct target *target, const struct arch_ops *arch,
			const struct upatch_island *island, uint64_t size);

/**
 * record_store() - write a part of the header back
 * @field, @size: inside record->head, within one page of the target
 * @tracee: as target_write()
 */
int record_store(struct record *record, pid_t tracee, const void *field, size_t size);

/* --- patches ---------------------------------------------------------------------------------- */

/* Index of the patch of that name in any state, or -ENOENT, unraised. */
int record_find_patch(const struct record *record, const char *name);

/* Index of the patch whose transition is open, or -ENOENT, unraised. */
int record_find_open(const struct record *record);

/* Index of an unused entry, or -ENOSPC raised with UPATCH_E_RECORD_FULL. */
int record_free_patch(struct record *record);

int record_set_patch_state(struct record *record, pid_t tracee, size_t index,
			   enum upatch_patch_state state);

/**
 * record_store_meta() - write a part of a patch's meta back
 * @field, @size: inside record->metas[index], within one page of the target
 */
int record_store_meta(struct record *record, size_t index, const void *field, size_t size);

/* Parts of a meta. The indices were checked. */
const struct upatch_meta_object *meta_objects(const struct upatch_meta *meta);
const struct upatch_meta_func *meta_funcs(const struct upatch_meta *meta);
const struct upatch_meta_range *meta_ranges(const struct upatch_meta *meta);
const char *meta_string(const struct upatch_meta *meta, uint32_t offset);

/* Is the function's object in the target? */
static inline bool meta_func_is_here(const struct upatch_meta *meta, uint32_t index)
{
	return meta_object_is_here(&meta_objects(meta)[meta_funcs(meta)[index].object]);
}

/* --- regions ---------------------------------------------------------------------------------- */

/* Index of an unused entry, or -ENOSPC raised with UPATCH_E_RECORD_FULL. */
int record_free_region(struct record *record);

int record_set_region_state(struct record *record, pid_t tracee, size_t index,
			    enum upatch_region_state state);

/* --- slots -------------------------------------------------------------------------------------- */

/* The armed slot of a function, by its original address; NULL: nobody has patched it. */
struct upatch_slot *record_find_slot(const struct record *record, uint64_t func_addr);

/* The slot at an address in the target, or NULL. */
struct upatch_slot *record_slot_at(const struct record *record, uint64_t slot_addr);

/* The island a slot is in. */
struct island *record_island_of(const struct record *record, const struct upatch_slot *slot);

/* Write one slot, or a part of it, back. */
int record_store_slot(struct record *record, pid_t tracee, const struct upatch_slot *slot,
		      const void *field, size_t size);

/* Is the patch on the func stacks: enabled, or on its way there or away? */
bool record_is_stacked(const struct record *record, size_t index);

/* Bytes that the metas of all its patches take, at most RECORD_METAS_SIZE_MAX. */
uint64_t record_metas_size(const struct record *record);

/* Enabled before a replace patch that completed since: its end has only not been recorded yet. */
bool record_is_superseded(const struct record *record, size_t index);

/* A patch's function on a slot, or NULL. */
const struct upatch_meta_func *record_func_of(const struct record *record, size_t index,
					      const struct upatch_slot *slot);

/**
 * record_winning_func() - the function that runs when a slot is called
 * @skip: a patch to leave out: an index, or -1
 * Return: NULL for the original: nobody has patched it, or the newest replace patch lacks it (klp's nop).
 */
const struct upatch_meta_func *record_winning_func(const struct record *record,
						   const struct upatch_slot *slot, int skip);

/* Its address; of the original, the gateway's. */
uint64_t record_winner(const struct record *record, const struct upatch_slot *slot, int skip);

/* Address of a slot's gateway. */
uint64_t record_gateway(const struct record *record, const struct upatch_slot *slot);

#endif
