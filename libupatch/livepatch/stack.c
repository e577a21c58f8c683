/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/stack.h"

#include <errno.h>
#include <stdlib.h>

#include "base/array.h"

int stack_rule_add(struct stack_rule *rule, const struct stack_range *range)
{
	if (!array_grow(rule->ranges, rule->nr, rule->alloc))
		return -ENOMEM;
	rule->ranges[rule->nr++] = *range;
	return 0;
}

static int compare_ranges(const void *a, const void *b)
{
	const struct stack_range *x = a, *y = b;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	return (x->start > y->start) - (x->start < y->start);
}

void stack_rule_sort(struct stack_rule *rule)
{
	size_t kept = 0;

	if (rule->nr)
		qsort(rule->ranges, rule->nr, sizeof(*rule->ranges), compare_ranges);
	/* Two functions may share a split-off piece: one range for the search to find. */
	for (size_t i = 0; i < rule->nr; i++) {
		struct stack_range *last = kept ? &rule->ranges[kept - 1] : NULL;

		if (last && last->kind == rule->ranges[i].kind &&
		    rule->ranges[i].start < last->end) {
			last->end = MAX(last->end, rule->ranges[i].end);
			continue;
		}
		rule->ranges[kept++] = rule->ranges[i];
	}
	rule->nr = kept;
}

void stack_rule_deinit(struct stack_rule *rule)
{
	free(rule->ranges);
	*rule = (struct stack_rule){};
}

const struct stack_range *stack_rule_find(const struct stack_rule *rule, enum stack_range_kind kind,
					  uint64_t addr)
{
	size_t lo = 0, hi = rule->nr;

	/* First range that is of a later kind, or starts above the address. */
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct stack_range *range = &rule->ranges[mid];

		if (range->kind < kind || (range->kind == kind && range->start <= addr))
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == 0 || rule->ranges[lo - 1].kind != kind || addr >= rule->ranges[lo - 1].end)
		return NULL;
	return &rule->ranges[lo - 1];
}

enum stack_verdict stack_check(const struct stack_rule *rule, const struct unwind_stack *stack,
			       enum unwind_outcome outcome, const struct stack_range **ret_range)
{
	const struct stack_range *in_function = NULL, *in_gate = NULL;

	*ret_range = NULL;
	for (size_t i = 0; i < stack->nr; i++) {
		const struct unwind_frame *frame = &stack->frames[i];
		/* A call may be a function's last instruction: its return address is behind it. */
		uint64_t addr = frame->is_exact ? frame->pc : frame->pc - 1;
		const struct stack_range *range;

		/* The innermost frame's PC can be moved, see transition.c; others cannot. */
		range = i ? stack_rule_find(rule, STACK_RANGE_ENTRY, frame->pc) : NULL;
		if (range) {
			*ret_range = range;
			return STACK_IN_ENTRY;
		}
		range = stack_rule_find(rule, STACK_RANGE_FUNC, addr);
		if (!range)
			range = stack_rule_find(rule, STACK_RANGE_PAYLOAD, addr);
		if (range && !in_function && (i || frame->pc != range->entry))
			in_function = range;
		range = stack_rule_find(rule, STACK_RANGE_GATE, addr);
		if (range && !in_gate)
			in_gate = range;
	}
	*ret_range = in_gate ? in_gate : in_function;
	if (in_gate)
		return STACK_IN_GATE;
	if (in_function)
		return STACK_IN_FUNCTION;
	/* What waits for its library is on no stack. */
	return outcome == UNWIND_COMPLETE || !rule->nr ? STACK_CLEAN : STACK_UNRELIABLE;
}
