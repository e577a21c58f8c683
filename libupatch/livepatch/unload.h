/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_UNLOAD_H
#define LIVEPATCH_UNLOAD_H

/* Taking away what a patch left in a target once no thread can come to it any more. */

#include <stddef.h>

struct session;

/**
 * unload_patch() - unmap a patch in state LOADING, UNLOADING or KEPT, and forget it
 *
 * A patch that was enabled stays, in state KEPT, when something still refers to its code.
 *
 * Return: 0; UNLOAD_KEPT; or -errno raised: what is left is in the record.
 */
int unload_patch(struct session *session, size_t index);

enum {
	UNLOAD_KEPT = 1,
};

/**
 * unload_kept() - try again with all patches in state KEPT
 * Return: 0, or -errno raised; what was freed is so in either case.
 */
int unload_kept(struct session *session, unsigned int *ret_freed, unsigned int *ret_kept);

/**
 * unload_rest() - islands without users, the agent, and the record when nothing is left to record
 * The agent goes after the last patch, unless there are shadow variables: then it stays, the record
 * with it, until a later patch that frees them is reverted. Only when no thread stands in any of it. Return: 0, or -errno raised.
 */
int unload_rest(struct session *session);

#endif
