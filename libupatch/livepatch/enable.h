/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_ENABLE_H
#define LIVEPATCH_ENABLE_H

/* Enabling and disabling a patch in a target. */

struct patchfile;
struct session;

/**
 * enable_patch() - __klp_enable_patch() for a process
 * Reverses or carries on with the open transition of a patch of that name.
 *
 * Return: TRANSITION_DONE; TRANSITION_PENDING, with what holds it up raised; or -errno raised with
 * the target as it was.
 */
int enable_patch(struct session *session, const struct patchfile *file);

/**
 * disable_patch() - its opposite
 * Return: likewise; TRANSITION_DONE also when the patch's code stays mapped (kept).
 */
int disable_patch(struct session *session, const char *name);

enum disable_flags {
	DISABLE_MAY_BE_UNDONE =
		1, /* by enabling it again: it must be on top of its functions now */
};

/**
 * disable_check() - what would disable_patch() be refused for, as things are now? Changes nothing
 * Return: 0, also when there is no such patch, or -EBUSY raised with UPATCH_E_BUSY, UPATCH_E_STACK_ORDER.
 */
int disable_check(struct session *session, const char *name, unsigned int flags);

#endif
