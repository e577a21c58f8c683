/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Open transitions, as an admin meets them: text, JSON and exit status say the same. */

enum {
	WAIT_MS = 10000,
};

struct holder {
	struct cli *cli;
	pid_t pid;
	int to;
	char pid_text[16];
};

static bool is_asleep(pid_t pid)
{
	char path[64], state = '?';
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%*d %*s %c", &state), 1);
	fclose(file);
	return state == 'S';
}

/* What it was told has been read, and it waits for more. */
static void tell(struct holder *h, const char *what)
{
	assert_int_equal(write(h->to, what, strlen(what)), (ssize_t)strlen(what));
	for (int ms = 0; ms < WAIT_MS; ms++) {
		int unread = -1;

		assert_int_equal(ioctl(h->to, FIONREAD, &unread), 0);
		if (unread == 0 && is_asleep(h->pid))
			return;
		(void)poll(NULL, 0, 1);
	}
	fail_msg("the target does not read its input");
}

/* NAME.upatch, in which hold() does that; @option may be NULL. */
static void build(struct holder *h, const char *name, const char *body, const char *option)
{
	char *file, *text;

	assert_true(asprintf(&file, "%s.c", name) > 0);
	assert_true(asprintf(&text,
			     "#include <unistd.h>\n"
			     "#include <upatch/livepatch.h>\n"
			     "UPATCH_OBJECT(\"cli-holder\");\n"
			     "static void new_hold(void) { %s }\n"
			     "UPATCH_FUNC(hold, new_hold);\n",
			     body) > 0);
	cli_write(h->cli, file, text);
	run(h->cli, "build", "-s", file, "--object", getenv("HOLDER_OBJECT"), option);
	assert_exit(h->cli, UPATCH_EXIT_DONE);
	free(file);
	free(text);
}

