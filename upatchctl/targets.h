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

/**
 * targets_open() - upatch_target_open(), of the process that we were started for
 *
 * upatchd judges a process before it starts us to work on it, and leaves us a pidfd of it, whose number
 * is in $UPATCHCTL_TARGET_PIDFD. If that has exited, the PID may be another's by now. It must still be
 * $UPATCHCTL_TARGET_OWNER's, where that is set: it may have called execve(2) of a file with privileges.
 */
int targets_open(struct cli *cli, pid_t pid, struct upatch_target **ret);

/* Frees what upatch_target_open() and upatch_patch_open() gave; for _cleanup_(). */
void target_closep(struct upatch_target **target);
void patch_closep(struct upatch_patch **patch);

#endif
