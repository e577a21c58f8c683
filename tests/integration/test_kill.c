/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sources.h"

/*
 * A tool that is killed at any of its system calls: the victim lives, all its functions are old or
 * all are new, the record tells what is the case, and the next run carries on.
 */

enum {
	POINTS_MAX = 20000,
};

/* Two functions that must change together. */
#define SOURCE_BOTH                                                                                \
	"#include <stdio.h>\n"                                                                     \
	"#include <stdlib.h>\n"                                                                    \
	"extern int old_add(int) UPATCH_ORIGINAL(\"add_hidden\", 0);\n"                            \
	"static int new_add(int x)\n"                                                              \
	"{\n"                                                                                      \
	"	char buf[64];\n"                                                                         \
	"	snprintf(buf, sizeof(buf), \"%d\", old_add(x));\n"                                       \
	"	return -atoi(buf);\n"                                                                    \
	"}\n"                                                                                      \
	"UPATCH_FUNC(add_hidden, new_add);\n" SOURCE_SECRET(777)

struct scenario {
	struct fixture *f;
	struct upatch_patch *patch;
	bool is_revert;
	int nr_points;
};

/* In a process of its own: open the victim anew and work on it. */
static void run_tool(const struct scenario *s)
{
	struct upatch_target *target;
	struct upatch_patch *patch;
	struct upatch_ctx *ctx;
	char path[256];
	int r;

	snprintf(path, sizeof(path), "%s/p.upatch", s->f->dir);
	if (upatch_ctx_new(&ctx) < 0 || upatch_patch_open(ctx, path, &patch) < 0)
		_exit(3);
	/* From here on every system call is a place to die at. */
	raise(SIGSTOP);
	if (upatch_target_open(ctx, s->f->pid, &target) < 0)
		_exit(3);
	r = s->is_revert ? upatch_target_revert(target, "p", NULL, NULL)
			 : upatch_target_apply(target, patch, NULL, NULL);
	_exit(r == 0 ? 0 : 1);
}

/* Return: true when the tool was killed at its @point-th system call, false when it came through. */
static bool kill_at(const struct scenario *s, int point)
{
	int status;
	pid_t tool = fork();

	assert_true(tool >= 0);
	if (tool == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		run_tool(s);
	}
	assert_int_equal(waitpid(tool, &status, 0), tool);
	assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	assert_int_equal(
		ptrace(PTRACE_SETOPTIONS, tool, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL), 0);
	for (int stops = 0;;) {
		int signal = 0;

		assert_int_equal(ptrace(PTRACE_SYSCALL, tool, 0, signal), 0);
		assert_int_equal(waitpid(tool, &status, 0), tool);
		if (WIFEXITED(status)) {
			assert_int_equal(WEXITSTATUS(status), 0);
			return false;
		}
		assert_true(WIFSTOPPED(status));
		if (WSTOPSIG(status) != (SIGTRAP | 0x80))
			continue; /* SIGCHLD of the victim's stops: ignored by default */
		/* Stops come in pairs: before the call, and behind it. */
		if (++stops == point)
			break;
	}
	kill(tool, SIGKILL);
	assert_int_equal(waitpid(tool, &status, 0), tool);
	assert_true(WIFSIGNALED(status));
	return true;
}

/* Return: is the new version running? Half of it must never be. */
static bool assert_consistent(struct fixture *f)
{
	const char *answer = fixture_ask(f, "call");
	int added, known, tls, more;

	assert_int_equal(sscanf(answer, "call %d %d %d %d", &added, &known, &tls, &more), 4);
	assert_int_equal(more, 5);
	if (known == 777) {
		assert_true(added < 0);
		return true;
	}
	assert_int_equal(known, 6);
	assert_true(added > 0);
	return false;
}

static const char *state_of(struct fixture *f)
{
	static char state[32];
	struct upatch_status *status;

	assert_int_equal(upatch_target_status(f->target, &status), 0);
	assert_true(status->nr_patches <= 1);
	snprintf(state, sizeof(state), "%s",
		 status->nr_patches ? status->patches[0].state : "none");
	upatch_status_free(status);
	return state;
}

static void assert_applies(struct scenario *s)
{
	if (upatch_target_apply(s->f->target, s->patch, NULL, NULL) != 0) {
		/* It had got far enough. */
		fixture_assert_reason(s->f, UPATCH_E_EXISTS);
		if (strcmp(state_of(s->f), "kept") == 0) {
			/* Reverted, and in the way of its own name. */
			fixture_drop_kept(s->f, "p");
			assert_int_equal(upatch_target_apply(s->f->target, s->patch, NULL, NULL),
					 0);
		}
		assert_string_equal(state_of(s->f), "enabled");
	}
	assert_true(assert_consistent(s->f));
}

static void assert_reverts(struct scenario *s)
{
	if (upatch_target_revert(s->f->target, "p", NULL, NULL) != 0)
		fixture_assert_reason(s->f, UPATCH_E_NOT_APPLIED);
	fixture_drop_kept(s->f, "p");
	assert_false(assert_consistent(s->f));
	assert_string_equal(state_of(s->f), "none");
	fixture_assert_unchanged(s->f);
}

/* Kill at each point until the tool comes through; count what happened. */
static void run_scenario(struct scenario *s)
{
	for (s->nr_points = 0; s->nr_points < POINTS_MAX; s->nr_points++) {
		bool was_killed;

		if (s->is_revert)
			assert_applies(s);
		if (getenv("UPATCH_TEST_LOG"))
			print_message("# point %d\n", s->nr_points + 1);
		was_killed = kill_at(s, s->nr_points + 1);
		(void)assert_consistent(s->f);
		(void)state_of(s->f);
		/* Either way on must work: try both in turn. */
		if (s->nr_points % 2)
			assert_applies(s);
		assert_reverts(s);
		if (!was_killed)
			return;
	}
	fail_msg("no end of system calls");
}

static void start(void **state, struct scenario *s, bool is_revert)
{
	*s = (struct scenario){ .f = *state, .is_revert = is_revert };
	assert_answer(s->f, "threads 3", "ok");
	fixture_wait_asleep(s->f, 4);
	s->patch = fixture_patch(s->f, "p", SOURCE_BOTH);
	fixture_remember(s->f);
}

static void test_killed_at_any_system_call_of_apply(void **state)
{
	struct scenario s;

	start(state, &s, false);
	run_scenario(&s);
	print_message("# apply: killed at %d points, survived %d\n", s.nr_points, s.nr_points);
	assert_true(s.nr_points > 100);
	upatch_patch_close(s.patch);
}

static void test_killed_at_any_system_call_of_revert(void **state)
{
	struct scenario s;

	start(state, &s, true);
	run_scenario(&s);
	print_message("# revert: killed at %d points, survived %d\n", s.nr_points, s.nr_points);
	assert_true(s.nr_points > 100);
	upatch_patch_close(s.patch);
}

#define victim_test(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		victim_test(test_killed_at_any_system_call_of_apply),
		victim_test(test_killed_at_any_system_call_of_revert),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
