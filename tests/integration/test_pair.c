/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>
#include <upatch/pair.h>

#include "sources.h"

/* Two processes as one transaction. What the kernel's side does is tested where there is one: tests/vm. */

#define P "p"
#define UPPER "upper"

/* Words in memory that refer to its code: disabled, it is kept. */
#define SOURCE_REFERRED                                                                            \
	"#include <stdlib.h>\n"                                                                    \
	"static int new_secret(int x)\n"                                                           \
	"{\n"                                                                                      \
	"	void *volatile *word = malloc(sizeof(*word));\n"                                         \
	"	*word = (void *)new_secret;\n"                                                           \
	"	return 8;\n"                                                                             \
	"}\n"                                                                                      \
	"UPATCH_FUNC(secret, new_secret);\n"

enum {
	NR_PARTS = 2,
	TIMEOUT_MS = 1000,
	WARNING_MAX = 512,
};

/* The second one has a library context of its own, which does not matter: its PID does. */
struct two {
	struct fixture *one;
	struct fixture *other;
	struct upatch_pair_part parts[NR_PARTS]; /* enabled in this order */
};

static int setup(void **state)
{
	struct two *two = calloc(1, sizeof(*two));

	assert_non_null(two);
	two->one = fixture_start("pie");
	two->other = fixture_start("pie");
	two->parts[0].pid = two->one->pid;
	two->parts[1].pid = two->other->pid;
	*state = two;
	return 0;
}

static int teardown(void **state)
{
	struct two *two = *state;

	fixture_stop(two->one);
	fixture_stop(two->other);
	free(two);
	return 0;
}

typedef int (*change_fn)(struct upatch_ctx *ctx, struct upatch_patch *patch,
			 struct upatch_pair_part *parts, size_t nr_parts,
			 const struct upatch_pair_options *opts);

static int change(struct two *two, change_fn fn, const char *name, const char *source)
{
	const struct upatch_pair_options opts = { .size = sizeof(opts), .timeout_ms = TIMEOUT_MS };
	struct upatch_patch *patch = fixture_patch(two->one, name, source);
	int r;

	r = fn(two->one->ctx, patch, two->parts, NR_PARTS, &opts);
	upatch_patch_close(patch);
	return r;
}

static void assert_states(const struct two *two, const char *one, const char *other)
{
	assert_string_equal(upatch_part_state_name(two->parts[0].state), one);
	assert_string_equal(upatch_part_state_name(two->parts[1].state), other);
}

static void assert_secrets(struct two *two, const char *one, const char *other)
{
	assert_answer(two->one, "secret", one);
	assert_answer(two->other, "secret", other);
}

static void hold(struct fixture *f)
{
	assert_answer(f, "block", "ok");
	fixture_wait_asleep(f, 2);
}

static void test_check_says_what_apply_would_and_changes_nothing(void **state)
{
	struct two *two = *state;

	fixture_remember(two->one);
	fixture_remember(two->other);
	assert_int_equal(change(two, upatch_pair_check, P, SOURCE_SECRET(7)), 0);
	assert_states(two, "untouched", "untouched");
	fixture_assert_unchanged(two->one);
	fixture_assert_unchanged(two->other);
	fixture_apply(two->one, P, SOURCE_SECRET(7));
	assert_int_equal(change(two, upatch_pair_check, P, SOURCE_SECRET(7)), 0);
	assert_states(two, "there", "untouched");
	fixture_assert_unchanged(two->other);
	fixture_apply(two->other, P, SOURCE_SECRET(7));
	assert_true(change(two, upatch_pair_check, P, SOURCE_SECRET(7)) < 0);
	fixture_assert_reason(two->one, UPATCH_E_EXISTS);
	assert_states(two, "there", "there");
}

static void test_both_or_neither(void **state)
{
	struct two *two = *state;

	assert_int_equal(change(two, upatch_pair_apply, P, SOURCE_SECRET(7)), 0);
	assert_states(two, "done", "done");
	assert_secrets(two, "secret 7", "secret 7");
	assert_int_equal(change(two, upatch_pair_revert, P, SOURCE_SECRET(7)), 0);
	assert_secrets(two, "secret 6", "secret 6");
	hold(two->other);
	assert_true(change(two, upatch_pair_apply, P, SOURCE_BLOCK_AND_SECRET(7)) < 0);
	fixture_assert_reason(two->one, UPATCH_E_IN_FUNCTION);
	assert_states(two, "reversed", "reversed");
	assert_secrets(two, "secret 6", "secret 6");
}

/* --- there before ------------------------------------------------------------------------------ */

static void take_warning(void *userdata, enum upatch_log_level level, const char *line)
{
	if (level == UPATCH_LOG_WARNING)
		(void)snprintf(userdata, WARNING_MAX, "%s", line);
}

