/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "arch/arch.h"
#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/diag.h"
#include "livepatch/session.h"
#include "target/freeze.h"
#include "target/target.h"
#include "target/thread.h"

const struct upatch_slot *walk_find_slot(const struct session *session, uint64_t pc)
{
	const struct session *s = session;
	uint64_t size = s->target->arch->slot->text_size;

	for (size_t i = 0; i < s->record.nr_islands; i++) {
		const struct upatch_island *head = s->record.islands[i].head;
		const struct upatch_region *region =
			&s->record.head->regions[s->record.islands[i].region];

		if (pc < region->addr || pc - region->addr >= region->text_size)
			continue;
		for (uint32_t n = 0; n < head->nr_slots; n++)
			if (pc >= head->slots[n].text_addr && pc - head->slots[n].text_addr < size)
				return &head->slots[n];
	}
	return NULL;
}

/* The gateway's instructions are the original's: unwind as if the thread stood there. */
static void leave_gateway(const struct arch_ops *arch, const struct upatch_slot *slot,
			  uint64_t offset, struct arch_regs *regs)
{
	struct arch_entry entry = {
		.addr = slot->entry_addr,
		.covered = slot->covered,
		.nr_insns = slot->nr_insns,
	};

	memcpy(entry.old, slot->original, sizeof(entry.old));
	for (int i = 0; i < slot->nr_insns; i++)
		entry.insns[i] = (struct arch_insn){
			.old_offset = slot->insns[i].old_offset,
			.new_offset = slot->insns[i].new_offset,
		};
	regs_set_pc(regs, arch->gateway_to_old(&entry, offset));
}

/* A hook has no dispatcher, and what stands there instead pushes nothing. */
static bool is_hook(const struct session *s, const struct upatch_slot *slot)
{
	const struct island *island = record_island_of(&s->record, slot);

	return s->record.head->regions[island->region].kind == UPATCH_REGION_HOOKS;
}

/* Stub and dispatcher: go back to the caller. False when the stack cannot be read. */
static bool leave_dispatcher(const struct session *s, const struct upatch_slot *slot,
			     struct arch_regs *regs)
{
	enum arch_slot_flags flags = (enum arch_slot_flags)s->record.head->slot_flags;
	unsigned int offset = (unsigned int)(regs_pc(regs) - slot->text_addr);
	int depth = is_hook(s, slot) ? 0 : s->target->arch->slot_depth(flags, offset);
	uint64_t sp = regs_sp(regs), caller;

	if (depth < 0 || target_read(s->target, sp + (uint64_t)depth, &caller, sizeof(caller)) < 0)
		return false;
	regs_set_pc(regs, caller);
	regs_set_sp(regs, sp + (uint64_t)depth + sizeof(caller));
	return true;
}

enum unwind_outcome walk_thread(struct session *session, const struct thread *thread,
				struct unwind_stack *ret)
{
	const struct arch_ops *arch = session->target->arch;
	uint64_t pc = regs_pc(&thread->regs);
	const struct upatch_slot *slot = walk_find_slot(session, pc);
	struct arch_regs regs = thread->regs;
	enum unwind_outcome outcome;

	if (!slot)
		return unwinder_walk(session->unwinder, &regs, ret);
	if (pc - slot->text_addr >= arch->slot->gateway) {
		leave_gateway(arch, slot, pc - slot->text_addr - arch->slot->gateway, &regs);
		outcome = unwinder_walk(session->unwinder, &regs, ret);
	} else if (leave_dispatcher(session, slot, &regs)) {
		outcome = unwinder_walk(session->unwinder, &regs, ret);
		ret->frames[0].is_exact = false; /* it is a return address */
	} else {
		ret->nr = 0;
		ret->lost_at = pc;
		outcome = UNWIND_LOST;
	}
	if (ret->nr == UNWIND_FRAMES_MAX)
		return UNWIND_LOST;
	memmove(&ret->frames[1], &ret->frames[0], ret->nr * sizeof(ret->frames[0]));
	ret->frames[0] = (struct unwind_frame){ .pc = pc, .is_exact = true };
	ret->nr++;
	return outcome;
}

struct search {
	walk_is_inside_fn fn;
	enum walk_doubt doubt;
	struct unwind_stack *stack;
};

static bool has_thread_inside(struct session *s, const struct freeze *freeze,
			      const struct search *search)
{
	walk_is_inside_fn fn = search->fn;
	struct unwind_stack *stack = search->stack;

	for (size_t i = 0; i < freeze->nr; i++) {
		const struct thread *thread = &freeze->threads[i];

		if (thread->state == THREAD_GONE)
			continue;
		if ((walk_thread(s, thread, stack) != UNWIND_COMPLETE &&
		     search->doubt == WALK_DOUBT_INSIDE) ||
		    fn(s, regs_pc(&thread->regs)))
			return true;
		for (size_t n = 0; n < stack->nr; n++)
			if (fn(s, stack->frames[n].pc))
				return true;
	}
	return false;
}

/*
 * What has been begun is put in order even when its time is over; but who is not outside by then, or whose
 * stack cannot be walked, may stay for as long as he likes.
 */
static const uint64_t patience = 5 * NSEC_PER_SEC;

int walk_wait_outside(struct session *session, walk_is_inside_fn fn, enum walk_doubt doubt)
{
	uint64_t deadline = deadline_in(patience);
	_cleanup_free_ struct unwind_stack *stack = malloc(sizeof(*stack));
	const struct search search = { fn, doubt, stack };
	struct timespec pause = { .tv_nsec = NSEC_PER_MSEC };
	int r;

	if (!stack)
		return diag_oom(session->diag);
	r = session_prepare_unwinder(session);
	while (r >= 0) {
		bool is_anyone_inside;
		struct freeze freeze;

		r = session_freeze(session, &freeze);
		if (r < 0)
			break;
		is_anyone_inside = has_thread_inside(session, &freeze, &search);
		freeze_thaw(&freeze);
		if (!is_anyone_inside)
			return 0;
		if (deadline_is_over(deadline))
			return -EAGAIN;
		(void)nanosleep(&pause, NULL); /* woken early is as good */
	}
	return r;
}
