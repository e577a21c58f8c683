/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "api/transaction.h"

#include <errno.h>
#include <stdbool.h>

#include "base/deadline.h"
#include "base/diag.h"

/* The i-th to go: to disable, the last that was enabled goes first. */
static struct part *part_at(const struct transaction *t, enum transaction_goal goal, size_t i)
{
	return &t->parts[goal == TRANSACTION_ENABLE ? i : t->nr - 1 - i];
}

static enum transaction_goal opposite(enum transaction_goal goal)
{
	return goal == TRANSACTION_ENABLE ? TRANSACTION_DISABLE : TRANSACTION_ENABLE;
}

static enum part_place place_of(enum transaction_goal goal)
{
	return goal == TRANSACTION_ENABLE ? PART_IS_ENABLED : PART_IS_DISABLED;
}

/* It did not come through; why is in the diag. */
static void fail(struct transaction *t, struct part *part, enum upatch_part_state state)
{
	part->state = state;
	part->reason = t->diag->error.reason;
}

/* A failure says nothing about what was done before it. Return: a part_place, -errno: nobody knows. */
static int where_after_failure(struct transaction *t, struct part *part)
{
	struct upatch_error cause = diag_set_aside(t->diag);
	int r;

	r = part->ops->where(part);
	diag_put_back(t->diag, &cause);
	return r;
}

/* Who is there, now that one has refused; what else the others would say is of no account. */
static void look_who_is_there(struct transaction *t, enum transaction_goal goal, size_t from)
{
	struct upatch_error cause = diag_set_aside(t->diag);

	for (size_t i = from; i < t->nr; i++) {
		struct part *part = part_at(t, goal, i);

		diag_clear(t->diag);
		if (part->ops->look(part, goal) == PART_THERE)
			part->state = UPATCH_PART_THERE;
	}
	diag_put_back(t->diag, &cause);
}

int transaction_look(struct transaction *transaction, enum transaction_goal goal)
{
	struct transaction *t = transaction;
	size_t nr_there = 0;

	for (size_t i = 0; i < t->nr; i++)
		t->parts[i].state = UPATCH_PART_UNTOUCHED;
	for (size_t i = 0; i < t->nr; i++) {
		struct part *part = part_at(t, goal, i);
		int r = part->ops->look(part, goal);

		if (r < 0) {
			fail(t, part, UPATCH_PART_REFUSED);
			look_who_is_there(t, goal, i + 1);
			return r;
		}
		if (r != PART_THERE)
			continue;
		part->state = UPATCH_PART_THERE;
		nr_there++;
	}
	return nr_there == t->nr ? TRANSACTION_IS_THERE : TRANSACTION_IS_DONE;
}

/* It has failed: the parts are on both sides now, and will be when all that it did is reversed. */
static void warn_of_there(struct transaction *t, enum transaction_goal goal)
{
	for (size_t i = 0; i < t->nr; i++)
		if (t->parts[i].state == UPATCH_PART_THERE)
			diag_warn(t->diag, "transaction of patch '%s': %s: %s: %s", t->name,
				  t->parts[i].name,
				  goal == TRANSACTION_ENABLE
					  ? "had it before, and keeps it"
					  : "did not have it before, and does not get it",
				  t->parts[i].remedy);
}

static int force(struct transaction *t, struct part *part, enum transaction_goal goal)
{
	diag_warn(t->diag, "transaction of patch '%s': %s: who has not switched is forced", t->name,
		  part->name);
	diag_clear(t->diag);
	return part->ops->force(part, goal, deadline_in(t->timeout));
}

/* @r: of go() or force(), which did not bring it there. */
static void fail_to_go(struct transaction *t, struct part *part, enum transaction_goal goal, int r)
{
	const bool is_as_it_was = r < 0 &&
				  where_after_failure(t, part) == (int)place_of(opposite(goal));

	fail(t, part, is_as_it_was ? UPATCH_PART_REFUSED : UPATCH_PART_PENDING);
}

