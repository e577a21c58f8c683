/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A program that answers each line on its standard input with what value() returns. */
#include <stdio.h>

__attribute__((noipa, used)) static int value(void)
{
	for (volatile int i = 0; i < 4; i++)
		continue;
	return 0;
}

int main(void)
{
	char line[64];

	setvbuf(stdout, NULL, _IOLBF, 0);
	while (fgets(line, sizeof(line), stdin))
		printf("%d\n", value());
	return 0;
}
