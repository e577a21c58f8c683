/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <upatch/kernel.h>
#include <upatch/pair.h>

#include "api/ctx.h"
#include "api/kernel.h"
#include "api/transaction.h"
#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/diag.h"
#include "base/export.h"
#include "kernel/klp.h"
#include "kernel/klp_transition.h"
#include "kernel/module.h"
#include "patchfile/patchfile.h"

enum {
	DEFAULT_TIMEOUT_MS = 10000,
	PART_NAME_MAX = 32,
};

/* What all parts of one call share. */
struct pair {
	struct upatch_ctx *ctx;
	struct upatch_patch *patch;
	struct upatch_pair_options opts;
	struct kmod kmod; /* where the kernel is a part */
};

/* One part. @public is the caller's. */
struct member {
	struct pair *pair;
	struct upatch_pair_part *public;
	struct upatch_target *target; /* of a process, from its look on */
	char name[PART_NAME_MAX];
};

static unsigned int ms_left(uint64_t deadline)
{
	return (unsigned int)(deadline_left(deadline) / NSEC_PER_MSEC);
}

/* --- a process ------------------------------------------------------------------------------- */

/* Raise what was found out about a target once more, now as why it does not go. */
static int raise_again(struct upatch_ctx *ctx, const struct upatch_error *error)
{
	const struct diag_where where = {
		.pid = error->pid,
		.tid = error->tid,
		.patch = error->patch,
		.object = error->object,
		.function = error->function,
	};

	(void)diag_err(&ctx->diag, error->error, error->reason, &where, "%s", error->message);
	if (error->detail)
		diag_set_detail(&ctx->diag, error->detail);
	return error->error < 0 ? error->error : -EINVAL;
}

/* The first that stands in the way; a function's error leaves out what is plain from where it is. */
static int raise_verdict(struct member *m, const struct upatch_check *check)
{
	struct upatch_error error = check->error;

	for (size_t i = 0; i < check->nr_funcs && error.reason == UPATCH_E_NONE; i++) {
		error = check->funcs[i].error;
		error.object = check->funcs[i].object;
		error.function = check->funcs[i].function;
	}
	error.pid = m->public->pid;
	error.patch = m->pair->patch->file->name;
	return raise_again(m->pair->ctx, &error);
}

static int check_process(struct member *m)
{
	struct upatch_check *check;
	int r;

	r = upatch_target_check(m->target, m->pair->patch, &check);
	if (r < 0)
		return r;
	if (!check->applicable)
		r = raise_verdict(m, check);
	upatch_check_free(check);
	return r;
}

/*
 * What a tool that was killed left may not have a name yet: it counts as ours, whoever's it is, as the next
 * to change the target puts it in order.
 * Return: 0 with @ret, "none" when the target does not have the patch; or -errno raised.
 */
static int state_in_process(struct member *m, char ret[PART_NAME_MAX])
{
	struct upatch_status *status;
	int r;

	r = upatch_target_status(m->target, &status);
	if (r < 0)
		return r;
	(void)snprintf(ret, PART_NAME_MAX, "none");
	for (size_t i = 0; i < status->nr_patches; i++) {
		const struct upatch_status_patch *patch = &status->patches[i];

		if (strcmp(patch->name, m->pair->patch->file->name) == 0 ||
		    strcmp(patch->state, "interrupted") == 0)
			(void)snprintf(ret, PART_NAME_MAX, "%s", patch->state);
		if (strcmp(patch->state, "interrupted") == 0)
			break;
	}
	upatch_status_free(status);
	return 0;
}

static int process_look(struct part *part, enum transaction_goal goal)
{
	struct member *m = part->userdata;
	char state[PART_NAME_MAX];
	int r;

	r = upatch_target_open(m->pair->ctx, m->public->pid, &m->target);
	if (r >= 0)
		r = state_in_process(m, state);
	if (r < 0)
		return r;
	if (goal == TRANSACTION_ENABLE && strcmp(state, "enabled") == 0)
		return PART_THERE;
	if (goal == TRANSACTION_DISABLE &&
	    (strcmp(state, "none") == 0 || strcmp(state, "kept") == 0))
		return PART_THERE;
	/* What somebody began is gone on with. */
	return goal == TRANSACTION_ENABLE && strcmp(state, "none") == 0 ? check_process(m)
									: PART_DONE;
}

