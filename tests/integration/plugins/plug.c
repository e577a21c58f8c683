/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A plugin whose constructor and destructor call what patches replace. BUILD tells builds apart. */
#include <stdio.h>

int plug_value(int x);
int plug_other(int x);
extern void note(const char *what, int value);
__attribute__((weak)) void note(const char *what, int value);

static int hidden = BUILD;
__thread int plug_tls = 5;

__attribute__((noipa)) int plug_value(int x)
{
	if (x < 0)
		printf("negative\n");
	return x + hidden;
}

__attribute__((noipa)) int plug_other(int x)
{
	if (x < 0)
		printf("negative too\n");
	return x * hidden + plug_tls - 5;
}

__attribute__((constructor)) static void begin(void)
{
	if (note)
		note("begin", plug_value(1));
}

__attribute__((destructor)) static void end(void)
{
	if (note)
		note("end", plug_value(1));
}
