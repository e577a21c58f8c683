/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <upatch/pair.h>

#include "api/ctx.h"
#include "api/kernel.h"
#include "api/member.h"
#include "api/transaction.h"
#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/diag.h"
#include "base/export.h"
#include "patchfile/patchfile.h"

enum {
	DEFAULT_TIMEOUT_MS = 10000,
};

EXPORT const char *upatch_part_state_name(enum upatch_part_state state)
{
	static const char *const names[] = {
		[UPATCH_PART_UNTOUCHED] = "untouched", [UPATCH_PART_THERE] = "there",
		[UPATCH_PART_DONE] = "done",	       [UPATCH_PART_REFUSED] = "refused",
		[UPATCH_PART_REVERSED] = "reversed",   [UPATCH_PART_PENDING] = "pending",
		[UPATCH_PART_FAILED] = "failed",
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
		.ops = public->pid ? &member_process_ops : &member_kernel_ops,
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
	members[0].is_first = true;
	members[nr ? nr - 1 : 0].is_last = true;
	if (!has_kernel)
		return 0;
	return kernel_pick(&pair->ctx->diag, pair->patch->file, pair->patch->file->name,
			   &pair->kmod);
}

/* What the user does where a part stays as it was before, and the others do not come along. */
static int set_remedies(struct pair *pair, struct part *parts, size_t nr,
			enum transaction_goal goal)
{
	for (size_t i = 0; i < nr; i++) {
		struct member *m = parts[i].userdata;
		int r;

		if (goal == TRANSACTION_DISABLE)
			r = asprintf(&m->remedy, "'upatchctl apply' with the patch's file brings "
						 "it there, too");
		else if (m->public->pid)
			r = asprintf(&m->remedy, "'upatchctl revert -p %d %s' takes it away",
				     (int)m->public->pid, pair->patch->file->name);
		else
			r = asprintf(&m->remedy, "'upatchctl kernel revert %s' takes it away",
				     pair->kmod.name);
		if (r < 0) {
			m->remedy = NULL;
			return diag_oom(&pair->ctx->diag);
		}
		parts[i].remedy = m->remedy;
	}
	return 0;
}

static int raise_there(struct pair *pair, enum transaction_goal goal)
{
	struct diag *d = &pair->ctx->diag;

	if (goal == TRANSACTION_ENABLE)
		return diag_err(d, -EEXIST, UPATCH_E_EXISTS, NULL, "all parts have it enabled");
	return diag_err(d, -ENOENT, UPATCH_E_NOT_APPLIED, NULL, "no part has it enabled");
}

static bool has_disabled(const struct part *part, enum transaction_goal goal)
{
	return part->state ==
	       (goal == TRANSACTION_DISABLE ? UPATCH_PART_DONE : UPATCH_PART_REVERSED);
}

static int run(struct pair *pair, struct transaction *t, enum transaction_goal goal)
{
	int r;

	if (pair->is_check) {
		r = transaction_look(t, goal);
		pair->ctx->diag.scope = (struct diag_where){ .patch = pair->patch->file->name };
		return r == TRANSACTION_IS_THERE ? raise_there(pair, goal) : r;
	}
	r = transaction_run(t, goal);
	for (size_t i = 0; i < t->nr; i++)
		if (t->parts[i].ops == &member_kernel_ops && has_disabled(&t->parts[i], goal))
			member_unload(t->parts[i].userdata);
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
		r = set_remedies(pair, ordered, nr, goal);
	if (r >= 0)
		r = run(pair, &t, goal);
	for (size_t i = 0; i < nr; i++) {
		struct member *m = &members[i];

		if (!m->public)
			continue;
		m->public->state = ordered[i].state;
		m->public->reason = ordered[i].reason;
		upatch_target_close(m->target);
		free(m->remedy);
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

EXPORT int upatch_pair_check(struct upatch_ctx *ctx, struct upatch_patch *patch,
			     struct upatch_pair_part *parts, size_t nr_parts,
			     const struct upatch_pair_options *opts)
{
	struct pair pair = pair_of(ctx, patch, opts);

	pair.is_check = true;
	return pair_change(&pair, parts, nr_parts, TRANSACTION_ENABLE);
}

EXPORT int upatch_pair_revert(struct upatch_ctx *ctx, struct upatch_patch *patch,
			      struct upatch_pair_part *parts, size_t nr_parts,
			      const struct upatch_pair_options *opts)
{
	struct pair pair = pair_of(ctx, patch, opts);

	return pair_change(&pair, parts, nr_parts, TRANSACTION_DISABLE);
}
