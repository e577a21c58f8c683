/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ERROR_KEYS "reason exit errno pid comm tid patch object function message detail hint"
#define RESULT_KEYS "pid comm patch state exit reason longest_pause_ms wall_ms stops threads"

static void assert_no_process(struct cli *cli, const char *verb, const char *operand)
{
	run(cli, verb, "-p", NO_SUCH_PID, operand);
	assert_exit(cli, UPATCH_EXIT_NOTHING);
	assert_text_reason(cli, "no-process");
	assert_contains(cli->err, "process " NO_SUCH_PID ": ");
	run(cli, verb, "-p", NO_SUCH_PID, operand, "--json");
	assert_exit(cli, UPATCH_EXIT_NOTHING);
	assert_json_reason(cli, "no-process");
	assert_string_equal(json_string_at(cli->json, "errors.0.errno"), "ESRCH");
	assert_string_equal(json_object_get_string(json_at(cli->json, "errors.0.pid")),
			    NO_SUCH_PID);
	assert_string_equal(json_string_at(cli->json, "results.0.state"), "nothing");
	assert_string_equal(json_string_at(cli->json, "results.0.reason"), "no-process");
}

static void test_process_that_does_not_exist_is_nothing_to_patch(void **state)
{
	struct cli *cli = *state;

	cli_build_patch(cli);
	assert_no_process(cli, "check", "fix.upatch");
	assert_no_process(cli, "apply", "fix.upatch");
	assert_no_process(cli, "revert", "fix");
	run(cli, "status", "-p", NO_SUCH_PID);
	assert_exit(cli, UPATCH_EXIT_NOTHING);
	assert_text_reason(cli, "no-process");
}

static void test_results_have_the_documented_fields(void **state)
{
	struct cli *cli = *state;

	cli_build_patch(cli);
	run(cli, "apply", "-p", NO_SUCH_PID, "fix.upatch", "--json");
	assert_keys(cli->json, "verb exit warnings errors results");
	assert_string_equal(json_string_at(cli->json, "verb"), "apply");
	assert_keys(json_at(cli->json, "errors.0"), ERROR_KEYS);
	assert_keys(json_at(cli->json, "results.0"), RESULT_KEYS);
	run(cli, "revert", "-p", NO_SUCH_PID, "fix", "--json");
	assert_keys(json_at(cli->json, "results.0"), RESULT_KEYS);
	run(cli, "check", "-p", NO_SUCH_PID, "fix.upatch", "--json");
	assert_keys(json_at(cli->json, "results.0"),
		    "pid comm patch state exit reason enabled objects funcs threads");
	run(cli, "status", "-p", NO_SUCH_PID, "--json");
	assert_keys(cli->json, "verb exit warnings errors processes");
}

static void test_each_of_several_targets_has_its_row(void **state)
{
	struct cli *cli = *state;

	run(cli, "revert", "-p", NO_SUCH_PID, "--pid", "99999998,99999997", "fix", "--json");
	assert_exit(cli, UPATCH_EXIT_NOTHING);
	assert_int_equal(json_object_array_length(json_at(cli->json, "results")), 3);
	assert_int_equal(json_object_array_length(json_at(cli->json, "errors")), 3);
	assert_int_equal(json_object_get_int(json_at(cli->json, "results.2.pid")), 99999997);
}

static void test_target_that_is_given_twice_is_worked_on_once(void **state)
{
	struct cli *cli = *state;

	run(cli, "revert", "-p", NO_SUCH_PID, "-p", NO_SUCH_PID, "fix", "--json");
	assert_int_equal(json_object_array_length(json_at(cli->json, "results")), 1);
}

static void assert_refused(struct cli *cli, const char *file, const char *reason)
{
	run(cli, "inspect", file);
	assert_exit(cli, UPATCH_EXIT_REFUSED);
	assert_text_reason(cli, reason);
	run(cli, "inspect", file, "--json");
	assert_exit(cli, UPATCH_EXIT_REFUSED);
	assert_json_reason(cli, reason);
	run(cli, "apply", "-p", NO_SUCH_PID, file, "--json");
	assert_exit(cli, UPATCH_EXIT_REFUSED);
	assert_json_reason(cli, reason);
	assert_keys(cli->json, "verb exit warnings errors");
}

