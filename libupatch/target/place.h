/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TARGET_PLACE_H
#define TARGET_PLACE_H

/* Finding free address space in a target. A pure function of its mappings. */

#include <stdint.h>

struct maps;

/* Every byte of the new region must be within @reach of every byte of [start, end). */
struct place_near {
	uint64_t start;
	uint64_t end;
	uint64_t reach;
};

/**
 * place_find() - a free range close to an object
 * @size:   bytes, a multiple of the page size
 * @random: picks one of the possible places, so that ours are no easier to guess than the target's
 *
 * Prefers room below the object, where neither heap nor stack grows; keeps a page's distance from
 * other mappings, and the distance that the kernel keeps from stacks.
 *
 * Return: 0, or -ENOSPC, unraised.
 */
int place_find(const struct maps *maps, const struct place_near *near, uint64_t size,
	       uint64_t random, uint64_t *ret_addr);

#endif
