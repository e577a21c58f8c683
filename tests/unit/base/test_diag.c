/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/diag.h"

struct log {
	char text[256];
	unsigned int nr;
	enum upatch_log_level level;
};

static void keep_line(void *userdata, enum upatch_log_level level, const char *line)
{
	struct log *log = userdata;

	(void)snprintf(log->text, sizeof(log->text), "%s", line);
	log->level = level;
	log->nr++;
}

static int setup(void **state)
{
	static struct diag diag;

	diag_init(&diag);
	*state = &diag;
	return 0;
}

static int teardown(void **state)
{
	diag_deinit(*state);
	return 0;
}

static void test_a_new_diag_has_no_error_but_a_message_to_print(void **state)
{
	struct diag *d = *state;

	assert_int_equal(d->error.reason, UPATCH_E_NONE);
	assert_string_equal(d->error.message, "");
}

static void test_an_error_returns_its_errno_and_keeps_the_facts(void **state)
{
	struct diag *d = *state;
	const struct diag_where where = { .tid = 12, .function = "greet" };

	assert_int_equal(diag_err(d, -EBUSY, UPATCH_E_IN_FUNCTION, &where, "tid %d waits", 12),
			 -EBUSY);
	assert_int_equal(d->error.reason, UPATCH_E_IN_FUNCTION);
	assert_int_equal(d->error.error, -EBUSY);
	assert_int_equal(d->error.tid, 12);
	assert_string_equal(d->error.function, "greet");
	assert_string_equal(d->error.message, "tid 12 waits");
	assert_null(d->error.object);
}

static void test_what_a_caller_does_not_say_comes_from_the_scope(void **state)
{
	struct diag *d = *state;
	const struct diag_where where = { .object = "libz.so.1" };

	d->scope = (struct diag_where){ .pid = 7, .patch = "cve-1", .object = "redis-server" };
	(void)diag_err(d, -ENOENT, UPATCH_E_NO_FUNCTION, &where, "no such function");
	assert_int_equal(d->error.pid, 7);
	assert_string_equal(d->error.patch, "cve-1");
	assert_string_equal(d->error.object, "libz.so.1");
}

static void test_strings_are_copied(void **state)
{
	struct diag *d = *state;
	char name[] = "greet";
	const struct diag_where where = { .function = name };

	(void)diag_err(d, -EINVAL, UPATCH_E_TOO_SHORT, &where, "too short");
	memset(name, 'x', strlen(name));
	assert_string_equal(d->error.function, "greet");
}

static void test_the_first_failure_wins_and_the_next_is_logged(void **state)
{
	struct diag *d = *state;
	struct log log = { 0 };

	d->log = keep_line;
	d->log_userdata = &log;
	d->log_level = UPATCH_LOG_DEBUG;
	(void)diag_err(d, -EBUSY, UPATCH_E_TRACED, NULL, "traced by 1");
	assert_int_equal(diag_err(d, -EIO, UPATCH_E_IO, NULL, "undo failed"), -EIO);
	assert_int_equal(d->error.reason, UPATCH_E_TRACED);
	assert_string_equal(d->error.message, "traced by 1");
	assert_int_equal(log.nr, 1);
	assert_non_null(strstr(log.text, "undo failed"));
}

static void test_after_clearing_another_failure_is_kept(void **state)
{
	struct diag *d = *state;

	(void)diag_err(d, -EBUSY, UPATCH_E_TRACED, NULL, "traced by 1");
	diag_clear(d);
	assert_int_equal(d->error.reason, UPATCH_E_NONE);
	(void)diag_oom(d);
	assert_int_equal(d->error.reason, UPATCH_E_NO_MEMORY);
}

static void test_a_detail_can_be_attached_and_replaced(void **state)
{
	struct diag *d = *state;

	(void)diag_err(d, -EBUSY, UPATCH_E_IN_FUNCTION, NULL, "in greet");
	diag_set_detail(d, "#0 read");
	diag_set_detail(d, "#0 read\n#1 greet");
	assert_string_equal(d->error.detail, "#0 read\n#1 greet");
}

