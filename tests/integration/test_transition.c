/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

#include "sources.h"

/* Transitions that stay open because a thread is inside a function that changes. */

#define P "p"

/* One thread sleeps in the old block_here(), the patch is half way. */
static void open_with_a_laggard(struct fixture *f)
{
	assert_answer(f, "block", "ok");
	fixture_wait_asleep(f, 2);
	fixture_remember(f);
	fixture_apply_pending(f, P, SOURCE_BLOCK_AND_SECRET(7), 50);
}

static void assert_done(struct fixture *f, int outcome)
{
	if (outcome != UPATCH_DONE)
		fail_msg("%d: %s", outcome, upatch_ctx_error(f->ctx)->message);
}

/* Revert completely, and all is as before. */
static void revert_and_compare(struct fixture *f, const char *name)
{
	fixture_revert(f, name);
	fixture_drop_kept(f, name);
	assert_string_equal(fixture_state(f, name), "none");
	assert_answer(f, "call", "call 9 6 41 5");
	fixture_assert_unchanged(f);
}

/* --- laggards -------------------------------------------------------------------------------- */

static void test_others_switch_while_one_is_inside(void **state)
{
	struct fixture *f = *state;
	const struct upatch_error *e;

	open_with_a_laggard(f);
	e = upatch_ctx_error(f->ctx);
	assert_int_equal(e->pid, f->pid);
	assert_int_not_equal(e->tid, 0);
	assert_int_not_equal(e->tid, f->pid);
	assert_string_equal(e->patch, P);
	assert_string_equal(e->function, "block_here");
	assert_non_null(strstr(e->detail, "block_here+0x"));
	assert_non_null(strstr(e->detail, "blocker+0x"));
	assert_string_equal(fixture_state(f, P), "enabling");
	assert_answer(f, "secret", "secret 7");
	fixture_assert_told(f, "patch 'p': enabling patch\n"
			       "patch 'p': initializing patching transition\n"
			       "patch 'p': starting patching transition\n");
}

static void test_a_laggard_switches_when_it_has_left(void **state)
{
	struct fixture *f = *state;

	open_with_a_laggard(f);
	fixture_forget_told(f);
	assert_answer(f, "release", "ok");
	assert_done(f, upatch_target_wait(f->target, NULL, NULL));
	fixture_assert_told(f, "patch 'p': completing patching transition\n"
			       "patch 'p': patching complete\n");
	assert_string_equal(fixture_state(f, P), "enabled");
	assert_answer(f, "secret", "secret 7");
	fixture_revert(f, P);
	assert_string_equal(fixture_state(f, P), "none");
	assert_answer(f, "secret", "secret 6");
}

static void test_a_laggard_runs_the_old_version_of_everything(void **state)
{
	struct fixture *f = *state;

	/* It waits in block_here(), then calls secret(), then waits there again. */
	assert_answer(f, "block caller", "ok");
	fixture_wait_asleep(f, 2);
	fixture_apply_pending(f, P, SOURCE_CALLER(7), 50);
	assert_answer(f, "secret", "secret 7");
	assert_answer(f, "release", "ok");
	assert_answer(f, "caller", "caller 6");
	fixture_wait_asleep(f, 2);
	assert_int_equal(upatch_target_wait(f->target, &(struct upatch_options){ .timeout_ms = 50 },
					    NULL),
			 UPATCH_PENDING);
	assert_answer(f, "release", "ok");
	assert_done(f, upatch_target_wait(f->target, NULL, NULL));
}

static void test_threads_tells_who_holds_it(void **state)
{
	struct fixture *f = *state;
	struct upatch_threads *threads;
	unsigned int blocked = 0;

	assert_answer(f, "threads 3", "ok");
	open_with_a_laggard(f);
	assert_int_equal(upatch_target_threads(f->target, &threads), 0);
	assert_string_equal(threads->patch, P);
	assert_int_equal(threads->nr_threads, 5);
	for (size_t i = 0; i < threads->nr_threads; i++) {
		const struct upatch_thread *thread = &threads->threads[i];

		assert_true(thread->nr_frames > 1);
		if (thread->state == 1) {
			assert_int_equal(thread->error.reason, UPATCH_E_NONE);
			continue;
		}
		assert_int_equal(thread->state, 0);
		assert_int_equal(thread->error.reason, UPATCH_E_IN_FUNCTION);
		assert_string_equal(thread->error.function, "block_here");
		blocked++;
	}
	assert_int_equal(blocked, 1);
	upatch_threads_free(threads);
	revert_and_compare(f, P);
	assert_int_equal(upatch_target_threads(f->target, &threads), 0);
	assert_null(threads->patch);
	for (size_t i = 0; i < threads->nr_threads; i++)
		assert_int_equal(threads->threads[i].state, -1);
	upatch_threads_free(threads);
}

