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

enum drive_flags {
	DRIVE_BEGUN = 1,
};

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

/* Until the transition is closed. Return: KLP_DONE, KLP_PENDING, or -errno raised. */
static int wait_closed(const struct kernel *kernel, const char *name)
{
	enum klp_state state;
	int r;

	for (;;) {
		r = klp_state(kernel, name, &state);
		if (r == -ENOENT)
			return KLP_DONE;
		if (r < 0)
			return r;
		if (state == KLP_ENABLED)
			return KLP_DONE;
		if (!kernel_pause(kernel))
			return raise_pending(kernel, name, state);
	}
}

/* --- changing --------------------------------------------------------------------------------- */

/* Return: 0, or -errno of the kernel's refusal, unraised. */
static int write_attribute(const struct kernel *kernel, const char *name, const char *attribute,
			   const char *value)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), KLP_DIR "/%s/%s", name, attribute);
	return kernel->ops->write(kernel->userdata, kernel->sysfs, path, value);
}

static int raise_write(const struct kernel *kernel, const char *name, const char *attribute,
		       int error)
{
	const struct diag_where where = { .patch = name };

	switch (error) {
	case -EBUSY:
		return diag_err(kernel->diag, error, UPATCH_E_KERNEL_BUSY, &where,
				"the kernel's transition of another patch is open");
	case -EACCES:
	case -EPERM:
		return diag_err(kernel->diag, error, UPATCH_E_PERMISSION, &where,
				"not allowed to write %s/" KLP_DIR "/%s/%s", kernel->sysfs, name,
				attribute);
	}
	return diag_err(kernel->diag, error, UPATCH_E_KERNEL_REFUSED, &where,
			"the kernel refuses to change '%s': %s", attribute, strerror(-error));
}

/*
 * After a refusal: is it worth another look at the state? Either it has changed since it was read, and
 * what was written makes no sense any more, or another patch's transition was open.
 */
static bool may_try_again(const struct kernel *kernel, int error, bool *has_tried)
{
	const bool has_changed = error == -EINVAL || error == -ENOENT || error == -ENODEV;

	if (!has_changed && !(error == -EBUSY && kernel->is_patient))
		return false;
	if (has_changed && !*has_tried) {
		*has_tried = true;
		return true; /* at once: the time may be over */
	}
	return kernel_pause(kernel);
}

static bool is_on_the_way(enum klp_state state, enum klp_state goal)
{
	if (goal == KLP_ENABLED) /* once it has vanished it can be loaded */
		return state == KLP_ENABLING || state == KLP_DISABLED;
	return state == KLP_DISABLING || state == KLP_DISABLED;
}

/* Write what takes it to @goal. Return: 0, or -errno, unraised. */
static int turn(const struct kernel *kernel, const char *name, enum klp_state state,
		enum klp_state goal)
{
	const char *what = "starting unpatching transition";
	int r;

	r = write_attribute(kernel, name, "enabled", goal == KLP_ENABLED ? "1" : "0");
	if (state == KLP_DISABLING)
		what = "reversing unpatching transition";
	if (state == KLP_ENABLING)
		what = "reversing patching transition";
	if (r >= 0)
		diag_info(kernel->diag, "kernel: patch '%s': %s", name, what);
	return r;
}

/*
 * Bring it to @goal, KLP_ENABLED or KLP_DISABLED. The kernel and others change it between our reading and
 * our writing: each step is decided by what it is now.
 * @flags: DRIVE_BEGUN: it is on its way there; where it is not any more somebody turned it around
 * Return: KLP_DONE, KLP_PENDING, -ENOENT, unraised: there is no such patch, or not any more; or -errno raised.
 */
static int drive(const struct kernel *kernel, const char *name, enum klp_state goal,
		 unsigned int flags)
{
	bool is_begun = flags & DRIVE_BEGUN;
	bool has_tried = false;
	enum klp_state state;
	int r;

	for (;;) {
		r = klp_state(kernel, name, &state);
		if (r < 0)
			return r;
		if (state == goal && goal == KLP_ENABLED)
			return KLP_DONE;
		if (is_on_the_way(state, goal)) {
			if (!kernel_pause(kernel))
				return raise_pending(kernel, name, state);
			continue;
		}
		if (is_begun)
			return diag_err(kernel->diag, -ECANCELED, UPATCH_E_KERNEL_REFUSED, NULL,
					"somebody %s the patch meanwhile",
					goal == KLP_ENABLED ? "disabled" : "enabled");
		r = turn(kernel, name, state, goal);
		if (r >= 0)
			is_begun = true;
		else if (!may_try_again(kernel, r, &has_tried))
			return raise_write(kernel, name, "enabled", r);
	}
}

/* --- apply ------------------------------------------------------------------------------------ */

static int raise_exists(const struct kernel *kernel, const char *name)
{
	const struct diag_where where = { .patch = name };

	return diag_err(kernel->diag, -EEXIST, UPATCH_E_EXISTS, &where,
			"the kernel has it enabled");
}

