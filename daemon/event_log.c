/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "event_log.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "manager.h"

enum {
	FIELDS_MAX = 16,
};

/* What one entry says: "KEY=value", owned. */
struct fields {
	struct iovec all[FIELDS_MAX];
	int nr;
};

static void fields_deinit(struct fields *fields)
{
	for (int i = 0; i < fields->nr; i++)
		free(fields->all[i].iov_base);
}

__attribute__((format(printf, 2, 3))) static void add(struct fields *fields, const char *fmt, ...)
{
	char *field;
	va_list ap;
	int length;

	va_start(ap, fmt);
	length = vasprintf(&field, fmt, ap);
	va_end(ap);
	/* Without memory a field is missing, the rest is still worth telling. */
	if (length >= 0 && fields->nr < FIELDS_MAX)
		fields->all[fields->nr++] =
			(struct iovec){ .iov_base = field, .iov_len = (size_t)length };
	else if (length >= 0)
		free(field);
}

static bool has_journal(void)
{
	return access("/run/systemd/journal/socket", F_OK) == 0;
}

/* The first field is the message. */
static void emit(struct fields *fields, int priority)
{
	const char *message = fields->nr > 0 ? fields->all[0].iov_base : "MESSAGE=out of memory";

	if (!has_journal() || sd_journal_sendv(fields->all, fields->nr) < 0)
		log_line(priority, "%s", message + sizeof("MESSAGE=") - 1);
}

/* What needs an admin is a warning, what he asked for is a notice, the way there is not told. */
static int priority_of(const struct manager_event *event)
{
	if (event->kind == MANAGER_EVENT_PATCHES)
		return LOG_NOTICE;
	if (event->kind != MANAGER_EVENT_ENTRY)
		return -1;
	if (event->state == STATUS_RESTART)
		return LOG_WARNING;
	return event->state == STATUS_WAITING ? LOG_DEBUG : LOG_INFO;
}

static void add_message(struct fields *fields, const struct manager_event *event)
{
	const struct upatch_error *error = event->error;
	const char *state = event->state == STATUS_STATES ? "gone"
							  : status_state_name(event->state);

	if (event->kind == MANAGER_EVENT_PATCHES)
		add(fields, "MESSAGE=patch '%s': what is desired has changed", event->patch ?: "*");
	else
		add(fields, "MESSAGE=process %d (%s): patch '%s': %s%s%s%s%s", (int)event->pid,
		    event->comm ?: "", event->patch ?: "", state, error ? ": " : "",
		    error && error->function ? error->function : "",
		    error && error->function ? ": " : "",
		    error && error->message ? error->message : "");
}

void event_log_put(const struct manager_event *event)
{
	_cleanup_(fields_deinit) struct fields fields = {};
	const struct upatch_error *error = event->error;
	int priority = priority_of(event);

	if (priority < 0)
		return;
	add_message(&fields, event);
	add(&fields, "PRIORITY=%d", priority);
	add(&fields, "SYSLOG_IDENTIFIER=upatchd");
	add(&fields, "MESSAGE_ID=%s",
	    event->kind == MANAGER_EVENT_ENTRY ? EVENT_LOG_ID_ENTRY : EVENT_LOG_ID_PATCHES);
	if (event->patch)
		add(&fields, "UPATCH_PATCH=%s", event->patch);
	if (event->kind == MANAGER_EVENT_ENTRY) {
		add(&fields, "UPATCH_PID=%d", (int)event->pid);
		add(&fields, "UPATCH_COMM=%s", event->comm ?: "");
		add(&fields, "UPATCH_STATE=%s",
		    event->state == STATUS_STATES ? "gone" : status_state_name(event->state));
	}
	if (error) {
		add(&fields, "UPATCH_REASON=%s", upatch_reason_name(error->reason));
		if (error->function)
			add(&fields, "UPATCH_FUNCTION=%s", error->function);
		if (error->tid)
			add(&fields, "UPATCH_TID=%d", (int)error->tid);
	}
	emit(&fields, priority);
}