static void test_a_laggard_that_exits_is_forgotten(void **state)
{
	struct fixture *f = *state;

	open_with_a_laggard(f);
	/* Its stack is used again by a new thread, which has the same thread pointer. */
	assert_answer(f, "release", "ok");
	fixture_wait_asleep(f, 1);
	assert_answer(f, "threads 5", "ok");
	fixture_wait_asleep(f, 6);
	assert_done(f, upatch_target_wait(f->target, NULL, NULL));
	fixture_revert(f, P);
	assert_answer(f, "secret", "secret 6");
}

static void test_a_forked_child_has_the_same_open_transition(void **state)
{
	struct fixture *f = *state;
	struct upatch_target *child;
	int pid = 0;

	open_with_a_laggard(f);
	assert_int_equal(sscanf(fixture_ask(f, "fork"), "fork %d", &pid), 1);
	assert_int_equal(upatch_target_open(f->ctx, pid, &child), 0);
	/* The laggard was not the one that forked: nobody holds the child's. */
	assert_done(f, upatch_target_wait(child, NULL, NULL));
	assert_done(f, upatch_target_revert(child, P, NULL, NULL));
	upatch_target_close(child);
	assert_string_equal(fixture_state(f, P), "enabling");
}

/* --- reverse ----------------------------------------------------------------------------------- */

static void test_revert_reverses_an_enabling_transition(void **state)
{
	struct fixture *f = *state;

	open_with_a_laggard(f);
	fixture_forget_told(f);
	revert_and_compare(f, P);
	fixture_assert_told(f, "patch 'p': reversing transition from patching to unpatching\n"
			       "patch 'p': starting unpatching transition\n"
			       "patch 'p': completing unpatching transition\n"
			       "patch 'p': unpatching complete\n");
}

/* A thread sleeps in the new block_here() and holds the disabling transition. */
static void open_disabling(struct fixture *f)
{
	fixture_remember(f);
	fixture_apply(f, P, SOURCE_BLOCK_TOO SOURCE_SECRET(7));
	assert_answer(f, "block", "ok");
	fixture_wait_asleep(f, 2);
	fixture_forget_told(f);
	fixture_revert_pending(f, P, 50);
	assert_string_equal(fixture_state(f, P), "disabling");
	assert_answer(f, "secret", "secret 6");
	fixture_assert_told(f, "patch 'p': initializing unpatching transition\n"
			       "patch 'p': starting unpatching transition\n");
}

static void test_apply_reverses_a_disabling_transition(void **state)
{
	struct fixture *f = *state;

	open_disabling(f);
	fixture_apply(f, P, SOURCE_BLOCK_TOO SOURCE_SECRET(7));
	fixture_assert_told(f, "patch 'p': reversing transition from unpatching to patching\n"
			       "patch 'p': starting patching transition\n"
			       "patch 'p': completing patching transition\n"
			       "patch 'p': patching complete\n");
	assert_string_equal(fixture_state(f, P), "enabled");
	assert_answer(f, "secret", "secret 7");
	assert_answer(f, "release", "ok");
	fixture_wait_asleep(f, 1);
	fixture_revert(f, P);
	assert_answer(f, "secret", "secret 6");
}

static void test_a_transition_is_reversed_again_and_again(void **state)
{
	struct fixture *f = *state;

	/* One thread in the old version, and once the others are in the new one, one there. */
	open_with_a_laggard(f);
	fixture_revert(f, P);
	fixture_drop_kept(f, P);
	fixture_apply_pending(f, P, SOURCE_BLOCK_TOO SOURCE_SECRET(7), 20);
	assert_answer(f, "block", "ok");
	fixture_wait_asleep(f, 3);
	for (int i = 0; i < 20; i++) {
		fixture_revert_pending(f, P, 0);
		assert_string_equal(fixture_state(f, P), "disabling");
		assert_answer(f, "secret", "secret 6");
		fixture_apply_pending(f, P, SOURCE_BLOCK_TOO SOURCE_SECRET(7), 0);
		assert_string_equal(fixture_state(f, P), "enabling");
		assert_answer(f, "secret", "secret 7");
	}
	assert_answer(f, "release", "ok");
	assert_answer(f, "release", "ok");
	assert_done(f, upatch_target_wait(f->target, NULL, NULL));
	assert_string_equal(fixture_state(f, P), "enabled");
}

/* --- one at a time --------------------------------------------------------------------------- */

/* To check says beforehand what apply would, and looks at nobody for it. */
static void assert_check_is_busy(struct fixture *f)
{
	struct upatch_patch *patch = fixture_patch(f, "q", SOURCE_ADD);
	struct upatch_check *check;

	assert_int_equal(upatch_target_check(f->target, patch, &check), 0);
	assert_false(check->applicable);
	assert_int_equal(check->error.reason, UPATCH_E_BUSY);
	upatch_check_free(check);
	upatch_patch_close(patch);
}

