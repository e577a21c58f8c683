/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AGENT_DL_MAP_H
#define AGENT_DL_MAP_H

/*
 * The dynamic linker's lists of what it has loaded: the part of them that is an interface to
 * debuggers, <link.h>. One list for each namespace (glibc 2.35, struct r_debug_extended).
 */

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/lookup.h"

/* No list of lists, and no list, is followed farther. */
enum {
	DL_LISTS_MAX = 64, /* glibc has 16 */
	DL_MAPS_MAX = 65536,
};

struct dl_map {
	uint64_t bias;
	const char *name;
	const Elf64_Dyn *dynamic;
	struct dl_map *next, *previous;
};

enum dl_state {
	DL_CONSISTENT = 0,
	DL_ADD = 1,
	DL_DELETE = 2,
};

struct dl_debug {
	int version;
	struct dl_map *first;
	uint64_t brk;
	int state; /* enum dl_state */
	uint64_t base;
	struct dl_debug *next; /* version 2 and later */
};

/* Of the next namespace, NULL: none; with NULL: of the first. */
struct dl_debug *dl_debug_next(const struct dl_debug *debug);

/* The list that has it, NULL: none; it may be any address. */
struct dl_debug *dl_map_list(const void *map);

/* What a library says of itself. */
struct dl_image {
	uint64_t start; /* of its mappings */
	uint64_t end;
	const uint8_t *build_id;
	uint32_t build_id_size; /* 0: none */
};

/* False: its headers are not where they should be. */
bool dl_map_image(const struct dl_map *map, struct dl_image *ret);

/* Does it say that it is never to be unloaded? */
bool dl_map_stays(const struct dl_map *map);

/* Is it called that: by its DT_SONAME, or its file? */
bool dl_map_is_named(const struct dl_map *map, const char *name);

/* Where symbols for @map are looked up. */
struct dl_scope {
	const struct dl_debug *list;
	const struct dl_map *map;
	int nr_initial; /* of the list, came with the process */
};

void dl_scope_init(const struct dl_debug *list, const struct dl_map *map, struct dl_scope *ret);

/**
 * dl_scope_find() - find a symbol as the dynamic linker would
 * First in what came with the process, then in the library itself, then in all others.
 * @version: NULL: the default one
 * @ret_in: what it is in
 */
bool dl_scope_find(const struct dl_scope *scope, const char *name, const char *version,
		   struct lookup_symbol *ret, const struct dl_map **ret_in);

#endif
