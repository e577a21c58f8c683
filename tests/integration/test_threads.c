/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sources.h"

enum {
	CLONE_TRIES = 10000, /* of a millisecond */
};

/* What state threads and process may be in. */

static char process_state(struct fixture *f)
{
	char path[64], state = '?';
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)f->pid);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%*d %*s %c", &state), 1);
	fclose(file);
	return state;
}

static void wait_for_state(struct fixture *f, char state)
{
	for (int i = 0; i < 2000; i++) {
		if (process_state(f) == state)
			return;
		poll(NULL, 0, 5);
	}
	fail_msg("the victim does not get into state %c", state);
}

static void test_a_hundred_threads_are_no_obstacle(void **state)
{
	struct fixture *f = *state;
	struct upatch_patch *patch = fixture_patch(f, "p", SOURCE_ADD);
	struct upatch_cost cost;

	assert_answer(f, "threads 100", "ok");
	fixture_wait_asleep(f, 101);
	fixture_remember(f);
	assert_int_equal(upatch_target_apply(f->target, patch, NULL, &cost), 0);
	assert_int_equal(cost.threads, 101);
	assert_int_equal(cost.stops, 1);
	assert_true(cost.longest_pause > 0);
	assert_true(cost.longest_pause < cost.wall);
	assert_answer(f, "call", "call 2009 6 41 5");
	fixture_revert(f, "p");
	assert_answer(f, "call", "call 10 6 42 5");
	fixture_assert_unchanged(f);
	upatch_patch_close(patch);
}

static void test_a_stopped_process_stays_stopped(void **state)
{
	struct fixture *f = *state;

	assert_answer(f, "threads 5", "ok");
	fixture_wait_asleep(f, 6);
	fixture_remember(f);
	kill(f->pid, SIGSTOP);
	wait_for_state(f, 'T');
	fixture_apply(f, "p", SOURCE_ADD);
	wait_for_state(f, 'T');
	kill(f->pid, SIGCONT);
	assert_answer(f, "call", "call 2009 6 41 5");
	kill(f->pid, SIGSTOP);
	wait_for_state(f, 'T');
	assert_int_equal(upatch_target_revert(f->target, "p", NULL, NULL), 0);
	wait_for_state(f, 'T');
	kill(f->pid, SIGCONT);
	assert_answer(f, "call", "call 10 6 42 5");
	/* Now that it can answer. */
	fixture_drop_kept(f, "p");
	fixture_assert_unchanged(f);
}

static void test_the_parent_sees_no_stop_that_is_not_its_own(void **state)
{
	struct fixture *f = *state;
	int status;

	for (int i = 0; i < 20; i++) {
		fixture_apply(f, "p", SOURCE_SECRET(1));
		fixture_revert(f, "p");
		assert_int_equal(waitpid(f->pid, &status, WNOHANG | WUNTRACED | WCONTINUED), 0);
	}
}

static void test_a_process_whose_main_thread_has_left_is_patched(void **state)
{
	struct fixture *f = *state;

	fprintf(f->to, "leave\n");
	wait_for_state(f, 'Z');
	fixture_apply(f, "p", SOURCE_ADD);
	assert_answer(f, "call", "call 2009 6 41 5");
	fixture_revert(f, "p");
	assert_answer(f, "call", "call 10 6 42 5");
}

static void test_a_seccomp_filter_that_kills_is_suspended(void **state)
{
	struct fixture *f = *state;

	assert_answer(f, "seccomp", "ok");
	fixture_remember(f);
	fixture_apply(f, "p", SOURCE_ADD);
	assert_answer(f, "call", "call 2009 6 41 5");
	fixture_revert(f, "p");
	assert_answer(f, "call", "call 10 6 42 5");
	fixture_assert_unchanged(f);
}

static int count_cloned(struct fixture *f)
{
	int nr;

	assert_int_equal(sscanf(fixture_ask(f, "cloned"), "cloned %d", &nr), 1);
	return nr;
}

/* They come attached as new threads do, but are none. */
static void test_processes_that_it_clones_go_on(void **state)
{
	struct fixture *f = *state;

	assert_answer(f, "clones", "ok");
	for (int i = 0; i < 100; i++) {
		int before;

		fixture_apply(f, "p", SOURCE_SECRET(1));
		fixture_revert(f, "p");
		before = count_cloned(f);
		for (int tries = 0; count_cloned(f) == before; tries++) {
			assert_true(tries < CLONE_TRIES);
			poll(NULL, 0, 1);
		}
	}
}

