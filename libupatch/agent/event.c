/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/event.h"

#include "agent/agent.h"
#include "agent/bytes.h"

void event_add(const struct event *event)
{
	uint64_t number = agent_data.last_event + 1;
	struct upatch_event *e = &agent_data.events[number % UPATCH_EVENTS_MAX];
	struct sys_timespec now = {};

	(void)sys_clock_gettime(SYS_CLOCK_REALTIME, &now); /* 0 without it */
	*e = (struct upatch_event){
		.number = number,
		.when = now.sec,
		.seq = event->seq,
		.kind = event->kind,
		.reason = event->reason,
		.error = event->error,
	};
	str_copy(e->object, sizeof(e->object), event->object);
	str_copy(e->detail, sizeof(e->detail), event->detail);
	__atomic_store_n(&agent_data.last_event, number, __ATOMIC_RELEASE);
}
