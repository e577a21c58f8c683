/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Its resolver calls what patches replace: before the library is complete. */
#include <stdio.h>

/* Hidden: what is called through the PLT is not there yet when resolvers run. */
int ifunc_choice(void) __attribute__((visibility("hidden")));
int ifunc_value(int x);

__attribute__((noipa)) int ifunc_choice(void)
{
	volatile int zero = 0, one = 1;

	return zero * one + zero;
}

static int first(int x)
{
	return x + 10;
}

static int second(int x)
{
	return x + 20;
}

static int (*resolve(void))(int)
{
	return ifunc_choice() ? second : first;
}

int ifunc_value(int x) __attribute__((ifunc("resolve")));

int ifunc_use(int x);
int ifunc_use(int x)
{
	return ifunc_value(x) + 100 * ifunc_choice();
}
