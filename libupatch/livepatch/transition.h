/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_TRANSITION_H
#define LIVEPATCH_TRANSITION_H

/*
 * Moving a target from one version of some functions to another, as one step.
 *
 *   patch state   armed  calls go to                  an interrupted run is
 *   LOADING       -      old                          undone (takeover.c)
 *   ENABLING      0      old, some by the dispatcher  undone
 *   ENABLING      1      new, some by the dispatcher  completed
 *   ENABLED       -      new
 *   DISABLING     0      new, some by the dispatcher  undone
 *   DISABLING     1      old, some by the dispatcher  completed
 *   UNLOADING     -      old                          completed
 *
 * Between the first effect and the last every slot concerned goes through the dispatcher, which
 * looks at one word (armed): storing that word is the moment at which all functions change at
 * once, whatever happens to us before or after.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "livepatch/stack.h"

struct freeze;
struct plan;
struct session;

enum transition_goal {
	TRANSITION_UNPATCHED,
	TRANSITION_PATCHED,
};

struct transition {
	struct session *session;
	size_t patch; /* index in the record */
	enum transition_goal goal;
	const struct plan *plan; /* when patching: entries to verify; else NULL */
	struct stack_rule rule;
};

/* What stood in the way of an attempt. */
struct transition_block {
	pid_t tid;
	enum stack_verdict verdict;
	const char *function;	    /* borrowed from the rule, or NULL */
	struct unwind_stack *stack; /* owned */
};

/**
 * transition_init() - prepare; the patch is loaded (goal patched) or enabled (goal unpatched)
 * Return: 0, or -errno raised.
 */
int transition_init(struct session *session, size_t patch, enum transition_goal goal,
		    const struct plan *plan, struct transition *ret);
void transition_deinit(struct transition *transition);

/**
 * transition_try() - one attempt: stop everybody, and switch if every thread may
 * @ret_blocks, @ret_nr: threads that may not, when it returns TRANSITION_BLOCKED; owned
 *
 * Return: 0: done; TRANSITION_BLOCKED: nothing was changed; or -errno raised, likewise.
 */
int transition_try(struct transition *transition, struct transition_block **ret_blocks,
		   size_t *ret_nr);

enum {
	TRANSITION_BLOCKED = 1,
};

/* Attempts until the session's deadline. Return: 0, or -errno raised, nothing was changed. */
int transition_run(struct transition *transition);

/**
 * transition_settle() - point the patch's slots at what runs now, restore entries nobody patches
 *
 * For the last step of a transition, of its undo, and of an interrupted one. All threads are
 * stopped, none is in the middle of an entry, the patch's state says what is to be.
 * Return: 0, or -errno raised.
 */
int transition_settle(struct session *session, size_t patch, enum transition_goal goal,
		      const struct freeze *freeze);

void transition_blocks_free(struct transition_block *blocks, size_t nr);

#endif
