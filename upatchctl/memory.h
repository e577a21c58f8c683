/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef UPATCHCTL_MEMORY_H
#define UPATCHCTL_MEMORY_H

/*
 * Running out of memory ends the program. No target is harmed: whatever libupatch had begun is
 * recorded in the target, as after kill -9.
 */

#include <stdio.h>
#include <stdlib.h>
#include <upatch/error.h>

static inline void *must(void *p)
{
	if (p)
		return p;
	fputs("upatchctl: out of memory [no-memory]\n", stderr);
	exit(UPATCH_EXIT_REFUSED);
}

#endif