/* Longest pause of all, sums of the rest: a part may go there and back. */
static void add_cost(struct upatch_cost *sum, const struct upatch_cost *cost)
{
	if (cost->longest_pause > sum->longest_pause)
		sum->longest_pause = cost->longest_pause;
	sum->wall += cost->wall;
	sum->stops += cost->stops;
	sum->threads = cost->threads;
}

static int process_go(struct part *part, enum transaction_goal goal, uint64_t deadline)
{
	struct member *m = part->userdata;
	const struct upatch_options opts = {
		.size = sizeof(opts),
		.flags = m->pair->opts.flags & UPATCH_SCAN_MEMORY,
		.timeout_ms = ms_left(deadline),
	};
	struct upatch_cost cost = {};
	int r;

	if (goal == TRANSACTION_ENABLE)
		r = upatch_target_apply(m->target, m->pair->patch, &opts, &cost);
	else
		r = upatch_target_revert(m->target, m->pair->patch->file->name, &opts, &cost);
	add_cost(&m->public->cost, &cost);
	switch (r < 0 ? m->pair->ctx->diag.error.reason : UPATCH_E_NONE) {
	case UPATCH_E_EXISTS:
		return goal == TRANSACTION_ENABLE ? PART_DONE : r;
	case UPATCH_E_NOT_APPLIED:
	case UPATCH_E_GONE:
		/* Who has exited runs neither version; but where it did so while it was patched, stop. */
		return goal == TRANSACTION_DISABLE ? PART_DONE : r;
	default:
		return r;
	}
}

static int process_force(struct part *part, enum transaction_goal goal, uint64_t deadline)
{
	struct member *m = part->userdata;
	struct upatch_cost cost = {};
	int r;

	(void)goal;
	(void)deadline; /* it does not wait */
	r = upatch_target_force(m->target, NULL, &cost);
	add_cost(&m->public->cost, &cost);
	/* It has completed by itself meanwhile. */
	if (r < 0 && m->pair->ctx->diag.error.reason == UPATCH_E_NO_TRANSITION)
		return PART_DONE;
	return r;
}

static const struct part_ops process_ops = {
	.look = process_look,
	.go = process_go,
	.force = process_force,
};

/* --- the kernel --------------------------------------------------------------------------------- */

