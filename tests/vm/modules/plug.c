/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's twin of a library that comes and goes; it says what its function returns. */
#include <linux/module.h>

static noinline __noclone __used int plug_value(int x)
{
	return x + 10;
}

static int __init plug_init(void)
{
	pr_info("event: '%s' begins: %d\n", KBUILD_MODNAME, plug_value(1));
	return 0;
}

static void __exit plug_exit(void)
{
	pr_info("event: '%s' ends: %d\n", KBUILD_MODNAME, plug_value(1));
}

module_init(plug_init);
module_exit(plug_exit);
MODULE_DESCRIPTION("A module that comes and goes");
MODULE_LICENSE("GPL");
