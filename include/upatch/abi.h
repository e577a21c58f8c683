/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef UPATCH_ABI_H
#define UPATCH_ABI_H

/*
 * What upatch keeps in a target's memory, so that any later process can list, finish or undo what
 * an earlier one did. Freestanding: code that runs inside a target includes this, too.
 *
 *   record	one mapping: header, regions, patches, laggards. Found by its shape and its magic
 *   meta	one mapping per patch: what it changes, in full
 *   payload	one mapping per patch and object: text, read-only data, data
 *   island	one mapping per object and set of newly patched functions: slots
 *
 * All of it is mapped without write permission, but for the payloads' and the agent's data, and
 * written through /proc/PID/mem. Whoever changes something first stores what it intends: the state of a region or
 * patch is stored before the effect it announces, and each store is within one page.
 *
 * A target is free to scribble over all this. Readers check every number.
 */

#include <stdint.h>

enum {
	UPATCH_ABI_VERSION = 3,
	UPATCH_REGIONS_MAX = 640,
	UPATCH_REGIONS_HOST = 384, /* those from here on are the agent's to make */
	UPATCH_PATCHES_MAX = 128,
	UPATCH_LAGGARD_BUCKETS = 16384,
	UPATCH_NAME_SIZE = 64,
	UPATCH_BUILD_ID_SIZE = 64,
	UPATCH_ENTRY_MAX = 16,
	UPATCH_INSNS_MAX = 16,
	UPATCH_PAGE_SIZE = 4096,
	/*
	 * A payload's first bytes are never code: page numbers are common in memory, and are not to
	 * be taken for references to it.
	 */
	UPATCH_TEXT_LEAD = 64,
	UPATCH_TEXT_LANDING = 32, /* in it: where functions return to that we have a thread run */
	UPATCH_CALLBACKS = 4,
	UPATCH_FRAME_COPIES = 2,	/* of libgcc: libgcc_s.so, and in the executable */
	UPATCH_FRAME_OBJECT_SIZE = 128, /* libgcc's struct object, and room to ask it */
};

#define UPATCH_RECORD_MAGIC "upatchRC"
#define UPATCH_META_MAGIC "upatchPM"
#define UPATCH_ISLAND_MAGIC "upatchIS"

/* --- laggards ----------------------------------------------------------------------------- */

/*
 * The threads that have not switched while a transition is open. Open addressing, linear probing;
 * at least half of the buckets in use are 0, so that every search ends. A key is a thread pointer:
 * 0 was never used, 1 is a thread that has switched.
 *
 * @mask:    number of buckets in use - 1
 * @null_tp: 1: threads whose thread pointer is 0 are listed
 * @invert:  0: those listed run the old version, the others the new one; 1: the other way round
 * @tids:    of the thread that each key belongs to
 */
struct upatch_laggards {
	uint64_t mask;
	uint64_t null_tp;
	uint64_t invert;
	uint64_t reserved;
	uint64_t keys[UPATCH_LAGGARD_BUCKETS];
	uint32_t tids[UPATCH_LAGGARD_BUCKETS];
};

/*
 * The word that all dispatchers look at: the address of the table that counts; 0: every thread
 * runs the old version. Storing it is the instant at which all functions change at once, and
 * so is storing the other table's address, which turns the transition around.
 */
struct upatch_switch {
	uint64_t active;
};

enum {
	UPATCH_LAGGARDS_FACTOR = 0x2c1b3c6d,
	UPATCH_LAGGARDS_SHIFT = 40,
};

/*
 * First bucket to look into, before masking. Slots' dispatchers compute the same. Thread pointers are
 * as far apart as stacks are, 8 MiB and a page mostly: the factor spreads such rows over the table
 * (of those tried, the one with the fewest probes for distances from 36 KiB to 8 MiB).
 */
static inline uint64_t upatch_laggards_hash(uint64_t tp)
{
	return tp * UPATCH_LAGGARDS_FACTOR >> UPATCH_LAGGARDS_SHIFT;
}

/* --- record --------------------------------------------------------------------------------- */

enum upatch_region_kind {
	UPATCH_REGION_META = 1,
	UPATCH_REGION_PAYLOAD,
	UPATCH_REGION_ISLAND,
	UPATCH_REGION_AGENT,
	UPATCH_REGION_TEMPLATE,
	UPATCH_REGION_HOOKS,
};

enum upatch_region_state {
	UPATCH_REGION_FREE = 0,	    /* entry unused */
	UPATCH_REGION_RESERVED = 1, /* about to be mapped, or about to be unmapped */
	UPATCH_REGION_MAPPED = 2,
};

