/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "livepatch/stack.h"

enum {
	FUNC = 0x1000,
	FUNC_END = 0x1100,
	COLD = 0x9000,
	COLD_END = 0x9010,
	ENTRY_COVERED = 7,
	SLOT = 0x20000,
	ELSEWHERE = 0x5000,
};

/* A function with a cold piece, whose first 7 bytes will be overwritten, and its dispatcher. */
static int make_rule(void **state)
{
	static struct stack_rule rule;
	static const struct stack_range ranges[] = {
		{ SLOT, SLOT + 0x80, STACK_RANGE_GATE, "f", 0 },
		{ COLD, COLD_END, STACK_RANGE_FUNC, "f", FUNC },
		{ FUNC + 1, FUNC + ENTRY_COVERED, STACK_RANGE_ENTRY, "f", 0 },
		{ FUNC, FUNC_END, STACK_RANGE_FUNC, "f", FUNC },
	};

	rule = (struct stack_rule){};
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		assert_int_equal(stack_rule_add(&rule, &ranges[i]), 0);
	stack_rule_sort(&rule);
	*state = &rule;
	return 0;
}

static int free_rule(void **state)
{
	stack_rule_deinit(*state);
	return 0;
}

static struct unwind_stack stack;

/* A stack of return addresses, on which the thread stands at the first. */
static enum stack_verdict judge(void **state, enum unwind_outcome outcome, uint64_t pc,
				uint64_t caller)
{
	const struct stack_range *range;

	stack.nr = 3;
	stack.frames[0] = (struct unwind_frame){ pc, true };
	stack.frames[1] = (struct unwind_frame){ caller, false };
	stack.frames[2] = (struct unwind_frame){ ELSEWHERE, false };
	return stack_check(*state, &stack, outcome, &range);
}

static void test_a_stack_without_the_function_may_switch(void **state)
{
	assert_int_equal(judge(state, UNWIND_COMPLETE, ELSEWHERE, ELSEWHERE), STACK_CLEAN);
}

static void test_thread_in_old_func_blocks_transition(void **state)
{
	assert_int_equal(judge(state, UNWIND_COMPLETE, FUNC + 0x20, ELSEWHERE), STACK_IN_FUNCTION);
	assert_int_equal(judge(state, UNWIND_COMPLETE, ELSEWHERE, FUNC + 0x20), STACK_IN_FUNCTION);
}

static void test_a_cold_piece_is_the_function(void **state)
{
	assert_int_equal(judge(state, UNWIND_COMPLETE, COLD + 3, ELSEWHERE), STACK_IN_FUNCTION);
}

static void test_a_call_as_the_last_instruction_is_inside(void **state)
{
	/* noreturn: the return address is the function's end. */
	assert_int_equal(judge(state, UNWIND_COMPLETE, ELSEWHERE, FUNC_END), STACK_IN_FUNCTION);
	/* But a thread that stands there is in the next function. */
	assert_int_equal(judge(state, UNWIND_COMPLETE, FUNC_END, ELSEWHERE), STACK_CLEAN);
}

static void test_a_return_address_at_the_start_belongs_to_the_function_before(void **state)
{
	assert_int_equal(judge(state, UNWIND_COMPLETE, ELSEWHERE, FUNC), STACK_CLEAN);
}

static void test_nothing_has_run_of_a_function_at_whose_entry_a_thread_stands(void **state)
{
	assert_int_equal(judge(state, UNWIND_COMPLETE, FUNC, ELSEWHERE), STACK_CLEAN);
	assert_int_equal(judge(state, UNWIND_COMPLETE, FUNC + 1, ELSEWHERE), STACK_IN_FUNCTION);
}

static void test_a_return_into_the_overwritten_bytes_cannot_be_moved(void **state)
{
	assert_int_equal(judge(state, UNWIND_COMPLETE, ELSEWHERE, FUNC + 5), STACK_IN_ENTRY);
	assert_int_equal(judge(state, UNWIND_COMPLETE, ELSEWHERE, FUNC + ENTRY_COVERED),
			 STACK_IN_FUNCTION);
}

