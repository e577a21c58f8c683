/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef UPATCHCTL_KERNELVIEW_H
#define UPATCHCTL_KERNELVIEW_H

/* The kernel in the model: one more target beside the processes. */

#include <json.h>
#include <stdio.h>
#include <upatch/kernel.h>

#include "cli.h"

/** kernelview_object() - its release, livepatches, and the tasks that hold a transition */
struct json_object *kernelview_object(const struct upatch_kernel_status *status);

/** kernelview_add_rows() - a row for each patch, with the columns that those of processes have */
void kernelview_add_rows(struct json_object *rows, struct json_object *kernel);

/** kernelview_print() - patches, then objects and tasks */
void kernelview_print(const struct cli *cli, FILE *out);

/** kernelview_print_list() - patches only */
void kernelview_print_list(const struct cli *cli, FILE *out);

#endif
