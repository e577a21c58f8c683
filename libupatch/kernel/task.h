/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KERNEL_TASK_H
#define KERNEL_TASK_H

/* Tasks that hold the kernel's transition: /proc/PID/task/TID/patch_state says which. */

#include <stddef.h>
#include <sys/types.h>

struct kernel;

enum {
	TASK_COMM_MAX = 16,
};

struct task {
	pid_t pid;
	pid_t tid;
	char comm[TASK_COMM_MAX];
};

struct task_list {
	struct task *tasks;
	size_t nr;
};

/**
 * task_list_blocked() - those that have not switched
 * @goal: what patch_state becomes: 1 while a patch is being enabled, 0 while it is being disabled
 *
 * Tasks come and go meanwhile; those that vanish, or may not be looked at, are left out.
 * Return: 0, or -errno raised with UPATCH_E_IO, UPATCH_E_NO_MEMORY.
 */
int task_list_blocked(const struct kernel *kernel, int goal, struct task_list *ret);
void task_list_deinit(struct task_list *list);

/* One line for each, for a message; malloc'ed, NULL without memory. */
char *task_list_format(const struct task_list *list);

#endif