static void test_a_frame_that_a_signal_interrupted_counts_as_it_stands(void **state)
{
	const struct stack_range *range;

	stack.nr = 2;
	stack.frames[0] = (struct unwind_frame){ ELSEWHERE, true };
	stack.frames[1] = (struct unwind_frame){ FUNC_END, true };
	assert_int_equal(stack_check(*state, &stack, UNWIND_COMPLETE, &range), STACK_CLEAN);
	stack.frames[1].pc = COLD;
	assert_int_equal(stack_check(*state, &stack, UNWIND_COMPLETE, &range), STACK_IN_FUNCTION);
	assert_string_equal(range->function, "f");
}

static void test_a_lost_walk_never_clears_a_thread(void **state)
{
	assert_int_equal(judge(state, UNWIND_LOST, ELSEWHERE, ELSEWHERE), STACK_UNRELIABLE);
}

static void test_what_is_not_there_is_on_no_stack_whatever_the_walk(void **state)
{
	const struct stack_rule nothing = {};
	const struct stack_range *range;

	stack.nr = 1;
	stack.frames[0] = (struct unwind_frame){ ELSEWHERE, true };
	assert_int_equal(stack_check(&nothing, &stack, UNWIND_LOST, &range), STACK_CLEAN);
}

static void test_a_hit_on_a_lost_walk_is_a_hit(void **state)
{
	assert_int_equal(judge(state, UNWIND_LOST, ELSEWHERE, FUNC + 0x20), STACK_IN_FUNCTION);
}

static void test_a_thread_in_a_dispatcher_is_on_its_way(void **state)
{
	assert_int_equal(judge(state, UNWIND_COMPLETE, SLOT + 8, ELSEWHERE), STACK_IN_GATE);
}

static void test_overlapping_ranges_are_found_from_both_ends(void **state)
{
	static const struct stack_range ranges[] = {
		{ 0x100, 0x200, STACK_RANGE_FUNC, "a", 0 },
		{ 0x110, 0x120, STACK_RANGE_FUNC, "b", 0 },
	};
	struct stack_rule rule = {};
	const struct stack_range *range;

	assert_int_equal(stack_rule_add(&rule, &ranges[0]), 0);
	assert_int_equal(stack_rule_add(&rule, &ranges[1]), 0);
	stack_rule_sort(&rule);
	stack.nr = 1;
	stack.frames[0] = (struct unwind_frame){ 0x180, true };
	assert_int_equal(stack_check(&rule, &stack, UNWIND_COMPLETE, &range), STACK_IN_FUNCTION);
	stack_rule_deinit(&rule);
}

#define rule_test(f) cmocka_unit_test_setup_teardown(f, make_rule, free_rule)

int main(void)
{
	const struct CMUnitTest tests[] = {
		rule_test(test_a_stack_without_the_function_may_switch),
		rule_test(test_thread_in_old_func_blocks_transition),
		rule_test(test_a_cold_piece_is_the_function),
		rule_test(test_a_call_as_the_last_instruction_is_inside),
		rule_test(test_a_return_address_at_the_start_belongs_to_the_function_before),
		rule_test(test_nothing_has_run_of_a_function_at_whose_entry_a_thread_stands),
		rule_test(test_a_return_into_the_overwritten_bytes_cannot_be_moved),
		rule_test(test_a_frame_that_a_signal_interrupted_counts_as_it_stands),
		rule_test(test_a_lost_walk_never_clears_a_thread),
		rule_test(test_what_is_not_there_is_on_no_stack_whatever_the_walk),

		rule_test(test_a_hit_on_a_lost_walk_is_a_hit),
		rule_test(test_a_thread_in_a_dispatcher_is_on_its_way),
		cmocka_unit_test(test_overlapping_ranges_are_found_from_both_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
