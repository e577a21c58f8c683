/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api/transaction.h"
#include "base/deadline.h"
#include "base/diag.h"

/*
 * Parts that do as they are told, and a story of what was asked of them: "look a; enable a; ...".
 */

enum {
	NR_PARTS = 3,
};

/*
 * What look(), go() there, go() back and force() return; negative ones are raised.
 * @leaves: where a failing go() leaves it, 0: where it was
 */
struct actor {
	struct fixture *fixture;
	int look;
	int go;
	int back;
	int force;
	int leaves;
	int leaves_back;    /* a failing go() back */
	int place;	    /* enum part_place, or -errno */
	uint64_t time_back; /* that the first go() back had */
	int nr_back;
	bool has_gone;
};

struct fixture {
	struct diag diag;
	struct actor actors[NR_PARTS];
	struct part parts[NR_PARTS];
	struct transaction transaction;
	char story[512];
	char warnings[512];
};

static void tell(struct fixture *f, const char *verb, const struct part *part)
{
	size_t length = strlen(f->story);

	snprintf(f->story + length, sizeof(f->story) - length, "%s%s %s", length ? "; " : "", verb,
		 part->name);
}

static int answer(struct actor *actor, int r)
{
	/* As each call of the library does. */
	diag_clear(&actor->fixture->diag);
	if (r < 0)
		return diag_err(&actor->fixture->diag, r, UPATCH_E_CALLBACK, NULL, "as told");
	if (r == PART_PENDING)
		(void)diag_err(&actor->fixture->diag, -EBUSY, UPATCH_E_IN_FUNCTION, NULL, "held");
	return r;
}

static int look(struct part *part, enum transaction_goal goal)
{
	struct actor *actor = part->userdata;

	tell(actor->fixture, "look", part);
	actor->place = goal == TRANSACTION_ENABLE ? PART_IS_DISABLED : PART_IS_ENABLED;
	return answer(actor, actor->look);
}

static int go(struct part *part, enum transaction_goal goal, uint64_t deadline)
{
	struct actor *actor = part->userdata;
	const bool is_back = actor->has_gone;
	const int r = is_back ? actor->back : actor->go;

	assert_true(deadline > clock_now());
	tell(actor->fixture, goal == TRANSACTION_ENABLE ? "enable" : "disable", part);
	actor->has_gone = true;
	if (is_back && !actor->nr_back++)
		actor->time_back = deadline_left(deadline);
	if (r == PART_DONE)
		actor->place = goal == TRANSACTION_ENABLE ? PART_IS_ENABLED : PART_IS_DISABLED;
	else if (r == PART_PENDING)
		actor->place = PART_IS_BETWEEN;
	else if (is_back ? actor->leaves_back : actor->leaves)
		actor->place = is_back ? actor->leaves_back : actor->leaves;
	return answer(actor, r);
}

static int where(struct part *part)
{
	struct actor *actor = part->userdata;

	diag_clear(&actor->fixture->diag); /* as each call of the library does */
	return actor->place;
}

static int force(struct part *part, enum transaction_goal goal, uint64_t deadline)
{
	struct actor *actor = part->userdata;

	(void)deadline;
	tell(actor->fixture, "force", part);
	if (actor->force == PART_DONE)
		actor->place = goal == TRANSACTION_ENABLE ? PART_IS_ENABLED : PART_IS_DISABLED;
	return answer(actor, actor->force);
}

static const struct part_ops ops = {
	.look = look,
	.go = go,
	.force = force,
	.where = where,
};

static void take_log(void *userdata, enum upatch_log_level level, const char *line)
{
	struct fixture *f = userdata;
	size_t length = strlen(f->warnings);

	if (level == UPATCH_LOG_WARNING)
		snprintf(f->warnings + length, sizeof(f->warnings) - length, "%s\n", line);
}

static int setup(void **state)
{
	static const char *const names[] = { "a", "b", "c" };
	static const char *const remedies[] = { "undo a", "undo b", "undo c" };
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	diag_init(&f.diag);
	f.diag.log = take_log;
	f.diag.log_userdata = &f;
	for (size_t i = 0; i < NR_PARTS; i++) {
		f.actors[i].fixture = &f;
		f.parts[i] = (struct part){ &ops, &f.actors[i], names[i], remedies[i], 0, 0 };
	}
	f.transaction =
		(struct transaction){ &f.diag, "fix", f.parts, NR_PARTS, 60 * NSEC_PER_SEC, 0 };
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	diag_deinit(&f->diag);
	return 0;
}