static int setup(void **state)
{
	struct holder *h = calloc(1, sizeof(*h));
	void *cli;
	int to[2], from[2];
	char c;

	assert_non_null(h);
	assert_int_equal(cli_setup(&cli), 0);
	h->cli = cli;
	assert_int_equal(pipe(to), 0);
	assert_int_equal(pipe(from), 0);
	h->pid = fork();
	assert_true(h->pid >= 0);
	if (h->pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(to[0], STDIN_FILENO);
		dup2(from[1], STDOUT_FILENO);
		close(to[1]);
		execl(getenv("HOLDER"), "cli-holder", (char *)NULL);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	h->to = to[1];
	assert_int_equal(read(from[0], &c, 1), 1); /* it is in main() */
	close(from[0]);
	snprintf(h->pid_text, sizeof(h->pid_text), "%d", (int)h->pid);
	build(h, "fix", "", NULL);
	*state = h;
	return 0;
}

static int teardown(void **state)
{
	struct holder *h = *state;
	void *cli = h->cli;

	kill(h->pid, SIGKILL);
	waitpid(h->pid, NULL, 0);
	close(h->to);
	free(h);
	return cli_teardown(&cli);
}

/* The target is in hold(), and the patch half way. */
static void open_transition(struct holder *h)
{
	tell(h, "h");
	run(h->cli, "apply", "-p", h->pid_text, "fix.upatch", "--no-wait");
	assert_exit(h->cli, UPATCH_EXIT_PENDING);
}

static void apply(struct holder *h, const char *file)
{
	run(h->cli, "apply", "-p", h->pid_text, file);
	assert_exit(h->cli, UPATCH_EXIT_DONE);
}

/* The target is in the new hold(), and the patch half way out. */
static void open_disabling(struct holder *h)
{
	build(h, "fix",
	      "char c = 0;"
	      "while (c != '.') if (read(0, &c, 1) != 1) _exit(0);"
	      "__asm__ volatile(\"\");",
	      NULL);
	apply(h, "fix.upatch");
	tell(h, "h");
	run(h->cli, "revert", "-p", h->pid_text, "fix", "--no-wait");
	assert_exit(h->cli, UPATCH_EXIT_PENDING);
	assert_contains(h->cli->err, "the unpatching transition is open");
}

static void assert_state(struct holder *h, const char *state)
{
	run(h->cli, "status", "-p", h->pid_text, "--json");
	assert_exit(h->cli, UPATCH_EXIT_DONE);
	assert_string_equal(json_string_at(h->cli->json, "processes.0.patches.0.state"), state);
}

static int number_at(struct holder *h, const char *path)
{
	return json_object_get_int(json_at(h->cli->json, path));
}

static void test_apply_that_cannot_complete_says_who_holds_it(void **state)
{
	struct holder *h = *state;
	char thread[64];

	open_transition(h);
	snprintf(thread, sizeof(thread), "thread %s: ", h->pid_text);
	assert_contains(h->cli->out, "pending");
	assert_contains(h->cli->out, "in-function");
	assert_text_reason(h->cli, "in-function");
	assert_contains(h->cli->err, "hold: ");
	assert_contains(h->cli->err, thread);
	assert_contains(h->cli->err, "transition is open");
	assert_contains(h->cli->err, "#1 ");
	assert_contains(h->cli->err, "main+0x");
	assert_contains(h->cli->err, "hint: ");
	/* Once more, with the same answer as JSON. */
	run(h->cli, "apply", "-p", h->pid_text, "fix.upatch", "--wait=0.1", "--json");
	assert_exit(h->cli, UPATCH_EXIT_PENDING);
	assert_json_reason(h->cli, "in-function");
	assert_string_equal(json_string_at(h->cli->json, "results.0.state"), "pending");
	assert_string_equal(json_string_at(h->cli->json, "errors.0.function"), "hold");
	assert_int_equal(json_object_get_int(json_at(h->cli->json, "errors.0.tid")), h->pid);
}

static void test_status_and_threads_show_it(void **state)
{
	struct holder *h = *state;

	open_transition(h);
	run(h->cli, "status", "-p", h->pid_text, "--json");
	assert_exit(h->cli, UPATCH_EXIT_DONE);
	assert_string_equal(json_string_at(h->cli->json, "processes.0.patches.0.state"),
			    "enabling");
	assert_int_equal(
		json_object_get_int(json_at(h->cli->json, "processes.0.patches.0.blocked.0")),
		h->pid);
	run(h->cli, "threads", "-p", h->pid_text, "--json");
	assert_exit(h->cli, UPATCH_EXIT_DONE);
	assert_string_equal(json_string_at(h->cli->json, "processes.0.patch"), "fix");
	assert_keys(json_at(h->cli->json, "processes.0.threads.0"),
		    "tid comm state version reason function frames");
	assert_string_equal(json_string_at(h->cli->json, "processes.0.threads.0.version"),
			    "unpatched");
	assert_string_equal(json_string_at(h->cli->json, "processes.0.threads.0.function"), "hold");
	run(h->cli, "threads", "-p", h->pid_text);
	assert_contains(h->cli->out, "unpatched");
	assert_contains(h->cli->out, "in-function");
	assert_contains(h->cli->out, "hold+0x");
	assert_contains(h->cli->out, "main+0x");
}

static void test_threads_of_a_target_at_rest(void **state)
{
	struct holder *h = *state;

	run(h->cli, "threads", "-p", h->pid_text, "--json");
	assert_exit(h->cli, UPATCH_EXIT_DONE);
	assert_keys(json_at(h->cli->json, "processes.0"), "pid comm patch backtraces threads");
	assert_null(json_at(h->cli->json, "processes.0.patch"));
	assert_int_equal(number_at(h, "processes.0.threads.0.state"), -1);
	run(h->cli, "threads", "-p", h->pid_text);
	assert_contains(h->cli->out, "no transition is open\n");
	assert_lacks(h->cli->out, "main+0x");
	run(h->cli, "threads", "-p", h->pid_text, "--backtrace");
	assert_contains(h->cli->out, "main+0x");
}

static void test_waiting_ends_after_its_time(void **state)
{
	struct holder *h = *state;

	open_transition(h);
	run(h->cli, "wait", "-p", h->pid_text, "--wait=0.1", "--json");
	assert_exit(h->cli, UPATCH_EXIT_PENDING);
	assert_json_reason(h->cli, "in-function");
	assert_null(json_at(h->cli->json, "results.0.patch"));
	assert_true(json_object_get_double(json_at(h->cli->json, "results.0.wall_ms")) >= 100);
	assert_state(h, "enabling");
}

static void test_wait_carries_on_when_it_has_left(void **state)
{
	struct holder *h = *state;

	open_transition(h);
	run(h->cli, "wait", "-p", h->pid_text, "--no-wait");
	assert_exit(h->cli, UPATCH_EXIT_PENDING);
	assert_text_reason(h->cli, "in-function");
	tell(h, ".");
	run(h->cli, "wait", "-p", h->pid_text);
	assert_exit(h->cli, UPATCH_EXIT_DONE);
	run(h->cli, "status", "-p", h->pid_text);
	assert_contains(h->cli->out, "enabled");
	run(h->cli, "revert", "-p", h->pid_text, "fix");
	assert_exit(h->cli, UPATCH_EXIT_DONE);
	run(h->cli, "wait", "-p", h->pid_text);
	assert_exit(h->cli, UPATCH_EXIT_DONE);
}

static void test_revert_turns_it_around(void **state)
{
	struct holder *h = *state;

	open_transition(h);
	run(h->cli, "revert", "-p", h->pid_text, "fix");
	assert_exit(h->cli, UPATCH_EXIT_DONE);
	run(h->cli, "status", "-p", h->pid_text);
	assert_contains(h->cli->out, "no patches");
	tell(h, ".");
}

static void test_apply_turns_a_revert_around(void **state)
{
	struct holder *h = *state;

	open_disabling(h);
	assert_state(h, "disabling");
	run(h->cli, "apply", "-p", h->pid_text, "fix.upatch", "-v");
	assert_exit(h->cli, UPATCH_EXIT_DONE);
	assert_contains(h->cli->err, "reversing transition from unpatching to patching\n");
	assert_state(h, "enabled");
}

static void test_a_second_patch_is_busy_with_the_first(void **state)
{
	struct holder *h = *state;

	open_transition(h);
	run(h->cli, "build", "-s", "fix.c", "--name", "other", "-o", "other.upatch", "--object",
	    getenv("HOLDER_OBJECT"));
	run(h->cli, "apply", "-p", h->pid_text, "other.upatch");
	assert_exit(h->cli, UPATCH_EXIT_REFUSED);
	assert_text_reason(h->cli, "busy");
	assert_contains(h->cli->err, "'fix'");
}

static void test_force_asks_first(void **state)
{
	struct holder *h = *state;

	open_transition(h);
	run(h->cli, "force", "-p", h->pid_text);
	assert_exit(h->cli, UPATCH_EXIT_USAGE);
	assert_contains(h->cli->err, "--yes");
	run(h->cli, "status", "-p", h->pid_text);
	assert_contains(h->cli->out, "enabling");
}

static void test_force_tells_who_was_forced_and_where(void **state)
{
	struct holder *h = *state;

	open_transition(h);
	run(h->cli, "force", "-p", h->pid_text, "--yes", "--json");
	assert_exit(h->cli, UPATCH_EXIT_DONE);
	assert_string_equal(json_string_at(h->cli->json, "results.0.patch"), "fix");
	assert_int_equal(json_object_get_int(json_at(h->cli->json, "results.0.forced.0.tid")),
			 h->pid);
	assert_string_equal(json_string_at(h->cli->json, "results.0.forced.0.function"), "hold");
	run(h->cli, "status", "-p", h->pid_text);
	assert_contains(h->cli->out, "enabled");
	/* Nothing is open any more. */
	run(h->cli, "force", "-p", h->pid_text, "--yes");
	assert_exit(h->cli, UPATCH_EXIT_NOTHING);
	assert_text_reason(h->cli, "no-transition");
	tell(h, ".");
}

static void test_what_was_forced_away_is_kept(void **state)
{
	struct holder *h = *state;

	open_disabling(h);
	run(h->cli, "force", "-p", h->pid_text, "--yes");
	assert_exit(h->cli, UPATCH_EXIT_DONE);
	assert_contains(h->cli->out, "forced thread ");
	assert_contains(h->cli->out, ", which was in hold:\n    #0 ");
	assert_state(h, "kept");
	assert_true(json_object_get_boolean(json_at(h->cli->json, "processes.0.patches.0.forced")));
	assert_string_equal(json_string_at(h->cli->json, "processes.0.patches.0.because"),
			    "forced");
	tell(h, "."); /* out of code that is still there */
	run(h->cli, "gc", "-p", h->pid_text, "--json");
	assert_exit(h->cli, UPATCH_EXIT_DONE);
	assert_int_equal(number_at(h, "results.0.freed"), 0);
	assert_int_equal(number_at(h, "results.0.kept"), 1);
	assert_string_equal(json_string_at(h->cli->json, "results.0.patches.0.patch"), "fix");
	assert_string_equal(json_string_at(h->cli->json, "results.0.patches.0.because"), "forced");
	run(h->cli, "gc", "-p", h->pid_text);
	assert_contains(h->cli->out, "KEPT BECAUSE\nfix  forced\n");
	run(h->cli, "apply", "-p", h->pid_text, "fix.upatch");
	assert_exit(h->cli, UPATCH_EXIT_REFUSED);
	assert_text_reason(h->cli, "exists");
}

static void test_rows_of_force_have_the_documented_fields(void **state)
{
	static const char keys[] = "pid comm patch state exit reason forced";
	struct holder *h = *state;

	run(h->cli, "force", "-p", h->pid_text, "--yes", "--json");
	assert_exit(h->cli, UPATCH_EXIT_NOTHING);
	assert_json_reason(h->cli, "no-transition");
	assert_keys(json_at(h->cli->json, "results.0"), keys);
	assert_string_equal(json_string_at(h->cli->json, "results.0.state"), "nothing");
	open_transition(h);
	run(h->cli, "force", "-p", h->pid_text, "--yes", "--json");
	assert_exit(h->cli, UPATCH_EXIT_DONE);
	assert_keys(json_at(h->cli->json, "results.0"), keys);
	assert_null(json_at(h->cli->json, "results.0.reason"));
}

static void test_gc_with_nothing_kept(void **state)
{
	struct holder *h = *state;

	run(h->cli, "gc", "-p", h->pid_text, "--json");
	assert_exit(h->cli, UPATCH_EXIT_DONE);
	assert_keys(json_at(h->cli->json, "results.0"), "pid comm patches freed kept exit reason");
	assert_int_equal(json_object_get_int(json_at(h->cli->json, "results.0.kept")), 0);
	run(h->cli, "gc", "-p", NO_SUCH_PID);
	assert_exit(h->cli, UPATCH_EXIT_NOTHING);
	assert_text_reason(h->cli, "no-process");
}

static void test_stack_order_is_strict_or_any(void **state)
{
	struct holder *h = *state;

	run(h->cli, "build", "-s", "fix.c", "--stack-order", "strict", "--replace", "--object",
	    getenv("HOLDER_OBJECT"), "--json");
	assert_exit(h->cli, UPATCH_EXIT_DONE);
	assert_string_equal(json_string_at(h->cli->json, "patch.stack_order"), "strict");
	assert_true(json_object_get_boolean(json_at(h->cli->json, "patch.replace")));
	run(h->cli, "build", "-s", "fix.c", "--stack-order", "loose");
	assert_exit(h->cli, UPATCH_EXIT_USAGE);
	assert_contains(h->cli->err, "loose");
}

static void test_a_strict_patch_is_not_reverted_under_another(void **state)
{
	struct holder *h = *state;

	build(h, "one", "", "--stack-order=strict");
	build(h, "two", "", NULL);
	apply(h, "one.upatch");
	apply(h, "two.upatch");
	run(h->cli, "revert", "-p", h->pid_text, "one");
	assert_exit(h->cli, UPATCH_EXIT_REFUSED);
	assert_text_reason(h->cli, "stack-order");
	assert_contains(h->cli->err, "'two'");
	assert_state(h, "enabled");
}

static struct json_object *last_patch(struct holder *h)
{
	struct json_object *patches = json_at(h->cli->json, "processes.0.patches");
	size_t nr = json_object_array_length(patches);

	assert_true(nr > 0);
	return json_object_array_get_idx(patches, nr - 1);
}

static unsigned int count_enabled(struct holder *h)
{
	struct json_object *patches = json_at(h->cli->json, "processes.0.patches");
	unsigned int nr = 0;

	for (size_t i = 0; i < json_object_array_length(patches); i++)
		if (strcmp(json_string_at(json_object_array_get_idx(patches, i), "state"),
			   "enabled") == 0)
			nr++;
	return nr;
}

static void test_a_replace_patch_disables_the_others(void **state)
{
	struct holder *h = *state;

	build(h, "one", "", NULL);
	build(h, "all", "", "--replace");
	apply(h, "one.upatch");
	apply(h, "all.upatch");
	run(h->cli, "status", "-p", h->pid_text, "--json");
	assert_int_equal(count_enabled(h), 1);
	assert_true(json_object_get_boolean(json_at(last_patch(h), "replace")));
	assert_string_equal(json_string_at(last_patch(h), "name"), "all");
	assert_string_equal(json_string_at(last_patch(h), "state"), "enabled");
	run(h->cli, "revert", "-p", h->pid_text, "all");
	assert_exit(h->cli, UPATCH_EXIT_DONE);
	run(h->cli, "status", "-p", h->pid_text);
	assert_lacks(h->cli->out, "enabled");
}

/* What is not loaded yet is a part of the patch like all others: where it is, and what will become of it. */
static void test_check_lists_a_library_that_is_not_loaded(void **state)
{
	struct holder *h = *state;

	cli_write(h->cli, "late.c",
		  "#include <upatch/livepatch.h>\n"
		  "UPATCH_OBJECT(\"cli-library\");\n"
		  "static int new_answer(int x) { return x; }\n"
		  "UPATCH_FUNC(library_answer, new_answer);\n");
	run(h->cli, "build", "-s", "fix.c", "-s", "late.c", "--object", getenv("HOLDER_OBJECT"),
	    "--object", getenv("LIBRARY_OBJECT"));
	assert_exit(h->cli, UPATCH_EXIT_DONE);
	run(h->cli, "check", "-p", h->pid_text, "fix.upatch", "--json");
	assert_exit(h->cli, UPATCH_EXIT_DONE);
	assert_keys(json_at(h->cli->json, "results.0.objects.0"),
		    "name build_id state when_loaded reason message");
	assert_keys(json_at(h->cli->json, "results.0.funcs.0"),
		    "object function state addr patched reason");
	assert_string_equal(json_string_at(h->cli->json, "results.0.objects.0.name"),
			    "cli-library");
	assert_string_equal(json_string_at(h->cli->json, "results.0.objects.0.state"), "waiting");
	assert_contains(json_string_at(h->cli->json, "results.0.objects.0.when_loaded"),
			"patched at once");
	assert_string_equal(json_string_at(h->cli->json, "results.0.objects.1.state"), "loaded");
	assert_string_equal(json_string_at(h->cli->json, "results.0.funcs.0.function"),
			    "library_answer");
	assert_null(json_at(h->cli->json, "results.0.funcs.0.addr"));
	run(h->cli, "check", "-p", h->pid_text, "fix.upatch");
	assert_exit(h->cli, UPATCH_EXIT_DONE);
	assert_contains(h->cli->out, "WHEN-LOADED");
	assert_contains(h->cli->out, "patched at once; another build does without");
	assert_contains(h->cli->out, "library_answer waiting");
}

/* The module is for no kernel there is: what has two sides changes neither, or only the one that is meant. */
static void test_a_patch_with_two_sides_changes_both_or_the_one_that_is_meant(void **state)
{
	struct holder *h = *state;
	char *module;

	assert_true(asprintf(&module, "--kernel-module=%s", getenv("KLP_MODULE")) > 0);
	build(h, "pair", "", module);
	free(module);
	run(h->cli, "apply", "-p", h->pid_text, "pair.upatch", "--json");
	assert_exit(h->cli, UPATCH_EXIT_REFUSED);
	assert_json_reason(h->cli, "no-module");
	assert_string_equal(json_string_at(h->cli->json, "results.0.pid"), "kernel");
	assert_string_equal(json_string_at(h->cli->json, "results.0.state"), "untouched");
	assert_int_equal(number_at(h, "results.1.pid"), h->pid);
	assert_string_equal(json_string_at(h->cli->json, "results.1.state"), "untouched");
	assert_keys(json_at(h->cli->json, "results.0"), "pid comm patch reason state exit");
	assert_keys(json_at(h->cli->json, "results.1"),
		    "pid comm patch reason state exit longest_pause_ms wall_ms stops threads");
	run(h->cli, "check", "-p", h->pid_text, "pair.upatch", "--json");
	assert_exit(h->cli, UPATCH_EXIT_REFUSED);
	assert_string_equal(json_string_at(h->cli->json, "results.0.reason"), "no-module");
	assert_string_equal(json_string_at(h->cli->json, "results.1.state"), "applicable");
	run(h->cli, "check", "-p", h->pid_text, "pair.upatch", "--no-kernel");
	assert_exit(h->cli, UPATCH_EXIT_DONE);
	run(h->cli, "apply", "-p", h->pid_text, "pair.upatch", "--no-wait");
	assert_exit(h->cli, UPATCH_EXIT_USAGE);
	assert_contains(h->cli->err, "--no-kernel");
	run(h->cli, "apply", "-p", h->pid_text, "pair.upatch", "--no-kernel");
	assert_exit(h->cli, UPATCH_EXIT_DONE);
	assert_state(h, "enabled");
	run(h->cli, "revert", "-p", h->pid_text, "--file", "pair.upatch");
	assert_exit(h->cli, UPATCH_EXIT_REFUSED);
	assert_text_reason(h->cli, "no-module");
	assert_state(h, "enabled");
	run(h->cli, "revert", "-p", h->pid_text, "--file", "pair.upatch", "--no-kernel");
	assert_exit(h->cli, UPATCH_EXIT_DONE);
	run(h->cli, "revert", "-p", h->pid_text, "--file", "pair.upatch", "pair");
	assert_exit(h->cli, UPATCH_EXIT_USAGE);
}

#define holder_test(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		holder_test(test_apply_that_cannot_complete_says_who_holds_it),
		holder_test(test_status_and_threads_show_it),
		holder_test(test_threads_of_a_target_at_rest),
		holder_test(test_waiting_ends_after_its_time),
		holder_test(test_wait_carries_on_when_it_has_left),
		holder_test(test_revert_turns_it_around),
		holder_test(test_apply_turns_a_revert_around),
		holder_test(test_a_second_patch_is_busy_with_the_first),
		holder_test(test_force_asks_first),
		holder_test(test_force_tells_who_was_forced_and_where),
		holder_test(test_what_was_forced_away_is_kept),
		holder_test(test_rows_of_force_have_the_documented_fields),
		holder_test(test_gc_with_nothing_kept),
		holder_test(test_stack_order_is_strict_or_any),
		holder_test(test_a_strict_patch_is_not_reverted_under_another),
		holder_test(test_a_replace_patch_disables_the_others),
		holder_test(test_check_lists_a_library_that_is_not_loaded),
		holder_test(test_a_patch_with_two_sides_changes_both_or_the_one_that_is_meant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
