/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef UPATCHCTL_TARGETS_H
#define UPATCHCTL_TARGETS_H

/* What the verbs that work on targets share: the option -p, and a process in the model. */

#include <json.h>
#include <upatch/upatch.h>

#include "cli.h"
#include "list.h"

/** targets_take() - the value of -p: a PID, or several with commas; 0, or -EINVAL */
int targets_take(struct cli *cli, const char *value, struct pid_list *targets);

/** targets_needed() - complain when there was no -p; 0, or -EINVAL */
int targets_needed(struct cli *cli, const struct pid_list *targets);

/** targets_put() - "pid" and "comm" of a target's row */
void targets_put(struct json_object *row, pid_t pid);

/* Frees what upatch_target_open() and upatch_patch_open() gave; for _cleanup_(). */
void target_closep(struct upatch_target **target);
void patch_closep(struct upatch_patch **patch);

#endif
