/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <upatch/upatch.h>

#include "api/ctx.h"
#include "base/export.h"
#include "build/build.h"

EXPORT int upatch_build(struct upatch_ctx *ctx, const struct upatch_build_options *opts)
{
	ctx_begin(ctx, 0, opts->name);
	return ctx_end(ctx, build_run(&ctx->diag, opts));
}