/* Return: how many have gone; fewer than all: the next one did not, and raised why with @ret. */
static size_t go_all(struct transaction *t, enum transaction_goal goal, int *ret)
{
	uint64_t deadline = deadline_in(t->timeout);

	for (size_t i = 0; i < t->nr; i++) {
		struct part *part = part_at(t, goal, i);
		int r;

		if (part->state == UPATCH_PART_THERE)
			continue;
		r = part->ops->go(part, goal, deadline);
		if (r == PART_PENDING && t->flags & UPATCH_PAIR_FORCE)
			r = force(t, part, goal);
		if (r != PART_DONE) {
			fail_to_go(t, part, goal, r);
			*ret = r < 0 ? r : -EBUSY;
			return i;
		}
		part->state = UPATCH_PART_DONE;
	}
	return t->nr;
}

static void reverse(struct transaction *t, struct part *part, enum transaction_goal goal,
		    uint64_t deadline)
{
	int r;

	diag_info(t->diag, "transaction of patch '%s': %s: reversing", t->name, part->name);
	diag_clear(t->diag);
	r = part->ops->go(part, opposite(goal), deadline);
	if (r == PART_DONE) {
		part->state = UPATCH_PART_REVERSED;
		return;
	}
	if (r < 0)
		r = where_after_failure(t, part);
	else
		r = PART_IS_BETWEEN;
	if (r == (int)place_of(opposite(goal)))
		part->state = UPATCH_PART_REVERSED;
	else
		fail(t, part, r == (int)place_of(goal) ? UPATCH_PART_FAILED : UPATCH_PART_PENDING);
}

static void warn_of(struct transaction *t, const struct part *part)
{
	if (part->state == UPATCH_PART_PENDING || part->state == UPATCH_PART_FAILED)
		diag_warn(t->diag, "transaction of patch '%s': %s: not reversed: %s", t->name,
			  part->name, t->diag->error.message);
}

static bool has_to_be_reversed(const struct part *part)
{
	return part->state == UPATCH_PART_DONE || part->state == UPATCH_PART_PENDING;
}

/*
 * One that does not come through is reported, and goes on with the others.
 * @nr: have gone, and the next one may be open
 */
static void reverse_all(struct transaction *t, enum transaction_goal goal, size_t nr)
{
	const uint64_t deadline = deadline_in(t->timeout);
	size_t nr_left = 0;

	for (size_t i = 0; i <= nr; i++)
		nr_left += has_to_be_reversed(part_at(t, goal, i));
	/* 1. each in its share of the time, so that one that is held leaves some to the others */
	for (size_t i = nr + 1; i-- > 0;) {
		struct part *part = part_at(t, goal, i);

		if (!has_to_be_reversed(part))
			continue;
		reverse(t, part, goal, deadline_in(deadline_left(deadline) / nr_left--));
		if (part->state == UPATCH_PART_FAILED)
			warn_of(t, part);
	}
	/* 2. those that are open in what is left */
	for (size_t i = nr + 1; i-- > 0;) {
		struct part *part = part_at(t, goal, i);

		if (part->state != UPATCH_PART_PENDING)
			continue;
		reverse(t, part, goal, deadline);
		warn_of(t, part);
	}
}

int transaction_run(struct transaction *transaction, enum transaction_goal goal)
{
	struct transaction *t = transaction;
	struct upatch_error cause;
	size_t nr;
	int r;

	/* 1. look: a refusal leaves all as they were */
	r = transaction_look(t, goal);
	if (r < 0)
		warn_of_there(t, goal);
	if (r != TRANSACTION_IS_DONE)
		return r;
	/* 2. go, in order */
	nr = go_all(t, goal, &r);
	if (nr == t->nr)
		return TRANSACTION_IS_DONE;
	/* 3. back, in the opposite order; what the user sees is why */
	cause = diag_set_aside(t->diag);
	reverse_all(t, goal, nr);
	warn_of_there(t, goal);
	diag_put_back(t->diag, &cause);
	return r;
}
