/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef UPATCHCTL_PAIR_H
#define UPATCHCTL_PAIR_H

/* A patch for processes and the kernel, as one transaction. */

#include <json.h>
#include <upatch/pair.h>

#include "cli.h"
#include "list.h"

typedef int (*pair_run_fn)(struct upatch_ctx *ctx, struct upatch_patch *patch,
			   struct upatch_pair_part *parts, size_t nr_parts,
			   const struct upatch_pair_options *opts);

/**
 * pair_change() - upatch_pair_apply() or upatch_pair_revert() with the targets and the kernel
 * Return: an array with a row for each part, the kernel's first; the failure is in the model.
 */
struct json_object *pair_change(struct cli *cli, struct upatch_patch *patch,
				const struct pid_list *targets, pair_run_fn run,
				const struct upatch_pair_options *opts);

#endif