/*
 * text_size bytes are r-x, then ro_size bytes r--, the rest rw-. All are multiples of a page.
 * @patch_seq: the patch that it goes with; 0 for islands, which go when their last slot does, and for
 *	       the agent, which goes after the last patch and the last shadow variable
 */
struct upatch_region {
	uint64_t addr;
	uint64_t size;
	uint64_t patch_seq;
	uint32_t text_size;
	uint32_t ro_size;
	uint32_t kind;
	uint32_t state;
};

/*
 *   LOADING	nothing refers to it yet: unmap it and forget it
 *   ENABLING	its transition is open, or begins, or ends (see struct upatch_switch)
 *   ENABLED
 *   DISABLING	likewise
 *   UNLOADING	no thread can come to it any more: unmap it and forget it
 *   KEPT	disabled, but something may still refer to it: stays mapped
 *   LOADED	its meta is complete, and threads may run its callbacks: undo those, unmap it
 */
enum upatch_patch_state {
	UPATCH_PATCH_FREE = 0,
	UPATCH_PATCH_LOADING = 1,
	UPATCH_PATCH_ENABLING = 2,
	UPATCH_PATCH_ENABLED = 3,
	UPATCH_PATCH_DISABLING = 4,
	UPATCH_PATCH_UNLOADING = 5,
	UPATCH_PATCH_KEPT = 6,
	UPATCH_PATCH_LOADED = 7,
};

enum upatch_patch_flags {
	UPATCH_PATCH_FORCED = 1, /* threads may be anywhere in it: it is never unmapped */
};

/* Why a patch is KEPT. */
enum upatch_kept_reason {
	UPATCH_KEPT_FORCED = 1,
	UPATCH_KEPT_REFERENCED = 2,
	UPATCH_KEPT_UNKNOWN = 3, /* too much memory to search for references */
};

struct upatch_patch_entry {
	uint64_t seq; /* order of enabling: the greatest enabled one wins */
	uint64_t meta_addr;
	uint32_t meta_size;
	uint32_t state;
	uint32_t flags; /* enum upatch_patch_flags */
	uint32_t kept_reason;
};

struct upatch_record {
	uint8_t magic[8];
	uint32_t version;
	uint32_t size; /* of this header, without the laggards */
	uint64_t self; /* its own address */
	uint64_t next_seq;
	uint64_t
		slot_flags; /* how the dispatchers find the thread pointer; fixed by the first patch */
	struct upatch_patch_entry patches[UPATCH_PATCHES_MAX];
	struct upatch_region regions[UPATCH_REGIONS_MAX];
};

/* The mapping: header, switch, two tables. Its size and address are unlikely enough to be found. */
enum {
	UPATCH_LAGGARDS_SIZE = 49 * UPATCH_PAGE_SIZE,
	UPATCH_SWITCH_OFFSET = 8 * UPATCH_PAGE_SIZE,
	UPATCH_LAGGARDS_OFFSET = UPATCH_SWITCH_OFFSET + UPATCH_PAGE_SIZE,
	UPATCH_RECORD_SIZE = UPATCH_LAGGARDS_OFFSET + 2 * UPATCH_LAGGARDS_SIZE,
	UPATCH_RECORD_ALIGN_BITS = 24, /* the address's lower bits are always the same */
};
#define UPATCH_RECORD_ADDR_LOW 0x75a000ull

_Static_assert(sizeof(struct upatch_record) <= UPATCH_SWITCH_OFFSET, "header too large");
_Static_assert(sizeof(struct upatch_laggards) <= UPATCH_LAGGARDS_SIZE, "laggards too large");

/* --- meta -------------------------------------------------------------------------------------- */

struct upatch_meta_range {
	uint64_t addr;
	uint64_t size;
};

struct upatch_meta_func {
	uint32_t name; /* offset of a string */
	uint32_t sympos;
	uint32_t object;      /* index */
	uint32_t first_range; /* of the old function: body, then .cold and .part pieces */
	uint32_t nr_ranges;
	uint32_t reserved;
	uint64_t old_addr;
	uint64_t old_size;
	uint64_t new_addr;
	uint64_t new_size;
	uint64_t slot_addr; /* struct upatch_slot */
};

