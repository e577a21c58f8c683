/* SPDX-License-Identifier: GPL-2.0-only */
/* A driver with a bug in its file's format: /proc/meter has two numbers, and nobody knows which is which. */
#include <linux/atomic.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>

static atomic_t count;

static noinline __noclone int meter_show(struct seq_file *m, void *v)
{
	int n = atomic_inc_return(&count) & 0xffff;

	seq_printf(m, "%d %d\n", n, n * 7);
	return 0;
}

static int __init meter_init(void)
{
	return proc_create_single("meter", 0444, NULL, meter_show) ? 0 : -ENOMEM;
}

static void __exit meter_exit(void)
{
	remove_proc_entry("meter", NULL);
}

module_init(meter_init);
module_exit(meter_exit);
MODULE_DESCRIPTION("A meter whose file has a format");
MODULE_LICENSE("GPL");
