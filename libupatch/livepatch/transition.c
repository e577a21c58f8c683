/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/transition.h"

#include <errno.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/backoff.h"
#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/diag.h"
#include "livepatch/backtrace.h"
#include "livepatch/island.h"
#include "livepatch/library.h"
#include "livepatch/look.h"
#include "livepatch/plan.h"
#include "livepatch/session.h"
#include "target/freeze.h"
#include "target/target.h"

static const uint64_t stop_patience = NSEC_PER_SEC;

static enum upatch_patch_state state_of(const struct transition *tr)
{
	return tr->session->record.head->patches[tr->patch].state;
}

/* Does the new version have the patch, or lack it? */
static bool is_coming(const struct transition *tr)
{
	enum upatch_patch_state state = state_of(tr);

	return state == UPATCH_PATCH_LOADING || state == UPATCH_PATCH_LOADED ||
	       state == UPATCH_PATCH_ENABLING;
}

bool transition_is_open(const struct transition *transition)
{
	return transition->laggards.table;
}

const char *transition_verb(enum rule_goal goal)
{
	return goal == RULE_PATCHED ? "patching" : "unpatching";
}

/* A milestone, in klp's words. Their text is an interface. */
static void tell(const struct transition *tr, const char *what, const char *verb)
{
	diag_info(tr->session->diag, "target %d: patch '%s': %s %s transition",
		  (int)tr->session->target->pid, tr->session->record.metas[tr->patch]->name, what,
		  verb);
}

static enum slots_version version_of(const struct transition *tr, enum rule_goal goal)
{
	return (goal == RULE_PATCHED) == is_coming(tr) ? SLOTS_NEW : SLOTS_OLD;
}

/* Which functions change, and where nobody may be meanwhile, by the record as it is. */
static int find_extent(struct transition *tr)
{
	int index = (int)tr->patch;
	int r;

	r = slots_collect(tr->session, tr->patch, is_coming(tr) ? index : -1,
			  is_coming(tr) ? -1 : index, &tr->slots);
	return r < 0 ? r : rule_new(tr->session, tr->patch, tr->goal, &tr->slots, &tr->rule);
}

int transition_init(struct session *session, size_t patch, enum rule_goal goal,
		    const struct plan *plan, struct transition *ret)
{
	struct transition tr = {
		.session = session,
		.patch = patch,
		.goal = goal,
		.plan = plan,
		.laggards.index = -1,
	};
	int r = 0;

	if (record_find_open(&session->record) == (int)patch)
		r = laggards_read(session, &tr.laggards);
	if (r >= 0 && tr.laggards.table)
		tr.goal = is_coming(&tr) != (tr.laggards.table->invert != 0) ? RULE_PATCHED
									     : RULE_UNPATCHED;
	if (r >= 0)
		r = find_extent(&tr);
	if (r < 0) {
		transition_deinit(&tr);
		return r;
	}
	*ret = tr;
	return 0;
}

void transition_deinit(struct transition *transition)
{
	block_deinit(&transition->block);
	laggards_deinit(&transition->laggards);
	stack_rule_deinit(&transition->rule);
	slots_deinit(&transition->slots);
}

bool transition_lists(const struct transition *transition, const struct thread *thread)
{
	return laggards_has(&transition->laggards, laggards_key(transition->session, thread));
}

/*
 * Everybody is stopped, and nobody is changing the record: libraries may have come and gone since we
 * read it, and with them functions that change. Return: 0, or -errno raised.
 */
static int refresh(struct transition *tr)
{
	int r;

	r = library_sync(tr->session);
	if (r <= 0)
		return r;
	stack_rule_deinit(&tr->rule);
	slots_deinit(&tr->slots);
	r = find_extent(tr);
	if (r >= 0)
		r = session_reload_maps(tr->session);
	return r < 0 ? r : session_prepare_unwinder(tr->session);
}

static int stop(struct transition *tr, struct freeze *ret)
{
	int r;

	r = library_freeze(tr->session, ret);
	if (r < 0)
		return r;
	r = refresh(tr);
	if (r < 0)
		freeze_thaw(ret);
	return r;
}

/* --- effects ----------------------------------------------------------------------------------- */

/* Islands made for this patch become everybody's before anything jumps to them. */
static int adopt_islands(struct transition *tr, pid_t tracee)
{
	struct record *record = &tr->session->record;
	int r = 0;

	for (size_t i = 0; tr->plan && i < tr->plan->nr_objects && r >= 0; i++) {
		struct upatch_region *region;

		if (tr->plan->objects[i].island_region < 0)
			continue;
		region = &record->head->regions[tr->plan->objects[i].island_region];
		region->patch_seq = 0;
		r = record_store(record, tracee, &region->patch_seq, sizeof(region->patch_seq));
	}
	return r;
}

