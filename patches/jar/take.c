/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <upatch/livepatch.h>

UPATCH_OBJECT("jar");

extern int cookies UPATCH_PRIVATE("cookies", 0);

/* From here on: what fix.diff changes, as it is in the fixed source. */

static int parse_count(const char *text)
{
	char *end;
	long n = strtol(text, &end, 10);

	return end == text || *end || n < 0 || n > INT_MAX ? -1 : (int)n;
}

static void cmd_take(int fd, const char *arg)
{
	int n = parse_count(arg);

	if (n < 0 || n > cookies) {
		dprintf(fd, "no, %d left\n", cookies);
		return;
	}
	cookies -= n;
	dprintf(fd, "here are %d, %d left\n", n, cookies);
}
UPATCH_FUNC(cmd_take, cmd_take);
