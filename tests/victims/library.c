/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A program whose work is done by libvictim.so.
 *
 *	twin		"twin 101 201", by which the fixture sees that it runs
 *	lib		"lib EXPORTED HIDDEN STATIC IFUNC VERSION OLD_VERSION STRADDLING CALLS"
 */
#include <stdio.h>
#include <string.h>

#include "libvictim.h"

static void answer(const char *line)
{
	int exported = lib_exported(0);

	if (strcmp(line, "twin\n") == 0)
		printf("twin 101 201\n");
	else
		printf("lib %d %d %d %d %d %d %d %d\n", exported, lib_by_hidden(0),
		       lib_by_static(0), lib_ifunc(0), lib_versioned(), lib_old_version(),
		       lib_straddling(0), lib_calls);
}

int main(void)
{
	char line[128];

	setvbuf(stdout, NULL, _IOLBF, 0);
	while (fgets(line, sizeof(line), stdin))
		answer(line);
	return 0;
}
