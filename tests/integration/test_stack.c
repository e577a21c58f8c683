/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

#include "sources.h"

/* Several patches on the same functions: strict order, and patches that replace all others. */

static struct upatch_patch *build(struct fixture *f, const char *name, const char *source,
				  enum fixture_build_flags flags)
{
	struct upatch_patch *patch;
	const char *path = fixture_build_as(f, name, source, flags);

	assert_non_null(path);
	assert_int_equal(upatch_patch_open(f->ctx, path, &patch), 0);
	return patch;
}

static void apply(struct fixture *f, const char *name, const char *source,
		  enum fixture_build_flags flags)
{
	struct upatch_patch *patch = build(f, name, source, flags);

	if (upatch_target_apply(f->target, patch, NULL, NULL) != 0)
		fail_msg("%s", upatch_ctx_error(f->ctx)->message);
	upatch_patch_close(patch);
}

static void apply_pending(struct fixture *f, const char *name, const char *source,
			  enum fixture_build_flags flags)
{
	struct upatch_options opts = { .flags = UPATCH_NO_WAIT };
	struct upatch_patch *patch = build(f, name, source, flags);

	assert_int_equal(upatch_target_apply(f->target, patch, &opts, NULL), UPATCH_PENDING);
	upatch_patch_close(patch);
}

/* Gone for good: what stale words keep is freed. */
static void assert_gone(struct fixture *f, const char *name)
{
	fixture_drop_kept(f, name);
	assert_string_equal(fixture_state(f, name), "none");
}

#define SOURCE_UNLIKELY(value)                                                                     \
	"static int new_unlikely(int x) { return " #value "; }\n"                                  \
	"UPATCH_FUNC(unlikely, new_unlikely);\n"

/* --- strict ----------------------------------------------------------------------------------- */

static void assert_revert_refused(struct fixture *f, const char *name, const char *newer)
{
	char quoted[64];

	assert_true(upatch_target_revert(f->target, name, NULL, NULL) < 0);
	fixture_assert_reason(f, UPATCH_E_STACK_ORDER);
	assert_string_equal(upatch_ctx_error(f->ctx)->patch, name);
	snprintf(quoted, sizeof(quoted), "'%s'", newer);
	assert_non_null(strstr(upatch_ctx_error(f->ctx)->message, quoted));
}

static void test_a_strict_patch_goes_only_from_the_top(void **state)
{
	struct fixture *f = *state;

	fixture_remember(f);
	apply(f, "one", SOURCE_SECRET(1), FIXTURE_STRICT);
	apply(f, "two", SOURCE_SECRET(2), 0);
	assert_revert_refused(f, "one", "two");
	assert_answer(f, "secret", "secret 2");
	fixture_revert(f, "two");
	fixture_revert(f, "one");
	assert_answer(f, "secret", "secret 6");
	fixture_assert_unchanged(f);
}

static void test_what_a_strict_patch_is_on_stays(void **state)
{
	struct fixture *f = *state;

	apply(f, "one", SOURCE_SECRET(1), 0);
	apply(f, "two", SOURCE_SECRET(2), FIXTURE_STRICT);
	assert_revert_refused(f, "one", "two");
	fixture_revert(f, "two");
	fixture_revert(f, "one");
	assert_answer(f, "secret", "secret 6");
}

static void test_strict_order_is_about_common_functions(void **state)
{
	struct fixture *f = *state;

	apply(f, "one", SOURCE_SECRET(1), FIXTURE_STRICT);
	apply(f, "two", SOURCE_UNLIKELY(2), FIXTURE_STRICT);
	fixture_revert(f, "one");
	assert_answer(f, "call", "call 9 6 41 2");
}

/* --- replace ---------------------------------------------------------------------------------- */

static void test_a_replace_patch_supersedes_all_others(void **state)
{
	struct fixture *f = *state;

	fixture_remember(f);
	apply(f, "one", SOURCE_SECRET(1), 0);
	apply(f, "two", SOURCE_UNLIKELY(2), 0);
	assert_answer(f, "call", "call 9 1 41 2");
	fixture_forget_told(f);
	/* It lacks unlikely(), which goes back to the original. */
	apply(f, "all", SOURCE_SECRET(3), FIXTURE_REPLACE);
	assert_answer(f, "call", "call 10 3 42 5");
	assert_gone(f, "one");
	assert_gone(f, "two");
	assert_string_equal(fixture_state(f, "all"), "enabled");
	fixture_revert(f, "all");
	assert_gone(f, "all");
	assert_answer(f, "call", "call 11 6 43 5");
	fixture_assert_unchanged(f);
}

