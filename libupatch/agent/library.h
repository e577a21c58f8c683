/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AGENT_LIBRARY_H
#define AGENT_LIBRARY_H

/* One library that comes or goes, and what all patches have for it. The lock is held, see dl.h. */

#include <stdbool.h>
#include <stdint.h>

#include "agent/dl_map.h"
#include "agent/part.h"

/*
 * How it comes.
 * @only: the parts of that patch alone; 0: of all
 * @is_refusable: the dlopen(3) can be made to fail, PART_WRITE_ENTRIES
 */
struct library_way {
	uint64_t only;
	enum part_entries entries;
	bool is_refusable;
};

/**
 * library_come() - give it its parts, patch by patch, in the order of enabling
 * Return: NULL, or why it must not be loaded, and then nothing of it is left.
 */
const char *library_come(const struct dl_debug *list, const struct dl_map *map,
			 const struct library_way *way);

/* Take them from it. */
void library_go(const struct dl_map *map);

/* Is there one at that address? */
bool library_is_mapped(uint64_t start);

/* Forget the parts of those that have gone unnoticed: their destructors had begun before we came. */
void library_sweep(void);

#endif
