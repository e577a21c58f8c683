/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernel/klp_transition.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/diag.h"
#include "kernel/kernel.h"
#include "kernel/klp.h"
#include "kernel/module.h"
#include "kernel/task.h"
#include "patchfile/kmod.h"

/* --- waiting ---------------------------------------------------------------------------------- */

/* Tell about the tasks that hold it, as far as they are to be seen: open it is anyway. */
static int raise_pending(const struct kernel *kernel, const char *name, enum klp_state state)
{
	_cleanup_(task_list_deinit) struct task_list tasks = {};
	_cleanup_free_ char *lines = NULL;
	struct diag_where where = { .patch = name };
	int r;

	r = task_list_blocked(kernel, state == KLP_ENABLING, &tasks);
	if (r < 0) {
		diag_clear(kernel->diag);
		(void)diag_err(
			kernel->diag, -EBUSY, UPATCH_E_KERNEL_TASKS, &where,
			"the kernel's transition is open (%s); which tasks have not switched "
			"cannot be told",
			klp_state_name(state));
		return KLP_PENDING;
	}
	lines = task_list_format(&tasks);
	if (tasks.nr) {
		where.pid = tasks.tasks[0].pid;
		where.tid = tasks.tasks[0].tid;
	}
	(void)diag_err(kernel->diag, -EBUSY, UPATCH_E_KERNEL_TASKS, &where,
		       "the kernel's transition is open (%s): %zu tasks have not switched",
		       klp_state_name(state), tasks.nr);
	if (tasks.nr && lines)
		diag_set_detail(kernel->diag, lines);
	return KLP_PENDING;
}

static bool is_open(enum klp_state state)
{
	return state == KLP_ENABLING || state == KLP_DISABLING;
}

/*
 * Until the transition is closed; for one that ends disabled, until the directory has vanished.
 * Return: KLP_DONE with @ret KLP_ENABLED or KLP_DISABLED, KLP_PENDING, or -errno raised.
 */
static int wait_closed(const struct kernel *kernel, const char *name, enum klp_state *ret)
{
	enum klp_state state;
	int r;

	for (;;) {
		r = klp_state(kernel, name, &state);
		if (r == -ENOENT) {
			*ret = KLP_DISABLED;
			return KLP_DONE;
		}
		if (r < 0)
			return r;
		if (state == KLP_ENABLED) {
			*ret = state;
			return KLP_DONE;
		}
		if (!kernel_pause(kernel))
			return raise_pending(kernel, name, state);
	}
}

static int write_attribute(const struct kernel *kernel, const char *name, const char *attribute,
			   const char *value)
{
	const struct diag_where where = { .patch = name };
	char path[PATH_MAX];
	int r;

	(void)snprintf(path, sizeof(path), "kernel/livepatch/%s/%s", name, attribute);
	r = kernel_write(kernel->sysfs, path, value);
	switch (r) {
	case 0:
	case -ENOENT: /* it vanished meanwhile: whoever waits for that finds out */
	case -ENODEV:
		return 0;
	case -EBUSY:
		return diag_err(kernel->diag, r, UPATCH_E_KERNEL_BUSY, &where,
				"the kernel's transition of another patch is open");
	case -EACCES:
	case -EPERM:
		return diag_err(kernel->diag, r, UPATCH_E_PERMISSION, &where,
				"not allowed to write %s/%s", kernel->sysfs, path);
	}
	return diag_err(kernel->diag, r, UPATCH_E_KERNEL_REFUSED, &where,
			"the kernel refuses '%s' for '%s': %s", value, attribute, strerror(-r));
}

/* --- apply ------------------------------------------------------------------------------------ */

static int raise_exists(const struct kernel *kernel, const char *name)
{
	const struct diag_where where = { .patch = name };

	return diag_err(kernel->diag, -EEXIST, UPATCH_E_EXISTS, &where,
			"the kernel has it enabled");
}

int klp_check(const struct kernel *kernel, const struct kmod *kmod)
{
	enum klp_state state;
	int r;

	r = module_check(kernel, kmod);
	if (r < 0)
		return r;
	r = klp_state(kernel, kmod->name, &state);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	return state == KLP_ENABLED ? raise_exists(kernel, kmod->name) : 0;
}

