/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef API_TRANSACTION_H
#define API_TRANSACTION_H

/*
 * Several parts that are enabled, or disabled, together: what a part is does not matter here.
 *
 *	look at all		one that refuses refuses it all, nothing is changed; the others are
 *				looked at for whether they are there only
 *	go, one by one		in order, or backwards to disable
 *	one does not come through	those that went are reversed, the last one first; of the
 *				time each has a share, and the open ones what is left at the end
 *
 * A part that is there before stays so, whatever becomes of the others: when they fail a warning names it.
 *
 * Dying between any two steps leaves parts that each tell how far they are: the next transaction looks
 * at them.
 */

#include <stddef.h>
#include <stdint.h>
#include <upatch/pair.h>

struct diag;
struct part;

enum transaction_goal {
	TRANSACTION_DISABLE,
	TRANSACTION_ENABLE,
};

enum part_outcome {
	PART_DONE = 0,
	PART_PENDING = 1, /* raised: it is open at the deadline */
	PART_THERE = 2,	  /* of look(): there is nothing to do */
};

/* Where a part is, whoever brought it there. */
enum part_place {
	PART_IS_DISABLED,
	PART_IS_ENABLED,
	PART_IS_BETWEEN, /* its transition is open, or somebody died on the way */
};

/*
 * @look:  would it go? Changes nothing. PART_DONE: it would; PART_THERE; or -errno raised
 * @go:	   bring it there; what it was on before, it turns around. PART_DONE, PART_PENDING, or -errno
 *	   raised: where() tells what that has left
 * @force: bring an open one there, whoever is in the way. PART_DONE, PART_PENDING, or -errno raised
 * @where: a part_place, or -errno raised
 *
 * They may clear the diag, and look at the part's userdata only.
 */
struct part_ops {
	int (*look)(struct part *part, enum transaction_goal goal);
	int (*go)(struct part *part, enum transaction_goal goal, uint64_t deadline);
	int (*force)(struct part *part, enum transaction_goal goal, uint64_t deadline);
	int (*where)(struct part *part);
};

struct part {
	const struct part_ops *ops;
	void *userdata;
	const char *name; /* for the log */
	const char *
		remedy; /* how to bring it away from where the goal is, for who is told that it stays */
	enum upatch_part_state state;
	enum upatch_reason reason;
};

enum transaction_outcome {
	TRANSACTION_IS_DONE = 0,
	TRANSACTION_IS_THERE = 1, /* all parts were there before */
};

/*
 * @parts: in the order in which they are enabled
 * @timeout: nanoseconds for all to go, and once more for a reversal
 */
struct transaction {
	struct diag *diag;
	const char *name;
	struct part *parts;
	size_t nr;
	uint64_t timeout;
	unsigned int flags; /* UPATCH_PAIR_FORCE */
};

/**
 * transaction_look() - would all parts go there? Changes nothing
 * Return: TRANSACTION_IS_DONE: they would; TRANSACTION_IS_THERE; or -errno raised by the first that would not.
 * States: there, refused, or untouched.
 */
int transaction_look(struct transaction *transaction, enum transaction_goal goal);

/**
 * transaction_run() - bring all parts there, or none
 * Return: a transaction_outcome, or -errno raised with what the part said that did not come through. Their
 * states tell what became of each.
 */
int transaction_run(struct transaction *transaction, enum transaction_goal goal);

#endif