/*
 * Of a library that may come and go there are several, for as many copies of it at a time: absent ones
 * have no addresses, nor do their functions.
 *
 * @start:     0: absent
 * @template_addr: struct upatch_template that it is made from; 0: it stays as long as the process does
 * @first_func: its functions are in a row
 * @callbacks: by kind of callback - 1; 0: none
 * @callback_arg_addr: struct upatch_callback, what they are given
 * @frame_object_addr: room for a struct object of each copy of libgcc, 0: nothing to be registered
 * @frame_registered: bit n: copy n of libgcc knows of it; bit n + UPATCH_FRAME_COPIES: it may know
 * @is_post_unpatch_armed: pre_patch has succeeded, or there is none
 * @is_post_patch_due: it was run, or pre_unpatch was, and post_patch has not been since
 */
struct upatch_meta_object {
	uint32_t name; /* offset of a string */
	uint32_t build_id_size;
	uint8_t build_id[UPATCH_BUILD_ID_SIZE];
	uint64_t start; /* of the object's mappings */
	uint64_t end;
	uint64_t payload_addr;
	uint64_t payload_size;
	uint64_t text_size;
	uint64_t eh_frame_hdr_addr; /* 0: none */
	uint64_t eh_frame_hdr_size;
	uint64_t eh_frame_addr;
	uint64_t frame_object_addr;
	uint64_t callback_arg_addr;
	uint64_t callbacks[UPATCH_CALLBACKS];
	uint32_t frame_registered;
	uint32_t is_post_unpatch_armed;
	uint32_t is_post_patch_due;
	uint32_t reserved;
	uint64_t states_addr; /* array of struct upatch_state in the payload, 0: none */
	uint64_t nr_states;
	uint64_t template_addr;
	uint32_t template_size;
	uint32_t first_func;
	uint32_t nr_funcs;
	uint32_t flags; /* enum upatch_object_flags */
};

enum upatch_object_flags {
	UPATCH_OBJECT_REQUIRED = 1, /* another build of it is not to be loaded */
};

/* Of a library that may come and go: how many copies can be patched at a time. */
enum {
	UPATCH_COPIES_MAX = 4,
};

/* A system state, as UPATCH_STATE() in <upatch/livepatch.h> lays it out in a payload. */
struct upatch_meta_state {
	uint64_t id;
	uint32_t version;
	uint32_t reserved;
	uint64_t data;
};

enum upatch_meta_flags {
	UPATCH_META_REPLACE = 1, /* while it is enabled, those enabled before it are not */
	UPATCH_META_STRICT = 2,	 /* neither it nor what it is on may go before what is on it */
};

/* Followed by objects, funcs, ranges and strings at the offsets given. */
struct upatch_meta {
	uint8_t magic[8];
	uint32_t version;
	uint32_t size;
	uint64_t seq;
	uint64_t enabled_at; /* CLOCK_REALTIME, seconds */
	char name[UPATCH_NAME_SIZE];
	char patch_version[UPATCH_NAME_SIZE];
	uint32_t flags; /* enum upatch_meta_flags */
	uint32_t nr_objects;
	uint32_t nr_funcs;
	uint32_t nr_ranges;
	uint32_t objects_offset;
	uint32_t funcs_offset;
	uint32_t ranges_offset;
	uint32_t strings_offset;
	uint32_t strings_size; /* the last byte is 0 */
	uint32_t digest;       /* of the patch file, see upatch_patch_info; 0: not known */
};

/* --- islands ------------------------------------------------------------------------------------ */

struct upatch_slot_insn {
	uint8_t old_offset;
	uint8_t new_offset;
};

/*
 * All replacements of one original address: klp's ops. The first three words are what its code
 * jumps through.
 *
 * @winner: where calls go: a replacement, the gateway, or while a transition is open the dispatcher
 * @old:    where the dispatcher sends threads that run the version from before the transition
 * @new:    and those that run the one from after it
 * @is_armed: the jump at @entry_addr is written, or was about to be
 */
struct upatch_slot {
	uint64_t winner;
	uint64_t old;
	uint64_t new;
	uint64_t func_addr;
	uint64_t func_size;
	uint64_t entry_addr;
	uint64_t text_addr; /* of its code */
	uint8_t entry_size;
	uint8_t covered;
	uint8_t nr_insns;
	uint8_t gateway_size;
	uint32_t is_armed;
	uint8_t original[UPATCH_ENTRY_MAX];
	uint8_t jump[UPATCH_ENTRY_MAX];
	struct upatch_slot_insn insns[UPATCH_INSNS_MAX];
};

/* At the start of an island's read-only part. The code of slot n is at text_addr of slots[n]. */
struct upatch_island {
	uint8_t magic[8];
	uint32_t version;
	uint32_t nr_slots;
	uint64_t object_start;
	uint64_t object_end;
	struct upatch_slot slots[];
};

#endif
