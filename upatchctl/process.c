/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "number.h"

const char *process_comm(pid_t pid, char *buffer)
{
	char path[64];
	ssize_t length;
	int fd;

	if (pid <= 0)
		return NULL;
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	length = read(fd, buffer, PROCESS_COMM_MAX - 1);
	(void)close(fd); /* it was only read */
	if (length <= 0)
		return NULL;
	if (buffer[length - 1] == '\n')
		length--;
	buffer[length] = 0;
	return buffer;
}

static int compare_pids(const void *a, const void *b)
{
	const pid_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

int process_list(struct pid_list *ret)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	pid_t pid;
	int r;

	if (!dir)
		return -errno;
	while ((errno = 0, entry = readdir(dir)))
		if (number_pid(entry->d_name, strlen(entry->d_name), &pid) >= 0)
			pid_list_add(ret, pid);
	r = -errno;
	(void)closedir(dir); /* it was only read */
	if (ret->nr > 0)
		qsort(ret->items, ret->nr, sizeof(*ret->items), compare_pids);
	return r;
}
