/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_SUSPENDED_H
#define LIVEPATCH_SUSPENDED_H

/*
 * Functions that are suspended on stacks of no thread: coroutines, user-level threads, signal handlers
 * on stacks of their own. No walk shows them; a search of memory does, and may show more.
 */

#include <stddef.h>

struct session;
struct stack_range;
struct stack_rule;

/**
 * suspended_find() - is anything suspended in code that goes out of use?
 * @ret: the range of the rule that it is in; NULL: it is not known, there is too much memory
 *
 * All threads are stopped, and their stacks remembered. Return: 0; SUSPENDED_FOUND; or -errno raised.
 */
int suspended_find(struct session *session, const struct stack_rule *rule,
		   const struct stack_range **ret);

enum {
	SUSPENDED_FOUND = 1,
};

#endif
