/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "owner.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

int owner_is(pid_t pid, uid_t uid)
{
	char path[32];
	struct stat st;

	(void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	if (stat(path, &st) < 0)
		return -errno;
	return st.st_uid == uid;
}