/* What a replace patch superseded goes the way of a disabled patch. */
static int mark_superseded(struct session *s, pid_t tracee)
{
	int r = 0;

	for (size_t i = 0; i < UPATCH_PATCHES_MAX && r >= 0; i++)
		if (record_is_superseded(&s->record, i))
			r = record_set_patch_state(&s->record, tracee, i, UPATCH_PATCH_UNLOADING);
	return r;
}

/*
 * Everybody is stopped and runs the goal's version. The state comes first: from then on there is no
 * way back. Being killed later leaves slots that go where they are to, through a dispatcher or not, and
 * maybe jumps to them where none is needed any more: transition_repair().
 */
static int settle(struct transition *tr, enum rule_goal goal, const struct freeze *freeze)
{
	enum slots_version version = version_of(tr, goal);
	struct session *s = tr->session;
	pid_t tracee = freeze_any(freeze);
	int r;

	session_remember_stacks(s, freeze);
	r = record_set_patch_state(&s->record, tracee, tr->patch,
				   goal == RULE_PATCHED ? UPATCH_PATCH_ENABLED
							: UPATCH_PATCH_UNLOADING);
	if (r >= 0)
		r = slots_settle(s, &tr->slots, version, tracee);
	if (r >= 0)
		r = laggards_forget(s, &tr->laggards, tracee);
	return r >= 0 ? mark_superseded(s, tracee) : r;
}

/*
 * Everybody is stopped, and nobody is where the start would harm. The order of effects is the table in
 * transition.h; being killed between any two of them leaves one of its rows.
 */
static int open_transition(struct transition *tr, struct freeze *freeze, const struct look *look)
{
	struct session *s = tr->session;
	enum rule_goal undo = tr->goal == RULE_PATCHED ? RULE_UNPATCHED : RULE_PATCHED;
	pid_t tracee = freeze_any(freeze);
	int r;

	/* 1. No table counts, whatever an earlier run left there. */
	r = laggards_forget(s, &tr->laggards, tracee);
	/* 2. The intent. */
	if (r >= 0)
		r = adopt_islands(tr, tracee);
	if (r >= 0)
		r = record_set_patch_state(&s->record, tracee, tr->patch,
					   is_coming(tr) ? UPATCH_PATCH_ENABLING
							 : UPATCH_PATCH_DISABLING);
	if (r < 0)
		return r;
	/* 3. All calls go through dispatchers, to the old version. */
	r = slots_open(s, &tr->slots, tracee);
	if (r >= 0 && tr->plan)
		r = slots_write_entries(s, tr->plan, freeze, tracee);
	if (r >= 0 && tr->plan)
		r = slots_write_libraries(s, tr->patch, freeze);
	/* 4. The table: this is the moment. */
	if (r >= 0)
		r = laggards_replace(s, &tr->laggards, tracee, look->laggards, look->nr, 0);
	if (r == LAGGARDS_TOO_MANY)
		r = diag_err(s->diag, -ENOSPC, UPATCH_E_RECORD_FULL, NULL,
			     "%zu threads are inside functions that change; nothing was changed",
			     look->nr);
	if (r < 0) {
		(void)settle(tr, undo, freeze); /* raises; the record says what is left to do */
		return r;
	}
	return 0;
}

/* Everybody is stopped. It has happened: what fails now is finished by the next run. */
static int complete(struct transition *tr, const struct freeze *freeze)
{
	int r;

	tell(tr, "completing", transition_verb(tr->goal));
	r = settle(tr, tr->goal, freeze);
	return r < 0 ? r : TRANSITION_DONE;
}

static int raise_suspended(struct transition *tr, const struct block *block, const char *what)
{
	struct session *s = tr->session;
	struct diag_where where = {
		.patch = s->record.metas[tr->patch]->name,
		.function = block->function,
	};

	if (!block->function)
		return diag_err(s->diag, -EAGAIN, UPATCH_E_SUSPENDED, &where,
				"there is too much memory to search for suspended functions; %s",
				what);
	return diag_err(s->diag, -EAGAIN, UPATCH_E_SUSPENDED, &where,
			"it is suspended on a stack of no thread; %s", what);
}

