/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

#include "sources.h"

static void test_a_function_is_replaced_and_comes_back(void **state)
{
	struct fixture *f = *state;

	fixture_remember(f);
	assert_answer(f, "call", "call 9 6 41 5");
	fixture_apply(f, "p", SOURCE_ADD);
	/* "a8" is two characters long, "bb9" three. */
	assert_answer(f, "call", "call 2010 6 42 5");
	assert_answer(f, "call", "call 3011 6 43 5");
	fixture_revert(f, "p");
	assert_answer(f, "call", "call 12 6 44 5");
	fixture_assert_unchanged(f);
}

static void test_a_private_function_is_replaced(void **state)
{
	struct fixture *f = *state;

	fixture_apply(f, "p", SOURCE_SECRET(777));
	assert_answer(f, "call", "call 9 777 41 5");
	fixture_revert(f, "p");
	assert_answer(f, "call", "call 10 6 42 5");
}

static void test_sympos_selects_one_of_two_functions_of_a_name(void **state)
{
	struct fixture *f = *state;

	fixture_apply(f, "p",
		      "static int new_twin(int x) { return x + 5000; }\n"
		      "UPATCH_FUNC_POS(twin, 2, new_twin);\n");
	const char *answer = fixture_ask(f, "twin");

	/* Which file comes first is the linker's choice; that only one changes is not. */
	assert_true(strcmp(answer, "twin 5001 201") == 0 || strcmp(answer, "twin 101 5001") == 0);
	fixture_revert(f, "p");
	assert_answer(f, "twin", "twin 101 201");
}

static void test_padding_makes_room_for_a_short_function(void **state)
{
	struct fixture *f = *state;

	fixture_remember(f);
	fixture_apply(f, "p",
		      "static int padded(void) { return 55; }\n"
		      "UPATCH_FUNC(asm_padded, padded);\n");
	assert_answer(f, "asm", "asm 0 22 33 33 55");
	fixture_revert(f, "p");
	assert_answer(f, "asm", "asm 0 22 33 33 0");
	fixture_assert_unchanged(f);
}

static void test_four_patches_of_one_function_leave_in_any_order(void **state)
{
	struct fixture *f = *state;

	fixture_remember(f);
	fixture_apply(f, "p1", SOURCE_SECRET(1));
	fixture_apply(f, "p2", SOURCE_SECRET(2));
	fixture_apply(f, "p3", SOURCE_SECRET(3));
	fixture_apply(f, "p4", SOURCE_SECRET(4));
	assert_answer(f, "call", "call 9 4 41 5");
	fixture_revert(f, "p2");
	assert_answer(f, "call", "call 10 4 42 5");
	fixture_revert(f, "p3");
	assert_answer(f, "call", "call 11 4 43 5");
	fixture_revert(f, "p1");
	assert_answer(f, "call", "call 12 4 44 5");
	fixture_revert(f, "p4");
	assert_answer(f, "call", "call 13 6 45 5");
	fixture_assert_unchanged(f);
}

/* The n-th order of the four, in the factorial number system. */
static void order_of(int n, int ret[4])
{
	int left[4] = { 1, 2, 3, 4 };

	for (int i = 0; i < 4; i++) {
		int pick = n % (4 - i);

		n /= 4 - i;
		ret[i] = left[pick];
		memmove(&left[pick], &left[pick + 1], (size_t)(3 - i - pick) * sizeof(left[0]));
	}
}

static void assert_secret(struct fixture *f, int expected)
{
	int known;

	assert_int_equal(sscanf(fixture_ask(f, "call"), "call %*d %d", &known), 1);
	assert_int_equal(known, expected);
}

static void test_the_newest_left_wins_in_all_twenty_four_orders(void **state)
{
	struct fixture *f = *state;
	int order[4];

	for (int n = 0; n < 24; n++) {
		bool is_left[5] = { true, true, true, true, true };

		fixture_apply(f, "p1", SOURCE_SECRET(1));
		fixture_apply(f, "p2", SOURCE_SECRET(2));
		fixture_apply(f, "p3", SOURCE_SECRET(3));
		fixture_apply(f, "p4", SOURCE_SECRET(4));
		order_of(n, order);
		for (int i = 0; i < 4; i++) {
			char name[8];
			int winner = 4;

			snprintf(name, sizeof(name), "p%d", order[i]);
			fixture_revert(f, name);
			is_left[order[i]] = false;
			while (winner && !is_left[winner])
				winner--;
			/* The original gives 6. */
			assert_secret(f, winner ? winner : 6);
		}
	}
}

