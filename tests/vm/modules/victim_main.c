/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's twin of ../victim/program.c: /proc/victim runs what patches replace. */
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/wait.h>

#include "victim.h"

static DECLARE_WAIT_QUEUE_HEAD(queue);
static bool is_released;

static TARGET int secret(int x)
{
	return x * 3;
}

static TARGET int other(int x)
{
	return x + 1;
}

/* There are two static functions of this name. */
static TARGET int both(void)
{
	return 10;
}

/* Nothing wakes it but a release: neither a signal nor klp's fake one. */
static TARGET void block_here(int fd)
{
	wait_event_idle(queue, READ_ONCE(is_released));
	barrier();
}

static int show(struct seq_file *m, void *v)
{
	seq_printf(m, "%d %d %d %d\n", secret(2), other(4), both(), victim_both());
	return 0;
}

static ssize_t block_or_release(struct file *file, const char __user *from, size_t n, loff_t *pos)
{
	char what;

	if (n < 1 || get_user(what, from))
		return -EINVAL;
	WRITE_ONCE(is_released, what == 'r');
	if (what == 'b')
		block_here(0);
	else
		wake_up_all(&queue);
	return n;
}

static int open(struct inode *inode, struct file *file)
{
	return single_open(file, show, NULL);
}

static const struct proc_ops ops = {
	.proc_open = open,
	.proc_read = seq_read,
	.proc_write = block_or_release,
	.proc_release = single_release,
};

static int __init victim_init(void)
{
	return proc_create("victim", 0600, NULL, &ops) ? 0 : -ENOMEM;
}

static void __exit victim_exit(void)
{
	remove_proc_entry("victim", NULL);
}

module_init(victim_init);
module_exit(victim_exit);
MODULE_DESCRIPTION("Victim of the livepatch scenarios");
MODULE_LICENSE("GPL");