static int raise_wait(struct transition *tr, const struct block *block)
{
	bool is_in_entry = block->verdict == STACK_IN_ENTRY;
	struct session *s = tr->session;
	struct diag_where where = { .tid = block->tid };
	_cleanup_free_ char *text = NULL;
	int r;

	if (block->verdict == STACK_SUSPENDED)
		return raise_suspended(tr, block, "nothing was changed");
	text = backtrace_format(s, block->stack);
	r = diag_err(s->diag, -EAGAIN, is_in_entry ? UPATCH_E_IN_FUNCTION : UPATCH_E_UNRELIABLE,
		     &where, "the thread %s; nothing was changed",
		     is_in_entry ? "is about to return into bytes that are to be overwritten"
				 : "stands, or may stand, in the middle of a dispatcher");
	diag_set_detail(s->diag, text);
	return r;
}

/* --- start, reverse ---------------------------------------------------------------------------- */

/* One stop. Return: transition_outcome; LOOK_WAIT: something is in the way; or -errno raised. */
static int attempt_start(struct transition *tr, struct look *look)
{
	struct session *s = tr->session;
	struct freeze freeze;
	int r;

	r = stop(tr, &freeze);
	if (r < 0)
		return r;
	if (tr->plan)
		r = plan_verify_entries(s, tr->plan);
	if (r >= 0 && tr->plan)
		r = slots_write_libraries(s, tr->patch, NULL);
	/* One may have gone just now, and the agent be about to notice. */
	look->has_stale = (r == -EFAULT || r == -EILSEQ) && state_of(tr) == UPATCH_PATCH_LOADED;
	if (r >= 0)
		r = look_around(tr, &tr->rule, &freeze, look);
	if (r == 0) {
		tell(tr, "starting", transition_verb(tr->goal));
		r = open_transition(tr, &freeze, look);
		if (r >= 0)
			r = look->nr ? TRANSITION_PENDING : complete(tr, &freeze);
		s->idle_islands_are_empty = r == TRANSITION_DONE && !look->has_island_thread;
	}
	freeze_thaw(&freeze);
	return look->has_stale ? LOOK_WAIT : r;
}

static int attempt_reverse(struct transition *tr, struct look *look)
{
	struct session *s = tr->session;
	enum rule_goal goal = tr->goal == RULE_PATCHED ? RULE_UNPATCHED : RULE_PATCHED;
	struct stack_rule rule;
	struct freeze freeze;
	int r;

	r = stop(tr, &freeze);
	if (r < 0)
		return r;
	r = rule_new(s, tr->patch, goal, &tr->slots, &rule);
	if (r < 0)
		goto out;
	r = look_around(tr, &rule, &freeze, look);
	if (r == 0)
		r = laggards_replace(s, &tr->laggards, freeze_any(&freeze), look->laggards,
				     look->nr, !tr->laggards.table->invert);
	if (r == LAGGARDS_TOO_MANY)
		r = diag_err(s->diag, -ENOSPC, UPATCH_E_RECORD_FULL, NULL,
			     "%zu threads are inside functions that change; it goes on as before",
			     look->nr);
	if (r == 0) {
		diag_info(s->diag, "target %d: patch '%s': reversing transition from %s to %s",
			  (int)s->target->pid, s->record.metas[tr->patch]->name,
			  transition_verb(tr->goal), transition_verb(goal));
		tell(tr, "starting", transition_verb(goal));
		tr->goal = goal;
		stack_rule_deinit(&tr->rule);
		tr->rule = rule;
		rule = (struct stack_rule){};
		r = look->nr ? TRANSITION_PENDING : complete(tr, &freeze);
	}
	stack_rule_deinit(&rule);
out:
	freeze_thaw(&freeze);
	return r;
}

/* Again and again until nobody is where the start would harm: that takes threads a few instructions. */
static int attempt(struct transition *tr, int (*fn)(struct transition *tr, struct look *look))
{
	uint64_t deadline = MAX(tr->session->deadline, deadline_in(stop_patience));
	struct backoff backoff = {};
	struct look look;
	int r;

	for (;;) {
		r = look_init(tr->session, &look);
		if (r < 0)
			return r;
		block_deinit(&tr->block);
		r = fn(tr, &look);
		if (r == LOOK_WAIT && deadline_is_over(deadline))
			r = look.has_stale ? -EAGAIN : raise_wait(tr, &look.first_wait);
		else if (look.has_stale)
			diag_clear(tr->session->diag);
		look_deinit(&look);
		if (r != LOOK_WAIT)
			return r;
		backoff_wait(&backoff, deadline);
	}
}

int transition_start(struct transition *transition)
{
	return attempt(transition, attempt_start);
}

int transition_reverse(struct transition *transition)
{
	return attempt(transition, attempt_reverse);
}

/* --- going on ---------------------------------------------------------------------------------- */

