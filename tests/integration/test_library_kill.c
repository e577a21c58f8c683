/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "loader.h"

#include <stdlib.h>
#include <string.h>

#include "killer.h"

/*
 * A tool that is killed while it arms, or disarms, what makes libraries come patched: the victim loads
 * them all the same, with the patch or without, all of it or none; and the next run carries on.
 */

enum {
	POINTS_MAX = 4000,
};

static const struct loader_patch plug_100 = {
	.name = "p",
	.sources = { PLUG_VALUE(x + 100) "static int new_other(int x) { return x * 1000; }\n"
					 "UPATCH_FUNC(plug_other, new_other);\n" },
};

/* Old or new, from the constructor to the destructor. */
static bool assert_loads(struct fixture *f)
{
	bool is_new;

	assert_answer(f, "open plug", "ok");
	is_new = strcmp(fixture_ask(f, "call plug plug_value 1"), "101") == 0;
	assert_answer(f, "call plug plug_value 1", is_new ? "101" : "11");
	assert_answer(f, "call plug plug_other 2", is_new ? "2000" : "20");
	assert_answer(f, "close plug", "ok");
	assert_answer(f, "notes", is_new ? "notes begin 101 end 101" : "notes begin 11 end 11");
	return is_new;
}

static void assert_applies(struct fixture *f, struct upatch_patch *patch)
{
	if (upatch_target_apply(f->target, patch, NULL, NULL) != 0)
		fixture_assert_reason(f, UPATCH_E_EXISTS);
	assert_string_equal(fixture_state(f, "p"), "enabled");
	assert_true(assert_loads(f));
}

static void assert_reverts(struct fixture *f)
{
	if (upatch_target_revert(f->target, "p", NULL, NULL) != 0)
		fixture_assert_reason(f, UPATCH_E_NOT_APPLIED);
	fixture_drop_kept(f, "p");
	assert_string_equal(fixture_state(f, "p"), "none");
	assert_false(assert_loads(f));
	fixture_assert_unchanged(f);
}

static void run(struct fixture *f, enum act act, const char *name)
{
	struct upatch_patch *patch;
	bool was_killed = true;
	int nr = 0;

	assert_int_equal(upatch_patch_open(f->ctx, loader_build(f, &plug_100), &patch), 0);
	assert_false(assert_loads(f));
	fixture_remember(f);
	for (; was_killed; nr++) {
		assert_true(nr < POINTS_MAX);
		if (getenv("UPATCH_TEST_LOG"))
			print_message("# point %d\n", nr + 1);
		if (act == ACT_REVERT)
			assert_applies(f, patch);
		was_killed = killer_kill_at(f, act, nr + 1);
		(void)assert_loads(f);
		if (nr % 2)
			assert_applies(f, patch);
		assert_reverts(f);
	}
	print_message("# %s: killed at %d points, survived %d\n", name, nr - 1, nr - 1);
	assert_true(nr > 50);
	upatch_patch_close(patch);
}

static void test_killed_while_arming(void **state)
{
	run(*state, ACT_APPLY, "arming");
}

static void test_killed_while_disarming(void **state)
{
	run(*state, ACT_REVERT, "disarming");
}

/* The library is there, and the tool has the agent place its part. */
static void test_killed_while_a_part_is_placed(void **state)
{
	struct fixture *f = *state;
	struct upatch_patch *patch;
	bool was_killed = true;
	int nr = 0;

	assert_int_equal(upatch_patch_open(f->ctx, loader_build(f, &plug_100), &patch), 0);
	assert_answer(f, "open plug", "ok");
	(void)fixture_ask(f, "notes");
	fixture_remember(f);
	for (; was_killed; nr++) {
		const char *value;

		assert_true(nr < POINTS_MAX);
		was_killed = killer_kill_at(f, ACT_APPLY, nr + 1);
		value = fixture_ask(f, "call plug plug_value 1");
		assert_answer(f, "call plug plug_other 2",
			      strcmp(value, "101") == 0 ? "2000" : "20");
		/* It goes and comes again, in whatever state its part is. */
		if (nr % 3 == 0) {
			assert_answer(f, "close plug", "ok");
			assert_answer(f, "open plug", "ok");
		}
		if (upatch_target_revert(f->target, "p", NULL, NULL) != 0)
			fixture_assert_reason(f, UPATCH_E_NOT_APPLIED);
		fixture_drop_kept(f, "p");
		assert_answer(f, "call plug plug_value 1", "11");
		assert_string_equal(fixture_state(f, "p"), "none");
		fixture_assert_unchanged(f);
	}
	print_message("# placing: killed at %d points, survived %d\n", nr - 1, nr - 1);
	assert_true(nr > 50);
	upatch_patch_close(patch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		loader_test(test_killed_while_arming),
		loader_test(test_killed_while_disarming),
		loader_test(test_killed_while_a_part_is_placed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
