/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_THREADS_H
#define LIVEPATCH_THREADS_H

/* One look at all threads of a target: their stacks, and what a rule says about them. */

#include <stddef.h>
#include <sys/types.h>

#include "livepatch/stack.h"

struct session;
struct transition;

enum threads_state {
	THREADS_UNDEFINED = -1, /* no transition is open */
	THREADS_UNPATCHED = 0,
	THREADS_PATCHED = 1,
};

struct threads_item {
	pid_t tid;
	enum threads_state state; /* klp's patch_state */
	enum stack_verdict verdict;
	const char *function;	    /* or NULL; borrowed from the rule */
	struct unwind_stack *stack; /* owned */
};

struct threads {
	struct threads_item *items;
	size_t nr;
};

/**
 * threads_blocked() - those that the rule does not let switch
 * Stops the target once. The session's unwinder is ready. Return: 0, or -errno raised.
 */
int threads_blocked(struct session *session, const struct stack_rule *rule, struct threads *ret);

/**
 * threads_all() - everybody
 * @transition: the one that is open, or NULL; those that it lists are judged by its rule
 */
int threads_all(struct session *session, const struct transition *transition, struct threads *ret);
void threads_deinit(struct threads *threads);

#endif