static void test_a_second_transition_is_refused_by_the_name_of_the_first(void **state)
{
	struct fixture *f = *state;

	open_with_a_laggard(f);
	fixture_apply_refused(f, "q", SOURCE_ADD, 100, UPATCH_E_BUSY);
	assert_non_null(strstr(upatch_ctx_error(f->ctx)->message, "'p'"));
	assert_string_equal(fixture_state(f, "q"), "none");
	assert_check_is_busy(f);
	assert_answer(f, "call", "call 9 7 41 5");
	/* When its laggard has left, nothing else is needed for the first one to complete. */
	assert_answer(f, "release", "ok");
	fixture_wait_asleep(f, 1);
	fixture_apply(f, "q", SOURCE_SECRET(8));
	assert_answer(f, "secret", "secret 8");
	assert_string_equal(fixture_state(f, P), "enabled");
}

static void test_apply_of_the_same_patch_carries_on(void **state)
{
	struct fixture *f = *state;

	open_with_a_laggard(f);
	fixture_apply_pending(f, P, SOURCE_BLOCK_AND_SECRET(7), 20);
	assert_answer(f, "release", "ok");
	fixture_apply(f, P, SOURCE_BLOCK_AND_SECRET(7));
	assert_string_equal(fixture_state(f, P), "enabled");
	fixture_apply_refused(f, P, SOURCE_BLOCK_AND_SECRET(7), 100, UPATCH_E_EXISTS);
}

static void test_wait_and_force_without_a_transition(void **state)
{
	struct fixture *f = *state;
	struct upatch_threads *forced = NULL;

	fixture_remember(f);
	assert_done(f, upatch_target_wait(f->target, NULL, NULL));
	assert_true(upatch_target_force(f->target, &forced, NULL) < 0);
	fixture_assert_reason(f, UPATCH_E_NO_TRANSITION);
	assert_null(forced);
	fixture_assert_unchanged(f);
}

/* --- force ------------------------------------------------------------------------------------ */

static void test_force_completes_and_tells_who_was_forced(void **state)
{
	struct fixture *f = *state;
	struct upatch_threads *forced;

	open_with_a_laggard(f);
	fixture_forget_told(f);
	assert_done(f, upatch_target_force(f->target, &forced, NULL));
	assert_int_equal(forced->nr_threads, 1);
	assert_string_equal(forced->patch, P);
	assert_string_equal(forced->threads[0].error.function, "block_here");
	assert_true(forced->threads[0].nr_frames > 2);
	upatch_threads_free(forced);
	fixture_assert_told(f, "patch 'p': forcing remaining threads to the patched state\n"
			       "patch 'p': completing patching transition\n"
			       "patch 'p': patching complete\n");
	assert_string_equal(fixture_state(f, P), "enabled");
	/* It was forced to the new version: nothing is pinned. */
	revert_and_compare(f, P);
	assert_answer(f, "release", "ok");
	fixture_wait_asleep(f, 1);
}

static void test_what_was_forced_to_unpatched_stays_mapped(void **state)
{
	struct fixture *f = *state;
	struct upatch_status *status;
	struct upatch_gc gc;

	open_disabling(f);
	assert_done(f, upatch_target_force(f->target, NULL, NULL));
	assert_string_equal(fixture_state(f, P), "kept");
	assert_int_equal(upatch_target_status(f->target, &status), 0);
	assert_true(status->patches[0].forced);
	assert_string_equal(status->patches[0].reason, "forced");
	upatch_status_free(status);
	assert_answer(f, "secret", "secret 6");
	/* The thread leaves code that is still there; and still it stays, as in klp. */
	assert_answer(f, "release", "ok");
	fixture_wait_asleep(f, 1);
	assert_int_equal(upatch_target_gc(f->target, &gc), 0);
	assert_int_equal(gc.freed, 0);
	assert_int_equal(gc.kept, 1);
	assert_string_equal(fixture_state(f, P), "kept");
}

#define victim_test(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		victim_test(test_others_switch_while_one_is_inside),
		victim_test(test_a_laggard_switches_when_it_has_left),
		victim_test(test_a_laggard_runs_the_old_version_of_everything),
		victim_test(test_threads_tells_who_holds_it),
		victim_test(test_a_laggard_that_exits_is_forgotten),
		victim_test(test_a_forked_child_has_the_same_open_transition),
		victim_test(test_revert_reverses_an_enabling_transition),
		victim_test(test_apply_reverses_a_disabling_transition),
		victim_test(test_a_transition_is_reversed_again_and_again),
		victim_test(test_a_second_transition_is_refused_by_the_name_of_the_first),
		victim_test(test_apply_of_the_same_patch_carries_on),
		victim_test(test_wait_and_force_without_a_transition),
		victim_test(test_force_completes_and_tells_who_was_forced),
		victim_test(test_what_was_forced_to_unpatched_stays_mapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
