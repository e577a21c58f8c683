/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "api/ctx.h"
#include "api/member.h"
#include "base/deadline.h"
#include "base/diag.h"
#include "livepatch/enable.h"
#include "livepatch/session.h"
#include "patchfile/patchfile.h"

static const uint64_t look_timeout = NSEC_PER_SEC;

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
static int state_in_process(struct member *m, char ret[MEMBER_NAME_MAX])
{
	struct upatch_status *status;
	int r;

	r = upatch_target_status(m->target, &status);
	if (r < 0)
		return r;
	(void)snprintf(ret, MEMBER_NAME_MAX, "none");
	for (size_t i = 0; i < status->nr_patches; i++) {
		const struct upatch_status_patch *patch = &status->patches[i];

		if (strcmp(patch->name, m->pair->patch->file->name) == 0 ||
		    strcmp(patch->state, "interrupted") == 0)
			(void)snprintf(ret, MEMBER_NAME_MAX, "%s", patch->state);
		if (strcmp(patch->state, "interrupted") == 0)
			break;
	}
	upatch_status_free(status);
	return 0;
}

/* What a replace patch supersedes is unmapped: there is no way back to it. */
static int check_superseded(struct member *m)
{
	struct upatch_ctx *ctx = m->pair->ctx;
	const struct diag_where where = { .pid = m->public->pid };
	struct upatch_status *status;
	int r;

	if (!m->pair->patch->file->replace || !member_may_go_back(m, TRANSACTION_ENABLE))
		return 0;
	r = upatch_target_status(m->target, &status);
	if (r < 0)
		return r;
	for (size_t i = 0; i < status->nr_patches && r >= 0; i++)
		if (strcmp(status->patches[i].state, "kept") != 0)
			r = diag_err(&ctx->diag, -EOPNOTSUPP, UPATCH_E_UNSUPPORTED, &where,
				     "it supersedes patch '%s', which could not be brought back if "
				     "another part failed: revert that one first",
				     status->patches[i].name);
	upatch_status_free(status);
	return r;
}

/* PART_DONE: it would go; or -errno raised. */
static int check_disable(struct member *m)
{
	const unsigned int flags =
		member_may_go_back(m, TRANSACTION_DISABLE) ? DISABLE_MAY_BE_UNDONE : 0;
	struct upatch_ctx *ctx = m->pair->ctx;
	struct session session;
	int r;

	ctx_begin(ctx, m->public->pid, m->pair->patch->file->name);
	r = session_open(m->target->target, ctx->cache, deadline_in(look_timeout), &session);
	if (r >= 0) {
		r = disable_check(&session, m->pair->patch->file->name, flags);
		session_close(&session);
	}
	return ctx_end(ctx, r < 0 ? r : PART_DONE);
}

static int process_look(struct part *part, enum transaction_goal goal)
{
	struct member *m = part->userdata;
	char state[MEMBER_NAME_MAX];
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
	if (goal == TRANSACTION_DISABLE)
		return check_disable(m);
	/* What somebody began is gone on with; one that is kept may be in the way. */
	if (strcmp(state, "none") != 0 && strcmp(state, "kept") != 0)
		return PART_DONE;
	r = check_superseded(m);
	return r < 0 ? r : check_process(m);
}

static bool is_gone(const struct member *m)
{
	switch (m->pair->ctx->diag.error.reason) {
	case UPATCH_E_GONE:
	case UPATCH_E_NO_PROCESS:
	case UPATCH_E_ZOMBIE:
		return true;
	default:
		return false;
	}
}

static int process_where(struct part *part)
{
	struct member *m = part->userdata;
	char state[MEMBER_NAME_MAX];
	int r;

	r = state_in_process(m, state);
	if (r < 0)
		return is_gone(m) ? PART_IS_DISABLED : r; /* who has exited runs no version */
	if (strcmp(state, "enabled") == 0)
		return PART_IS_ENABLED;
	if (strcmp(state, "none") == 0 || strcmp(state, "kept") == 0)
		return PART_IS_DISABLED;
	return PART_IS_BETWEEN;
}

/* Something of that name is there: is it enabled, or kept since it was disabled? Return: PART_DONE, or @r. */
static int check_enabled(struct part *part, int r)
{
	struct diag *d = &((const struct member *)part->userdata)->pair->ctx->diag;
	struct upatch_error cause = diag_set_aside(d);
	const bool is_enabled = process_where(part) == PART_IS_ENABLED;

	diag_put_back(d, &cause);
	if (!is_enabled)
		return r;
	diag_clear(d);
	return PART_DONE;
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
		.timeout_ms = member_ms_left(deadline),
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
		return goal == TRANSACTION_ENABLE ? check_enabled(part, r) : r;
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

const struct part_ops member_process_ops = {
	.look = process_look,
	.go = process_go,
	.force = process_force,
	.where = process_where,
};
