/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_AGENT_H
#define LIVEPATCH_AGENT_H

/*
 * The agent, code of ours that runs in a target (agent/agent.h): putting it there for the first patch
 * that asks for it, and taking it away after the last patch and the last shadow variable.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct plan;
struct rcall;
struct session;
struct upatch_agent_data;

/* Does the agent offer a function of that name? Names of its are looked up nowhere else. */
bool agent_has_export(const char *name);

/**
 * agent_map() - see that the target has an agent, if the plan's payloads refer to one or it has templates
 * Sets their symbols. One that is there already is used, whoever made it.
 *
 * Return: 0, or -errno raised: UPATCH_E_NO_ROOM, UPATCH_E_RCALL, UPATCH_E_RECORD_VERSION. The
 * region then is in the record, for unload_rest().
 */
int agent_map(struct session *session, const struct plan *plan, struct rcall *rcall);

/* Address of a function of it, 0: none. It is mapped. */
uint64_t agent_export_addr(struct session *session, const char *name);

/* What it and the host tell each other, struct upatch_agent_data. Return: 0, or -errno raised. */
int agent_read_data(struct session *session, struct upatch_agent_data *ret);
int agent_load_data(struct session *session, size_t offset, void *field, size_t size);
int agent_store_data(struct session *session, size_t offset, const void *field, size_t size);

/* Is a thread changing the record, for a library that comes or goes? */
bool agent_is_busy(struct session *session);

/* A function of the agent was given up: nobody will give its lock back. Return: 0, or -errno raised. */
int agent_break_lock(struct session *session);

/* Index of its region in the record, or -ENOENT, unraised. */
int agent_region(const struct session *session);

/* Is that an address in its code? */
bool agent_has_addr(const struct session *session, uint64_t addr);

/**
 * agent_wait_empty() - wait until no thread is in the agent
 * Return: 0; -EAGAIN, unraised, after five seconds; or -errno raised.
 */
int agent_wait_empty(struct session *session);

/**
 * agent_is_idle() - is there one that nobody needs?
 * As long as there are shadow variables it stays, and so does the record: whoever reverts or applies
 * a patch next looks again.
 */
bool agent_is_idle(struct session *session);

/* Let the unwinder know its frames. Return: 0, or -ENOMEM raised. */
int agent_add_code(struct session *session);

#endif
