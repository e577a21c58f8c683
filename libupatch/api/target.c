/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <upatch/upatch.h>

#include "api/ctx.h"
#include "api/operation.h"
#include "base/cleanup.h"
#include "base/export.h"
#include "livepatch/enable.h"
#include "patchfile/patchfile.h"
#include "target/target.h"

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

EXPORT int upatch_target_apply(struct upatch_target *target, struct upatch_patch *patch,
			       const struct upatch_options *opts, struct upatch_cost *cost)
{
	struct operation op;
	int r;

	r = operation_begin(&op, target, patch->file->name, opts);
	if (r >= 0)
		r = enable_patch(&op.session, patch->file);
	return operation_end(&op, r, cost);
}

EXPORT int upatch_target_revert(struct upatch_target *target, const char *name,
				const struct upatch_options *opts, struct upatch_cost *cost)
{
	struct operation op;
	int r;

	r = operation_begin(&op, target, name, opts);
	if (r >= 0)
		r = disable_patch(&op.session, name);
	return operation_end(&op, r, cost);
}
