/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/transition.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "arch/arch.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/diag.h"
#include "livepatch/backtrace.h"
#include "livepatch/island.h"
#include "livepatch/plan.h"
#include "livepatch/session.h"
#include "livepatch/walk.h"
#include "target/freeze.h"
#include "target/target.h"

enum {
	BACKOFF_FIRST_MS = 1,
	BACKOFF_MAX_MS = 200,
};

static const struct upatch_meta *meta_of(const struct transition *tr)
{
	return tr->session->record.metas[tr->patch];
}

static struct upatch_slot *slot_of(const struct session *s, const struct upatch_meta_func *func)
{
	return record_slot_at(&s->record, func->slot_addr); /* checked when the record was read */
}

/* --- the rule -------------------------------------------------------------------------------- */

/* Code that runs now and will not: the version that each function of the patch replaces. */
static int add_replaced(struct transition *tr, const struct upatch_meta_func *func)
{
	const struct session *s = tr->session;
	const struct upatch_slot *slot = slot_of(s, func);
	const struct upatch_meta *meta = meta_of(tr);
	uint64_t now = record_winner(&s->record, slot, (int)tr->patch);
	int r = 0;

	if (now == record_gateway(&s->record, slot)) {
		for (uint32_t i = 0; i < func->nr_ranges && r >= 0; i++) {
			const struct upatch_meta_range *range =
				&meta_ranges(meta)[func->first_range + i];

			r = stack_rule_add(&tr->rule,
					   &(struct stack_range){
						   .start = range->addr,
						   .end = range->addr + range->size,
						   .kind = STACK_RANGE_FUNC,
						   .function = meta_string(meta, func->name),
						   .entry = func->old_addr,
					   });
		}
		return r;
	}
	/* Another patch's replacement: klp looks for just that function, too. */
	for (size_t i = 0; i < UPATCH_PATCHES_MAX; i++) {
		const struct upatch_meta *other = s->record.metas[i];

		for (uint32_t n = 0; other && n < other->nr_funcs && r >= 0; n++)
			if (meta_funcs(other)[n].new_addr == now)
				r = stack_rule_add(
					&tr->rule,
					&(struct stack_range){
						.start = now,
						.end = now + meta_funcs(other)[n].new_size,
						.kind = STACK_RANGE_FUNC,
						.function = meta_string(meta, func->name),
						.entry = now,
					});
	}
	return r;
}

/* Bytes that the jump will overwrite, behind the first of them. */
static int add_entry(struct transition *tr, const struct upatch_meta_func *func)
{
	const struct upatch_slot *slot = slot_of(tr->session, func);

	return stack_rule_add(&tr->rule, &(struct stack_range){
						 .start = slot->entry_addr + 1,
						 .end = slot->entry_addr + slot->covered,
						 .kind = STACK_RANGE_ENTRY,
						 .function = meta_string(meta_of(tr), func->name),
					 });
}

/* All code of the patch, functions that it added included. */
static int add_payloads(struct transition *tr)
{
	const struct upatch_meta *meta = meta_of(tr);
	int r = 0;

	for (uint32_t i = 0; i < meta->nr_objects && r >= 0; i++) {
		const struct upatch_meta_object *o = &meta_objects(meta)[i];

		r = stack_rule_add(&tr->rule, &(struct stack_range){
						      .start = o->payload_addr,
						      .end = o->payload_addr + o->text_size,
						      .kind = STACK_RANGE_FUNC,
						      .function = meta_string(meta, o->name),
					      });
	}
	return r;
}

static int add_gates(struct transition *tr)
{
	const struct session *s = tr->session;
	const struct arch_slot_layout *layout = s->target->arch->slot;
	const struct upatch_meta *meta = meta_of(tr);
	int r = 0;

	for (uint32_t i = 0; i < meta->nr_funcs && r >= 0; i++) {
		const struct upatch_slot *slot = slot_of(s, &meta_funcs(meta)[i]);

		r = stack_rule_add(&tr->rule,
				   &(struct stack_range){
					   .start = slot->text_addr + layout->dispatcher,
					   .end = slot->text_addr + layout->gateway,
					   .kind = STACK_RANGE_GATE,
					   .function = meta_string(meta, meta_funcs(meta)[i].name),
				   });
	}
	return r;
}

