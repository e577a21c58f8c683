/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AGENT_EVENT_H
#define AGENT_EVENT_H

/* What happened while no host was there to tell. Under the lock of dl.h. */

#include <stdint.h>
#include <upatch/abi_agent.h>

struct event {
	uint32_t kind; /* enum upatch_event_kind */
	uint64_t seq;
	const char *object;
	uint32_t reason;
	int32_t error;
	const char *detail; /* or NULL */
};

void event_add(const struct event *event);

#endif