static void assert_states(const struct fixture *f, enum upatch_part_state a,
			  enum upatch_part_state b, enum upatch_part_state c)
{
	assert_int_equal(f->parts[0].state, a);
	assert_int_equal(f->parts[1].state, b);
	assert_int_equal(f->parts[2].state, c);
}

static void test_all_are_looked_at_before_the_first_goes(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(transaction_run(&f->transaction, TRANSACTION_ENABLE), TRANSACTION_IS_DONE);
	assert_string_equal(f->story, "look a; look b; look c; enable a; enable b; enable c");
	assert_states(f, UPATCH_PART_DONE, UPATCH_PART_DONE, UPATCH_PART_DONE);
}

static void test_disabling_goes_backwards(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(transaction_run(&f->transaction, TRANSACTION_DISABLE),
			 TRANSACTION_IS_DONE);
	assert_string_equal(f->story, "look c; look b; look a; disable c; disable b; disable a");
}

static void test_a_refusal_at_the_look_changes_nothing(void **state)
{
	struct fixture *f = *state;

	f->actors[1].look = -EPERM;
	assert_int_equal(transaction_run(&f->transaction, TRANSACTION_ENABLE), -EPERM);
	assert_string_equal(f->story, "look a; look b; look c");
	assert_states(f, UPATCH_PART_UNTOUCHED, UPATCH_PART_REFUSED, UPATCH_PART_UNTOUCHED);
	assert_string_equal(f->warnings, "");
	assert_int_equal(f->parts[1].reason, UPATCH_E_CALLBACK);
	assert_int_equal(f->diag.error.reason, UPATCH_E_CALLBACK);
}

static void test_a_refusal_reverses_those_before_it_the_last_first(void **state)
{
	struct fixture *f = *state;

	f->actors[2].go = -EPERM;
	assert_int_equal(transaction_run(&f->transaction, TRANSACTION_ENABLE), -EPERM);
	assert_string_equal(f->story, "look a; look b; look c; enable a; enable b; enable c; "
				      "disable b; disable a");
	assert_states(f, UPATCH_PART_REVERSED, UPATCH_PART_REVERSED, UPATCH_PART_REFUSED);
	assert_int_equal(f->diag.error.reason, UPATCH_E_CALLBACK);
	assert_string_equal(f->diag.error.message, "as told");
}

static void test_one_that_is_open_at_the_deadline_is_reversed_itself(void **state)
{
	struct fixture *f = *state;

	f->actors[1].go = PART_PENDING;
	assert_int_equal(transaction_run(&f->transaction, TRANSACTION_ENABLE), -EBUSY);
	assert_string_equal(f->story,
			    "look a; look b; look c; enable a; enable b; disable b; disable a");
	assert_states(f, UPATCH_PART_REVERSED, UPATCH_PART_REVERSED, UPATCH_PART_UNTOUCHED);
	assert_int_equal(f->parts[1].reason, UPATCH_E_IN_FUNCTION);
	assert_int_equal(f->diag.error.reason, UPATCH_E_IN_FUNCTION);
}

static void test_a_failed_disabling_enables_again(void **state)
{
	struct fixture *f = *state;

	f->actors[0].go = PART_PENDING;
	assert_int_equal(transaction_run(&f->transaction, TRANSACTION_DISABLE), -EBUSY);
	assert_string_equal(f->story, "look c; look b; look a; disable c; disable b; disable a; "
				      "enable a; enable b; enable c");
	assert_states(f, UPATCH_PART_REVERSED, UPATCH_PART_REVERSED, UPATCH_PART_REVERSED);
}

static void test_what_was_there_before_neither_goes_nor_is_reversed(void **state)
{
	struct fixture *f = *state;

	f->actors[0].look = PART_THERE;
	f->actors[2].go = -EPERM;
	assert_int_equal(transaction_run(&f->transaction, TRANSACTION_ENABLE), -EPERM);
	assert_string_equal(f->story, "look a; look b; look c; enable b; enable c; disable b");
	assert_states(f, UPATCH_PART_THERE, UPATCH_PART_REVERSED, UPATCH_PART_REFUSED);
}

