/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_LOOK_H
#define LIVEPATCH_LOOK_H

/* What one look at stopped threads finds that a transition is about. */

#include <stdbool.h>
#include <stddef.h>

#include "livepatch/block.h"
#include "livepatch/laggards.h"

struct freeze;
struct session;
struct stack_rule;
struct thread;
struct transition;

struct look {
	struct unwind_stack *stack; /* of the last one */
	struct block first_wait;
	struct laggard *laggards;
	size_t nr;
	size_t alloc;
	bool has_island_thread;
	bool has_stale; /* a library's part looks as if the library had gone: raised */
};

enum look_outcome {
	LOOK_WAIT = 2, /* something is in the way, for the time being */
};

int look_init(struct session *session, struct look *ret); /* 0, or raised */
void look_deinit(struct look *look);

/* At one. @ret: borrowed, see block_judge(). */
void look_at_thread(struct transition *transition, const struct stack_rule *rule,
		    struct thread *thread, struct look *look, struct block *ret);

/* For what no thread shows, if that was asked for. Return: 0; LOOK_WAIT with @ret; or -errno raised. */
int look_for_suspended(struct transition *transition, const struct stack_rule *rule,
		       const struct freeze *freeze, struct block *ret);

/**
 * look_around() - who lags behind when a transition starts, or is turned around
 * Return: 0; LOOK_WAIT: first_wait tells for whom; or -errno raised.
 */
int look_around(struct transition *transition, const struct stack_rule *rule,
		const struct freeze *freeze, struct look *look);

#endif
