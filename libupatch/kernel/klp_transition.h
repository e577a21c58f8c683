/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KERNEL_KLP_TRANSITION_H
#define KERNEL_KLP_TRANSITION_H

/*
 * Taking the kernel into and out of a patch. What has been begun and by whom does not matter: the
 * kernel's own state says what is left to do, so that the next call goes on where a killed one was.
 */

struct kernel;
struct kmod;

enum klp_outcome {
	KLP_DONE = 0,
	KLP_PENDING = 1, /* raised UPATCH_E_KERNEL_TASKS: the transition is open at the deadline */
};

/**
 * klp_check() - what would klp_apply() be refused for? Changes nothing
 * Return: 0, or -errno raised: what module_check(), module_check_name() and klp_check_same() say, or
 * UPATCH_E_EXISTS.
 */
int klp_check(const struct kernel *kernel, const struct kmod *kmod);

/**
 * klp_apply() - enable the patch in @kmod
 * One that is being enabled is waited for; one that is being disabled is turned around.
 * Return: a klp_outcome, or -errno raised: see klp_check() and module_load(); UPATCH_E_BAD_MODULE: it was
 * loaded and enabled nothing.
 */
int klp_apply(const struct kernel *kernel, const struct kmod *kmod);

/**
 * klp_disable() - disable a patch; its module stays loaded
 * One that is being disabled is waited for; one that is being enabled is turned around.
 * Return: a klp_outcome, KLP_DONE also when only its module is there, or -errno raised with
 * UPATCH_E_NOT_APPLIED, UPATCH_E_KERNEL_BUSY, UPATCH_E_KERNEL_REFUSED, ...
 */
int klp_disable(const struct kernel *kernel, const char *name);

/**
 * klp_revert() - disable a patch, and unload its module
 * Return: as klp_disable(), or UPATCH_E_KERNEL_IN_USE (disabled, but not unloaded)
 */
int klp_revert(const struct kernel *kernel, const char *name);

/**
 * klp_force() - have the tasks that hold the transition count as switched
 * Return: a klp_outcome, or -errno raised with UPATCH_E_NOT_APPLIED, UPATCH_E_NO_TRANSITION, ...
 */
int klp_force(const struct kernel *kernel, const char *name);

#endif
