/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_LATE_H
#define LIVEPATCH_LATE_H

/*
 * Symbols of libraries of the patch that may come and go, which its other payloads refer to: struct
 * upatch_late in <upatch/abi_agent.h>. Each has a word in its payload's GOT that the agent keeps.
 */

#include <stddef.h>

struct plan;
struct rcall;
struct session;

/**
 * late_settle() - give each its trap, which is what it leads to until the agent finds it
 * The agent is mapped. Return: 0, or -errno raised: UPATCH_E_RECORD_FULL when there are too many.
 */
int late_settle(struct session *session, struct plan *plan);

/* Tell the agent of them: the payloads are mapped. Return: 0, or -errno raised. */
int late_write(struct session *session, const struct plan *plan, size_t patch);

/**
 * late_clear() - the agent forgets those of a patch, whose payloads are about to be unmapped
 * Stops all threads for a moment if it has some. Return: 0, or -errno raised.
 */
int late_clear(struct session *session, size_t patch);

#endif