/* What this call did is reversed, what an earlier one did is not, and the caller is told what to do about it. */
static void test_what_was_there_before_is_named_when_the_rest_fails(void **state)
{
	struct two *two = *state;
	char warning[WARNING_MAX] = "", expected[WARNING_MAX];

	fixture_apply(two->one, P, SOURCE_BLOCK_AND_SECRET(7));
	hold(two->other);
	upatch_ctx_set_log(two->one->ctx, UPATCH_LOG_WARNING, take_warning, warning);
	assert_true(change(two, upatch_pair_apply, P, SOURCE_BLOCK_AND_SECRET(7)) < 0);
	fixture_assert_reason(two->one, UPATCH_E_IN_FUNCTION);
	assert_states(two, "there", "reversed");
	assert_secrets(two, "secret 7", "secret 6");
	snprintf(expected, sizeof(expected),
		 "transaction of patch 'p': process %d: had it before, and keeps it: "
		 "'upatchctl revert -p %d p' takes it away",
		 (int)two->one->pid, (int)two->one->pid);
	assert_string_equal(warning, expected);
	/* What it says is so. */
	fixture_revert(two->one, P);
	assert_secrets(two, "secret 6", "secret 6");
}

static void test_what_was_not_there_before_is_named_when_the_rest_comes_back(void **state)
{
	struct two *two = *state;
	char warning[WARNING_MAX] = "";

	fixture_apply(two->one, P, SOURCE_BLOCK_TOO SOURCE_SECRET(7));
	hold(two->one);
	upatch_ctx_set_log(two->one->ctx, UPATCH_LOG_WARNING, take_warning, warning);
	assert_true(change(two, upatch_pair_revert, P, SOURCE_BLOCK_TOO SOURCE_SECRET(7)) < 0);
	assert_states(two, "reversed", "there");
	assert_secrets(two, "secret 7", "secret 6");
	assert_non_null(strstr(warning, "did not have it before, and does not get it"));
	assert_non_null(strstr(warning, "upatchctl apply"));
}

/* --- kept -------------------------------------------------------------------------------------- */

static void test_what_is_kept_for_good_is_not_enabled(void **state)
{
	struct two *two = *state;

	fixture_apply(two->other, P, SOURCE_BLOCK_TOO SOURCE_SECRET(7));
	hold(two->other);
	fixture_revert_pending(two->other, P, 50);
	assert_int_equal(upatch_target_force(two->other->target, NULL, NULL), 0);
	assert_string_equal(fixture_state(two->other, P), "kept");
	assert_true(change(two, upatch_pair_apply, P, SOURCE_SECRET(7)) < 0);
	fixture_assert_reason(two->one, UPATCH_E_EXISTS);
	assert_non_null(strstr(upatch_ctx_error(two->one->ctx)->message, "for good"));
	/* It was known before anything was changed. */
	assert_states(two, "untouched", "refused");
	assert_secrets(two, "secret 6", "secret 6");
}

static void keep_referred(struct fixture *f)
{
	fixture_apply(f, P, SOURCE_REFERRED);
	assert_answer(f, "secret", "secret 8");
	assert_int_equal(upatch_target_revert(f->target, P, NULL, NULL), 0);
	assert_string_equal(fixture_state(f, P), "kept");
}

static void test_what_is_kept_counts_as_disabled(void **state)
{
	struct two *two = *state;

	keep_referred(two->other);
	/* Nobody knows before whether it may go by now: it is tried, and the other one reversed. */
	assert_true(change(two, upatch_pair_apply, P, SOURCE_REFERRED) < 0);
	fixture_assert_reason(two->one, UPATCH_E_EXISTS);
	assert_states(two, "reversed", "refused");
	assert_secrets(two, "secret 6", "secret 6");
}

static void test_what_is_kept_fails_to_come_back(void **state)
{
	struct two *two = *state;

	assert_int_equal(change(two, upatch_pair_apply, P, SOURCE_BLOCK_TOO SOURCE_REFERRED), 0);
	assert_secrets(two, "secret 8", "secret 8");
	hold(two->one);
	/* The second goes first, and is kept; the first one is held. */
	assert_true(change(two, upatch_pair_revert, P, SOURCE_BLOCK_TOO SOURCE_REFERRED) < 0);
	fixture_assert_reason(two->one, UPATCH_E_IN_FUNCTION);
	assert_states(two, "reversed", "failed");
	assert_int_equal(two->parts[1].reason, UPATCH_E_EXISTS);
	assert_secrets(two, "secret 8", "secret 6");
}