static void test_patch_file_that_is_no_elf_file_is_refused(void **state)
{
	struct cli *cli = *state;

	cli_write(cli, "text.upatch",
		  "this is a text, long enough to hold the header of an ELF "
		  "file, and some more, so that only its content is wrong\n");
	cli_write(cli, "empty.upatch", "");
	assert_refused(cli, "text.upatch", "not-elf");
	assert_refused(cli, "empty.upatch", "not-elf");
}

static void test_elf_file_that_is_no_patch_file_is_refused(void **state)
{
	assert_refused(*state, getenv("PROGRAM"), "bad-patchfile");
}

static void test_patch_file_that_cannot_be_opened_is_refused_by_name(void **state)
{
	struct cli *cli = *state;

	assert_refused(cli, "nowhere.upatch", "io");
	assert_contains(json_string_at(cli->json, "errors.0.message"), "nowhere.upatch");
}

/* Else "no patches" would be taken for an answer about the host. */
static void test_who_may_not_look_into_all_is_told_so(void **state)
{
	const uid_t nobody = 65534;
	struct cli *cli = *state;
	bool is_root = geteuid() == 0;
	bool can_run;

	if (is_root) {
		assert_int_equal(chown(cli->dir, nobody, (gid_t)-1), 0);
		assert_int_equal(setresuid(nobody, nobody, 0), 0);
	}
	can_run = euidaccess(getenv("UPATCHCTL"), X_OK) == 0;
	if (can_run)
		run(cli, "status", "--json");
	if (is_root)
		assert_int_equal(setresuid(0, 0, 0), 0);
	if (!can_run) {
		print_message("skipped: user %d may not run %s\n", (int)nobody,
			      getenv("UPATCHCTL"));
		skip();
	}
	assert_exit(cli, UPATCH_EXIT_DONE);
	assert_contains(json_string_at(cli->json, "warnings.0"), "may not look into");
}

static void test_text_and_json_say_the_same(void **state)
{
	struct cli *cli = *state;
	char *message, *hint;

	run(cli, "inspect", "nowhere.upatch", "--json");
	message = strdup(json_string_at(cli->json, "errors.0.message"));
	hint = strdup(json_string_at(cli->json, "errors.0.hint"));
	assert_true(message && hint);
	run(cli, "inspect", "nowhere.upatch");
	assert_contains(cli->err, "upatchctl: inspect: ");
	assert_contains(cli->err, message);
	assert_contains(cli->err, hint);
	free(message);
	free(hint);
}

static void test_quiet_prints_errors_only(void **state)
{
	struct cli *cli = *state;

	run(cli, "revert", "-q", "-p", NO_SUCH_PID, "fix");
	assert_exit(cli, UPATCH_EXIT_NOTHING);
	assert_string_equal(cli->out, "");
	assert_text_reason(cli, "no-process");
}

static pid_t start_process_named(const char *comm)
{
	int ready[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, comm);
		if (write(ready[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void test_name_of_a_process_cannot_reach_the_terminal_or_spoil_json(void **state)
{
	struct cli *cli = *state;
	pid_t pid = start_process_named("a\033[2J\nb\xff");
	char text[16];

	snprintf(text, sizeof(text), "%d", (int)pid);
	run(cli, "revert", "-p", text, "fix");
	assert_contains(cli->err, "(a\\x1b[2J\\x0ab\\xff): ");
	assert_lacks(cli->out, "\033");
	assert_lacks(cli->out, "\xff");
	run(cli, "revert", "-p", text, "fix", "--json");
	assert_string_equal(json_string_at(cli->json, "results.0.comm"), "a\\x1b[2J\\x0ab\\xff");
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_process_that_does_not_exist_is_nothing_to_patch),
		cmocka_unit_test(test_results_have_the_documented_fields),
		cmocka_unit_test(test_each_of_several_targets_has_its_row),
		cmocka_unit_test(test_target_that_is_given_twice_is_worked_on_once),
		cmocka_unit_test(test_patch_file_that_is_no_elf_file_is_refused),
		cmocka_unit_test(test_elf_file_that_is_no_patch_file_is_refused),
		cmocka_unit_test(test_patch_file_that_cannot_be_opened_is_refused_by_name),
		cmocka_unit_test_setup_teardown(test_who_may_not_look_into_all_is_told_so,
						cli_setup, cli_teardown),
		cmocka_unit_test(test_text_and_json_say_the_same),
		cmocka_unit_test(test_quiet_prints_errors_only),
		cmocka_unit_test(test_name_of_a_process_cannot_reach_the_terminal_or_spoil_json),
	};

	return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}
