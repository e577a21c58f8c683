/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KERNEL_MODULE_H
#define KERNEL_MODULE_H

/* Modules that carry klp patches: may they be loaded, loading, unloading. */

#include <stdbool.h>

struct kernel;
struct kmod;

/**
 * module_check() - what would the kernel refuse? Changes nothing
 * Return: 0, or -errno raised with UPATCH_E_NO_LIVEPATCH, UPATCH_E_KERNEL_RELEASE,
 * UPATCH_E_PERMISSION, UPATCH_E_KERNEL_REFUSED (kernel.modules_disabled), UPATCH_E_LOCKDOWN,
 * UPATCH_E_MODULE_SIGNATURE, UPATCH_E_FTRACE_DISABLED, UPATCH_E_KERNEL_BUSY.
 */
int module_check(const struct kernel *kernel, const struct kmod *kmod);

/**
 * module_check_permission() - may we load and unload modules?
 * Return: 0, or -errno raised with UPATCH_E_PERMISSION, UPATCH_E_KERNEL_REFUSED (kernel.modules_disabled),
 * UPATCH_E_UNSUPPORTED: it is not the machine's own sysfs.
 */
int module_check_permission(const struct kernel *kernel);

/**
 * module_check_name() - may a module of that name be loaded? One of a disabled livepatch makes room
 * Return: 0, or -errno raised with UPATCH_E_EXISTS, UPATCH_E_KERNEL_IN_USE: it cannot go now, or never.
 */
int module_check_name(const struct kernel *kernel, const char *name);

/**
 * module_load() - load it, which begins to enable its patch
 * A module whose patch cannot be enabled is not loaded.
 * Return: 0, or -errno raised with one of the above, UPATCH_E_EXISTS, UPATCH_E_KERNEL_REFUSED.
 */
int module_load(const struct kernel *kernel, const struct kmod *kmod);

/**
 * module_unload() - once nobody uses it
 * Return: 0, also when there is none, or -errno raised with UPATCH_E_KERNEL_IN_USE,
 * UPATCH_E_PERMISSION, UPATCH_E_KERNEL_REFUSED.
 */
int module_unload(const struct kernel *kernel, const char *name);

bool module_is_loaded(const struct kernel *kernel, const char *name);

/* How many use it; -1 when that is not known. */
int module_refcnt(const struct kernel *kernel, const char *name);

#endif
