/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_CLEANUP_H
#define DAEMON_CLEANUP_H

/* Scope-bound release of memory and descriptors. Programs see only the public headers. */

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))

static inline void freep(void *p)
{
	free(*(void **)p);
}

static inline void closep(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd); /* nothing to do about a failing close on a way out */
}

static inline void fclosep(FILE **f)
{
	if (*f)
		(void)fclose(*f); /* what was written was flushed before */
}

static inline void closedirp(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir); /* it was only read */
}

#define _cleanup_free_ _cleanup_(freep)
#define _cleanup_close_ _cleanup_(closep)

#define take_fd(fd)                                                                                \
	({                                                                                         \
		int *_pp = &(fd);                                                                  \
		int _fd = *_pp;                                                                    \
		*_pp = -1;                                                                         \
		_fd;                                                                               \
	})

#define take_ptr(ptr)                                                                              \
	({                                                                                         \
		typeof(ptr) *_pp = &(ptr);                                                         \
		typeof(ptr) _p = *_pp;                                                             \
		*_pp = NULL;                                                                       \
		_p;                                                                                \
	})

#endif