int transition_init(struct session *session, size_t patch, enum transition_goal goal,
		    const struct plan *plan, struct transition *ret)
{
	struct transition tr = { .session = session, .patch = patch, .goal = goal, .plan = plan };
	const struct upatch_meta *meta = session->record.metas[patch];
	int r;

	r = add_gates(&tr);
	if (goal == TRANSITION_UNPATCHED && r >= 0)
		r = add_payloads(&tr);
	for (uint32_t i = 0; i < meta->nr_funcs && goal == TRANSITION_PATCHED && r >= 0; i++) {
		r = add_replaced(&tr, &meta_funcs(meta)[i]);
		if (r >= 0)
			r = add_entry(&tr, &meta_funcs(meta)[i]);
	}
	if (r < 0) {
		stack_rule_deinit(&tr.rule);
		return diag_oom(session->diag);
	}
	stack_rule_sort(&tr.rule);
	*ret = tr;
	return 0;
}

void transition_deinit(struct transition *transition)
{
	stack_rule_deinit(&transition->rule);
}

void transition_blocks_free(struct transition_block *blocks, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		free(blocks[i].stack);
	free(blocks);
}

/* --- looking at threads -------------------------------------------------------------------- */

static int add_block(struct transition_block **blocks, size_t *nr, size_t *alloc,
		     const struct transition_block *block)
{
	struct unwind_stack *copy;

	if (!array_grow(*blocks, *nr, *alloc))
		return -ENOMEM;
	copy = malloc(sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	memcpy(copy, block->stack, sizeof(*copy));
	(*blocks)[*nr] = *block;
	(*blocks)[(*nr)++].stack = copy;
	return 0;
}

/* Judge everybody. Return: 0: all may switch; TRANSITION_BLOCKED; -errno raised. */
static int judge_all(struct transition *tr, const struct freeze *freeze,
		     struct transition_block **ret_blocks, size_t *ret_nr)
{
	_cleanup_free_ struct unwind_stack *stack = malloc(sizeof(*stack));
	size_t nr = 0, alloc = 0;
	struct transition_block *blocks = NULL;

	if (!stack)
		return diag_oom(tr->session->diag);
	tr->session->idle_islands_are_empty = true;
	session_remember_stacks(tr->session, freeze);
	for (size_t i = 0; i < freeze->nr; i++) {
		const struct thread *thread = &freeze->threads[i];
		const struct stack_range *range;
		enum unwind_outcome outcome;
		enum stack_verdict verdict;

		if (thread->state == THREAD_GONE)
			continue;
		outcome = walk_thread(tr->session, thread, stack);
		verdict = stack_check(&tr->rule, stack, outcome, &range);
		if (island_has_thread(tr->session, &thread->regs, stack))
			tr->session->idle_islands_are_empty = false;
		if (verdict == STACK_CLEAN)
			continue;
		if (add_block(&blocks, &nr, &alloc,
			      &(struct transition_block){
				      .tid = thread->tid,
				      .verdict = verdict,
				      .function = range ? range->function : NULL,
				      .stack = stack,
			      }) < 0) {
			transition_blocks_free(blocks, nr);
			return diag_oom(tr->session->diag);
		}
	}
	if (!nr)
		return 0;
	*ret_blocks = blocks;
	*ret_nr = nr;
	return TRANSITION_BLOCKED;
}

/* --- switching ------------------------------------------------------------------------------ */

/*
 * Threads that stand in the bytes of an entry go on at the same instruction in the gateway, which
 * does the same and comes back behind them. Harmless if nothing else happens after it.
 */
static int move_out_of_entries(struct transition *tr, struct freeze *freeze)
{
	struct session *s = tr->session;
	const struct upatch_meta *meta = meta_of(tr);

	for (size_t i = 0; i < freeze->nr; i++) {
		struct thread *thread = &freeze->threads[i];
		uint64_t pc = regs_pc(&thread->regs);

		for (uint32_t n = 0; thread->state != THREAD_GONE && n < meta->nr_funcs; n++) {
			const struct upatch_slot *slot = slot_of(s, &meta_funcs(meta)[n]);

			if (pc <= slot->entry_addr || pc >= slot->entry_addr + slot->covered)
				continue;
			for (int k = 0; k < slot->nr_insns; k++) {
				if (slot->entry_addr + slot->insns[k].old_offset != pc)
					continue;
				regs_set_pc(&thread->regs, record_gateway(&s->record, slot) +
								   slot->insns[k].new_offset);
				(void)thread_store_regs(thread); /* fails only if it was killed */
			}
		}
	}
	return 0;
}

static pid_t any_tracee(const struct freeze *freeze)
{
	for (size_t i = 0; freeze && i < freeze->nr; i++)
		if (freeze->threads[i].state != THREAD_GONE)
			return freeze->threads[i].tid;
	return 0;
}

static int store_armed(struct session *s, pid_t tracee, uint64_t armed)
{
	return target_write(s->target, tracee, s->record.addr + UPATCH_LAGGARDS_OFFSET, &armed,
			    sizeof(armed));
}

/*
 * Store the slots of a patch. They lie side by side: one write for most or all of them, because
 * everybody waits. A kill may leave any leading pages of it written, so that between two of these
 * stores slots may change only in ways that do not depend on each other.
 */
static int store_slots(struct session *s, const struct upatch_meta *meta, pid_t tracee)
{
	uint32_t end;
	int r = 0;

	for (uint32_t i = 0; i < meta->nr_funcs && r >= 0; i = end) {
		const struct upatch_slot *first = slot_of(s, &meta_funcs(meta)[i]);

		end = i + 1;
		while (end < meta->nr_funcs &&
		       slot_of(s, &meta_funcs(meta)[end]) == first + (end - i))
			end++;
		r = record_store_slot(&s->record, tracee, first, first, (end - i) * sizeof(*first));
	}
	return r;
}

/* Send calls through the dispatcher, to the old version for now. */
static int open_slots(struct transition *tr, pid_t tracee)
{
	struct session *s = tr->session;
	const struct upatch_meta *meta = meta_of(tr);
	const uint16_t dispatcher = s->target->arch->slot->dispatcher;
	int skip = tr->goal == TRANSITION_UNPATCHED ? (int)tr->patch : -1;
	int r;

	for (uint32_t i = 0; i < meta->nr_funcs; i++) {
		struct upatch_slot *slot = slot_of(s, &meta_funcs(meta)[i]);

		slot->old = slot->winner;
		if (slot->winner == slot->text_addr + dispatcher)
			slot->old = record_gateway(&s->record, slot); /* new, as it was made */
		slot->new = record_winner(&s->record, slot, skip);
	}
	r = store_slots(s, meta, tracee);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < meta->nr_funcs; i++) {
		struct upatch_slot *slot = slot_of(s, &meta_funcs(meta)[i]);

		slot->winner = slot->text_addr + dispatcher;
	}
	return store_slots(s, meta, tracee);
}

