/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <upatch/upatch.h>

#include "api/ctx.h"
#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/export.h"
#include "livepatch/enable.h"
#include "livepatch/session.h"
#include "patchfile/patchfile.h"
#include "target/target.h"

enum {
	DEFAULT_TIMEOUT_MS = 10000,
};

EXPORT int upatch_target_open(struct upatch_ctx *ctx, pid_t pid, struct upatch_target **ret)
{
	_cleanup_free_ struct upatch_target *target = calloc(1, sizeof(*target));
	int r;

	ctx_begin(ctx, pid, NULL);
	if (!target)
		return ctx_end(ctx, diag_oom(&ctx->diag));
	target->ctx = ctx;
	r = target_open(&ctx->diag, pid, &target->target);
	if (r >= 0)
		*ret = take_ptr(target);
	return ctx_end(ctx, r);
}

EXPORT void upatch_target_close(struct upatch_target *target)
{
	if (!target)
		return;
	target_close(target->target);
	free(target);
}

static uint64_t deadline_of(const struct upatch_options *opts)
{
	uint64_t ms = opts ? opts->timeout_ms : DEFAULT_TIMEOUT_MS;

	return deadline_in(opts && (opts->flags & UPATCH_NO_WAIT) ? 0 : ms * NSEC_PER_MSEC);
}

static void take_cost(struct target *target, uint64_t begun, struct upatch_cost *ret)
{
	if (!ret)
		return;
	*ret = (struct upatch_cost){
		.longest_pause = target->pause_longest,
		.wall = clock_now() - begun,
		.stops = target->nr_stops,
		.threads = target->nr_threads,
	};
}

static void reset_cost(struct target *target)
{
	target->pause_longest = 0;
	target->nr_stops = 0;
	target->nr_threads = 0;
}

EXPORT int upatch_target_apply(struct upatch_target *target, struct upatch_patch *patch,
			       const struct upatch_options *opts, struct upatch_cost *cost)
{
	struct upatch_ctx *ctx = target->ctx;
	uint64_t begun = clock_now();
	struct session session;
	int r;

	ctx_begin(ctx, target->target->pid, patch->file->name);
	reset_cost(target->target);
	r = session_open(target->target, ctx->cache, deadline_of(opts), &session);
	if (r >= 0) {
		r = enable_patch(&session, patch->file);
		session_close(&session);
	}
	take_cost(target->target, begun, cost);
	return ctx_end(ctx, r);
}

EXPORT int upatch_target_revert(struct upatch_target *target, const char *name,
				const struct upatch_options *opts, struct upatch_cost *cost)
{
	struct upatch_ctx *ctx = target->ctx;
	uint64_t begun = clock_now();
	struct session session;
	int r;

	ctx_begin(ctx, target->target->pid, name);
	reset_cost(target->target);
	r = session_open(target->target, ctx->cache, deadline_of(opts), &session);
	if (r >= 0) {
		r = disable_patch(&session, name);
		session_close(&session);
	}
	take_cost(target->target, begun, cost);
	return ctx_end(ctx, r);
}
