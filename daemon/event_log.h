/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_EVENT_LOG_H
#define DAEMON_EVENT_LOG_H

/*
 * What happens to processes and patches, for the admin: to the journal with fields of its own, or,
 * where there is none, as a line of the log.
 *
 *   MESSAGE_ID=, UPATCH_PATCH=, UPATCH_PID=, UPATCH_COMM=, UPATCH_STATE=,
 *   UPATCH_REASON=, UPATCH_FUNCTION=, UPATCH_TID=
 */

struct manager_event;

#define EVENT_LOG_ID_ENTRY "c5f0d4a7b0e24d5e8f6d0a1c3b9e7201"
#define EVENT_LOG_ID_PATCHES "c5f0d4a7b0e24d5e8f6d0a1c3b9e7202"

/** event_log_put() - what happened to a process or a patch; what is of no interest is left out */
void event_log_put(const struct manager_event *event);

#endif
