/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/block.h"

#include <stdlib.h>
#include <string.h>
#include <upatch/abi.h>

#include "arch/arch.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "livepatch/session.h"
#include "livepatch/walk.h"
#include "target/target.h"
#include "target/thread.h"

enum {
	SCAN_SIZE = 64 * 1024,
	GATE_STEPS_MAX = 256, /* a dispatcher, with a table full of collisions */
};

/*
 * A stack that cannot be walked may hide a frame that is about to return into an entry, or a
 * dispatcher that was interrupted: such an address would be among its words.
 */
static bool has_hidden_frame(struct session *s, const struct stack_rule *rule,
			     const struct thread *thread)
{
	_cleanup_free_ uint64_t *words = malloc(UPATCH_PAGE_SIZE);
	uint64_t sp = ALIGN_DOWN(regs_sp(&thread->regs), (uint64_t)8), end;

	for (uint64_t at = sp; words && at < sp + SCAN_SIZE; at = end) {
		end = ALIGN_DOWN(at, (uint64_t)UPATCH_PAGE_SIZE) + UPATCH_PAGE_SIZE;
		if (target_read(s->target, at, words, end - at) < 0)
			return false;
		for (size_t i = 0; i < (end - at) / 8; i++)
			if (stack_rule_find(rule, STACK_RANGE_ENTRY, words[i]) ||
			    stack_rule_find(rule, STACK_RANGE_GATE, words[i]))
				return true;
	}
	return !words;
}

/*
 * A thread that stands in a dispatcher is between versions. Let it get through, which is a matter of some
 * instructions, to the first one of what it calls; there its registers are as when it came, and it can
 * as well come once more: at the slot's start, before anything is decided.
 */
static void leave_gate(struct session *s, const struct stack_rule *rule, struct thread *thread)
{
	const uint16_t stub = s->target->arch->slot->stub;
	const struct upatch_slot *slot;

	if (!stack_rule_find(rule, STACK_RANGE_GATE, regs_pc(&thread->regs)))
		return;
	slot = walk_find_slot(s, regs_pc(&thread->regs));
	for (int i = 0; i < GATE_STEPS_MAX && thread->state == THREAD_STOPPED; i++) {
		if (thread_step(thread) < 0)
			return;
		if (stack_rule_find(rule, STACK_RANGE_GATE, regs_pc(&thread->regs)))
			continue;
		regs_set_pc(&thread->regs, slot->text_addr + stub);
		(void)thread_store_regs(thread); /* fails only if it was killed */
		return;
	}
}

void block_judge(struct session *session, const struct stack_rule *rule, struct thread *thread,
		 struct unwind_stack *stack, struct block *ret)
{
	const struct stack_range *range;
	enum unwind_outcome outcome;

	*ret = (struct block){ .tid = thread->tid, .stack = stack };
	leave_gate(session, rule, thread);
	outcome = walk_thread(session, thread, stack);
	ret->verdict = stack_check(rule, stack, outcome, &range);
	ret->function = range ? (char *)range->function : NULL;
	if (outcome != UNWIND_COMPLETE && ret->verdict != STACK_IN_ENTRY &&
	    ret->verdict != STACK_IN_GATE && has_hidden_frame(session, rule, thread))
		ret->verdict = STACK_IN_GATE;
}

int block_keep(struct session *session, const struct block *block, struct block *ret)
{
	struct unwind_stack *stack = malloc(sizeof(*stack));
	char *function = block->function ? strdup(block->function) : NULL;

	if (!stack || (block->function && !function)) {
		free(stack);
		free(function);
		return diag_oom(session->diag);
	}
	memcpy(stack, block->stack, sizeof(*stack));
	block_deinit(ret);
	*ret = (struct block){
		.tid = block->tid,
		.verdict = block->verdict,
		.function = function,
		.stack = stack,
	};
	return 0;
}

void block_deinit(struct block *block)
{
	free(block->function);
	free(block->stack);
	*block = (struct block){};
}

void blocks_free(struct block *blocks, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		block_deinit(&blocks[i]);
	free(blocks);
}
