/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_OWNER_H
#define DAEMON_OWNER_H

#include <sys/types.h>

/**
 * owner_is() - might this user trace the process himself, if all else allowed it?
 *
 * /proc/PID/mem belongs to the user that the process runs as, and to root when it is not dumpable:
 * when it runs a set-user-ID file, or one that may not be read, or asked for it. So it takes one look.
 * (/proc/PID itself belongs to the user in any case, see task_dump_owner() in the kernel.)
 *
 * Return: 1 yes, 0 no, or -errno: there is no such process.
 */
int owner_is(pid_t pid, uid_t uid);

#endif