/* Nobody else would tell: the parts are on both sides after this. */
static void test_a_failure_warns_of_what_was_there_before(void **state)
{
	struct fixture *f = *state;

	f->actors[0].look = PART_THERE;
	f->actors[2].go = -EPERM;
	assert_int_equal(transaction_run(&f->transaction, TRANSACTION_ENABLE), -EPERM);
	assert_string_equal(f->warnings,
			    "transaction of patch 'fix': a: had it before, and keeps it: undo a\n");
}

static void test_a_refusal_warns_of_what_is_there_before_and_behind_it(void **state)
{
	struct fixture *f = *state;

	f->actors[0].look = PART_THERE;
	f->actors[1].look = -EPERM;
	f->actors[2].look = PART_THERE;
	assert_int_equal(transaction_run(&f->transaction, TRANSACTION_DISABLE), -EPERM);
	assert_string_equal(f->story, "look c; look b; look a");
	assert_states(f, UPATCH_PART_THERE, UPATCH_PART_REFUSED, UPATCH_PART_THERE);
	assert_string_equal(
		f->warnings,
		"transaction of patch 'fix': a: did not have it before, and does not get it: undo a\n"
		"transaction of patch 'fix': c: did not have it before, and does not get it: undo c\n");
	assert_int_equal(f->diag.error.reason, UPATCH_E_CALLBACK);
}

static void test_what_comes_through_warns_of_nothing(void **state)
{
	struct fixture *f = *state;

	f->actors[0].look = PART_THERE;
	assert_int_equal(transaction_run(&f->transaction, TRANSACTION_ENABLE), TRANSACTION_IS_DONE);
	assert_string_equal(f->warnings, "");
	f->actors[1].look = f->actors[2].look = PART_THERE;
	assert_int_equal(transaction_run(&f->transaction, TRANSACTION_ENABLE),
			 TRANSACTION_IS_THERE);
	assert_string_equal(f->warnings, "");
}

static void test_when_all_are_there_nothing_is_done(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < NR_PARTS; i++)
		f->actors[i].look = PART_THERE;
	assert_int_equal(transaction_run(&f->transaction, TRANSACTION_ENABLE),
			 TRANSACTION_IS_THERE);
	assert_string_equal(f->story, "look a; look b; look c");
}

static void test_a_reversal_that_does_not_come_through_does_not_stop_the_others(void **state)
{
	struct fixture *f = *state;

	f->actors[2].go = -EPERM;
	f->actors[1].back = PART_PENDING;
	assert_int_equal(transaction_run(&f->transaction, TRANSACTION_ENABLE), -EPERM);
	assert_states(f, UPATCH_PART_REVERSED, UPATCH_PART_PENDING, UPATCH_PART_REFUSED);
	assert_int_equal(f->parts[1].reason, UPATCH_E_IN_FUNCTION);
	/* What the user sees is the cause. */
	assert_int_equal(f->diag.error.reason, UPATCH_E_CALLBACK);
}

static void test_a_failure_that_leaves_it_open_is_reversed(void **state)
{
	struct fixture *f = *state;

	f->actors[1].go = -ETIMEDOUT;
	f->actors[1].leaves = PART_IS_BETWEEN;
	assert_int_equal(transaction_run(&f->transaction, TRANSACTION_ENABLE), -ETIMEDOUT);
	assert_string_equal(f->story,
			    "look a; look b; look c; enable a; enable b; disable b; disable a");
	assert_states(f, UPATCH_PART_REVERSED, UPATCH_PART_REVERSED, UPATCH_PART_UNTOUCHED);
	assert_int_equal(f->parts[1].reason, UPATCH_E_CALLBACK);
	assert_int_equal(f->diag.error.reason, UPATCH_E_CALLBACK);
}

static void test_a_failure_after_it_was_done_is_reversed(void **state)
{
	struct fixture *f = *state;

	f->actors[0].go = -EIO;
	f->actors[0].leaves = PART_IS_ENABLED;
	assert_int_equal(transaction_run(&f->transaction, TRANSACTION_ENABLE), -EIO);
	assert_string_equal(f->story, "look a; look b; look c; enable a; disable a");
	assert_states(f, UPATCH_PART_REVERSED, UPATCH_PART_UNTOUCHED, UPATCH_PART_UNTOUCHED);
}

