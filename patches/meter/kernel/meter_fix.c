/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's side of the fix: /proc/meter says what its numbers are, and has the sum first. */
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/seq_file.h>

static atomic_t fixed_count;

static int fixed_show(struct seq_file *m, void *v)
{
	int n = atomic_inc_return(&fixed_count) & 0xffff;

	seq_printf(m, "sum=%d count=%d\n", n * 7, n);
	return 0;
}

static struct klp_func funcs[] = { { .old_name = "meter_show", .new_func = fixed_show }, {} };
static struct klp_object objs[] = { { .name = "meter", .funcs = funcs }, {} };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objs };

static int __init meter_fix_init(void)
{
	return klp_enable_patch(&patch);
}

static void __exit meter_fix_exit(void)
{
}

module_init(meter_fix_init);
module_exit(meter_fix_exit);
MODULE_DESCRIPTION("Livepatch of the meter's file");
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
