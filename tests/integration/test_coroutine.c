/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include <string.h>

#include "sources.h"

/* Functions that are suspended on a stack of no thread: no walk shows them. */

#define P "p"

/* As the original, but for what it returns. */
#define SOURCE_SUSPEND                                                                             \
	"#include <ucontext.h>\n"                                                                  \
	"extern ucontext_t main_context UPATCH_PRIVATE(\"main_context\", 0);\n"                    \
	"extern ucontext_t coroutine_context UPATCH_PRIVATE(\"coroutine_context\", 0);\n"          \
	"static int new_suspend(int x)\n"                                                          \
	"{\n"                                                                                      \
	"	swapcontext(&coroutine_context, &main_context);\n"                                       \
	"	return x + 100;\n"                                                                       \
	"}\n"                                                                                      \
	"UPATCH_FUNC(suspend_here, new_suspend);\n"

static int apply(struct fixture *f, unsigned int flags)
{
	struct upatch_options opts = { .flags = flags, .timeout_ms = 100 };
	struct upatch_patch *patch = fixture_patch(f, P, SOURCE_SUSPEND);
	int r = upatch_target_apply(f->target, patch, &opts, NULL);

	upatch_patch_close(patch);
	return r;
}

static void test_what_a_coroutine_is_suspended_in_is_kept(void **state)
{
	struct fixture *f = *state;
	struct upatch_gc gc;

	fixture_remember(f);
	assert_int_equal(apply(f, 0), 0);
	assert_answer(f, "coroutine", "ok");
	assert_int_equal(upatch_target_revert(f->target, P, NULL, NULL), 0);
	assert_string_equal(fixture_state(f, P), "kept");
	assert_int_equal(upatch_target_gc(f->target, &gc), 0);
	assert_int_equal(gc.kept, 1);
	/* It goes on in code that is still there. */
	assert_answer(f, "resume", "resumed 101");
	assert_answer(f, "scrub", "ok");
	assert_int_equal(upatch_target_gc(f->target, &gc), 0);
	assert_int_equal(gc.freed, 1);
	assert_int_equal(gc.kept, 0);
	assert_string_equal(fixture_state(f, P), "none");
	assert_answer(f, "coroutine", "ok");
	assert_answer(f, "resume", "resumed 2");
}

static void test_without_a_scan_only_threads_count(void **state)
{
	struct fixture *f = *state;

	assert_answer(f, "coroutine", "ok");
	assert_int_equal(apply(f, 0), 0);
	/* The original stays where it is, patched or not. */
	assert_answer(f, "resume", "resumed 2");
	assert_answer(f, "coroutine", "ok");
	assert_answer(f, "resume", "resumed 101");
}

static void test_a_scan_finds_what_is_suspended_in_the_old_function(void **state)
{
	struct fixture *f = *state;

	assert_answer(f, "coroutine", "ok");
	fixture_remember(f);
	assert_true(apply(f, UPATCH_SCAN_MEMORY) < 0);
	fixture_assert_reason(f, UPATCH_E_SUSPENDED);
	assert_string_equal(upatch_ctx_error(f->ctx)->function, "suspend_here");
	assert_string_equal(fixture_state(f, P), "none");
	fixture_assert_unchanged(f);
	assert_answer(f, "resume", "resumed 2");
	assert_answer(f, "scrub", "ok");
	assert_int_equal(apply(f, UPATCH_SCAN_MEMORY), 0);
	assert_answer(f, "coroutine", "ok");
	assert_answer(f, "resume", "resumed 101");
}

static void test_a_scan_finds_what_is_suspended_in_the_new_function(void **state)
{
	struct upatch_options opts = { .flags = UPATCH_SCAN_MEMORY, .timeout_ms = 100 };
	struct fixture *f = *state;

	assert_int_equal(apply(f, 0), 0);
	assert_answer(f, "coroutine", "ok");
	assert_true(upatch_target_revert(f->target, P, &opts, NULL) < 0);
	fixture_assert_reason(f, UPATCH_E_SUSPENDED);
	assert_string_equal(fixture_state(f, P), "enabled");
	assert_answer(f, "resume", "resumed 101");
	assert_answer(f, "scrub", "ok");
	assert_int_equal(upatch_target_revert(f->target, P, &opts, NULL), 0);
	assert_answer(f, "coroutine", "ok");
	assert_answer(f, "resume", "resumed 2");
}

#define victim_test(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		victim_test(test_what_a_coroutine_is_suspended_in_is_kept),
		victim_test(test_without_a_scan_only_threads_count),
		victim_test(test_a_scan_finds_what_is_suspended_in_the_old_function),
		victim_test(test_a_scan_finds_what_is_suspended_in_the_new_function),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
