/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include <stdio.h>
#include <string.h>

/* What is wrong is said in the same words in text and in JSON. */
static void assert_usage(const struct cli *cli, const char *part)
{
	assert_exit(cli, UPATCH_EXIT_USAGE);
	if (cli->json) {
		assert_json_reason(cli, "usage");
		assert_contains(json_string_at(cli->json, "errors.0.message"), part);
		return;
	}
	assert_text_reason(cli, "usage");
	assert_contains(cli->err, part);
	assert_string_equal(cli->out, "");
}

static void test_verb_must_be_given_and_known(void **state)
{
	struct cli *cli = *state;

	cli_run(cli, (const char *const[]){ "upatchctl", NULL });
	assert_usage(cli, "a verb is missing");
	run(cli, "aply");
	assert_usage(cli, "unknown verb 'aply'");
	run(cli, "--json", "aply");
	assert_usage(cli, "unknown verb 'aply'");
}

static void test_unknown_option_is_named(void **state)
{
	struct cli *cli = *state;

	run(cli, "--frobnicate", "status");
	assert_usage(cli, "'--frobnicate'");
	run(cli, "status", "--frobnicate");
	assert_usage(cli, "'--frobnicate'");
	run(cli, "status", "-x");
	assert_usage(cli, "'-x'");
}

static void test_json_holds_for_a_complaint_about_an_option_before_it(void **state)
{
	struct cli *cli = *state;

	run(cli, "status", "--frobnicate", "--json");
	assert_usage(cli, "'--frobnicate'");
}

static void test_option_without_its_value_is_named(void **state)
{
	struct cli *cli = *state;

	run(cli, "apply", "fix.upatch", "-p");
	assert_exit(cli, UPATCH_EXIT_USAGE);
	assert_contains(cli->err, "option '--pid' needs a value");
	run(cli, "status", "--json=yes");
	assert_exit(cli, UPATCH_EXIT_USAGE);
	assert_contains(cli->err, "option '--json' takes no value");
}

static void test_values_that_a_space_cut_off_are_explained(void **state)
{
	struct cli *cli = *state;

	run(cli, "apply", "-p", NO_SUCH_PID, "2", "fix.upatch");
	assert_usage(cli, "'fix.upatch'; it is --pid=PID,PID");
	run(cli, "gc", "-p", NO_SUCH_PID, "2");
	assert_usage(cli, "'2'; it is --pid=PID,PID");
	run(cli, "apply", "-p", NO_SUCH_PID, "--wait", "0.5", "fix.upatch");
	assert_usage(cli, "--wait=SECONDS");
	run(cli, "status", "fix.upatch");
	assert_usage(cli, "unexpected argument 'fix.upatch' [");
}

static void test_bad_pid_is_a_usage_error(void **state)
{
	static const char *const pids[] = {
		"abc",
		"0",
		"-1",
		"+1",
		" 1",
		"1 ",
		"1x",
		"",
		"1,",
		",1",
		"1,0",
		"2147483648",
		"99999999999999999999999999",
	};
	static const char *const verbs[] = {
		"check", "apply", "revert", "wait", "threads", "force", "gc", "status",
	};
	struct cli *cli = *state;

	for (size_t v = 0; v < sizeof(verbs) / sizeof(verbs[0]); v++)
		for (size_t i = 0; i < sizeof(pids) / sizeof(pids[0]); i++) {
			run(cli, verbs[v], "-p", pids[i], "--json");
			assert_exit(cli, UPATCH_EXIT_USAGE);
			assert_string_equal(json_string_at(cli->json, "errors.0.reason"), "usage");
			assert_contains(json_string_at(cli->json, "errors.0.message"),
					"option '--pid': ");
			assert_contains(json_string_at(cli->json, "errors.0.message"), pids[i]);
		}
}

/* Valid until the next one. */
static const char *wait_for(const char *time)
{
	static char option[64];

	snprintf(option, sizeof(option), "--wait=%s", time);
	return option;
}

static void test_bad_wait_is_a_usage_error(void **state)
{
	static const char *const times[] = {
		"abc", "",    ".",    "-1",  "1s",	"1.2.3",
		"nan", "inf", "0x10", "1e3", "4294968", "99999999999999999999999999",
	};
	struct cli *cli = *state;

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		run(cli, "revert", "-p", NO_SUCH_PID, "fix", wait_for(times[i]));
		assert_usage(cli, "option '--wait': ");
		assert_contains(cli->err, times[i]);
	}
}

static void test_wait_may_have_a_fraction(void **state)
{
	static const char *const times[] = { "0", "2", "0.25", ".5", "1.", "3.14159", "4294967" };
	struct cli *cli = *state;

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		run(cli, "revert", "-p", NO_SUCH_PID, "fix", wait_for(times[i]));
		assert_exit(cli, UPATCH_EXIT_NOTHING);
	}
}