static void test_epoll_wait_never_returns_eintr(void **state)
{
	struct fixture *f = *state;

	assert_answer(f, "epoll", "ok");
	fixture_wait_asleep(f, 2);
	for (int i = 0; i < 50; i++) {
		fixture_apply(f, "p", SOURCE_SECRET(1));
		fixture_revert(f, "p");
	}
	assert_answer(f, "eintr", "eintr 0 handled 0");
}

static void test_no_signal_is_lost(void **state)
{
	struct fixture *f = *state;
	char expected[64];
	int sent = 0;

	/* Sent while nobody traces, between and during operations; each is taken before the next. */
	for (int i = 0; i < 50; i++) {
		kill(f->pid, SIGUSR1);
		fixture_apply(f, "p", SOURCE_SECRET(1));
		snprintf(expected, sizeof(expected), "eintr 0 handled %d", ++sent);
		assert_answer(f, "eintr", expected);
		kill(f->pid, SIGUSR1);
		fixture_revert(f, "p");
		snprintf(expected, sizeof(expected), "eintr 0 handled %d", ++sent);
		assert_answer(f, "eintr", expected);
	}
}

static pid_t ask_fork(struct fixture *f)
{
	int pid = 0;

	assert_int_equal(sscanf(fixture_ask(f, "fork"), "fork %d", &pid), 1);
	return pid;
}

static void test_a_forked_child_is_a_target_like_any_other(void **state)
{
	struct fixture *f = *state;
	struct upatch_target *child;
	struct upatch_status *status;

	fixture_apply(f, "p", SOURCE_SECRET(1));
	assert_int_equal(upatch_target_open(f->ctx, ask_fork(f), &child), 0);
	assert_int_equal(upatch_target_status(child, &status), 0);
	assert_int_equal(status->nr_patches, 1);
	assert_string_equal(status->patches[0].name, "p");
	upatch_status_free(status);
	/* It can be reverted without the parent noticing. */
	assert_int_equal(upatch_target_revert(child, "p", NULL, NULL), 0);
	assert_int_equal(upatch_target_status(child, &status), 0);
	assert_int_equal(status->nr_patches, 0);
	upatch_status_free(status);
	upatch_target_close(child);
	assert_answer(f, "call", "call 9 1 41 5");
}

/* Kill the child of the thread that waits in vfork(2), which goes on then. */
static void end_vfork(struct fixture *f, pid_t child)
{
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_answer(f, "vforked", "ok");
}

static pid_t begin_vfork(struct fixture *f)
{
	pid_t child = 0;

	assert_int_equal(sscanf(fixture_ask(f, "vfork"), "vfork %d", &child), 1);
	return child;
}

/* The thread cannot be stopped, nor be let go again, before the child has gone: it is not held at all. */
static void test_a_thread_in_vfork_goes_on_when_its_child_has_gone(void **state)
{
	struct fixture *f = *state;
	pid_t child = begin_vfork(f);

	fixture_remember(f);
	fixture_apply_refused(f, "p", SOURCE_SECRET(1), 0, UPATCH_E_UNINTERRUPTIBLE);
	assert_answer(f, "twin", "twin 101 201");
	end_vfork(f, child);
	fixture_assert_unchanged(f);
	fixture_apply(f, "p", SOURCE_SECRET(1));
	assert_answer(f, "secret", "secret 1");
}

/* Its memory is its parent's, whose threads are in functions that change: they are not its own. */
static void test_a_child_of_vfork_is_not_patched(void **state)
{
	struct fixture *f = *state;
	struct upatch_patch *patch = fixture_patch(f, "p", SOURCE_BLOCK_AND_SECRET(1));
	struct upatch_options opts = { .size = sizeof(opts), .timeout_ms = 0 };
	struct upatch_target *target;
	pid_t child;

	assert_answer(f, "block", "ok");
	child = begin_vfork(f);
	fixture_remember(f);
	assert_int_equal(upatch_target_open(f->ctx, child, &target), 0);
	assert_true(upatch_target_apply(target, patch, &opts, NULL) < 0);
	fixture_assert_reason(f, UPATCH_E_UNINTERRUPTIBLE);
	assert_answer(f, "secret", "secret 6");
	fixture_assert_unchanged(f);
	upatch_target_close(target);
	upatch_patch_close(patch);
	end_vfork(f, child);
	fixture_apply_pending(f, "p", SOURCE_BLOCK_AND_SECRET(1), 0);
	assert_answer(f, "release", "ok");
	assert_int_equal(upatch_target_wait(f->target, NULL, NULL), 0);
	assert_answer(f, "secret", "secret 1");
}

