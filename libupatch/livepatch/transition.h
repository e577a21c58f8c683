/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_TRANSITION_H
#define LIVEPATCH_TRANSITION_H

/*
 * Moving the threads of a target from one version of some functions to another.
 *
 *   patch state   table    threads run                        a run that was interrupted there is
 *   LOADING       -        old                                undone (takeover.c)
 *   ENABLING      none     old, some by the dispatchers       undone
 *   ENABLING      counts   old or new, as it says for each    carried on with
 *   ENABLED       counts   new, some by the dispatchers       completed
 *   ENABLED       none     new
 *   DISABLING     none     old, some by the dispatchers       undone
 *   DISABLING     counts   old or new, as it says for each    carried on with
 *   UNLOADING     counts   new, some by the dispatchers       completed
 *   UNLOADING     none     new                                completed
 *
 * "Old" is what ran before, whether the patch comes or goes. Between the first effect and the last
 * every slot concerned goes through its dispatcher, which looks at one word: the table of laggards
 * that counts. Storing it is the moment at which the transition starts for all functions at once;
 * storing the other table's address there turns it around. Everything that a later run needs is in
 * the record.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "livepatch/block.h"
#include "livepatch/laggards.h"
#include "livepatch/rule.h"
#include "livepatch/slots.h"

struct plan;
struct session;
struct thread;

struct transition {
	struct session *session;
	size_t patch;		 /* index in the record */
	enum rule_goal goal;	 /* which way it goes now */
	const struct plan *plan; /* of a patch that comes: entries to write; else NULL */
	struct slots slots;
	struct stack_rule rule; /* for the goal */
	struct laggards laggards;
	struct block block; /* tid 0: none was seen */
};

enum transition_outcome {
	TRANSITION_DONE = 0,
	TRANSITION_PENDING = 1, /* it is open, and some threads have not switched */
};

/**
 * transition_init() - of a patch that is loaded or enabled, or whose transition is open
 * @goal: where a new one is to go; of an open one it is found out
 * @plan: of a patch that comes, else NULL
 * Return: 0, or -errno raised.
 */
int transition_init(struct session *session, size_t patch, enum rule_goal goal,
		    const struct plan *plan, struct transition *ret);
void transition_deinit(struct transition *transition);

/**
 * transition_start() - stop everybody, switch those who may, let everybody go
 * Waits until the deadline for threads that stand where none may be when it starts.
 *
 * Return: TRANSITION_DONE when all have switched; TRANSITION_PENDING; or -errno raised, with
 * nothing changed.
 */
int transition_start(struct transition *transition);

/* Turn an open one around: likewise, and with an error it goes on as before. */
int transition_reverse(struct transition *transition);

/**
 * transition_visit() - look at these laggards, each on its own, and switch those who may
 * The table tells who has. Return: TRANSITION_PENDING; TRANSITION_DONE: everybody had to be looked at, and
 * it is complete; or -errno raised.
 */
int transition_visit(struct transition *transition, const struct laggard *list, size_t nr);

/**
 * transition_try_complete() - stop everybody, switch those who may, complete if all have
 * Return: as transition_start().
 */
int transition_try_complete(struct transition *transition);

/**
 * transition_force() - switch everybody, wherever they are, and complete
 * @ret_blocks, @ret_nr: the threads that were forced; owned, see blocks_free()
 * What may never be unmapped for that is marked in the record first. Return: 0, or -errno raised.
 */
int transition_force(struct transition *transition, struct block **ret_blocks, size_t *ret_nr);

/**
 * transition_repair() - point all slots at what the states of the patches say
 * For what was interrupted before its transition started, or after it was complete.
 */
int transition_repair(struct session *session);

/* Does the transition list this thread as one that has not switched? */
bool transition_lists(const struct transition *transition, const struct thread *thread);

/* Raise what holds it up. Return: -EAGAIN. */
int transition_raise_block(struct transition *transition);

/* Is the transition of that patch open? */
bool transition_is_open(const struct transition *transition);

/* Where its goal is the one that klp calls patched: "patching", else "unpatching". */
const char *transition_verb(enum rule_goal goal);

#endif
