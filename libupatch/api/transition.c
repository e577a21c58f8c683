/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <upatch/upatch.h>

#include "api/ctx.h"
#include "api/operation.h"
#include "api/view.h"
#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/export.h"
#include "livepatch/complete.h"
#include "livepatch/record.h"
#include "livepatch/session.h"
#include "livepatch/threads.h"
#include "livepatch/transition.h"
#include "livepatch/unload.h"
#include "target/target.h"

static int new_threads(struct session *s, const char *patch, struct upatch_threads **ret)
{
	struct upatch_threads *threads = calloc(1, sizeof(*threads));

	if (!threads)
		return diag_oom(s->diag);
	threads->pid = s->target->pid;
	threads->patch = patch ? strdup(patch) : NULL;
	*ret = threads;
	return 0;
}

EXPORT void upatch_threads_free(struct upatch_threads *threads)
{
	if (!threads)
		return;
	view_free_threads((struct upatch_thread *)threads->threads, threads->nr_threads);
	free((char *)threads->patch);
	free(threads);
}

static int fill_threads(struct session *s, const struct transition *transition,
			struct upatch_threads *ret)
{
	struct threads threads;
	int r;

	r = threads_all(s, transition, &threads);
	if (r < 0)
		return r;
	ret->threads = view_threads(s, &threads);
	if (ret->threads)
		ret->nr_threads = threads.nr;
	else
		r = diag_oom(s->diag);
	threads_deinit(&threads);
	return r;
}

static int look_at_threads(struct session *s, struct upatch_threads **ret)
{
	int index = s->record.addr ? record_find_open(&s->record) : -ENOENT;
	struct transition transition;
	int r;

	r = session_prepare_unwinder(s);
	if (r >= 0 && index >= 0)
		r = transition_init(s, (size_t)index, RULE_PATCHED, NULL, &transition);
	if (r < 0)
		return r;
	r = new_threads(s, index >= 0 ? s->record.metas[index]->name : NULL, ret);
	if (r >= 0)
		r = fill_threads(s, index >= 0 ? &transition : NULL, *ret);
	if (index >= 0)
		transition_deinit(&transition);
	return r;
}

EXPORT int upatch_target_threads(struct upatch_target *target, struct upatch_threads **ret)
{
	struct upatch_threads *threads = NULL;
	struct operation op;
	int r;

	r = operation_begin(&op, target, NULL, NULL);
	if (r >= 0)
		r = look_at_threads(&op.session, &threads);
	r = operation_end(&op, r, NULL);
	if (r < 0) {
		upatch_threads_free(threads);
		return r;
	}
	*ret = threads;
	return r;
}

EXPORT int upatch_target_wait(struct upatch_target *target, const struct upatch_options *opts,
			      struct upatch_cost *cost)
{
	struct operation op;
	int r;

	r = operation_begin(&op, target, NULL, opts);
	if (r >= 0)
		r = complete_any(&op.session);
	return operation_end(&op, r, cost);
}

static int force(struct session *s, struct upatch_threads **ret)
{
	int index = s->record.addr ? record_find_open(&s->record) : -ENOENT;
	struct block *blocks = NULL;
	size_t nr = 0;
	int r;

	r = new_threads(s, index >= 0 ? s->record.metas[index]->name : NULL, ret);
	if (r >= 0)
		r = complete_by_force(s, &blocks, &nr);
	if (r < 0)
		return r;
	(*ret)->threads = view_blocks(s, blocks, nr);
	blocks_free(blocks, nr);
	if (!(*ret)->threads)
		return diag_oom(s->diag);
	(*ret)->nr_threads = nr;
	return 0;
}

EXPORT int upatch_target_force(struct upatch_target *target, struct upatch_threads **ret,
			       struct upatch_cost *cost)
{
	struct upatch_threads *threads = NULL;
	struct operation op;
	int r;

	r = operation_begin(&op, target, NULL, NULL);
	if (r >= 0)
		r = force(&op.session, &threads);
	r = operation_end(&op, r, cost);
	if (r < 0 || !ret)
		upatch_threads_free(threads);
	else
		*ret = threads;
	return r;
}

EXPORT int upatch_target_gc(struct upatch_target *target, struct upatch_gc *ret)
{
	struct upatch_gc gc = {};
	struct operation op;
	int r;

	r = operation_begin(&op, target, NULL, NULL);
	if (r >= 0)
		r = unload_kept(&op.session, &gc.freed, &gc.kept);
	r = operation_end(&op, r, NULL);
	if (r >= 0)
		*ret = gc;
	return r;
}