static void test_missing_and_surplus_arguments_are_named(void **state)
{
	struct cli *cli = *state;

	run(cli, "inspect");
	assert_usage(cli, "the patch file is missing");
	run(cli, "inspect", "a.upatch", "b.upatch");
	assert_usage(cli, "'b.upatch'");
	run(cli, "check", "a.upatch");
	assert_usage(cli, "'--pid'");
	run(cli, "apply", "a.upatch");
	assert_usage(cli, "'--pid'");
	run(cli, "apply", "-p", "1");
	assert_usage(cli, "the patch file is missing");
	run(cli, "revert", "-p", "1");
	assert_usage(cli, "the name of the patch is missing");
	run(cli, "status", "1");
	assert_usage(cli, "'1'");
	run(cli, "force", "--yes");
	assert_usage(cli, "'--pid'");
	run(cli, "force", "--yes", "-p", NO_SUCH_PID, "fix");
	assert_usage(cli, "'fix'");
	run(cli, "build", "fix.c");
	assert_usage(cli, "'fix.c'");
	run(cli, "build");
	assert_usage(cli, "'--source'");
}

static void test_verbs_about_transitions_take_targets_only(void **state)
{
	static const char *const verbs[] = { "wait", "threads", "gc" };
	struct cli *cli = *state;

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		run(cli, verbs[i]);
		assert_usage(cli, "'--pid'");
		run(cli, verbs[i], "-p", NO_SUCH_PID, "fix");
		assert_usage(cli, "'fix'");
		run(cli, verbs[i], "-p", NO_SUCH_PID);
		assert_exit(cli, UPATCH_EXIT_NOTHING);
		assert_text_reason(cli, "no-process");
	}
}

static void test_force_needs_a_yes_or_somebody_to_ask(void **state)
{
	struct cli *cli = *state;

	run(cli, "force", "-p", NO_SUCH_PID);
	assert_usage(cli, "'--yes'");
	run(cli, "force", "-p", NO_SUCH_PID, "--json");
	assert_usage(cli, "'--yes'");
	run(cli, "force", "-p", NO_SUCH_PID, "--yes=no");
	assert_usage(cli, "option '--yes' takes no value");
	run(cli, "force", "-p", NO_SUCH_PID, "--yes");
	assert_exit(cli, UPATCH_EXIT_NOTHING);
	assert_text_reason(cli, "no-process");
}

static void test_wait_may_come_without_a_time(void **state)
{
	struct cli *cli = *state;

	run(cli, "revert", "-p", NO_SUCH_PID, "fix", "--wait");
	assert_exit(cli, UPATCH_EXIT_NOTHING);
	/* The time goes behind an equals sign: this is an argument too many. */
	run(cli, "revert", "-p", NO_SUCH_PID, "--wait", "5", "fix");
	assert_usage(cli, "'fix'");
	run(cli, "revert", "-p", NO_SUCH_PID, "fix", "--no-wait=1");
	assert_usage(cli, "option '--no-wait' takes no value");
	run(cli, "revert", "-p", NO_SUCH_PID, "fix", "--scan-memory=1");
	assert_usage(cli, "option '--scan-memory' takes no value");
	run(cli, "revert", "-p", NO_SUCH_PID, "fix", "--timeout=1");
	assert_usage(cli, "'--timeout=1'");
}

static void test_stack_order_is_strict_or_any(void **state)
{
	static const char *const orders[] = { "", "STRICT", "stric", "strict ", "none" };
	struct cli *cli = *state;

	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		run(cli, "build", "--source", "fix.c", "--stack-order", orders[i]);
		assert_usage(cli, "option '--stack-order': ");
	}
	run(cli, "build", "--source", "fix.c", "--stack-order");
	assert_usage(cli, "option '--stack-order' needs a value");
}

static void test_object_must_be_name_and_path(void **state)
{
	static const char *const objects[] = { "program", "program=", "=path", "=", "" };
	struct cli *cli = *state;

	for (size_t i = 0; i < sizeof(objects) / sizeof(objects[0]); i++) {
		run(cli, "build", "--source", "fix.c", "--object", objects[i]);
		assert_usage(cli, "option '--object': ");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verb_must_be_given_and_known),
		cmocka_unit_test(test_unknown_option_is_named),
		cmocka_unit_test(test_json_holds_for_a_complaint_about_an_option_before_it),
		cmocka_unit_test(test_option_without_its_value_is_named),
		cmocka_unit_test_setup_teardown(test_values_that_a_space_cut_off_are_explained,
						cli_setup, cli_teardown),
		cmocka_unit_test(test_bad_pid_is_a_usage_error),
		cmocka_unit_test(test_bad_wait_is_a_usage_error),
		cmocka_unit_test(test_wait_may_have_a_fraction),
		cmocka_unit_test(test_missing_and_surplus_arguments_are_named),
		cmocka_unit_test(test_verbs_about_transitions_take_targets_only),
		cmocka_unit_test(test_force_needs_a_yes_or_somebody_to_ask),
		cmocka_unit_test(test_wait_may_come_without_a_time),
		cmocka_unit_test(test_stack_order_is_strict_or_any),
		cmocka_unit_test(test_object_must_be_name_and_path),
	};

	return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}
