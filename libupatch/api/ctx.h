/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef API_CTX_H
#define API_CTX_H

/* The objects behind the public API's opaque types. */

#include "base/diag.h"

struct image_cache;
struct patchfile;
struct target;

struct upatch_ctx {
	struct diag diag;
	struct image_cache *cache;
};

struct upatch_target {
	struct upatch_ctx *ctx; /* borrowed */
	struct target *target;
};

struct upatch_patch {
	struct upatch_ctx *ctx; /* borrowed */
	const struct patchfile *file;
	struct upatch_patch_info *info;
};

/* Begin a call: forget the last error, say what it is about. Strings are borrowed. */
void ctx_begin(struct upatch_ctx *ctx, pid_t pid, const char *patch);

/* End it: forget what it was about. Return: @r. */
int ctx_end(struct upatch_ctx *ctx, int r);

#endif
