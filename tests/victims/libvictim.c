/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvictim.h"

#define TARGET __attribute__((noipa, used))
#define HIDDEN __attribute__((visibility("hidden")))

int lib_hidden(int x);
int lib_versioned_1(void);
int lib_versioned_2(void);

__thread int lib_calls;
static volatile int offset = 100; /* so that it is not taken for a constant */

TARGET int lib_exported(int x)
{
	lib_calls++;
	return x + 1;
}

TARGET HIDDEN int lib_hidden(int x)
{
	return x + 10;
}

TARGET int lib_by_hidden(int x)
{
	return lib_hidden(x);
}

TARGET static int lib_static(int x)
{
	return x + offset;
}

TARGET int lib_by_static(int x)
{
	return lib_static(x);
}

TARGET static int lib_ifunc_chosen(int x)
{
	return x + 1000;
}

/* Runs while the library is being loaded. */
static int (*resolve(void))(int)
{
	return lib_ifunc_chosen;
}

int lib_ifunc(int x) __attribute__((ifunc("resolve")));

TARGET int lib_versioned_1(void)
{
	return 1;
}

TARGET int lib_versioned_2(void)
{
	return 2;
}

__asm__(".symver lib_versioned_1, lib_versioned@VICTIM_1");
__asm__(".symver lib_versioned_2, lib_versioned@@VICTIM_2");

int lib_old_version(void)
{
	return lib_versioned_1();
}