/* A patch of that name is there: go on with it. */
static int go_on(const struct kernel *kernel, const char *name, enum klp_state state)
{
	enum klp_state end;
	int r = 0;

	if (state == KLP_DISABLING) {
		diag_info(kernel->diag, "kernel: patch '%s': reversing unpatching transition",
			  name);
		r = write_attribute(kernel, name, "enabled", "1");
	}
	if (r >= 0)
		r = wait_closed(kernel, name, &end);
	if (r != KLP_DONE)
		return r;
	if (end != KLP_ENABLED)
		return diag_err(kernel->diag, -ECANCELED, UPATCH_E_KERNEL_REFUSED, NULL,
				"somebody disabled the patch meanwhile");
	diag_info(kernel->diag, "kernel: patch '%s': patching complete", name);
	return KLP_DONE;
}

int klp_apply(const struct kernel *kernel, const struct kmod *kmod)
{
	enum klp_state state;
	int r;

	/* 1. refuse what can be refused before anything is changed */
	r = klp_check(kernel, kmod);
	if (r < 0)
		return r;
	/* 2. one that is there already is carried on with */
	r = klp_state(kernel, kmod->name, &state);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r >= 0 && is_open(state))
		return go_on(kernel, kmod->name, state);
	/* 3. a module whose patch was disabled, by somebody who then died, makes room */
	r = klp_is_left_behind(kernel, kmod->name) ? module_unload(kernel, kmod->name) : 0;
	if (r < 0)
		return r;
	/* 4. load: this begins the transition; when it fails the kernel has undone everything */
	diag_info(kernel->diag, "kernel: patch '%s': enabling patch", kmod->name);
	r = module_load(kernel, kmod);
	/* 5. wait; at the deadline the transition stays open and the caller decides */
	return r < 0 ? r : go_on(kernel, kmod->name, KLP_ENABLING);
}

/* --- revert and force -------------------------------------------------------------------------- */

static int raise_not_applied(const struct kernel *kernel, const char *name)
{
	const struct diag_where where = { .patch = name };

	return diag_err(kernel->diag, -ENOENT, UPATCH_E_NOT_APPLIED, &where,
			"the kernel has no livepatch of that name");
}

int klp_revert(const struct kernel *kernel, const char *name)
{
	enum klp_state state;
	int r;

	r = klp_has(kernel);
	if (r < 0)
		return r;
	/* 1. disable, unless that is under way; the kernel reverses a patching transition itself */
	r = klp_state(kernel, name, &state);
	if (r == -ENOENT && !klp_is_left_behind(kernel, name))
		return raise_not_applied(kernel, name);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r >= 0 && (state == KLP_ENABLED || state == KLP_ENABLING)) {
		diag_info(kernel->diag, "kernel: patch '%s': %s", name,
			  state == KLP_ENABLED ? "starting unpatching transition"
					       : "reversing patching transition");
		r = write_attribute(kernel, name, "enabled", "0");
		if (r < 0)
			return r;
	}
	/* 2. wait until its directory has vanished */
	r = wait_closed(kernel, name, &state);
	if (r != KLP_DONE)
		return r;
	if (state != KLP_DISABLED)
		return diag_err(kernel->diag, -ECANCELED, UPATCH_E_KERNEL_REFUSED, NULL,
				"somebody enabled the patch meanwhile");
	diag_info(kernel->diag, "kernel: patch '%s': unpatching complete", name);
	/* 3. unload, once the kernel has dropped its reference */
	return module_unload(kernel, name);
}

int klp_force(const struct kernel *kernel, const char *name)
{
	const struct diag_where where = { .patch = name };
	enum klp_state state;
	int r;

	r = klp_has(kernel);
	if (r < 0)
		return r;
	r = klp_state(kernel, name, &state);
	if (r == -ENOENT)
		return raise_not_applied(kernel, name);
	if (r < 0)
		return r;
	if (!is_open(state))
		return diag_err(kernel->diag, -EINVAL, UPATCH_E_NO_TRANSITION, &where,
				"the kernel has no transition of it open");
	diag_warn(kernel->diag, "kernel: patch '%s': tasks are forced to switch", name);
	r = write_attribute(kernel, name, "force", "1");
	return r < 0 ? r : wait_closed(kernel, name, &state);
}
