/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_HOOKS_H
#define LIVEPATCH_HOOKS_H

/*
 * The dynamic linker's functions that lead to the agent, so that it learns of libraries that come and
 * go. What can be hooked is found by what there is, not by version:
 *
 *   glibc   libc.so.6's _dl_catch_exception: called with nothing to catch it in just before the
 *	     constructors of new libraries and before destructors; and r_debug.r_brk, which tells
 *	     that libraries are about to be unmapped. A library can be refused: _dl_signal_error
 *   musl    r_debug.r_brk, which is called when new libraries are relocated and their constructors
 *	     have not run. Libraries are never unloaded, and cannot be refused
 *
 * They are entry patches like others, in islands of their own. They are armed while there are
 * templates, of whatever patch.
 */

#include <stdbool.h>
#include <stdint.h>

struct hooks;
struct rcall;
struct session;
struct upatch_agent_data;

/**
 * hooks_find() - what there is to hook
 * Return: 0 with @ret, or -errno raised: UPATCH_E_NOT_FOLLOWED (the message says why), and those of
 * arch_ops.entry_plan.
 */
int hooks_find(struct session *session, struct hooks **ret);
void hooks_free(struct hooks *hooks);

/* Can a library be refused? */
bool hooks_may_refuse(const struct hooks *hooks);

/* Does the target have them: armed, or about to be? */
bool hooks_exist(const struct session *session);

/* Do the functions lead to the agent, or are they about to? */
bool hooks_are_armed(const struct session *session);

/* Is there a template, for which they are needed? */
bool hooks_are_needed(const struct session *session);

/* Make room for them. Return: 0, or -errno raised. */
int hooks_map(struct session *session, struct hooks *hooks, uint64_t seq, struct rcall *rcall);

/* Was that done, that they are still to be written and armed? */
bool hooks_are_new(const struct hooks *hooks);

/* Fill it: from here on there is a landing, and the agent can be called. Return: 0, or raised. */
int hooks_write(struct session *session, struct hooks *hooks);

/**
 * hooks_arm() - lead the functions to the agent
 * Stops all threads for a moment, and waits for those that are loading a library. Return: 0, or -errno
 * raised: UPATCH_E_LOADING.
 */
int hooks_arm(struct session *session, struct hooks *hooks);

/* Give the functions their own bytes back: nobody comes by any more. Return: 0, or -errno raised. */
int hooks_disarm(struct session *session);

/* Code in the target that functions return to which we have it run: see arch_ops.landing. */
uint64_t hooks_landing(const struct session *session);

#endif
