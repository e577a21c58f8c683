/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/threads.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/diag.h"
#include "livepatch/session.h"
#include "livepatch/transition.h"
#include "livepatch/walk.h"
#include "target/freeze.h"
#include "target/target.h"

/* What to look at, and what to look for. */
struct look {
	const struct stack_rule *rule;	     /* NULL: everybody is fine */
	const struct transition *transition; /* NULL: none is open */
	struct unwind_stack *stack;
	size_t alloc;
};

static int add(struct session *s, struct look *look, const struct threads_item *item,
	       struct threads *threads)
{
	struct unwind_stack *stack = malloc(sizeof(*stack));

	if (!stack || !array_grow(threads->items, threads->nr, look->alloc)) {
		free(stack);
		return diag_oom(s->diag);
	}
	memcpy(stack, look->stack, sizeof(*stack));
	threads->items[threads->nr] = *item;
	threads->items[threads->nr++].stack = stack;
	return 0;
}

static enum threads_state state_of(const struct transition *tr, const struct thread *thread)
{
	bool is_goal_patched = tr->goal == RULE_PATCHED;

	return is_goal_patched != transition_lists(tr, thread) ? THREADS_PATCHED
							       : THREADS_UNPATCHED;
}

static int look_at(struct session *s, struct look *look, const struct thread *thread,
		   struct threads *threads)
{
	struct threads_item item = { .tid = thread->tid, .state = THREADS_UNDEFINED };
	enum unwind_outcome outcome = walk_thread(s, thread, look->stack);
	const struct stack_range *range;
	bool is_judged = look->rule;

	if (look->transition) {
		item.state = state_of(look->transition, thread);
		is_judged = transition_lists(look->transition, thread);
	}
	if (is_judged) {
		item.verdict = stack_check(look->rule, look->stack, outcome, &range);
		item.function = range ? range->function : NULL;
	}
	return add(s, look, &item, threads);
}

static int look_at_all(struct session *s, struct look *look, struct threads *ret)
{
	_cleanup_free_ struct unwind_stack *stack = malloc(sizeof(*stack));
	struct threads threads = {};
	struct freeze freeze;
	int r;

	if (!stack)
		return diag_oom(s->diag);
	look->stack = stack;
	r = session_freeze(s, &freeze);
	if (r < 0)
		return r;
	for (size_t i = 0; i < freeze.nr && r >= 0; i++)
		if (freeze.threads[i].state != THREAD_GONE)
			r = look_at(s, look, &freeze.threads[i], &threads);
	freeze_thaw(&freeze);
	if (r < 0) {
		threads_deinit(&threads);
		return r;
	}
	*ret = threads;
	return 0;
}

int threads_blocked(struct session *session, const struct stack_rule *rule, struct threads *ret)
{
	struct look look = { .rule = rule };
	size_t kept = 0;
	int r;

	r = look_at_all(session, &look, ret);
	for (size_t i = 0; r >= 0 && i < ret->nr; i++) {
		if (ret->items[i].verdict == STACK_CLEAN)
			free(ret->items[i].stack);
		else
			ret->items[kept++] = ret->items[i];
	}
	if (r >= 0)
		ret->nr = kept;
	return r;
}

int threads_all(struct session *session, const struct transition *transition, struct threads *ret)
{
	struct look look = {
		.rule = transition ? &transition->rule : NULL,
		.transition = transition,
	};

	return look_at_all(session, &look, ret);
}

void threads_deinit(struct threads *threads)
{
	for (size_t i = 0; i < threads->nr; i++)
		free(threads->items[i].stack);
	free(threads->items);
	*threads = (struct threads){};
}
