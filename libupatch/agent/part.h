/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AGENT_PART_H
#define AGENT_PART_H

/*
 * What one patch has for one copy of a library: a payload, an island, an object of its meta.
 *
 *	absent -> part_make() -> part_patch() -> in use -> part_drop() -> absent
 */

#include <stdint.h>

#include "agent/dl_map.h"
#include "agent/dl_record.h"
#include "agent/fixup.h"
#include "agent/poke.h"

/* A library, and how to change this process for it. */
struct part_site {
	const struct poke *poke;
	const struct dl_scope *scope;
	struct dl_image image;
	uint64_t bias;
};

/* What went wrong, when something did. */
struct part_refusal {
	uint32_t reason; /* enum upatch_refused, 0: nothing */
	int32_t error;
	const char *detail; /* name of a function or symbol, or NULL */
};

struct part {
	const struct part_site *site;
	const struct upatch_patch_entry *entry;
	const struct upatch_meta *meta;
	const struct upatch_meta_object *object;
	const struct upatch_template *template;
	uint64_t payload; /* addresses, 0: none */
	uint64_t island;
	uint8_t *scratch; /* a mapping that all below is in */
	size_t scratch_size;
	uint8_t *payload_bytes;
	uint8_t *island_bytes;
	struct upatch_meta_func *funcs;
	struct upatch_meta_range *ranges;
	struct fixup_value *values;
	uint64_t *gateways;
	uint32_t nr_own; /* slots */
};

/**
 * part_make() - place it, relocate it, and tell of it in the record
 * @object: absent
 * Nothing leads there yet. To be followed by part_done(). Return: 0, or -1 with @ret filled in.
 */
int part_make(const struct part_site *site, const struct upatch_patch_entry *entry,
	      const struct upatch_meta_object *object, struct part *ret_part,
	      struct part_refusal *ret);

enum part_entries {
	PART_WRITE_ENTRIES, /* no thread can be in the library */
	PART_KEEP_ENTRIES,  /* the host writes them, with all threads stopped */
};

/* Point slots to it, and the library's functions to the slots. Return: 0, or -1 with @ret filled in. */
int part_patch(struct part *part, enum part_entries entries, struct part_refusal *ret);
void part_done(struct part *part);

/* Take back what part_patch() has written, when it failed or what follows did. */
void part_unpatch(const struct part *part);

/* It has been dropped: what slots it shared with other patches lead to is theirs again. */
void part_leave(const struct part *part);

/* Forget one that is in use, or only made. Its island stays: others' functions may be led by it. */
void part_drop(const struct poke *poke, const struct upatch_meta *meta,
	       const struct upatch_meta_object *object);

/* The library goes, no part is left of it: its islands go, too. */
void part_drop_islands(const struct poke *poke, uint64_t start);

#endif
