/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KERNEL_KLP_H
#define KERNEL_KLP_H

/*
 * The kernel's livepatches as /sys/kernel/livepatch shows them, whoever loaded them.
 *
 *   enabled  transition
 *      1         1       enabling
 *      1         0       enabled
 *      0         1       disabling
 *      0         0       for a moment, before the directory vanishes
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct kernel;
struct kmod;

#define KLP_DIR "kernel/livepatch" /* of sysfs */

enum klp_state {
	KLP_ENABLING,
	KLP_ENABLED,
	KLP_DISABLING,
	KLP_DISABLED,
};

struct klp_object {
	char *name;
	int patched; /* 1, 0, or -1: a kernel before 6.1 does not say */
};

struct klp_patch {
	char *name;
	enum klp_state state;
	struct klp_object *objects; /* by name */
	size_t nr_objects;
};

struct klp_list {
	struct klp_patch *patches; /* by name: sysfs does not tell their order */
	size_t nr;
};

/**
 * klp_has() - can the kernel be livepatched?
 * Return: 0, or -ENOSYS raised with UPATCH_E_NO_LIVEPATCH.
 */
int klp_has(const struct kernel *kernel);

/**
 * klp_state() - of one patch
 * Return: 0, -ENOENT, unraised, when there is no such patch, or -errno raised with UPATCH_E_IO.
 */
int klp_state(const struct kernel *kernel, const char *name, enum klp_state *ret);

bool klp_is_enabled(const struct kernel *kernel, const char *name);

/*
 * Of a name that klp_state() does not know: is there the module of a livepatch, which was disabled? One
 * that is no livepatch is none of our business.
 */
bool klp_is_left_behind(const struct kernel *kernel, const char *name);

/**
 * klp_check_same() - is the patch that is there the one in @kmod?
 * By the build ID, where both tell one: kernels of one release may well have another of the same name.
 * Return: 0, also when it cannot be told, or -EEXIST raised with UPATCH_E_BUILD_ID.
 */
int klp_check_same(const struct kernel *kernel, const struct kmod *kmod);

/**
 * klp_check_free() - the kernel has one transition at a time
 * @except: a patch whose transition does not count
 * Return: 0, or -EBUSY raised with UPATCH_E_KERNEL_BUSY, or as klp_list()
 */
int klp_check_free(const struct kernel *kernel, const char *except);

/**
 * klp_list() - all that are there now; ones that vanish meanwhile are left out
 * Return: 0, or -errno raised with UPATCH_E_NO_LIVEPATCH, UPATCH_E_IO, UPATCH_E_NO_MEMORY.
 */
int klp_list(const struct kernel *kernel, struct klp_list *ret);
void klp_list_deinit(struct klp_list *list);

/* Is it a name that can be looked up in sysfs, and not a way out of there? */
bool klp_is_name(const char *name);

const char *klp_state_name(enum klp_state state);

#endif
