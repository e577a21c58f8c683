/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_LIBRARY_H
#define LIVEPATCH_LIBRARY_H

/*
 * Libraries that may come and go, of which the agent places the parts and keeps the record: what the
 * host has it do, and how the host keeps up with it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <upatch/abi_agent.h>

#include "livepatch/callback.h"

struct freeze;
struct session;
struct upatch_meta_object;

/**
 * library_freeze() - stop all threads at a time when none is changing the record
 * Return: 0, or -errno raised: UPATCH_E_LOADING when there is no such time until the deadline.
 */
int library_freeze(struct session *session, struct freeze *ret);

/**
 * library_sync() - read the record again if the agent has changed it
 * All threads are stopped by library_freeze(), or what is read is for reading only. Pointers into the
 * record are void then. Return: 1: it has; 0: nothing has changed; or -errno raised.
 */
int library_sync(struct session *session);

/* Has the agent changed the record since it was read? Any thread may be running. */
bool library_has_changed(struct session *session);

/* UPATCH_E_NOT_FOLLOWED, with why. Return: -ENOTSUP. */
int library_raise_not_followed(struct session *session, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/**
 * library_probe() - may the target do in its own name what its agent will do?
 * It makes code and writes some. Return: 0, or -errno raised: -ENOTSUP if it may not.
 */
int library_probe(struct session *session);

/**
 * library_scan() - have the agent place a loaded patch's parts for the libraries that are there
 * Their entries are not written yet. Return: 0, or -errno raised with why it was refused.
 */
int library_scan(struct session *session, size_t patch);

/* A loaded patch goes: take it out of the agent's hands. Return: 0, or -errno raised. */
int library_claim(struct session *session, size_t patch);

/**
 * library_call() - have the agent run a callback for a part, if it is there and its turn
 * @ret: what it returned
 * Return: 0, or -errno raised.
 */
int library_call(struct session *session, size_t patch, size_t object,
		 enum upatch_callback_kind kind, int *ret);

/*
 * Have the agent forget the unwind tables of a patch that is about to be unmapped. Return: 0; 1: some may
 * still be known, so that it must not be; or -errno raised.
 */
int library_forget(struct session *session, size_t patch);

/* Report what the agent did while nobody was there. */
void library_report(struct session *session);

const char *library_refused_text(enum upatch_refused reason);

#endif
