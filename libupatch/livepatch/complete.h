/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_COMPLETE_H
#define LIVEPATCH_COMPLETE_H

/*
 * Bringing an open transition to its end, and tidying up behind it: what went out of use is
 * unmapped, or kept.
 */

#include <stddef.h>

#include "livepatch/rule.h"

struct session;
struct transition;
struct block;

/**
 * complete_transition() - after transition_start() or transition_reverse()
 * @outcome: what that returned, not negative
 *
 * Return: TRANSITION_DONE; TRANSITION_PENDING, with what holds it up raised; or -errno raised.
 */
int complete_transition(struct transition *transition, int outcome);

/**
 * complete_open() - carry on with the transition of a patch, whoever began it
 * @goal: where it is to go; it is reversed when it goes elsewhere
 */
int complete_open(struct session *session, size_t patch, enum rule_goal goal);

/* The same, where it goes now. Return: also TRANSITION_DONE when none is open. */
int complete_any(struct session *session);

/**
 * complete_busy() - is the target free for another transition, if need be after a look at its laggards?
 * Return: 0, or -EBUSY raised with UPATCH_E_BUSY, which names the one that is open.
 */
int complete_busy(struct session *session);

/* The same as things are now; changes nothing. */
int complete_raise_busy(struct session *session);

/**
 * complete_by_force() - as transition_force(), and tidy up
 * Return: 0, or -errno raised; -ENOENT with UPATCH_E_NO_TRANSITION.
 */
int complete_by_force(struct session *session, struct block **ret_blocks, size_t *ret_nr);

#endif
