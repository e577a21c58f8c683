/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

#include "killer.h"
#include "sources.h"

/*
 * A tool that is killed at any of its system calls: the victim lives, all its functions are old or
 * all are new, the record tells what is the case, and the next run carries on.
 */

enum {
	POINTS_MAX = 20000,
};

/* Two functions that must change together; one needs the agent. */
#define SOURCE_BOTH                                                                                \
	"#include <stdio.h>\n"                                                                     \
	"#include <stdlib.h>\n"                                                                    \
	"extern int old_add(int) UPATCH_ORIGINAL(\"add_hidden\", 0);\n"                            \
	"static int new_add(int x)\n"                                                              \
	"{\n"                                                                                      \
	"	char buf[64];\n"                                                                         \
	"	snprintf(buf, sizeof(buf), \"%d\", old_add(x));\n"                                       \
	"	(void)upatch_shadow_alloc(0, 1, 8, 0, 0);\n"                                             \
	"	upatch_shadow_free(0, 1, 0);\n"                                                          \
	"	return -atoi(buf);\n"                                                                    \
	"}\n"                                                                                      \
	"UPATCH_FUNC(add_hidden, new_add);\n" SOURCE_SECRET(777)

/* They run in the victim's threads; so does what makes libgcc know of the patch. */
#define SOURCE_CALLBACKS                                                                           \
	SOURCE_BOTH                                                                                \
	"#include <unistd.h>\n"                                                                    \
	"static int balance;\n"                                                                    \
	"static int pre(const struct upatch_callback *cb)\n"                                       \
	"{ return cb->object[0] == 'v' && getpid() > 0 && ++balance == 1 ? 0 : -22; }\n"           \
	"static void post(const struct upatch_callback *cb) { (void)getppid(); }\n"                \
	"static void unpost(const struct upatch_callback *cb) { balance--; }\n"                    \
	"UPATCH_PRE_PATCH(pre);\n"                                                                 \
	"UPATCH_POST_PATCH(post);\n"                                                               \
	"UPATCH_PRE_UNPATCH(post);\n"                                                              \
	"UPATCH_POST_UNPATCH(unpost);\n"

struct scenario {
	struct fixture *f;
	struct upatch_patch *patch;
	enum act act;
	int nr_points;
};

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

		if (s->act == ACT_REVERT)
			assert_applies(s);
		if (getenv("UPATCH_TEST_LOG"))
			print_message("# point %d\n", s->nr_points + 1);
		was_killed = killer_kill_at(s->f, s->act, s->nr_points + 1);
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

static void start(void **state, struct scenario *s, const char *source, enum act act)
{
	*s = (struct scenario){ .f = *state, .act = act };
	assert_answer(s->f, "threads 3", "ok");
	fixture_wait_asleep(s->f, 4);
	s->patch = fixture_patch(s->f, "p", source);
	fixture_remember(s->f);
}

static void test_killed_at_any_system_call_of_apply(void **state)
{
	struct scenario s;

	start(state, &s, SOURCE_BOTH, ACT_APPLY);
	run_scenario(&s);
	print_message("# apply: killed at %d points, survived %d\n", s.nr_points, s.nr_points);
	assert_true(s.nr_points > 100);
	upatch_patch_close(s.patch);
}

static void test_killed_at_any_system_call_of_revert(void **state)
{
	struct scenario s;

	start(state, &s, SOURCE_BOTH, ACT_REVERT);
	run_scenario(&s);
	print_message("# revert: killed at %d points, survived %d\n", s.nr_points, s.nr_points);
	assert_true(s.nr_points > 100);
	upatch_patch_close(s.patch);
}

static void test_killed_at_any_system_call_of_apply_with_callbacks(void **state)
{
	struct scenario s;

	start(state, &s, SOURCE_CALLBACKS, ACT_APPLY);
	run_scenario(&s);
	print_message("# apply with callbacks: killed at %d points\n", s.nr_points);
	assert_true(s.nr_points > 100);
	upatch_patch_close(s.patch);
}