static void test_replace_by_an_older_version_and_back(void **state)
{
	struct fixture *f = *state;

	fixture_remember(f);
	apply(f, "v1", SOURCE_SECRET(1), FIXTURE_REPLACE);
	apply(f, "v2", SOURCE_SECRET(2) SOURCE_UNLIKELY(2), FIXTURE_REPLACE);
	assert_answer(f, "call", "call 9 2 41 2");
	assert_gone(f, "v1");
	apply(f, "v1", SOURCE_SECRET(1), FIXTURE_REPLACE);
	assert_answer(f, "call", "call 10 1 42 5");
	assert_gone(f, "v2");
	fixture_revert(f, "v1");
	assert_gone(f, "v1");
	assert_answer(f, "call", "call 11 6 43 5");
	fixture_assert_unchanged(f);
}

/* One thread sleeps in @patch's block_here() while it is being superseded. */
static void open_replacing(struct fixture *f)
{
	fixture_remember(f);
	apply(f, "one", SOURCE_BLOCK_TOO SOURCE_SECRET(1), 0);
	apply(f, "two", SOURCE_UNLIKELY(2), 0);
	assert_answer(f, "block", "ok");
	fixture_wait_asleep(f, 2);
	apply_pending(f, "all", SOURCE_SECRET(3), FIXTURE_REPLACE);
	assert_string_equal(upatch_ctx_error(f->ctx)->function, "block_here");
	/* Nobody else runs any of the two. */
	assert_answer(f, "call", "call 9 3 41 5");
	assert_string_equal(fixture_state(f, "all"), "enabling");
	assert_string_equal(fixture_state(f, "one"), "enabled");
}

static void test_a_thread_in_a_superseded_patch_holds_the_transition(void **state)
{
	struct fixture *f = *state;

	open_replacing(f);
	assert_answer(f, "release", "ok");
	assert_int_equal(upatch_target_wait(f->target, NULL, NULL), UPATCH_DONE);
	assert_gone(f, "one");
	assert_gone(f, "two");
	assert_answer(f, "call", "call 10 3 42 5");
	fixture_wait_asleep(f, 1);
	fixture_revert(f, "all");
	assert_answer(f, "call", "call 11 6 43 5");
}

static void test_replacing_is_reversed_to_all_that_were_there(void **state)
{
	struct fixture *f = *state;

	open_replacing(f);
	fixture_revert(f, "all");
	assert_gone(f, "all");
	assert_answer(f, "call", "call 10 1 42 2");
	assert_answer(f, "release", "ok");
	fixture_wait_asleep(f, 1);
	fixture_revert(f, "one");
	fixture_revert(f, "two");
	assert_answer(f, "call", "call 11 6 43 5");
}

static bool is_forced(struct fixture *f, const char *name)
{
	struct upatch_status *status;
	bool is_forced = false;

	assert_int_equal(upatch_target_status(f->target, &status), 0);
	for (size_t i = 0; i < status->nr_patches; i++)
		if (strcmp(status->patches[i].name, name) == 0)
			is_forced = status->patches[i].forced;
	upatch_status_free(status);
	return is_forced;
}

static void test_forced_replacing_pins_all_that_were_superseded(void **state)
{
	struct fixture *f = *state;
	struct upatch_gc gc;

	open_replacing(f);
	assert_int_equal(upatch_target_force(f->target, NULL, NULL), 0);
	assert_string_equal(fixture_state(f, "one"), "kept");
	assert_string_equal(fixture_state(f, "two"), "kept");
	assert_true(is_forced(f, "one"));
	assert_true(is_forced(f, "two"));
	assert_false(is_forced(f, "all"));
	/* The new one can go after it was cleanly disabled. */
	fixture_revert(f, "all");
	assert_gone(f, "all");
	assert_answer(f, "release", "ok");
	fixture_wait_asleep(f, 1);
	assert_int_equal(upatch_target_gc(f->target, &gc), 0);
	assert_int_equal(gc.kept, 2);
	assert_answer(f, "call", "call 10 6 42 5");
}

#define victim_test(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		victim_test(test_a_strict_patch_goes_only_from_the_top),
		victim_test(test_what_a_strict_patch_is_on_stays),
		victim_test(test_strict_order_is_about_common_functions),
		victim_test(test_a_replace_patch_supersedes_all_others),
		victim_test(test_replace_by_an_older_version_and_back),
		victim_test(test_a_thread_in_a_superseded_patch_holds_the_transition),
		victim_test(test_replacing_is_reversed_to_all_that_were_there),
		victim_test(test_forced_replacing_pins_all_that_were_superseded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