/* Write the jumps of functions that had none. Their slots lead to the old version. */
static int write_entries(struct transition *tr, pid_t tracee)
{
	struct session *s = tr->session;
	const struct plan *plan = tr->plan;
	int r = 0;

	for (size_t i = 0; plan && i < plan->nr_objects; i++) {
		for (size_t n = 0; n < plan->objects[i].nr_funcs && r >= 0; n++) {
			const struct plan_func *f = &plan->objects[i].funcs[n];
			const struct upatch_slot *slot = record_slot_at(&s->record, f->slot_addr);

			if (!f->is_patched)
				r = target_write(s->target, tracee, slot->entry_addr, slot->jump,
						 slot->entry_size);
		}
	}
	return r;
}

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

/* Give functions that nobody patches any more their own bytes back. */
static int restore_entries(struct session *s, const struct upatch_meta *meta, pid_t tracee)
{
	int r = 0;

	for (uint32_t i = 0; i < meta->nr_funcs && r >= 0; i++) {
		struct upatch_slot *slot = slot_of(s, &meta_funcs(meta)[i]);

		if (slot->winner != record_gateway(&s->record, slot) || !slot->is_armed)
			continue;
		r = target_write(s->target, tracee, slot->entry_addr, slot->original,
				 slot->entry_size);
		if (r >= 0)
			slot->is_armed = 0;
	}
	return r;
}

int transition_settle(struct session *session, size_t patch, enum transition_goal goal,
		      const struct freeze *freeze)
{
	const struct upatch_meta *meta = session->record.metas[patch];
	int skip = goal == TRANSITION_UNPATCHED ? (int)patch : -1;
	pid_t tracee = any_tracee(freeze);
	int r;

	for (uint32_t i = 0; i < meta->nr_funcs; i++) {
		struct upatch_slot *slot = slot_of(session, &meta_funcs(meta)[i]);

		slot->winner = record_winner(&session->record, slot, skip);
	}
	r = store_slots(session, meta, tracee);
	if (r >= 0)
		r = restore_entries(session, meta, tracee);
	if (r >= 0)
		r = store_slots(session, meta, tracee);
	if (r >= 0)
		r = record_set_patch_state(&session->record, tracee, patch,
					   goal == TRANSITION_PATCHED ? UPATCH_PATCH_ENABLED
								      : UPATCH_PATCH_UNLOADING);
	if (r >= 0)
		r = store_armed(session, tracee, 0);
	return r;
}

