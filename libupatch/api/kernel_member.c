/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdbool.h>

#include "api/ctx.h"
#include "api/kernel.h"
#include "api/member.h"
#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/diag.h"
#include "kernel/klp.h"
#include "kernel/klp_order.h"
#include "kernel/klp_transition.h"
#include "kernel/module.h"
#include "patchfile/patchfile.h"

/* That klp takes to drop its reference; forced, it never does. */
static const uint64_t unload_timeout = 2 * NSEC_PER_SEC;

static void begin_kernel(struct member *m, uint64_t deadline, struct kernel *ret)
{
	const struct upatch_kernel_options opts = {
		.size = sizeof(opts),
		.timeout_ms = member_ms_left(deadline),
		.sysfs_root = m->pair->opts.sysfs_root,
		.proc_root = m->pair->opts.proc_root,
	};

	kernel_begin(m->pair->ctx, m->pair->kmod.name, &opts, ret);
}

/* What a replace patch supersedes is gone: there is no way back to it. */
static int check_superseded(const struct kernel *kernel, const struct member *m)
{
	_cleanup_(klp_list_deinit) struct klp_list list = {};
	int r;

	if (!m->pair->patch->file->replace || !member_may_go_back(m, TRANSACTION_ENABLE))
		return 0;
	r = klp_list(kernel, &list);
	if (r < 0 || !list.nr)
		return r;
	return diag_err(
		kernel->diag, -EOPNOTSUPP, UPATCH_E_UNSUPPORTED, NULL,
		"it supersedes the kernel's livepatch '%s', which could not be brought back if "
		"another part failed: revert that one first",
		list.patches[0].name);
}

/* PART_DONE: it would go; PART_THERE; or -errno raised. */
static int look_to_enable(const struct kernel *kernel, const struct member *m)
{
	const struct kmod *kmod = &m->pair->kmod;
	enum klp_state state;
	int r;

	r = klp_state(kernel, kmod->name, &state);
	if (r == -ENOENT) {
		r = check_superseded(kernel, m);
		return r < 0 ? r : klp_check(kernel, kmod);
	}
	if (r >= 0)
		r = klp_check_same(kernel, kmod);
	if (r < 0)
		return r;
	/* What somebody began is gone on with. */
	return state == KLP_ENABLED ? PART_THERE : PART_DONE;
}

static int look_to_disable(const struct kernel *kernel, const struct member *m)
{
	const struct kmod *kmod = &m->pair->kmod;
	enum klp_state state;
	int r;

	r = klp_state(kernel, kmod->name, &state);
	if (r == -ENOENT) {
		/* A module without its patch is what a killed tool left, unless it is pinned. */
		const bool can_go = klp_is_left_behind(kernel, kmod->name) &&
				    module_refcnt(kernel, kmod->name) <= 0;

		return can_go ? PART_DONE : PART_THERE;
	}
	if (r >= 0)
		r = klp_check_same(kernel, kmod);
	if (r >= 0)
		r = module_check_permission(kernel);
	if (r >= 0 && state == KLP_ENABLED)
		r = klp_check_free(kernel, kmod->name);
	if (r >= 0 && member_may_go_back(m, TRANSACTION_DISABLE))
		r = klp_check_on_top(kernel, kmod->name);
	return r < 0 ? r : PART_DONE;
}

static int kernel_look(struct part *part, enum transaction_goal goal)
{
	struct member *m = part->userdata;
	struct kernel kernel;
	int r;

	begin_kernel(m, 0, &kernel);
	r = klp_has(&kernel);
	if (r >= 0)
		r = goal == TRANSACTION_ENABLE ? look_to_enable(&kernel, m)
					       : look_to_disable(&kernel, m);
	return ctx_end(m->pair->ctx, r);
}

