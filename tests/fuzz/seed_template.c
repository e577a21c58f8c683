/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Becomes a patch file with one of everything that a template is made from. */
#include <upatch/livepatch.h>

UPATCH_OBJECT("seed");

extern int other(int x);
extern int maybe(int x) __attribute__((weak));
extern int counter UPATCH_PRIVATE("counter", 0);
extern __thread int seed_tls;
extern int original(int x) UPATCH_ORIGINAL("seed_add", 0);

static int *const where = &counter;
static int (*volatile calls)(int) = other;
static int key;

static int new_add(int x)
{
	int *shadow = upatch_shadow_get(&key, 1);

	return original(x) + other(x) + *where + seed_tls + calls(x) + (shadow ? *shadow : 0) +
	       (maybe ? maybe(x) : 0);
}
UPATCH_FUNC(seed_add, new_add);

static int prepare(const struct upatch_callback *cb)
{
	return cb->object[0] ? 0 : -1;
}
UPATCH_PRE_PATCH(prepare);