static void test_who_has_exited_is_not_pending(void **state)
{
	struct two *two = *state;

	assert_int_equal(change(two, upatch_pair_apply, P, SOURCE_SECRET(7)), 0);
	fixture_stop(two->other);
	two->other = fixture_start("pie");
	assert_true(change(two, upatch_pair_revert, P, SOURCE_SECRET(7)) < 0);
	assert_states(two, "untouched", "refused");
	assert_int_equal(two->parts[1].reason, UPATCH_E_NO_PROCESS);
}

/* --- no way back ------------------------------------------------------------------------------- */

static void test_what_would_come_back_on_top_is_refused(void **state)
{
	struct two *two = *state;

	assert_int_equal(change(two, upatch_pair_apply, P, SOURCE_BLOCK_TOO SOURCE_SECRET(7)), 0);
	fixture_apply(two->other, UPPER, SOURCE_SECRET(9));
	assert_true(change(two, upatch_pair_revert, P, SOURCE_BLOCK_TOO SOURCE_SECRET(7)) < 0);
	fixture_assert_reason(two->one, UPATCH_E_STACK_ORDER);
	assert_non_null(strstr(upatch_ctx_error(two->one->ctx)->message, UPPER));
	assert_states(two, "untouched", "refused");
	assert_secrets(two, "secret 7", "secret 9");
	fixture_revert(two->other, UPPER);
	/* The last one to go need not come back. */
	fixture_apply(two->one, UPPER, SOURCE_SECRET(9));
	assert_int_equal(change(two, upatch_pair_revert, P, SOURCE_BLOCK_TOO SOURCE_SECRET(7)), 0);
	assert_secrets(two, "secret 9", "secret 6");
}

static void test_what_would_stay_superseded_is_refused(void **state)
{
	const struct upatch_pair_options opts = { .size = sizeof(opts), .timeout_ms = TIMEOUT_MS };
	struct two *two = *state;
	struct upatch_patch *patch;
	const char *path;

	fixture_apply(two->one, UPPER, SOURCE_SECRET(9));
	path = fixture_build_as(two->one, P, SOURCE_SECRET(7), FIXTURE_REPLACE);
	assert_non_null(path);
	assert_int_equal(upatch_patch_open(two->one->ctx, path, &patch), 0);
	for (int is_apply = 0; is_apply < 2; is_apply++) {
		const change_fn fn = is_apply ? upatch_pair_apply : upatch_pair_check;

		assert_true(fn(two->one->ctx, patch, two->parts, NR_PARTS, &opts) < 0);
		fixture_assert_reason(two->one, UPATCH_E_UNSUPPORTED);
		assert_non_null(strstr(upatch_ctx_error(two->one->ctx)->message, UPPER));
		assert_states(two, "refused", "untouched");
	}
	assert_secrets(two, "secret 9", "secret 6");
	fixture_revert(two->one, UPPER);
	assert_int_equal(upatch_pair_apply(two->one->ctx, patch, two->parts, NR_PARTS, &opts), 0);
	upatch_patch_close(patch);
}

static void test_strict_order_refuses_before_anything_is_changed(void **state)
{
	struct two *two = *state;
	struct upatch_patch *patch;
	const char *path;

	assert_int_equal(change(two, upatch_pair_apply, P, SOURCE_SECRET(7)), 0);
	path = fixture_build_as(two->one, UPPER, SOURCE_SECRET(9), FIXTURE_STRICT);
	assert_non_null(path);
	assert_int_equal(upatch_patch_open(two->one->ctx, path, &patch), 0);
	assert_int_equal(upatch_target_apply(two->one->target, patch, NULL, NULL), 0);
	upatch_patch_close(patch);
	/* The one that would go last refuses, and the first one has not gone. */
	assert_true(change(two, upatch_pair_revert, P, SOURCE_SECRET(7)) < 0);
	fixture_assert_reason(two->one, UPATCH_E_STACK_ORDER);
	assert_states(two, "refused", "untouched");
	assert_secrets(two, "secret 9", "secret 7");
}

#define pair_test(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		pair_test(test_check_says_what_apply_would_and_changes_nothing),
		pair_test(test_both_or_neither),
		pair_test(test_what_was_there_before_is_named_when_the_rest_fails),
		pair_test(test_what_was_not_there_before_is_named_when_the_rest_comes_back),
		pair_test(test_what_is_kept_for_good_is_not_enabled),
		pair_test(test_what_is_kept_counts_as_disabled),
		pair_test(test_what_is_kept_fails_to_come_back),
		pair_test(test_who_has_exited_is_not_pending),
		pair_test(test_what_would_come_back_on_top_is_refused),
		pair_test(test_what_would_stay_superseded_is_refused),
		pair_test(test_strict_order_refuses_before_anything_is_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
