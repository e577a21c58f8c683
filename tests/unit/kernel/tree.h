/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_KERNEL_TREE_H
#define TESTS_KERNEL_TREE_H

/* A directory tree that looks like the sysfs and proc of a kernel with livepatches. */

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/diag.h"
#include "kernel/kernel.h"
#include "patchfile/kmod.h"

/*
 * @load_error, @unload_error: what the kernel says to the next one, 0: it works
 * @may_not_load: we lack CAP_SYS_MODULE
 * @held:    tasks hold the transition of what is loaded
 * @on_write: what happens before an attribute is written; its -errno is the kernel's refusal
 * @on_load:  likewise, before a module is loaded
 * @on_unload: likewise, before one is unloaded; its -errno is the kernel's refusal
 * @is_empty: what is loaded enables no patch
 * @loads, @unloads, @writes: how often it was asked to
 */
struct tree {
	char root[64];
	char sysfs[80];
	char proc[80];
	struct diag diag;
	struct kernel kernel;
	struct kmod kmod; /* "fix", for kernel 6.1.0-test */
	int load_error;
	int unload_error;
	int may_not_load;
	int held;
	int (*on_write)(struct tree *tree, const char *path, const char *text);
	int (*on_load)(struct tree *tree);
	int (*on_unload)(struct tree *tree);
	int is_empty;
	int loads;
	int unloads;
	int writes;
};

int tree_setup(void **state);
int tree_teardown(void **state);

/* A file with its directories, below the root, such as "sys/kernel/livepatch/fix/enabled". */
void tree_write(struct tree *tree, const char *path, const char *text);
void tree_write_bytes(struct tree *tree, const char *path, const void *bytes, size_t size);
void tree_remove(struct tree *tree, const char *path);
void assert_file(struct tree *tree, const char *path, const char *text);

/* A livepatch with its module. */
void tree_add_patch(struct tree *tree, const char *name, const char *enabled,
		    const char *transition);

/* The waiting of the next call ends at once, or after so many milliseconds. */
void tree_set_deadline(struct tree *tree, unsigned int ms);

/* @r is negative and this is why. */
void assert_refused(struct tree *tree, int r, enum upatch_reason reason);

#endif
