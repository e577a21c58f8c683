/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_EHFRAME_H
#define LIVEPATCH_EHFRAME_H

/*
 * Making the target's own unwinder know the code of a patch, so that C++ exceptions, thread
 * cancellation and backtrace(3) pass through it.
 *
 * libgcc asks the dynamic linker which objects there are, and before that looks into a list that
 * __register_frame_info() adds to: it is called with the payload's .eh_frame and room for its
 * entry in that list, so that it allocates nothing. Where there is no libgcc nobody unwinds.
 */

#include <stdbool.h>
#include <stddef.h>

struct session;

/* Does the target have an unwinder to tell? */
bool ehframe_is_wanted(struct session *session);

/* Has ehframe_register() something to do for this patch? */
bool ehframe_is_due(const struct session *session, size_t patch);

/**
 * ehframe_register() - the patch's payloads, all or none
 * They are written, and nothing jumps to them yet. The meta says that it was done before it is.
 * Return: 0, or -errno raised as call_function().
 */
int ehframe_register(struct session *session, size_t patch);

/**
 * ehframe_deregister() - those that are registered; before they are unmapped
 * Return: 0; 1: of a library that has gone it is not known; or -errno raised: they must not be unmapped.
 */
int ehframe_deregister(struct session *session, size_t patch);

#endif
