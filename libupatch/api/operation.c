/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "api/operation.h"

#include "api/ctx.h"
#include "base/deadline.h"
#include "target/target.h"

enum {
	DEFAULT_TIMEOUT_MS = 10000,
};

static uint64_t deadline_of(const struct upatch_options *opts)
{
	uint64_t ms = opts ? opts->timeout_ms : DEFAULT_TIMEOUT_MS;

	return deadline_in(opts && (opts->flags & UPATCH_NO_WAIT) ? 0 : ms * NSEC_PER_MSEC);
}

int operation_begin(struct operation *op, struct upatch_target *target, const char *patch,
		    const struct upatch_options *opts)
{
	struct target *t = target->target;
	int r;

	*op = (struct operation){ .target = target, .begun = clock_now() };
	ctx_begin(target->ctx, t->pid, patch);
	t->pause_longest = 0;
	t->nr_stops = 0;
	t->nr_threads = 0;
	r = session_open(t, target->ctx->cache, deadline_of(opts), &op->session);
	op->has_session = r >= 0;
	if (r >= 0 && opts && opts->flags & UPATCH_SCAN_MEMORY)
		op->session.flags |= SESSION_SCAN_MEMORY;
	return r;
}

int operation_end(struct operation *op, int r, struct upatch_cost *cost)
{
	const struct target *t = op->target->target;

	if (op->has_session)
		session_close(&op->session);
	if (cost)
		*cost = (struct upatch_cost){
			.longest_pause = t->pause_longest,
			.wall = clock_now() - op->begun,
			.stops = t->nr_stops,
			.threads = t->nr_threads,
		};
	return ctx_end(op->target->ctx, r);
}
