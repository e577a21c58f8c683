/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/wait.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/backoff.h"
#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/diag.h"
#include "livepatch/session.h"
#include "livepatch/transition.h"
#include "target/target.h"

/* How often /proc is asked about a sleeping thread, and what share of one CPU may go into that. */
static const uint64_t peek_interval = NSEC_PER_MSEC;
static const uint64_t peek_cost = 50 * NSEC_PER_USEC;

/* How long until the next visit, at most: each stops the thread for some 50 microseconds. */
static const uint64_t visit_interval_max = 20 * NSEC_PER_MSEC;
static const uint64_t visit_cost = NSEC_PER_MSEC / 2;

/* What we know about one laggard. */
struct watch {
	struct laggard laggard;
	struct backoff backoff;
	uint64_t visit_at;	 /* when to look at it, whatever /proc says */
	struct proc_wait asleep; /* where it was at its last visit */
	bool is_asleep;
	bool is_due; /* in this round */
};

struct watches {
	struct watch *items;
	size_t nr;
};

/* It left, and came back or not: then its stack is another one. */
static bool has_moved(struct transition *tr, const struct watch *w)
{
	struct proc_wait now;

	if (!w->is_asleep)
		return false;
	return proc_read_wait(tr->session->target->procfd, w->laggard.tid, &now) < 0 ||
	       now.sp != w->asleep.sp || now.pc != w->asleep.pc;
}

/* It goes on sleeping where our visit met it, once the kernel has restarted its system call. */
static void remember_place(struct transition *tr, struct watch *w)
{
	w->is_asleep = w->laggard.tid &&
		       proc_read_wait(tr->session->target->procfd, w->laggard.tid, &w->asleep) == 0;
}

/* Forget those that the table does not list any more; look at the others later. */
static void update(struct transition *tr, struct watches *watches)
{
	uint64_t interval_max = MAX(visit_interval_max, watches->nr * visit_cost);
	size_t kept = 0;

	for (size_t i = 0; i < watches->nr; i++) {
		struct watch *w = &watches->items[i];

		if (!laggards_has(&tr->laggards, w->laggard.key))
			continue;
		if (w->is_due) {
			remember_place(tr, w);
			w->visit_at = deadline_in(MIN(backoff_next(&w->backoff), interval_max));
			w->is_due = false;
		}
		watches->items[kept++] = *w;
	}
	watches->nr = kept;
}

/* Those to be visited now; malloc'ed. */
static struct laggard *list_due(struct transition *tr, struct watches *watches, size_t *ret_nr)
{
	struct laggard *due = calloc(watches->nr + 1, sizeof(*due));

	*ret_nr = 0;
	for (size_t i = 0; due && i < watches->nr; i++) {
		struct watch *w = &watches->items[i];

		if (has_moved(tr, w))
			w->backoff = (struct backoff){};
		else if (!deadline_is_over(w->visit_at))
			continue;
		w->is_due = true;
		due[(*ret_nr)++] = w->laggard;
	}
	return due;
}

/* One round. Return: TRANSITION_DONE: the transition is complete; TRANSITION_PENDING; or raised. */
static int visit_due(struct transition *tr, struct watches *watches)
{
	size_t nr;
	_cleanup_free_ struct laggard *due = list_due(tr, watches, &nr);
	int r = TRANSITION_PENDING;

	if (!due)
		return diag_oom(tr->session->diag);
	if (nr)
		r = transition_visit(tr, due, nr);
	/* Another thread may sleep so deeply that not all can be stopped; not for ever. */
	if (r == -ETIMEDOUT && !deadline_is_over(tr->session->deadline)) {
		diag_clear(tr->session->diag);
		r = TRANSITION_PENDING;
	}
	if (r != TRANSITION_PENDING)
		return r;
	update(tr, watches);
	return watches->nr ? TRANSITION_PENDING : transition_try_complete(tr);
}

static uint64_t time_of_next(const struct watches *watches)
{
	/* With no laggards left, and something else in the way: as often as one that is. */
	uint64_t next = watches->nr ? UINT64_MAX : deadline_in(visit_interval_max);
	bool is_any_asleep = false;

	for (size_t i = 0; i < watches->nr; i++) {
		next = MIN(next, watches->items[i].visit_at);
		is_any_asleep = is_any_asleep || watches->items[i].is_asleep;
	}
	if (is_any_asleep)
		next = MIN(next, deadline_in(MAX(peek_interval, watches->nr * peek_cost)));
	return next;
}

static int watch_all(struct transition *tr, struct watches *ret)
{
	_cleanup_free_ struct laggard *list = NULL;
	size_t nr;
	int r;

	r = laggards_list(tr->session, &tr->laggards, &list, &nr);
	if (r < 0)
		return r;
	ret->items = calloc(nr + 1, sizeof(*ret->items));
	if (!ret->items)
		return diag_oom(tr->session->diag);
	ret->nr = nr;
	for (size_t i = 0; i < nr; i++)
		ret->items[i].laggard = list[i];
	return 0;
}

int transition_wait(struct transition *transition)
{
	struct transition *tr = transition;
	struct watches watches = {};
	int r;

	r = watch_all(tr, &watches);
	if (r < 0)
		return r;
	/* At least once: whoever comes back to an open transition may find that all have left. */
	while ((r = visit_due(tr, &watches)) == TRANSITION_PENDING &&
	       !deadline_is_over(tr->session->deadline))
		nap_for(deadline_left(MIN(time_of_next(&watches), tr->session->deadline)));
	free(watches.items);
	return r;
}
