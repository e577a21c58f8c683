/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef UPATCH_KERNEL_H
#define UPATCH_KERNEL_H

/*
 * The running kernel as one more target: klp modules are loaded, followed, reverted and forced as
 * patches of processes are. Conventions as in <upatch/upatch.h>; needs CAP_SYS_MODULE to change
 * anything. What the kernel does itself it does at its own pace: about one try a second.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <upatch/upatch.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * @sysfs_root, @proc_root: where sysfs and proc are, or NULL for /sys and /proc. With another sysfs
 *	than the machine's own nothing is loaded or unloaded: UPATCH_E_UNSUPPORTED.
 */
struct upatch_kernel_options {
	size_t size;		 /* sizeof(struct upatch_kernel_options) */
	unsigned int timeout_ms; /* how long to wait for the transition; 0: not at all */
	const char *sysfs_root;
	const char *proc_root;
};

/* --- modules --------------------------------------------------------------------------------- */

struct upatch_kernel_module {
	struct upatch_module_info info;
};

/**
 * upatch_kernel_module_open() - the klp module for the running kernel
 * @path: a .upatch that has one, or a .ko as it is
 * Return: 0, or -errno with UPATCH_E_NO_MODULE: none for this kernel; UPATCH_E_BAD_MODULE, or what
 * upatch_patch_open() says.
 */
int upatch_kernel_module_open(struct upatch_ctx *ctx, const char *path,
			      struct upatch_kernel_module **ret);
void upatch_kernel_module_close(struct upatch_kernel_module *module);

/* --- changes --------------------------------------------------------------------------------- */

/**
 * upatch_kernel_check() - what would upatch_kernel_apply() be refused for? Changes nothing
 * Return: 0, or -errno with UPATCH_E_NO_LIVEPATCH, UPATCH_E_KERNEL_RELEASE, UPATCH_E_PERMISSION,
 * UPATCH_E_LOCKDOWN, UPATCH_E_MODULE_SIGNATURE, UPATCH_E_FTRACE_DISABLED, UPATCH_E_KERNEL_BUSY,
 * UPATCH_E_KERNEL_REFUSED, UPATCH_E_EXISTS: enabled, or another module's name, UPATCH_E_BUILD_ID: another
 * livepatch has that name, UPATCH_E_KERNEL_IN_USE: one that is disabled does not make room.
 */
int upatch_kernel_check(struct upatch_ctx *ctx, const struct upatch_kernel_module *module,
			const struct upatch_kernel_options *opts);

/**
 * upatch_kernel_apply() - load a klp module and wait for its transition
 * @opts: or NULL for the defaults (wait 10 s)
 *
 * One that is being enabled is waited for; one that is being disabled is turned around.
 *
 * Return: UPATCH_DONE, UPATCH_PENDING with UPATCH_E_KERNEL_TASKS: the transition is open, or -errno
 * with one of the above: the kernel is as it was; UPATCH_E_BAD_MODULE: the module enabled nothing.
 */
int upatch_kernel_apply(struct upatch_ctx *ctx, const struct upatch_kernel_module *module,
			const struct upatch_kernel_options *opts);

/**
 * upatch_kernel_revert() - disable a livepatch of the kernel, and unload its module
 * Return: UPATCH_DONE, UPATCH_PENDING, or -errno with UPATCH_E_NOT_APPLIED, UPATCH_E_KERNEL_BUSY,
 * UPATCH_E_KERNEL_IN_USE: disabled, but its module stays; UPATCH_E_KERNEL_REFUSED, ...
 */
int upatch_kernel_revert(struct upatch_ctx *ctx, const char *name,
			 const struct upatch_kernel_options *opts);

/**
 * upatch_kernel_force() - have the tasks that hold the transition count as switched
 * Return: UPATCH_DONE, UPATCH_PENDING, or -errno with UPATCH_E_NOT_APPLIED, UPATCH_E_NO_TRANSITION.
 */
int upatch_kernel_force(struct upatch_ctx *ctx, const char *name,
			const struct upatch_kernel_options *opts);

/* --- status ---------------------------------------------------------------------------------- */

struct upatch_kernel_task {
	pid_t pid;
	pid_t tid;
	const char *comm;
};

struct upatch_kernel_object {
	const char *name; /* "vmlinux" or a module */
	int patched;	  /* 1, 0, or -1: this kernel does not say */
};

struct upatch_kernel_patch {
	const char *name;
	const char *state; /* "enabling", "enabled", "disabling", "disabled" */
	int refcnt;	   /* of the module, -1: not known */
	const struct upatch_kernel_object *objects;
	size_t nr_objects;
	const struct upatch_kernel_task *blocked; /* NULL when no transition of it is open */
	size_t nr_blocked;
};

struct upatch_kernel_status {
	const char *release;
	const struct upatch_kernel_patch *patches; /* whoever loaded them, by name */
	size_t nr_patches;
};

/** upatch_kernel_status() - Return: 0, or -errno with UPATCH_E_NO_LIVEPATCH, UPATCH_E_IO */
int upatch_kernel_status(struct upatch_ctx *ctx, const struct upatch_kernel_options *opts,
			 struct upatch_kernel_status **ret);
void upatch_kernel_status_free(struct upatch_kernel_status *status);

#ifdef __cplusplus
}
#endif

#endif
