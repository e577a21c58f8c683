/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_REFS_H
#define LIVEPATCH_REFS_H

/*
 * Does anything in a target's writable memory point into code that is to be unmapped? Callbacks that
 * the code has registered, and frames of suspended coroutines, which no thread's stack shows.
 */

#include <stddef.h>
#include <stdint.h>

struct session;

struct refs_range {
	uint64_t start;
	uint64_t end;
};

enum refs_outcome {
	REFS_NONE = 0,
	REFS_FOUND = 1,
	REFS_UNKNOWN = 2, /* too much memory to search until the deadline */
};

enum refs_flags {
	REFS_SUSPENDED = 1, /* leave out what threads have: their own stacks and registers */
};

struct refs_query {
	const struct refs_range *ranges;
	size_t nr;
	uint64_t deadline;
	unsigned int flags; /* enum refs_flags */
};

/**
 * refs_search() - look at every aligned word that the target can change, and at threads' registers
 * @ret_addr: where a reference is, for REFS_FOUND; 0: in a register
 *
 * The target may run meanwhile, after a short stop where there was none before. Its threads' stacks
 * below their stack pointers are not looked at: what is there is dead. Stacks in use are searched
 * like all else, but with REFS_SUSPENDED; a stack that its thread has left for another one is searched then,
 * too.
 *
 * Return: REFS_*, or -errno raised.
 */
int refs_search(struct session *session, const struct refs_query *query, uint64_t *ret_addr);

#endif
