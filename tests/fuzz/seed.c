/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A small object with one of everything that the readers look at; inputs are made from it. */

int seed_add(int x);
int seed_cold(int x);
int seed_start(void);

__thread int seed_tls = 3;
static int counter = 1;

__attribute__((noipa)) static int twin(int x)
{
	return x + counter++;
}

__attribute__((noipa)) int seed_add(int x)
{
	return twin(x) + seed_tls;
}

__attribute__((noipa)) int seed_cold(int x)
{
	if (__builtin_expect(x < 0, 0))
		__builtin_trap();
	return seed_add(x);
}

static int (*resolve(void))(int)
{
	return seed_add;
}

int seed_ifunc(int x) __attribute__((ifunc("resolve")));

int seed_start(void)
{
	return seed_cold(1);
}