/* Return: 0, -ENOENT, unraised: it is not there; or -errno raised: it is enabled, or another one. */
static int check_there(const struct kernel *kernel, const struct kmod *kmod)
{
	enum klp_state state;
	int r;

	r = klp_state(kernel, kmod->name, &state);
	if (r >= 0)
		r = klp_check_same(kernel, kmod);
	if (r < 0)
		return r;
	return state == KLP_ENABLED ? raise_exists(kernel, kmod->name) : 0;
}

int klp_check(const struct kernel *kernel, const struct kmod *kmod)
{
	int r;

	r = klp_has(kernel);
	if (r >= 0)
		r = check_there(kernel, kmod);
	if (r != -ENOENT)
		return r;
	r = module_check(kernel, kmod);
	return r < 0 ? r : module_check_name(kernel, kmod->name);
}

static int try_load(const struct kernel *kernel, const struct kmod *kmod)
{
	int r;

	/* 1. refuse what can be refused before anything is changed */
	r = module_check(kernel, kmod);
	/* 2. a module whose patch was disabled, by somebody who then died, makes room */
	if (r >= 0 && klp_is_left_behind(kernel, kmod->name))
		r = module_unload(kernel, kmod->name);
	if (r < 0)
		return r;
	/* 3. load: this begins the transition; when it fails the kernel has undone everything */
	diag_info(kernel->diag, "kernel: patch '%s': enabling patch", kmod->name);
	return module_load(kernel, kmod);
}

static int load(const struct kernel *kernel, const struct kmod *kmod)
{
	int r;

	for (;;) {
		r = try_load(kernel, kmod);
		if (r >= 0 || kernel->diag->error.reason != UPATCH_E_KERNEL_BUSY ||
		    !kernel->is_patient || !kernel_pause(kernel))
			return r;
		diag_clear(kernel->diag);
	}
}

/* Loaded, and there is no patch: its module is of no use. */
static int raise_without_patch(const struct kernel *kernel, const struct kmod *kmod)
{
	if (module_unload(kernel, kmod->name) < 0)
		diag_clear(kernel->diag);
	return diag_err(kernel->diag, -EBADMSG, UPATCH_E_BAD_MODULE, NULL,
			"the module was loaded and no livepatch of its name is there: it does not "
			"enable one, or somebody disabled it at once");
}

int klp_apply(const struct kernel *kernel, const struct kmod *kmod)
{
	int r;

	r = klp_has(kernel);
	/* 1. one that is there already is carried on with, unless it goes meanwhile */
	if (r >= 0)
		r = check_there(kernel, kmod);
	if (r >= 0)
		r = drive(kernel, kmod->name, KLP_ENABLED, 0);
	/* 2. one that is not is loaded */
	if (r == -ENOENT) {
		r = load(kernel, kmod);
		if (r < 0)
			return r;
		/* 3. wait; at the deadline the transition stays open and the caller decides */
		r = drive(kernel, kmod->name, KLP_ENABLED, DRIVE_BEGUN);
		if (r == -ENOENT)
			return raise_without_patch(kernel, kmod);
	}
	if (r == KLP_DONE)
		diag_info(kernel->diag, "kernel: patch '%s': patching complete", kmod->name);
	return r;
}

/* --- revert and force -------------------------------------------------------------------------- */

static int raise_not_applied(const struct kernel *kernel, const char *name)
{
	const struct diag_where where = { .patch = name };

	return diag_err(kernel->diag, -ENOENT, UPATCH_E_NOT_APPLIED, &where,
			"the kernel has no livepatch of that name");
}

int klp_disable(const struct kernel *kernel, const char *name)
{
	enum klp_state state;
	int r;

	r = klp_has(kernel);
	if (r < 0)
		return r;
	r = klp_state(kernel, name, &state);
	if (r == -ENOENT)
		return klp_is_left_behind(kernel, name) ? KLP_DONE
							: raise_not_applied(kernel, name);
	if (r < 0)
		return r;
	/* Until its directory has vanished. */
	r = drive(kernel, name, KLP_DISABLED, 0);
	if (r != -ENOENT)
		return r;
	diag_info(kernel->diag, "kernel: patch '%s': unpatching complete", name);
	return KLP_DONE;
}

int klp_revert(const struct kernel *kernel, const char *name)
{
	int r;

	/* 1. disable, unless that is under way; the kernel reverses a patching transition itself */
	r = klp_disable(kernel, name);
	/* 2. unload, once the kernel has dropped its reference */
	return r == KLP_DONE ? module_unload(kernel, name) : r;
}

int klp_force(const struct kernel *kernel, const char *name)
{
	const struct diag_where where = { .patch = name };
	bool has_tried = false;
	enum klp_state state;
	int r;

	r = klp_has(kernel);
	if (r < 0)
		return r;
	diag_warn(kernel->diag, "kernel: patch '%s': tasks are forced to switch", name);
	for (;;) {
		r = klp_state(kernel, name, &state);
		if (r == -ENOENT)
			return raise_not_applied(kernel, name);
		if (r < 0)
			return r;
		if (!is_open(state))
			return diag_err(kernel->diag, -EINVAL, UPATCH_E_NO_TRANSITION, &where,
					"the kernel has no transition of it open");
		r = write_attribute(kernel, name, "force", "1");
		if (r >= 0)
			return wait_closed(kernel, name);
		if (!may_try_again(kernel, r, &has_tried))
			return raise_write(kernel, name, "force", r);
	}
}
