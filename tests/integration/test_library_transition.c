/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "loader.h"

#include <poll.h>
#include <string.h>

/*
 * Libraries that come, and go, while a transition is open: their functions take part in it. A thread is
 * in block_and_call(), which changes together with the library's function.
 */

static const struct upatch_options no_wait = { .flags = UPATCH_NO_WAIT };

static const struct loader_patch both = {
	.name = "p",
	.sources = { "#include <upatch/livepatch.h>\n"
		     "UPATCH_OBJECT(\"victim-loader\");\n"
		     "static int new_block(int fd) { return fd; }\n"
		     "UPATCH_FUNC(block_and_call, new_block);\n",
		     PLUG_VALUE(x + 100) },
};

static void start(struct fixture *f)
{
	assert_answer(f, "block caller", "ok");
	fixture_wait_asleep(f, 2);
	assert_int_equal(loader_try_apply(f, &both, &no_wait), UPATCH_PENDING);
	fixture_assert_reason(f, UPATCH_E_IN_FUNCTION);
	assert_answer(f, "open plug", "ok");
}

/* The thread that lags behind calls the library's function, and leaves. */
static void assert_late(struct fixture *f, const char *expected)
{
	assert_answer(f, "aim plug plug_value", "ok");
	assert_answer(f, "release", "ok");
	for (int i = 0; i < 5000 && strcmp(fixture_ask(f, "late"), "late 0") == 0; i++)
		poll(NULL, 0, 1);
	assert_answer(f, "late", expected);
}

static void test_a_laggard_runs_the_old_version_of_a_library_that_came(void **state)
{
	struct fixture *f = *state;

	start(f);
	assert_answer(f, "notes", "notes begin 101");
	assert_answer(f, "call plug plug_value 1", "101");
	assert_late(f, "late 11");
	assert_int_equal(upatch_target_wait(f->target, NULL, NULL), 0);
	assert_string_equal(fixture_state(f, "p"), "enabled");
	assert_answer(f, "call plug plug_value 1", "101");
	assert_answer(f, "close plug", "ok");
	fixture_revert(f, "p");
}

static void test_a_reversal_covers_it(void **state)
{
	struct fixture *f = *state;

	start(f);
	assert_answer(f, "call plug plug_value 1", "101");
	assert_int_equal(upatch_target_revert(f->target, "p", NULL, NULL), 0);
	assert_answer(f, "call plug plug_value 1", "11");
	assert_late(f, "late 11");
	fixture_drop_kept(f, "p");
	assert_string_equal(fixture_state(f, "p"), "none");
	assert_answer(f, "close plug", "ok");
	assert_answer(f, "notes", "notes begin 101 end 11");
}

static void test_force_covers_it(void **state)
{
	struct fixture *f = *state;

	start(f);
	assert_int_equal(upatch_target_force(f->target, NULL, NULL), 0);
	assert_answer(f, "call plug plug_value 1", "101");
	assert_late(f, "late 101");
	assert_answer(f, "close plug", "ok");
	fixture_revert(f, "p");
}

static void test_it_may_go_while_the_transition_is_open(void **state)
{
	struct fixture *f = *state;

	start(f);
	assert_answer(f, "close plug", "ok");
	assert_answer(f, "notes", "notes begin 101 end 101");
	assert_answer(f, "open plug", "ok");
	assert_late(f, "late 11");
	assert_int_equal(upatch_target_wait(f->target, NULL, NULL), 0);
	assert_answer(f, "call plug plug_value 1", "101");
	/* And while it is being disabled. */
	assert_answer(f, "close plug", "ok");
	fixture_revert(f, "p");
	assert_answer(f, "open plug", "ok");
	assert_answer(f, "call plug plug_value 1", "11");
}

static void test_a_library_that_comes_while_the_patch_is_disabled_bit_by_bit(void **state)
{
	/* Its replacement blocks, so that a thread is in it when the patch goes. */
	static const struct loader_patch blocks = {
		.name = "p",
		.sources = { "#include <upatch/livepatch.h>\n"
			     "UPATCH_OBJECT(\"victim-loader\");\n"
			     "extern int (*late_function)(int) UPATCH_PRIVATE(\"late_function\", 0);\n"
			     "extern int late_value UPATCH_PRIVATE(\"late_value\", 0);\n"
			     "extern void block_here(int fd);\n"
			     "static int new_block(int fd)\n"
			     "{\n"
			     "	block_here(fd);\n"
			     "	late_value = late_function(1);\n"
			     "	return late_value;\n"
			     "}\n"
			     "UPATCH_FUNC(block_and_call, new_block);\n",
			     PLUG_VALUE(x + 100) },
	};
	struct fixture *f = *state;

	loader_apply(f, &blocks);
	assert_answer(f, "block caller", "ok");
	fixture_wait_asleep(f, 2);
	assert_int_equal(upatch_target_revert(f->target, "p", &no_wait, NULL), UPATCH_PENDING);
	assert_answer(f, "open plug", "ok");
	/* Whoever has switched runs the original, the other thread the version that it is in. */
	assert_answer(f, "notes", "notes begin 11");
	assert_late(f, "late 101");
	assert_int_equal(upatch_target_wait(f->target, NULL, NULL), 0);
	fixture_drop_kept(f, "p");
	assert_answer(f, "call plug plug_value 1", "11");
	assert_string_equal(fixture_state(f, "p"), "none");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		loader_test(test_a_laggard_runs_the_old_version_of_a_library_that_came),
		loader_test(test_a_reversal_covers_it),
		loader_test(test_force_covers_it),
		loader_test(test_it_may_go_while_the_transition_is_open),
		loader_test(test_a_library_that_comes_while_the_patch_is_disabled_bit_by_bit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