/* Judge a stopped laggard. Return: TRANSITION_DONE: it may switch; TRANSITION_PENDING; or raised. */
static int look_at_laggard(struct transition *tr, struct thread *thread, struct look *look)
{
	struct block block;
	int r;

	look_at_thread(tr, &tr->rule, thread, look, &block);
	if (block.verdict == STACK_CLEAN)
		return TRANSITION_DONE;
	r = block_keep(tr->session, &block, &tr->block);
	return r < 0 ? r : TRANSITION_PENDING;
}

/* Is it the thread that the table means, and no other one that has got its ID or its place? */
static bool is_same(const struct transition *tr, const struct thread *thread,
		    const struct laggard *laggard)
{
	return (thread->state == THREAD_STOPPED || thread->state == THREAD_SIGNALLED) &&
	       laggards_key(tr->session, thread) == laggard->key;
}

/* What one round of visits finds. */
struct visit {
	struct transition *tr;
	const struct laggard *list;
	struct look look;
	bool has_stranger; /* somebody else has got the ID or the place of one */
};

static int visit_one(struct thread *thread, size_t index, void *userdata)
{
	struct visit *visit = userdata;
	struct transition *tr = visit->tr;
	const struct laggard *laggard = &visit->list[index];
	int r;

	/* A library has come, and this thread may be in a function of it that changes. */
	if (!is_same(tr, thread, laggard) || library_has_changed(tr->session)) {
		visit->has_stranger = true;
		return 0;
	}
	r = look_at_laggard(tr, thread, &visit->look);
	if (r == TRANSITION_DONE)
		r = laggards_drop(tr->session, &tr->laggards, thread->tid, laggard->key);
	return r < 0 ? r : 0;
}

int transition_visit(struct transition *transition, const struct laggard *list, size_t nr)
{
	struct transition *tr = transition;
	struct visit visit = { .tr = tr, .list = list };
	_cleanup_free_ pid_t *tids = calloc(nr + 1, sizeof(*tids));
	int r;

	if (!tids)
		return diag_oom(tr->session->diag);
	for (size_t i = 0; i < nr; i++) {
		tids[i] = list[i].tid;
		visit.has_stranger = visit.has_stranger || !list[i].tid; /* of several threads */
	}
	/* Who is suspended somewhere is nobody's to tell for himself. */
	if (visit.has_stranger || tr->session->flags & SESSION_SCAN_MEMORY)
		return transition_try_complete(tr);
	r = look_init(tr->session, &visit.look);
	if (r < 0)
		return r;
	r = freeze_each(tr->session->target, tids, nr, visit_one, &visit);
	look_deinit(&visit.look);
	if (r < 0)
		return r;
	/* Whoever has the thread pointer of one that is gone would lose its entry: look at everybody. */
	if (r > 0 || visit.has_stranger)
		return transition_try_complete(tr);
	return TRANSITION_PENDING;
}

/* Of a laggard: do all threads with its key allow it to switch? None may be left: it is gone. */
static int look_at_key(struct transition *tr, const struct freeze *freeze, uint64_t key,
		       struct look *look)
{
	int r = TRANSITION_DONE;

	for (size_t i = 0; i < freeze->nr && r == TRANSITION_DONE; i++)
		if (freeze->threads[i].state != THREAD_GONE &&
		    laggards_key(tr->session, &freeze->threads[i]) == key)
			r = look_at_laggard(tr, &freeze->threads[i], look);
	return r;
}

int transition_try_complete(struct transition *transition)
{
	struct transition *tr = transition;
	struct session *s = tr->session;
	_cleanup_free_ struct laggard *list = NULL;
	struct freeze freeze;
	struct look look;
	size_t nr = 0, left = 0;
	int r;

	r = laggards_list(s, &tr->laggards, &list, &nr);
	if (r >= 0)
		r = look_init(s, &look);
	if (r < 0)
		return r;
	r = stop(tr, &freeze);
	if (r < 0)
		goto out;
	/* Nobody switches while something is suspended: it may be any thread's. */
	r = look_for_suspended(tr, &tr->rule, &freeze, &tr->block);
	left = r == LOOK_WAIT;
	for (size_t i = 0; i < nr && r >= 0 && r != LOOK_WAIT; i++) {
		r = look_at_key(tr, &freeze, list[i].key, &look);
		if (r == TRANSITION_DONE)
			r = laggards_drop(s, &tr->laggards, freeze_any(&freeze), list[i].key);
		else
			left++;
	}
	if (r >= 0)
		r = left ? TRANSITION_PENDING : complete(tr, &freeze);
	freeze_thaw(&freeze);
out:
	look_deinit(&look);
	return r;
}

