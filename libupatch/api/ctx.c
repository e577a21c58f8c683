/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "api/ctx.h"

#include <errno.h>
#include <stdlib.h>

#include "base/export.h"
#include "elf/image_cache.h"

enum {
	IMAGES_MAX = 256,
};

EXPORT const char *upatch_version(void)
{
	return UPATCH_VERSION;
}

EXPORT int upatch_ctx_new(struct upatch_ctx **ret)
{
	struct upatch_ctx *ctx = calloc(1, sizeof(*ctx));
	int r;

	if (!ctx)
		return -ENOMEM;
	diag_init(&ctx->diag);
	r = image_cache_new(IMAGES_MAX, &ctx->cache);
	if (r < 0) {
		free(ctx);
		return r;
	}
	*ret = ctx;
	return 0;
}

EXPORT void upatch_ctx_free(struct upatch_ctx *ctx)
{
	if (!ctx)
		return;
	image_cache_free(ctx->cache);
	diag_deinit(&ctx->diag);
	free(ctx);
}

EXPORT void upatch_ctx_set_log(struct upatch_ctx *ctx, enum upatch_log_level level,
			       upatch_log_fn fn, void *userdata)
{
	ctx->diag.log = fn;
	ctx->diag.log_level = level;
	ctx->diag.log_userdata = userdata;
}

EXPORT const struct upatch_error *upatch_ctx_error(const struct upatch_ctx *ctx)
{
	return &ctx->diag.error;
}

void ctx_begin(struct upatch_ctx *ctx, pid_t pid, const char *patch)
{
	diag_clear(&ctx->diag);
	ctx->diag.scope = (struct diag_where){ .pid = pid, .patch = patch };
}

int ctx_end(struct upatch_ctx *ctx, int r)
{
	ctx->diag.scope = (struct diag_where){};
	return r;
}
