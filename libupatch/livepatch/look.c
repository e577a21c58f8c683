/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/look.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/diag.h"
#include "livepatch/island.h"
#include "livepatch/session.h"
#include "livepatch/suspended.h"
#include "livepatch/transition.h"
#include "target/freeze.h"

int look_init(struct session *session, struct look *ret)
{
	*ret = (struct look){ .stack = malloc(sizeof(*ret->stack)) };
	return ret->stack ? 0 : diag_oom(session->diag);
}

void look_deinit(struct look *look)
{
	free(look->stack);
	free(look->laggards);
	block_deinit(&look->first_wait);
}

void look_at_thread(struct transition *transition, const struct stack_rule *rule,
		    struct thread *thread, struct look *look, struct block *ret)
{
	struct transition *tr = transition;

	block_judge(tr->session, rule, thread, look->stack, ret);
	if (island_has_thread(tr->session, &thread->regs, look->stack))
		look->has_island_thread = true;
}

/*
 * Who lags behind when a transition starts, or is turned around. Threads that the table lists go
 * back to where they still are: of them only the place matters.
 */
static int look_at_all(struct transition *tr, const struct stack_rule *rule,
		       const struct freeze *freeze, struct look *look)
{
	int r = 0;

	for (size_t i = 0; i < freeze->nr && r >= 0; i++) {
		struct thread *thread = &freeze->threads[i];
		struct block block;

		if (thread->state == THREAD_GONE)
			continue;
		look_at_thread(tr, rule, thread, look, &block);
		if (block.verdict == STACK_IN_ENTRY || block.verdict == STACK_IN_GATE) {
			if (!look->first_wait.tid)
				r = block_keep(tr->session, &block, &look->first_wait);
			continue;
		}
		if (block.verdict == STACK_CLEAN || transition_lists(tr, thread))
			continue;
		if (!tr->block.tid)
			r = block_keep(tr->session, &block, &tr->block);
		if (r >= 0 && !array_grow(look->laggards, look->nr, look->alloc))
			r = diag_oom(tr->session->diag);
		if (r >= 0)
			look->laggards[look->nr++] = (struct laggard){
				laggards_key(tr->session, thread),
				thread->tid,
			};
	}
	return r;
}

int look_for_suspended(struct transition *transition, const struct stack_rule *rule,
		       const struct freeze *freeze, struct block *ret)
{
	struct transition *tr = transition;
	const struct stack_range *range;
	int r;

	if (!(tr->session->flags & SESSION_SCAN_MEMORY))
		return 0;
	session_remember_stacks(tr->session, freeze);
	r = suspended_find(tr->session, rule, &range);
	if (r != SUSPENDED_FOUND)
		return r;
	block_deinit(ret);
	*ret = (struct block){
		.verdict = STACK_SUSPENDED,
		.function = range ? strdup(range->function) : NULL,
	};
	return LOOK_WAIT;
}

int look_around(struct transition *transition, const struct stack_rule *rule,
		const struct freeze *freeze, struct look *look)
{
	int r;

	r = look_at_all(transition, rule, freeze, look);
	if (r < 0)
		return r;
	return look->first_wait.tid
		       ? LOOK_WAIT
		       : look_for_suspended(transition, rule, freeze, &look->first_wait);
}