/* --- force, cancel ------------------------------------------------------------------------------- */

static int set_forced(struct session *s, pid_t tracee, size_t index)
{
	struct upatch_patch_entry *entry = &s->record.head->patches[index];

	entry->flags |= UPATCH_PATCH_FORCED;
	return record_store(&s->record, tracee, &entry->flags, sizeof(entry->flags));
}

/*
 * As klp has it: a patch that goes may still run; of what a replace patch supersedes anything may; in
 * all other cases what threads may be in is the object's own code.
 */
static int pin(struct transition *tr, pid_t tracee)
{
	struct session *s = tr->session;
	int r = 0;

	if (tr->goal == RULE_UNPATCHED)
		return set_forced(s, tracee, tr->patch);
	if (!(s->record.metas[tr->patch]->flags & UPATCH_META_REPLACE))
		return 0;
	for (size_t i = 0; i < UPATCH_PATCHES_MAX && r >= 0; i++)
		if (i != tr->patch && record_is_stacked(&s->record, i))
			r = set_forced(s, tracee, i);
	return r;
}

static int add_forced(struct transition *tr, struct thread *thread, struct look *look,
		      struct block **blocks, size_t *nr)
{
	struct block block;
	size_t alloc = *nr;

	look_at_thread(tr, &tr->rule, thread, look, &block);
	if (!array_grow(*blocks, *nr, alloc))
		return diag_oom(tr->session->diag);
	return block_keep(tr->session, &block, &(*blocks)[(*nr)++]);
}

int transition_force(struct transition *transition, struct block **ret_blocks, size_t *ret_nr)
{
	struct transition *tr = transition;
	struct session *s = tr->session;
	struct block *blocks = NULL;
	struct freeze freeze;
	struct look look;
	size_t nr = 0;
	int r;

	r = look_init(s, &look);
	if (r < 0)
		return r;
	r = stop(tr, &freeze);
	if (r < 0)
		goto out;
	for (size_t i = 0; i < freeze.nr && r >= 0; i++)
		if (freeze.threads[i].state != THREAD_GONE &&
		    transition_lists(tr, &freeze.threads[i]))
			r = add_forced(tr, &freeze.threads[i], &look, &blocks, &nr);
	if (r >= 0) {
		diag_info(s->diag,
			  "target %d: patch '%s': forcing remaining threads to the %s state",
			  (int)s->target->pid, s->record.metas[tr->patch]->name,
			  tr->goal == RULE_PATCHED ? "patched" : "unpatched");
		r = pin(tr, freeze_any(&freeze));
	}
	if (r >= 0)
		r = complete(tr, &freeze);
	freeze_thaw(&freeze);
out:
	look_deinit(&look);
	if (r < 0) {
		blocks_free(blocks, nr);
		return r;
	}
	*ret_blocks = blocks;
	*ret_nr = nr;
	return 0;
}

int transition_repair(struct session *session)
{
	struct laggards laggards = { .index = -1 };
	struct freeze freeze;
	int r;

	r = library_freeze(session, &freeze);
	if (r < 0)
		return r;
	r = library_sync(session);
	if (r >= 0)
		r = slots_settle_all(session, freeze_any(&freeze));
	if (r >= 0)
		r = laggards_forget(session, &laggards, freeze_any(&freeze));
	freeze_thaw(&freeze);
	return r;
}

int transition_raise_block(struct transition *transition)
{
	struct session *s = transition->session;
	const struct block *block = &transition->block;
	struct diag_where where = {
		.tid = block->tid,
		.patch = s->record.metas[transition->patch]->name,
		.function = block->function,
	};
	_cleanup_free_ char *text = block->stack ? backtrace_format(s, block->stack) : NULL;
	_cleanup_free_ struct laggard *list = NULL;
	bool is_lost = block->verdict == STACK_UNRELIABLE || !block->stack;
	size_t nr = 0;
	int r;

	if (block->verdict == STACK_SUSPENDED)
		return raise_suspended(transition, block, "the transition is open");
	r = laggards_list(s, &transition->laggards, &list, &nr);
	if (r < 0)
		return r;
	r = diag_err(s->diag, -EAGAIN, is_lost ? UPATCH_E_UNRELIABLE : UPATCH_E_IN_FUNCTION, &where,
		     "%s; the %s transition is open, threads that have not switched: %zu",
		     is_lost ? "the thread's stack cannot be walked to its root"
			     : "the thread is inside this function",
		     transition_verb(transition->goal), nr);
	diag_set_detail(s->diag, text);
	return r;
}