static void test_killed_at_any_system_call_of_revert_with_callbacks(void **state)
{
	struct scenario s;

	start(state, &s, SOURCE_CALLBACKS, ACT_REVERT);
	run_scenario(&s);
	print_message("# revert with callbacks: killed at %d points\n", s.nr_points);
	assert_true(s.nr_points > 100);
	upatch_patch_close(s.patch);
}

static int setup_unwinder(void **state)
{
	struct fixture *f = fixture_start("unwinder");

	assert_answer(f, "scrub", "ok");
	*state = f;
	return 0;
}

/* --- with a laggard -------------------------------------------------------------------------- */

/*
 * One thread sleeps in block_and_call(): whatever happens to the tool, it calls the version of secret()
 * that goes with the block_and_call() that it is in.
 */
#define SOURCE_HELD(value)                                                                         \
	SOURCE_CALLER(value)                                                                       \
	SOURCE_BLOCK_TOO

static void put_laggard(struct fixture *f)
{
	assert_answer(f, "block caller", "ok");
	fixture_wait_asleep(f, 2);
}

/* The old version: it was never switched while it was inside. */
static void release_laggard(struct fixture *f, const char *expected)
{
	assert_answer(f, "release", "ok");
	assert_answer(f, "caller", expected);
	assert_answer(f, "release", "ok");
	fixture_wait_asleep(f, 1);
}

/* The main thread runs what the state says. */
static void assert_main_thread(struct fixture *f)
{
	const char *state = state_of(f), *answer;
	bool is_old, is_new;

	answer = fixture_ask(f, "secret");
	is_old = strcmp(answer, "secret 6") == 0;
	is_new = strcmp(answer, "secret 777") == 0;
	assert_true(is_old || is_new);
	if (strcmp(state, "enabling") == 0 || strcmp(state, "enabled") == 0)
		assert_true(is_new);
	if (strcmp(state, "disabling") == 0 || strcmp(state, "none") == 0 ||
	    strcmp(state, "kept") == 0)
		assert_true(is_old);
}

static void begin_with_laggard(struct scenario *s)
{
	static const struct upatch_options no_wait = { .flags = UPATCH_NO_WAIT };

	put_laggard(s->f);
	if (s->act == ACT_APPLY)
		return;
	assert_int_equal(upatch_target_apply(s->f->target, s->patch, &no_wait, NULL),
			 UPATCH_PENDING);
	/* What the tool does next, once its transition may complete. */
	if (s->act == ACT_WAIT)
		release_laggard(s->f, "caller 6");
}

/* The next run completes it, or turns it around: both in turn. */
static void end_with_laggard(struct scenario *s)
{
	struct fixture *f = s->f;
	int outcome;

	assert_main_thread(f);
	if (s->act == ACT_FORCE) {
		/* If it was forced, it runs on with whatever it meets. */
		assert_answer(f, "release", "ok");
		(void)fixture_ask(f, "caller");
		assert_answer(f, "release", "ok");
		fixture_wait_asleep(f, 1);
	} else if (s->act != ACT_WAIT) {
		release_laggard(f, "caller 6");
	}
	if (s->nr_points % 2) {
		outcome = upatch_target_apply(f->target, s->patch, NULL, NULL);
		if (outcome != UPATCH_DONE)
			fixture_assert_reason(f, UPATCH_E_EXISTS);
		if (strcmp(state_of(f), "kept") != 0)
			assert_answer(f, "secret", "secret 777");
	}
	if (upatch_target_revert(f->target, "p", NULL, NULL) < 0)
		fixture_assert_reason(f, UPATCH_E_NOT_APPLIED);
	fixture_drop_kept(f, "p");
	assert_answer(f, "secret", "secret 6");
	assert_string_equal(state_of(f), "none");
}

static void run_with_laggard(void **state, enum act act, const char *name)
{
	struct scenario s = { .f = *state, .act = act };
	bool was_killed = true;

	s.patch = fixture_patch(s.f, "p", SOURCE_HELD(777));
	for (; was_killed; s.nr_points++) {
		assert_true(s.nr_points < POINTS_MAX);
		if (getenv("UPATCH_TEST_LOG"))
			print_message("# point %d\n", s.nr_points + 1);
		begin_with_laggard(&s);
		was_killed = killer_kill_at(s.f, s.act, s.nr_points + 1);
		end_with_laggard(&s);
	}
	print_message("# %s with a laggard: killed at %d points, survived %d\n", name,
		      s.nr_points - 1, s.nr_points - 1);
	assert_true(s.nr_points > 10);
	upatch_patch_close(s.patch);
}