static void test_a_reversal_that_fails_is_failed_and_not_pending(void **state)
{
	struct fixture *f = *state;

	f->actors[2].go = -EPERM;
	f->actors[1].back = -EIO; /* it stays enabled */
	f->actors[0].back = -EIO;
	f->actors[0].leaves_back = PART_IS_BETWEEN;
	assert_int_equal(transaction_run(&f->transaction, TRANSACTION_ENABLE), -EPERM);
	assert_states(f, UPATCH_PART_PENDING, UPATCH_PART_FAILED, UPATCH_PART_REFUSED);
	assert_int_equal(f->parts[1].reason, UPATCH_E_CALLBACK);
}

static void test_a_reversal_that_nobody_can_tell_of_may_be_open(void **state)
{
	struct fixture *f = *state;

	f->actors[2].go = -EPERM;
	f->actors[1].back = -EIO;
	f->actors[1].leaves_back = -EIO; /* it cannot be asked */
	assert_int_equal(transaction_run(&f->transaction, TRANSACTION_ENABLE), -EPERM);
	assert_states(f, UPATCH_PART_REVERSED, UPATCH_PART_PENDING, UPATCH_PART_REFUSED);
}

static void test_one_that_is_held_leaves_time_to_the_others(void **state)
{
	struct fixture *f = *state;

	f->actors[2].go = PART_PENDING;
	f->actors[2].back = PART_PENDING;
	assert_int_equal(transaction_run(&f->transaction, TRANSACTION_ENABLE), -EBUSY);
	/* It has a share first, and what is left last. */
	assert_string_equal(f->story, "look a; look b; look c; enable a; enable b; enable c; "
				      "disable c; disable b; disable a; disable c");
	assert_true(f->actors[2].time_back <= f->transaction.timeout / 3);
	assert_states(f, UPATCH_PART_REVERSED, UPATCH_PART_REVERSED, UPATCH_PART_PENDING);
}

static void test_forcing_takes_the_place_of_the_reversal(void **state)
{
	struct fixture *f = *state;

	f->transaction.flags = UPATCH_PAIR_FORCE;
	f->actors[0].go = PART_PENDING;
	assert_int_equal(transaction_run(&f->transaction, TRANSACTION_ENABLE), TRANSACTION_IS_DONE);
	assert_string_equal(f->story,
			    "look a; look b; look c; enable a; force a; enable b; enable c");
	assert_int_equal(f->diag.error.reason, UPATCH_E_NONE);
}

static void test_what_cannot_even_be_forced_is_reversed(void **state)
{
	struct fixture *f = *state;

	f->transaction.flags = UPATCH_PAIR_FORCE;
	f->actors[1].go = PART_PENDING;
	f->actors[1].force = PART_PENDING;
	assert_int_equal(transaction_run(&f->transaction, TRANSACTION_ENABLE), -EBUSY);
	assert_states(f, UPATCH_PART_REVERSED, UPATCH_PART_REVERSED, UPATCH_PART_UNTOUCHED);
}

#define transaction_test(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		transaction_test(test_all_are_looked_at_before_the_first_goes),
		transaction_test(test_disabling_goes_backwards),
		transaction_test(test_a_refusal_at_the_look_changes_nothing),
		transaction_test(test_a_refusal_reverses_those_before_it_the_last_first),
		transaction_test(test_one_that_is_open_at_the_deadline_is_reversed_itself),
		transaction_test(test_a_failed_disabling_enables_again),
		transaction_test(test_what_was_there_before_neither_goes_nor_is_reversed),
		transaction_test(test_a_failure_warns_of_what_was_there_before),
		transaction_test(test_a_refusal_warns_of_what_is_there_before_and_behind_it),
		transaction_test(test_what_comes_through_warns_of_nothing),
		transaction_test(test_when_all_are_there_nothing_is_done),
		transaction_test(
			test_a_reversal_that_does_not_come_through_does_not_stop_the_others),
		transaction_test(test_a_failure_that_leaves_it_open_is_reversed),
		transaction_test(test_a_failure_after_it_was_done_is_reversed),
		transaction_test(test_a_reversal_that_fails_is_failed_and_not_pending),
		transaction_test(test_a_reversal_that_nobody_can_tell_of_may_be_open),
		transaction_test(test_one_that_is_held_leaves_time_to_the_others),
		transaction_test(test_forcing_takes_the_place_of_the_reversal),
		transaction_test(test_what_cannot_even_be_forced_is_reversed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