/* They are the target's to make. */
static void test_unwind_tables_without_an_end_are_given_up(void **state)
{
	struct upatch_options opts = { .size = sizeof(opts), .flags = UPATCH_NO_WAIT };
	struct fixture *f = *state;
	struct upatch_patch *patch = fixture_patch(f, "p", SOURCE_SECRET(1));

	assert_answer(f, "endless", "ok");
	fixture_wait_asleep(f, 2);
	assert_int_equal(upatch_target_apply(f->target, patch, &opts, NULL), UPATCH_PENDING);
	fixture_assert_reason(f, UPATCH_E_UNRELIABLE);
	assert_answer(f, "secret", "secret 1");
	upatch_patch_close(patch);
}

static bool has_mappings_of_ours(struct fixture *f)
{
	char path[64], line[4096];
	bool has_some = false;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/maps", (int)f->pid);
	file = fopen(path, "r");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		has_some = has_some || strstr(line, "upatch:");
	fclose(file);
	return has_some;
}

/* It is another program, of another user if the file says so, and where memory was read and written is the old one. */
static void test_nothing_runs_in_a_program_that_began_meanwhile(void **state)
{
	struct upatch_options opts = { .size = sizeof(opts), .timeout_ms = 10000 };
	struct fixture *f = *state;
	struct upatch_patch *patch = fixture_patch(f, "p", SOURCE_ADD);

	/* The new program's stack is to be where the old one's was, as it may be by chance. */
	assert_answer(f, "plain", "ok");
	assert_answer(f, "twin", "twin 101 201");
	upatch_target_close(f->target);
	assert_int_equal(upatch_target_open(f->ctx, f->pid, &f->target), 0);
	assert_answer(f, "exec", "ok");
	assert_true(upatch_target_apply(f->target, patch, &opts, NULL) < 0);
	fixture_assert_reason(f, UPATCH_E_GONE);
	assert_false(has_mappings_of_ours(f));
	assert_answer(f, "twin", "twin 101 201");
	upatch_patch_close(patch);
}

static void assert_exec_is_left_alone(struct fixture *f)
{
	struct upatch_options opts = { .size = sizeof(opts), .timeout_ms = 1000 };
	struct upatch_patch *patch =
		fixture_patch(f, "p",
			      "#include <unistd.h>\n"
			      "static int pre(const struct upatch_callback *cb)\n"
			      "{\n"
			      "	char *const argv[] = { \"victim\", 0 };\n"
			      "	return execv(\"/proc/thread-self/exe\", argv);\n"
			      "}\n"
			      "UPATCH_PRE_PATCH(pre);\n" SOURCE_SECRET(1));

	assert_true(upatch_target_apply(f->target, patch, &opts, NULL) < 0);
	upatch_patch_close(patch);
	assert_answer(f, "twin", "twin 101 201");
	assert_answer(f, "secret", "secret 6");
	assert_false(has_mappings_of_ours(f));
	fixture_assert_reason(f, UPATCH_E_GONE);
}

/* The thread that runs it is not put back: its registers are nothing to the new program. */
static void test_a_callback_that_begins_a_program_leaves_it_alone(void **state)
{
	assert_exec_is_left_alone(*state);
}

/* It has another ID from then on, and waits for us by that one. */
static void test_so_it_does_in_another_thread_than_the_main_one(void **state)
{
	struct fixture *f = *state;

	fprintf(f->to, "leave\n");
	wait_for_state(f, 'Z');
	assert_exec_is_left_alone(f);
}

#define victim_test(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		victim_test(test_a_hundred_threads_are_no_obstacle),
		victim_test(test_a_stopped_process_stays_stopped),
		victim_test(test_the_parent_sees_no_stop_that_is_not_its_own),
		victim_test(test_a_process_whose_main_thread_has_left_is_patched),
		victim_test(test_a_seccomp_filter_that_kills_is_suspended),
		victim_test(test_processes_that_it_clones_go_on),
		victim_test(test_epoll_wait_never_returns_eintr),
		victim_test(test_no_signal_is_lost),
		victim_test(test_a_forked_child_is_a_target_like_any_other),
		victim_test(test_a_thread_in_vfork_goes_on_when_its_child_has_gone),
		victim_test(test_a_child_of_vfork_is_not_patched),
		victim_test(test_unwind_tables_without_an_end_are_given_up),
		victim_test(test_nothing_runs_in_a_program_that_began_meanwhile),
		victim_test(test_a_callback_that_begins_a_program_leaves_it_alone),
		victim_test(test_so_it_does_in_another_thread_than_the_main_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
