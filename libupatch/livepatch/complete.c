/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/complete.h"

#include <errno.h>

#include "base/deadline.h"
#include "base/diag.h"
#include "livepatch/callback.h"
#include "livepatch/session.h"
#include "livepatch/takeover.h"
#include "livepatch/transition.h"
#include "livepatch/unload.h"
#include "livepatch/wait.h"
#include "target/target.h"

static void tell(struct transition *tr, const char *what)
{
	struct session *s = tr->session;

	diag_info(s->diag, "target %d: patch '%s': %s", (int)s->target->pid,
		  s->record.metas[tr->patch]->name, what);
}

/* All have switched. What fails from here on is finished by the next run. */
static int tidy_up(struct transition *tr)
{
	struct session *s = tr->session;
	struct record *record = &s->record;
	int r = 0;

	if (tr->goal == RULE_PATCHED)
		callbacks_post_patch(s, tr->patch);
	else
		callbacks_post_unpatch(s, tr->patch);
	tell(tr, tr->goal == RULE_PATCHED ? "patching complete" : "unpatching complete");
	for (size_t i = 0; i < UPATCH_PATCHES_MAX && r >= 0; i++)
		if (record->head->patches[i].state == UPATCH_PATCH_UNLOADING)
			r = unload_patch(s, i);
	if (r >= 0)
		r = unload_rest(s);
	return r < 0 ? r : TRANSITION_DONE;
}

int complete_transition(struct transition *transition, int outcome)
{
	int r = outcome;

	if (r == TRANSITION_PENDING)
		r = transition_wait(transition);
	if (r < 0)
		return r;
	if (r == TRANSITION_DONE)
		return tidy_up(transition);
	r = transition_raise_block(transition);
	return r == -EAGAIN ? TRANSITION_PENDING : r;
}

/* Return: 0 with @ret, or -errno raised. */
static int prepare(struct session *s, size_t patch, struct transition *ret)
{
	int r;

	r = session_prepare_unwinder(s);
	return r < 0 ? r : transition_init(s, patch, RULE_PATCHED, NULL, ret);
}

int complete_open(struct session *session, size_t patch, enum rule_goal goal)
{
	struct transition transition;
	int r;

	r = prepare(session, patch, &transition);
	if (r < 0)
		return r;
	r = transition.goal == goal ? TRANSITION_PENDING : transition_reverse(&transition);
	if (r >= 0)
		r = complete_transition(&transition, r);
	transition_deinit(&transition);
	return r;
}

/* Index of the patch whose transition is open once what was interrupted is in order; -ENOENT. */
static int find_open(struct session *s)
{
	int r = 0;

	if (takeover_is_due(s))
		r = takeover_run(s);
	return r < 0 ? r : record_find_open(&s->record);
}

int complete_any(struct session *session)
{
	struct transition transition;
	int index = find_open(session);
	int r;

	if (index < 0)
		return index == -ENOENT ? TRANSITION_DONE : index;
	r = prepare(session, (size_t)index, &transition);
	if (r < 0)
		return r;
	r = complete_transition(&transition, TRANSITION_PENDING);
	transition_deinit(&transition);
	return r;
}

int complete_raise_busy(struct session *session)
{
	int index = record_find_open(&session->record);

	if (index < 0)
		return 0;
	return diag_err(session->diag, -EBUSY, UPATCH_E_BUSY, NULL,
			"the transition of patch '%s' is open", session->record.metas[index]->name);
}

int complete_busy(struct session *session)
{
	uint64_t deadline = session->deadline;
	int r;

	if (record_find_open(&session->record) < 0)
		return 0;
	/* One look: nobody may have been waiting for it. */
	session->deadline = clock_now();
	r = complete_any(session);
	session->deadline = deadline;
	if (r != TRANSITION_PENDING)
		return r;
	diag_clear(session->diag);
	return complete_raise_busy(session);
}

int complete_by_force(struct session *session, struct block **ret_blocks, size_t *ret_nr)
{
	struct block *blocks;
	struct transition transition;
	int index = find_open(session);
	size_t nr;
	int r;

	if (index == -ENOENT)
		return diag_err(session->diag, -ENOENT, UPATCH_E_NO_TRANSITION, NULL,
				"no transition is open");
	if (index < 0)
		return index;
	r = prepare(session, (size_t)index, &transition);
	if (r < 0)
		return r;
	r = transition_force(&transition, &blocks, &nr);
	if (r >= 0) {
		r = tidy_up(&transition);
		if (r < 0)
			blocks_free(blocks, nr);
	}
	transition_deinit(&transition);
	if (r < 0)
		return r;
	*ret_blocks = blocks;
	*ret_nr = nr;
	return 0;
}