/*
 * All threads are stopped and may switch. The order of effects is the table in transition.h; being
 * killed between any two of them leaves one of its rows.
 */
static int switch_all(struct transition *tr, struct freeze *freeze)
{
	struct session *s = tr->session;
	bool is_patching = tr->goal == TRANSITION_PATCHED;
	pid_t tracee = any_tracee(freeze);
	int r;

	r = store_armed(s, tracee, 0);
	if (r >= 0 && is_patching)
		r = adopt_islands(tr, tracee);
	if (r < 0)
		return r;
	r = record_set_patch_state(&s->record, tracee, tr->patch,
				   is_patching ? UPATCH_PATCH_ENABLING : UPATCH_PATCH_DISABLING);
	if (r >= 0)
		r = open_slots(tr, tracee);
	if (r >= 0 && is_patching)
		r = move_out_of_entries(tr, freeze);
	if (r >= 0 && is_patching)
		r = write_entries(tr, tracee);
	if (r >= 0)
		r = store_armed(s, tracee, 1);
	if (r < 0)
		goto err_undo;
	/* It has happened: what fails now is finished by the next run. */
	return transition_settle(s, tr->patch, tr->goal, freeze);

err_undo:
	(void)transition_settle(s, tr->patch,
				is_patching ? TRANSITION_UNPATCHED : TRANSITION_PATCHED,
				freeze); /* reports itself; the record says what is left to do */
	return r;
}

int transition_try(struct transition *transition, struct transition_block **ret_blocks,
		   size_t *ret_nr)
{
	struct session *s = transition->session;
	struct freeze freeze;
	int r;

	r = freeze_all(s->target, MAX(s->deadline, deadline_in(NSEC_PER_SEC)), &freeze);
	if (r < 0)
		return r;
	if (transition->plan)
		r = plan_verify_entries(s, transition->plan);
	if (r >= 0)
		r = judge_all(transition, &freeze, ret_blocks, ret_nr);
	if (r == 0)
		r = switch_all(transition, &freeze);
	freeze_thaw(&freeze);
	return r;
}

/* --- waiting --------------------------------------------------------------------------------- */

static int raise_blocked(struct transition *tr, const struct transition_block *block, size_t nr)
{
	struct session *s = tr->session;
	struct diag_where where = { .tid = block->tid, .function = block->function };
	_cleanup_free_ char *text = backtrace_format(s, block->stack);
	int r;

	if (block->verdict == STACK_UNRELIABLE)
		r = diag_err(s->diag, -EAGAIN, UPATCH_E_UNRELIABLE, &where,
			     "its stack cannot be walked to its root; threads in the way: %zu; "
			     "nothing was changed",
			     nr);
	else
		r = diag_err(
			s->diag, -EAGAIN, UPATCH_E_IN_FUNCTION, &where,
			"the thread is inside this function; threads in the way: %zu; nothing was "
			"changed",
			nr);
	diag_set_detail(s->diag, text);
	return r;
}

static void back_off(unsigned int *ms, uint64_t deadline)
{
	uint64_t nsec = MIN(*ms * NSEC_PER_MSEC, deadline_left(deadline));
	struct timespec ts = { (time_t)(nsec / NSEC_PER_SEC), (long)(nsec % NSEC_PER_SEC) };

	(void)nanosleep(&ts, NULL); /* woken early is as good */
	*ms = MIN(*ms * 2, (unsigned int)BACKOFF_MAX_MS);
}

int transition_run(struct transition *transition)
{
	unsigned int ms = BACKOFF_FIRST_MS;
	int r;

	for (;;) {
		struct transition_block *blocks = NULL;
		size_t nr = 0;

		r = transition_try(transition, &blocks, &nr);
		if (r == TRANSITION_BLOCKED && deadline_is_over(transition->session->deadline))
			r = raise_blocked(transition, &blocks[0], nr);
		transition_blocks_free(blocks, nr);
		if (r != TRANSITION_BLOCKED)
			return r;
		back_off(&ms, transition->session->deadline);
	}
}
