/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_SLOTS_H
#define LIVEPATCH_SLOTS_H

/*
 * The slots that a transition concerns, and what it stores in them and at their functions' entries.
 *
 * All of them, or of a replace patch those of all patches: functions that it lacks go back to the
 * original. Whoever stores something has all threads stopped, and none in a dispatcher.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct freeze;
struct plan;
struct session;
struct upatch_slot;

/* One of them. @old and @new: where calls go before and after the transition. */
struct slots_item {
	struct upatch_slot *slot; /* borrowed from the record */
	uint64_t old;
	uint64_t new;
};

struct slots {
	struct slots_item *items; /* sorted, each slot once */
	size_t nr;
};

enum slots_version {
	SLOTS_OLD,
	SLOTS_NEW,
};

/**
 * slots_collect() - of a patch in the record
 * @comes: the patch whose functions the new version has and the old one lacks: itself or -1
 * @goes:  the one whose functions the new version lacks
 * Return: 0, or raised: -ENOMEM, UPATCH_E_RECORD_CORRUPT.
 */
int slots_collect(struct session *session, size_t patch, int comes, int goes, struct slots *ret);

/**
 * slots_settle_all() - have all lead straight to what runs by the states of the patches
 * Entries of functions that no patch has any more are restored. Everybody is stopped.
 * Return: 0, or -errno raised.
 */
int slots_settle_all(struct session *session, pid_t tracee);
bool slots_has_unsettled(const struct session *session);
void slots_deinit(struct slots *slots);

/**
 * slots_open() - send calls through the dispatchers
 * No table counts yet, so that everybody goes on with the old version.
 */
int slots_open(struct session *session, const struct slots *slots, pid_t tracee);

/**
 * slots_write_entries() - write the jumps of functions that had none
 * Their slots lead to the original. Threads that stand behind the first of the overwritten
 * instructions go on in the gateway.
 */
int slots_write_entries(struct session *session, const struct plan *plan, struct freeze *freeze,
			pid_t tracee);

/**
 * slots_write_libraries() - likewise for the parts that the agent has placed for libraries in use
 * @freeze: NULL: only see that the functions' entries are what they should be
 */
int slots_write_libraries(struct session *session, size_t patch, struct freeze *freeze);

/**
 * slots_settle() - point them straight at what runs from now on, and give functions that nobody
 * patches their own bytes back
 */
int slots_settle(struct session *session, const struct slots *slots, enum slots_version version,
		 pid_t tracee);

#endif
