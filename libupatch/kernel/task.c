/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernel/task.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "kernel/kernel.h"

DEFINE_CLEANUP(DIR *, closedir);

/* The next number among a directory's names, 0 at its end. */
static pid_t next_id(DIR *dir)
{
	for (;;) {
		struct dirent *entry = readdir(dir);
		char *end;
		long id;

		if (!entry)
			return 0;
		id = strtol(entry->d_name, &end, 10);
		if (!*end && id > 0 && id <= INT_MAX)
			return (pid_t)id;
	}
}

static bool is_blocked(const struct kernel *kernel, pid_t pid, pid_t tid, int goal)
{
	char path[64];
	int state;

	(void)snprintf(path, sizeof(path), "%d/task/%d/patch_state", (int)pid, (int)tid);
	/* -1: no transition concerns it. */
	return kernel_read_number(kernel->proc, path, &state) >= 0 && state >= 0 && state != goal;
}

static int add_blocked(const struct kernel *kernel, pid_t pid, int goal, struct task_list *list,
		       size_t *alloc)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	char path[PATH_MAX];
	pid_t tid;

	if (snprintf(path, sizeof(path), "%s/%d/task", kernel->proc, (int)pid) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	dir = opendir(path);
	if (!dir)
		return 0; /* it has exited */
	while ((tid = next_id(dir))) {
		struct task *task;

		if (!is_blocked(kernel, pid, tid, goal))
			continue;
		if (!array_grow(list->tasks, list->nr, *alloc))
			return -ENOMEM;
		task = &list->tasks[list->nr++];
		task->pid = pid;
		task->tid = tid;
		(void)snprintf(path, sizeof(path), "%d/task/%d/comm", (int)pid, (int)tid);
		if (kernel_read(kernel->proc, path, task->comm, sizeof(task->comm)) < 0)
			(void)strcpy(task->comm, "?");
	}
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct task *one = a, *other = b;

	if (one->pid != other->pid)
		return one->pid < other->pid ? -1 : 1;
	return one->tid < other->tid ? -1 : one->tid > other->tid;
}

int task_list_blocked(const struct kernel *kernel, int goal, struct task_list *ret)
{
	_cleanup_(task_list_deinit) struct task_list list = {};
	_cleanup_(closedirp) DIR *dir = opendir(kernel->proc);
	size_t alloc = 0;
	pid_t pid;
	int r;

	if (!dir)
		return diag_err(kernel->diag, -errno, UPATCH_E_IO, NULL,
				"cannot list the processes in %s: %s", kernel->proc,
				strerror(errno));
	while ((pid = next_id(dir))) {
		r = add_blocked(kernel, pid, goal, &list, &alloc);
		if (r < 0)
			return diag_oom(kernel->diag);
	}
	if (list.nr)
		qsort(list.tasks, list.nr, sizeof(*list.tasks), compare);
	*ret = list;
	list = (struct task_list){};
	return 0;
}

void task_list_deinit(struct task_list *list)
{
	free(list->tasks);
	*list = (struct task_list){};
}

char *task_list_format(const struct task_list *list)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	for (size_t i = 0; i < list->nr; i++)
		fprintf(out, "%spid %d, task %d (%s) has not switched", i ? "\n" : "",
			(int)list->tasks[i].pid, (int)list->tasks[i].tid, list->tasks[i].comm);
	return fclose(out) == 0 ? text : NULL;
}
