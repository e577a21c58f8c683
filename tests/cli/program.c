/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests build patches for. It is not run. */
#include <stdio.h>

static int hits;

int answer(int x);

__attribute__((noinline, noclone)) int answer(int x)
{
	hits++;
	printf("%d %d\n", x, hits);
	return x * 3;
}

int main(int argc, char *argv[])
{
	return answer(argc);
}