static void test_killed_at_any_system_call_of_apply_with_a_laggard(void **state)
{
	run_with_laggard(state, ACT_APPLY, "apply");
}

static void test_killed_at_any_system_call_of_reversing(void **state)
{
	run_with_laggard(state, ACT_REVERT, "reverse");
}

static void test_killed_at_any_system_call_of_completing(void **state)
{
	run_with_laggard(state, ACT_WAIT, "complete");
}

static void test_killed_at_any_system_call_of_force(void **state)
{
	run_with_laggard(state, ACT_FORCE, "force");
}

#define unwinder_test(fn) cmocka_unit_test_setup_teardown(fn, setup_unwinder, fixture_teardown)
/* --- superseding ------------------------------------------------------------------------------- */

/* What runs is either the one or the other, and the one that does not run can be told from the record. */
static void assert_one_of_two(struct fixture *f)
{
	const char *answer = fixture_ask(f, "secret");

	if (strcmp(answer, "secret 777") != 0)
		assert_string_equal(answer, "secret 5");
}

/* Whatever is left is reverted, and nothing stays. */
static void revert_if_there(struct fixture *f, const char *name)
{
	if (upatch_target_revert(f->target, name, NULL, NULL) < 0)
		fixture_assert_reason(f, UPATCH_E_NOT_APPLIED);
	fixture_drop_kept(f, name);
	assert_string_equal(fixture_state(f, name), "none");
}

static void test_killed_at_any_system_call_of_superseding(void **state)
{
	struct scenario s = { .f = *state, .act = ACT_APPLY };
	struct upatch_patch *other = fixture_patch(s.f, "q", SOURCE_SECRET(5));
	bool was_killed = true;
	const char *path;

	path = fixture_build_as(s.f, "p", SOURCE_BOTH, FIXTURE_REPLACE);
	assert_non_null(path);
	assert_int_equal(upatch_patch_open(s.f->ctx, path, &s.patch), 0);
	fixture_remember(s.f);
	for (; was_killed; s.nr_points++) {
		assert_true(s.nr_points < POINTS_MAX);
		if (getenv("UPATCH_TEST_LOG"))
			print_message("# point %d\n", s.nr_points + 1);
		assert_int_equal(upatch_target_apply(s.f->target, other, NULL, NULL), 0);
		was_killed = killer_kill_at(s.f, s.act, s.nr_points + 1);
		assert_one_of_two(s.f);
		if (s.nr_points % 2) {
			if (upatch_target_apply(s.f->target, s.patch, NULL, NULL) < 0)
				fixture_assert_reason(s.f, UPATCH_E_EXISTS);
			fixture_drop_kept(s.f, "q");
			assert_string_equal(fixture_state(s.f, "q"), "none");
			assert_answer(s.f, "secret", "secret 777");
		}
		revert_if_there(s.f, "p");
		revert_if_there(s.f, "q");
		assert_answer(s.f, "secret", "secret 6");
		fixture_assert_unchanged(s.f);
	}
	print_message("# superseding: killed at %d points, survived %d\n", s.nr_points - 1,
		      s.nr_points - 1);
	assert_true(s.nr_points > 50);
	upatch_patch_close(other);
	upatch_patch_close(s.patch);
}

#define victim_test(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		victim_test(test_killed_at_any_system_call_of_apply),
		victim_test(test_killed_at_any_system_call_of_revert),
		unwinder_test(test_killed_at_any_system_call_of_apply_with_callbacks),
		unwinder_test(test_killed_at_any_system_call_of_revert_with_callbacks),
		victim_test(test_killed_at_any_system_call_of_apply_with_a_laggard),
		victim_test(test_killed_at_any_system_call_of_reversing),
		victim_test(test_killed_at_any_system_call_of_completing),
		victim_test(test_killed_at_any_system_call_of_force),
		victim_test(test_killed_at_any_system_call_of_superseding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
