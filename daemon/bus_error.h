/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_BUS_ERROR_H
#define DAEMON_BUS_ERROR_H

/*
 * Errors on the bus: the name is org.upatch.Error.REASON, the first argument the text that upatchctl
 * prints, the second a report in JSON with every field of the error, as in docs/json.md.
 */

#include <sys/types.h>
#include <systemd/sd-bus.h>
#include <upatch/error.h>

struct failure;
struct json_object;

/** bus_error_raise() - failure_set() about a process, 0 for none; always negative */
int bus_error_raise(struct failure *f, enum upatch_reason reason, pid_t pid, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/** bus_error_answer() - answer a call with an error that has no report yet */
int bus_error_answer(sd_bus_message *call, const struct upatch_error *error);

/** bus_error_reply() - answer with the first error of a report, and the report, @text */
int bus_error_reply(sd_bus_message *call, struct json_object *report, const char *text);

#endif
