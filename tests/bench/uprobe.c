/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "uprobe.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

int uprobe_open(const char *path, uint64_t offset)
{
	_cleanup_fclose_ FILE *f = fopen("/sys/bus/event_source/devices/uprobe/type", "re");
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.uprobe_path = (uintptr_t)path,
		.probe_offset = offset,
	};
	long fd;

	if (!f)
		return -errno;
	if (fscanf(f, "%u", &attr.type) != 1)
		return -EINVAL;
	/* All processes, seen from one CPU: the trap is the same on all. */
	fd = syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : (int)fd;
}
