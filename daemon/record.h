/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_RECORD_H
#define DAEMON_RECORD_H

/* What a target's record says, for workers and the reader. */

#include <upatch/upatch.h>

struct process;

/**
 * record_fill() - put the patches of the target's record into @process
 * Return: 0, or -errno raised in the target's context.
 */
int record_fill(struct upatch_target *target, struct process *process);

#endif
