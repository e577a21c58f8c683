/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef UPATCHCTL_CLEANUP_H
#define UPATCHCTL_CLEANUP_H

/* Scope-bound release of memory. Programs see only the public headers, so they bring their own. */

#include <stdlib.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))

static inline void freep(void *p)
{
	free(*(void **)p);
}

#define _cleanup_free_ _cleanup_(freep)

#endif