static void test_without_a_diag_the_errno_still_arrives(void **state)
{
	assert_int_equal(diag_err(NULL, -EPERM, UPATCH_E_PERMISSION, NULL, "no"), -EPERM);
	assert_int_equal(diag_oom(NULL), -ENOMEM);
}

static void test_lines_above_the_level_are_not_logged(void **state)
{
	struct diag *d = *state;
	struct log log = { 0 };

	d->log = keep_line;
	d->log_userdata = &log;
	d->log_level = UPATCH_LOG_INFO;
	diag_debug(d, "hidden");
	assert_int_equal(log.nr, 0);
	diag_info(d, "target %d: shown", 5);
	diag_warn(d, "target %d: warned", 5);
	assert_int_equal(log.nr, 2);
	assert_int_equal(log.level, UPATCH_LOG_WARNING);
	assert_string_equal(log.text, "target 5: warned");
}

static void test_an_error_set_aside_survives_an_undo_that_fails_and_clears(void **state)
{
	struct diag *d = *state;
	struct upatch_error cause;

	(void)diag_err(d, -EPERM, UPATCH_E_CALLBACK, NULL, "the cause");
	cause = diag_set_aside(d);
	assert_int_equal(d->error.reason, UPATCH_E_NONE);
	(void)diag_err(d, -EIO, UPATCH_E_IO, NULL, "of no interest");
	diag_clear(d);
	(void)diag_err(d, -EIO, UPATCH_E_IO, NULL, "nor this");
	diag_put_back(d, &cause);
	assert_int_equal(d->error.reason, UPATCH_E_CALLBACK);
	assert_string_equal(d->error.message, "the cause");
}

static void test_reasons_have_distinct_names(void **state)
{
	for (unsigned int a = 0; a < UPATCH_E_COUNT; a++) {
		const char *name = upatch_reason_name(a);

		assert_true(name && *name);
		for (unsigned int b = 0; b < a; b++)
			assert_string_not_equal(name, upatch_reason_name(b));
	}
}

static void test_every_failure_says_what_to_do_and_exits_with_a_failure(void **state)
{
	assert_int_equal(upatch_reason_exit(UPATCH_E_NONE), UPATCH_EXIT_DONE);
	for (unsigned int reason = UPATCH_E_NONE + 1; reason < UPATCH_E_COUNT; reason++) {
		assert_true(strlen(upatch_reason_hint(reason)) > 0);
		assert_int_not_equal(upatch_reason_exit(reason), UPATCH_EXIT_DONE);
	}
}

static void test_a_reason_of_a_newer_library_counts_as_internal(void **state)
{
	assert_string_equal(upatch_reason_name(UPATCH_E_COUNT), "internal");
	assert_string_equal(upatch_reason_name((enum upatch_reason) - 1), "internal");
}

#define diag_test(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		diag_test(test_a_new_diag_has_no_error_but_a_message_to_print),
		diag_test(test_an_error_returns_its_errno_and_keeps_the_facts),
		diag_test(test_what_a_caller_does_not_say_comes_from_the_scope),
		diag_test(test_strings_are_copied),
		diag_test(test_the_first_failure_wins_and_the_next_is_logged),
		diag_test(test_after_clearing_another_failure_is_kept),
		diag_test(test_an_error_set_aside_survives_an_undo_that_fails_and_clears),
		diag_test(test_a_detail_can_be_attached_and_replaced),
		diag_test(test_without_a_diag_the_errno_still_arrives),
		diag_test(test_lines_above_the_level_are_not_logged),
		cmocka_unit_test(test_reasons_have_distinct_names),
		cmocka_unit_test(test_every_failure_says_what_to_do_and_exits_with_a_failure),
		cmocka_unit_test(test_a_reason_of_a_newer_library_counts_as_internal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
