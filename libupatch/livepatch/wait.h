/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_WAIT_H
#define LIVEPATCH_WAIT_H

/* Carrying on with an open transition until it completes. */

struct transition;

/**
 * transition_wait() - visit laggards, each on its own, until all have switched
 *
 * One that sleeps where it slept when it was last visited is left alone, for a while: /proc tells
 * without stopping it. All others are visited after ever longer waits.
 *
 * Return: TRANSITION_DONE, TRANSITION_PENDING at the session's deadline, or -errno raised.
 */
int transition_wait(struct transition *transition);

#endif