static void begin_kernel(struct member *m, uint64_t deadline, struct kernel *ret)
{
	const struct upatch_kernel_options opts = {
		.size = sizeof(opts),
		.timeout_ms = ms_left(deadline),
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

static const struct part_ops kernel_ops = {
	.look = kernel_look,
	.go = kernel_go,
	.force = kernel_force,
};

/* --- both --------------------------------------------------------------------------------------- */

EXPORT const char *upatch_part_state_name(enum upatch_part_state state)
{
	static const char *const names[] = {
		[UPATCH_PART_UNTOUCHED] = "untouched", [UPATCH_PART_THERE] = "there",
		[UPATCH_PART_DONE] = "done",	       [UPATCH_PART_REFUSED] = "refused",
		[UPATCH_PART_REVERSED] = "reversed",   [UPATCH_PART_PENDING] = "pending",
	};

	return names[state];
}

static void set_part(struct pair *pair, struct upatch_pair_part *public, struct member *m,
		     struct part *part)
{
	*m = (struct member){ .pair = pair, .public = public };
	*public = (struct upatch_pair_part){ .pid = public->pid };
	if (public->pid)
		(void)snprintf(m->name, sizeof(m->name), "process %d", (int)public->pid);
	else
		(void)snprintf(m->name, sizeof(m->name), "kernel");
	*part = (struct part){
		.ops = public->pid ? &process_ops : &kernel_ops,
		.userdata = m,
		.name = m->name,
	};
}

/* In the order that the file declares; two for the kernel are one too many. Return: 0 or raised. */
static int set_parts(struct pair *pair, struct upatch_pair_part *parts, size_t nr,
		     struct member *members, struct part *ret)
{
	const bool kernel_last = pair->patch->file->kernel_last;
	bool has_kernel = false;
	size_t n = 0;

	for (int turn = 0; turn < 2; turn++)
		for (size_t i = 0; i < nr; i++) {
			const bool is_kernel = parts[i].pid == 0;

			if ((is_kernel == kernel_last) != (turn == 1))
				continue;
			if (is_kernel && has_kernel)
				return diag_err(&pair->ctx->diag, -EINVAL, UPATCH_E_USAGE, NULL,
						"the kernel is there twice");
			has_kernel |= is_kernel;
			set_part(pair, &parts[i], &members[n], &ret[n]);
			n++;
		}
	if (!has_kernel)
		return 0;
	return kernel_pick(&pair->ctx->diag, pair->patch->file, pair->patch->file->name,
			   &pair->kmod);
}

static int raise_there(struct pair *pair, enum transaction_goal goal)
{
	struct diag *d = &pair->ctx->diag;

	if (goal == TRANSACTION_ENABLE)
		return diag_err(d, -EEXIST, UPATCH_E_EXISTS, NULL, "all parts have it enabled");
	return diag_err(d, -ENOENT, UPATCH_E_NOT_APPLIED, NULL, "no part has it enabled");
}

static int run(struct pair *pair, struct transaction *t, enum transaction_goal goal)
{
	int r;

	r = transaction_run(t, goal);
	/* Its last part ended its own call, which was about less. */
	pair->ctx->diag.scope = (struct diag_where){ .patch = pair->patch->file->name };
	return r == TRANSACTION_IS_THERE ? raise_there(pair, goal) : r;
}

static int change(struct pair *pair, struct upatch_pair_part *parts, size_t nr,
		  enum transaction_goal goal)
{
	_cleanup_free_ struct member *members = calloc(nr + 1, sizeof(*members));
	_cleanup_free_ struct part *ordered = calloc(nr + 1, sizeof(*ordered));
	struct transaction t = {
		.diag = &pair->ctx->diag,
		.name = pair->patch->file->name,
		.parts = ordered,
		.nr = nr,
		.timeout = pair->opts.timeout_ms * NSEC_PER_MSEC,
		.flags = pair->opts.flags,
	};
	int r;

	if (!members || !ordered)
		return diag_oom(&pair->ctx->diag);
	r = set_parts(pair, parts, nr, members, ordered);
	if (r >= 0)
		r = run(pair, &t, goal);
	for (size_t i = 0; i < nr; i++) {
		struct member *m = &members[i];

		if (!m->public)
			continue;
		m->public->state = ordered[i].state;
		m->public->reason = ordered[i].reason;
		upatch_target_close(m->target);
	}
	return r;
}

static int pair_change(struct pair *pair, struct upatch_pair_part *parts, size_t nr,
		       enum transaction_goal goal)
{
	int r;

	ctx_begin(pair->ctx, 0, pair->patch->file->name);
	r = change(pair, parts, nr, goal);
	kmod_deinit(&pair->kmod);
	return ctx_end(pair->ctx, r);
}

static struct pair pair_of(struct upatch_ctx *ctx, struct upatch_patch *patch,
			   const struct upatch_pair_options *opts)
{
	static const struct upatch_pair_options defaults = { .timeout_ms = DEFAULT_TIMEOUT_MS };

	return (struct pair){ .ctx = ctx, .patch = patch, .opts = opts ? *opts : defaults };
}

EXPORT int upatch_pair_apply(struct upatch_ctx *ctx, struct upatch_patch *patch,
			     struct upatch_pair_part *parts, size_t nr_parts,
			     const struct upatch_pair_options *opts)
{
	struct pair pair = pair_of(ctx, patch, opts);

	return pair_change(&pair, parts, nr_parts, TRANSACTION_ENABLE);
}

EXPORT int upatch_pair_revert(struct upatch_ctx *ctx, struct upatch_patch *patch,
			      struct upatch_pair_part *parts, size_t nr_parts,
			      const struct upatch_pair_options *opts)
{
	struct pair pair = pair_of(ctx, patch, opts);

	return pair_change(&pair, parts, nr_parts, TRANSACTION_DISABLE);
}
