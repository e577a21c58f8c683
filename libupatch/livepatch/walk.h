/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_WALK_H
#define LIVEPATCH_WALK_H

/* Walking the stack of a stopped thread that may stand in a slot. */

#include "target/unwind.h"

struct session;
struct thread;
struct upatch_slot;

/* The slot whose code an address is in, or NULL. */
const struct upatch_slot *walk_find_slot(const struct session *session, uint64_t pc);

/**
 * walk_thread() - all frames, the innermost being where the thread stands
 * Unwind information covers objects and payloads; for slots we know what they have pushed.
 * Return: as unwinder_walk().
 */
enum unwind_outcome walk_thread(struct session *session, const struct thread *thread,
				struct unwind_stack *ret);

/* Is the address in the code? */
typedef bool (*walk_is_inside_fn)(const struct session *session, uint64_t addr);

/* What of a stack that cannot be walked? */
enum walk_doubt {
	WALK_DOUBT_INSIDE, /* it may lead back there */
	WALK_DOUBT_OUTSIDE,
};

/**
 * walk_wait_outside() - wait until no thread is in, or will return to, some code
 * Stops all threads for each look. Return: 0; -EAGAIN, unraised, after five seconds; or -errno
 * raised.
 */
int walk_wait_outside(struct session *session, walk_is_inside_fn fn, enum walk_doubt doubt);

#endif
