/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef UPATCHCTL_PROCESS_H
#define UPATCHCTL_PROCESS_H

/* The processes of this machine, as /proc shows them. */

#include <sys/types.h>

#include "list.h"

enum {
	PROCESS_COMM_MAX = 64,
};

/**
 * process_comm() - name of a process
 * @buffer: of PROCESS_COMM_MAX bytes
 * Return: @buffer, or NULL when there is no such process.
 */
const char *process_comm(pid_t pid, char *buffer);

/**
 * process_list() - all processes, in the order of their PIDs
 * Return: 0, or -errno.
 */
int process_list(struct pid_list *ret);

#endif
