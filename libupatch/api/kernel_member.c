/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "api/ctx.h"
#include "api/kernel.h"
#include "api/member.h"
#include "base/deadline.h"
#include "base/diag.h"
#include "kernel/klp.h"
#include "kernel/klp_transition.h"
#include "kernel/module.h"

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

static int look_at_kernel(const struct kernel *kernel, const struct kmod *kmod,
			  enum transaction_goal goal)
{
	enum klp_state state;
	int r;

	r = klp_has(kernel);
	if (r < 0)
		return r;
	r = klp_state(kernel, kmod->name, &state);
	if (r < 0 && r != -ENOENT)
		return r;
	if (goal == TRANSACTION_DISABLE) {
		/* A module without its patch is what a killed tool left: it is unloaded. */
		if (r == -ENOENT && !klp_is_left_behind(kernel, kmod->name))
			return PART_THERE;
		return PART_DONE;
	}
	if (r == -ENOENT)
		return module_check(kernel, kmod);
	return state == KLP_ENABLED ? PART_THERE : PART_DONE;
}

static int kernel_look(struct part *part, enum transaction_goal goal)
{
	struct member *m = part->userdata;
	struct kernel kernel;

	begin_kernel(m, 0, &kernel);
	return ctx_end(m->pair->ctx, look_at_kernel(&kernel, &m->pair->kmod, goal));
}

/* Whether its code can be given back is another matter: the kernel runs without it. */
static int without_use(struct member *m, int r)
{
	struct diag *d = &m->pair->ctx->diag;

	if (r >= 0 || d->error.reason != UPATCH_E_KERNEL_IN_USE)
		return r;
	diag_warn(d, "kernel: patch '%s': %s", m->pair->kmod.name, d->error.message);
	diag_clear(d);
	return PART_DONE;
}

static int kernel_go(struct part *part, enum transaction_goal goal, uint64_t deadline)
{
	struct member *m = part->userdata;
	const struct kmod *kmod = &m->pair->kmod;
	struct kernel kernel;
	int r;

	begin_kernel(m, deadline, &kernel);
	if (goal == TRANSACTION_ENABLE) {
		r = klp_apply(&kernel, kmod);
		if (r < 0 && kernel.diag->error.reason == UPATCH_E_EXISTS &&
		    klp_is_enabled(&kernel, kmod->name))
			r = PART_DONE;
	} else {
		r = without_use(m, klp_revert(&kernel, kmod->name));
		if (r < 0 && kernel.diag->error.reason == UPATCH_E_NOT_APPLIED)
			r = PART_DONE;
	}
	return ctx_end(m->pair->ctx, r);
}

static int kernel_force(struct part *part, enum transaction_goal goal, uint64_t deadline)
{
	struct member *m = part->userdata;
	struct kernel kernel;
	int r;

	begin_kernel(m, deadline, &kernel);
	r = klp_force(&kernel, m->pair->kmod.name);
	/* Unloading, and what completed by itself meanwhile, go the usual way. */
	if (r == KLP_DONE || kernel.diag->error.reason == UPATCH_E_NO_TRANSITION)
		return kernel_go(part, goal, deadline);
	return ctx_end(m->pair->ctx, r);
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
