/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_CALLBACK_H
#define LIVEPATCH_CALLBACK_H

/*
 * The callbacks of a patch, of which each object may have four, run in the target.
 *
 *   pre_patch     before the transition that enables; its failure cancels the patch
 *   post_patch    behind it
 *   pre_unpatch   before the transition that disables
 *   post_unpatch  behind it, or when enabling was cancelled or reversed: only where armed
 *
 * An object is armed when its pre_patch succeeded or there is none, and no more when its
 * post_unpatch is run: klp_pre_patch_callback() and klp_post_unpatch_callback(). The meta holds
 * that, so that whoever finishes or undoes what we began does the same; a pre_patch that was
 * running when the tool died counts as failed. Objects go in the order of their declaration, always.
 */

#include <stdbool.h>
#include <stddef.h>
#include <upatch/livepatch.h>

struct session;

/* Does the patch have any of them? */
bool callbacks_exist(const struct session *session, size_t patch);

/* Of an enabled patch: has nobody come to run post_patch? */
bool callbacks_are_due(const struct session *session, size_t patch);

/**
 * callback_run() - one of them, if the object has it
 * @object: index in the patch's meta
 * Return: 0; for pre_patch -errno raised with UPATCH_E_CALLBACK, in klp's words, when it refused,
 * crashed or hung; others have no way to fail: that is logged.
 */
int callback_run(struct session *session, size_t patch, size_t object,
		 enum upatch_callback_kind kind);

/**
 * callbacks_pre_patch() - of all objects, up to the first failure
 * Return: 0, or -errno raised; then callbacks_post_unpatch() is due.
 */
int callbacks_pre_patch(struct session *session, size_t patch);
void callbacks_post_patch(struct session *session, size_t patch);
void callbacks_pre_unpatch(struct session *session, size_t patch);
void callbacks_post_unpatch(struct session *session, size_t patch);

#endif