static void test_klp_order_disable_2_then_3_leaves_1(void **state)
{
	struct fixture *f = *state;

	fixture_apply(f, "p1", SOURCE_SECRET(1));
	fixture_apply(f, "p2", SOURCE_SECRET(2));
	fixture_apply(f, "p3", SOURCE_SECRET(3));
	fixture_revert(f, "p2");
	assert_answer(f, "call", "call 9 3 41 5");
	fixture_revert(f, "p3");
	assert_answer(f, "call", "call 10 1 42 5");
	fixture_revert(f, "p1");
}

static void test_a_patch_is_listed_with_its_functions(void **state)
{
	struct fixture *f = *state;
	struct upatch_status *status;

	fixture_apply(f, "p1", SOURCE_SECRET(1));
	fixture_apply(f, "p2", SOURCE_SECRET(2));
	assert_int_equal(upatch_target_status(f->target, &status), 0);
	assert_int_equal(status->nr_patches, 2);
	assert_string_equal(status->patches[0].name, "p1");
	assert_string_equal(status->patches[0].state, "enabled");
	assert_string_equal(status->patches[0].objects[0].name, "victim");
	assert_string_equal(status->patches[0].objects[0].funcs[0].name, "secret");
	assert_false(status->patches[0].objects[0].funcs[0].is_winner);
	assert_true(status->patches[1].objects[0].funcs[0].is_winner);
	upatch_status_free(status);
}

static void test_two_functions_change_together(void **state)
{
	struct fixture *f = *state;

	fixture_apply(f, "p", SOURCE_ADD SOURCE_SECRET(9));
	assert_answer(f, "call", "call 2009 9 41 5");
	fixture_revert(f, "p");
	assert_answer(f, "call", "call 10 6 42 5");
}

static void test_check_changes_nothing_and_tells_who_is_in_the_way(void **state)
{
	struct fixture *f = *state;
	struct upatch_patch *patch = fixture_patch(f, "p", SOURCE_BLOCK);
	struct upatch_check *check;

	fixture_remember(f);
	assert_int_equal(upatch_target_check(f->target, patch, &check), 0);
	assert_true(check->applicable);
	assert_int_equal(check->nr_funcs, 1);
	assert_int_equal(check->nr_threads, 0);
	upatch_check_free(check);

	assert_answer(f, "block", "ok");
	fixture_wait_asleep(f, 2);
	assert_int_equal(upatch_target_check(f->target, patch, &check), 0);
	assert_int_equal(check->nr_threads, 1);
	assert_int_equal(check->threads[0].error.reason, UPATCH_E_IN_FUNCTION);
	assert_string_equal(check->threads[0].error.function, "block_here");
	assert_int_not_equal(check->threads[0].tid, f->pid);
	upatch_check_free(check);
	upatch_patch_close(patch);
}

static void test_check_reports_every_refused_function(void **state)
{
	struct fixture *f = *state;
	struct upatch_patch *patch = fixture_patch(f, "p", SOURCE_SECRET(1));
	struct upatch_check *check;

	fixture_apply(f, "q", SOURCE_SECRET(2));
	assert_int_equal(upatch_target_check(f->target, patch, &check), 0);
	assert_true(check->funcs[0].is_patched);
	assert_int_equal(check->funcs[0].error.reason, UPATCH_E_NONE);
	upatch_check_free(check);
	upatch_patch_close(patch);
}

#define victim_test(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		victim_test(test_a_function_is_replaced_and_comes_back),
		victim_test(test_a_private_function_is_replaced),
		victim_test(test_sympos_selects_one_of_two_functions_of_a_name),
		victim_test(test_padding_makes_room_for_a_short_function),
		victim_test(test_four_patches_of_one_function_leave_in_any_order),
		victim_test(test_the_newest_left_wins_in_all_twenty_four_orders),
		victim_test(test_klp_order_disable_2_then_3_leaves_1),
		victim_test(test_a_patch_is_listed_with_its_functions),
		victim_test(test_two_functions_change_together),
		victim_test(test_check_changes_nothing_and_tells_who_is_in_the_way),
		victim_test(test_check_reports_every_refused_function),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
