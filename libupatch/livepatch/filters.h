/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_FILTERS_H
#define LIVEPATCH_FILTERS_H

/*
 * What the seccomp filters of the target's threads make of the agent's system calls: libraries are loaded
 * by the process itself, in any of its threads, without us to suspend its filters.
 *
 * Each thread has filters of its own. A new one has those of the thread that made it; what is installed
 * later is not known.
 */

#include <stddef.h>
#include <stdint.h>

struct session;

enum filters_need {
	FILTERS_NEEDED, /* must be permitted */
	FILTERS_SPARED, /* may fail */
	FILTERS_OPEN, /* writing through /proc/self/mem; where it is not permitted it is not tried */
	FILTERS_PROTECT, /* changing protections instead, and where the file cannot be opened */
};

/* A system call of the agent's. @known: bit n: args[n] is what it passes, else it passes whatever. */
struct filters_call {
	const char *name;
	uint32_t nr;
	enum filters_need need;
	unsigned int known;
	uint64_t args[6];
};

/* All of them. */
const struct filters_call *filters_calls(size_t *ret_nr);

/**
 * filters_judge() - may the agent work in any of the target's threads?
 *
 * Stops each thread that has filters for itself, for as long as it takes to read them; and all of them for
 * those that are left, where threads come and go all the time. Sets session->may_not_open where the agent
 * must do without its memory file.
 *
 * Return: 0, or -errno raised: -ENOTSUP with UPATCH_E_NOT_FOLLOWED when it may not, or that cannot be told,
 * and the message names the first system call that is forbidden; or as freeze_each(), session_freeze().
 */
int filters_judge(struct session *session);

#endif