/* A klp module does not say that it replaces others: what has vanished tells. */
static void warn_of_superseded(const struct kernel *kernel, const struct klp_list *before)
{
	enum klp_state state;

	for (size_t i = 0; i < before->nr; i++)
		if (klp_state(kernel, before->patches[i].name, &state) == -ENOENT)
			diag_warn(
				kernel->diag,
				"kernel: livepatch '%s' is superseded, and does not come back with a "
				"reversal",
				before->patches[i].name);
}

static int go_to_enable(const struct kernel *kernel, const struct kmod *kmod)
{
	_cleanup_(klp_list_deinit) struct klp_list before = {};
	int r;

	r = klp_list(kernel, &before);
	if (r < 0)
		return r;
	r = klp_apply(kernel, kmod);
	if (r == KLP_DONE)
		warn_of_superseded(kernel, &before);
	if (r >= 0 || kernel->diag->error.reason != UPATCH_E_EXISTS ||
	    !klp_is_enabled(kernel, kmod->name))
		return r;
	diag_clear(kernel->diag);
	return PART_DONE;
}

/* Its module is unloaded when all parts have gone: waiting for that would be at the others' expense. */
static int go_to_disable(const struct kernel *kernel, const struct kmod *kmod)
{
	enum klp_state state;
	int r;

	if (klp_state(kernel, kmod->name, &state) >= 0) {
		r = klp_check_same(kernel, kmod);
		if (r < 0)
			return r;
	}
	diag_clear(kernel->diag);
	r = klp_disable(kernel, kmod->name);
	if (r >= 0 || kernel->diag->error.reason != UPATCH_E_NOT_APPLIED)
		return r;
	diag_clear(kernel->diag);
	return PART_DONE;
}

static int kernel_go(struct part *part, enum transaction_goal goal, uint64_t deadline)
{
	struct member *m = part->userdata;
	const struct kmod *kmod = &m->pair->kmod;
	struct kernel kernel;

	begin_kernel(m, deadline, &kernel);
	kernel.is_patient = true;
	return ctx_end(m->pair->ctx, goal == TRANSACTION_ENABLE ? go_to_enable(&kernel, kmod)
								: go_to_disable(&kernel, kmod));
}

static int kernel_force(struct part *part, enum transaction_goal goal, uint64_t deadline)
{
	struct member *m = part->userdata;
	struct kernel kernel;
	int r;

	begin_kernel(m, deadline, &kernel);
	r = klp_force(&kernel, m->pair->kmod.name);
	/* What completed by itself meanwhile goes the usual way. */
	if (r == KLP_DONE || kernel.diag->error.reason == UPATCH_E_NO_TRANSITION ||
	    kernel.diag->error.reason == UPATCH_E_NOT_APPLIED)
		return kernel_go(part, goal, deadline);
	return ctx_end(m->pair->ctx, r);
}

void member_unload(struct member *m)
{
	struct upatch_error cause = diag_set_aside(&m->pair->ctx->diag);
	const char *name = m->pair->kmod.name;
	struct kernel kernel;

	begin_kernel(m, deadline_in(unload_timeout), &kernel);
	/* Whether its code can be given back is another matter: the kernel runs without it. */
	if (klp_is_left_behind(&kernel, name) && module_unload(&kernel, name) < 0)
		diag_warn(kernel.diag, "kernel: patch '%s': %s", name, kernel.diag->error.message);
	(void)ctx_end(m->pair->ctx, 0);
	diag_put_back(&m->pair->ctx->diag, &cause);
}

static int kernel_where(struct part *part)
{
	struct member *m = part->userdata;
	enum klp_state state;
	struct kernel kernel;
	int r;

	begin_kernel(m, 0, &kernel);
	r = ctx_end(m->pair->ctx, klp_state(&kernel, m->pair->kmod.name, &state));
	if (r == -ENOENT)
		return PART_IS_DISABLED;
	if (r < 0)
		return r;
	return state == KLP_ENABLED ? PART_IS_ENABLED : PART_IS_BETWEEN;
}

const struct part_ops member_kernel_ops = {
	.look = kernel_look,
	.go = kernel_go,
	.force = kernel_force,
	.where = kernel_where,
};
