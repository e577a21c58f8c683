/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_BLOCK_H
#define LIVEPATCH_BLOCK_H

/* What keeps one stopped thread from switching, and where the thread was. */

#include <stddef.h>
#include <sys/types.h>

#include "livepatch/stack.h"

struct session;
struct thread;

struct block {
	pid_t tid; /* 0: none, or not a thread's */
	enum stack_verdict verdict;
	char *function; /* or NULL */
	struct unwind_stack *stack;
};

/**
 * block_judge() - may the thread switch?
 * @thread: stopped; one that stands in a dispatcher is put in front of it first
 * @stack:  room for its stack
 * @ret:    verdict STACK_CLEAN: it may; function and stack are borrowed from the rule and @stack
 */
void block_judge(struct session *session, const struct stack_rule *rule, struct thread *thread,
		 struct unwind_stack *stack, struct block *ret);

/* Make a copy that owns what it has, in place of what @ret had. Return: 0, or -ENOMEM raised. */
int block_keep(struct session *session, const struct block *block, struct block *ret);
void block_deinit(struct block *block);
void blocks_free(struct block *blocks, size_t nr);

#endif
