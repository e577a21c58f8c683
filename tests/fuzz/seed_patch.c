/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Becomes the patch file that inputs are made from. */
#include <upatch/livepatch.h>

UPATCH_OBJECT("seed");

extern int seed_cold(int x);
extern int counter UPATCH_PRIVATE("counter", 0);

static const char *const words[] = { "one", "two" };
static int calls;

static int new_add(int x)
{
	return x + counter + ++calls + words[x & 1][0];
}
UPATCH_FUNC(seed_add, new_add);

static int new_cold(int x)
{
	return x ? seed_cold(x - 1) : 7;
}
UPATCH_FUNC(seed_cold, new_cold);
