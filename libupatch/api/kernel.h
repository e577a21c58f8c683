/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef API_KERNEL_H
#define API_KERNEL_H

/* What the calls about the kernel share with those about both sides. */

#include <upatch/kernel.h>

#include "kernel/kernel.h"
#include "patchfile/kmod.h"

struct patchfile;

/* Begin a call that is about the patch @name, or NULL, of the kernel. */
void kernel_begin(struct upatch_ctx *ctx, const char *name,
		  const struct upatch_kernel_options *opts, struct kernel *ret);

/**
 * kernel_pick() - the module of a patch file that is for the running kernel
 * @path: the file's name, for messages
 * Return: 0 with @ret, or -errno raised with UPATCH_E_NO_MODULE, UPATCH_E_BAD_MODULE.
 */
int kernel_pick(struct diag *d, const struct patchfile *file, const char *path, struct kmod *ret);

#endif
