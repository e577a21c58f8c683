/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus_error.h"

#include <errno.h>
#include <json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <upatch/bus.h>

#include "bus_report.h"
#include "cleanup.h"
#include "failure.h"

static const char *field(struct json_object *error, const char *key)
{
	struct json_object *value = NULL;

	if (!json_object_object_get_ex(error, key, &value) || !value)
		return "";
	return json_object_get_string(value);
}

static void print_field(FILE *f, struct json_object *error, const char *key, const char *word)
{
	const char *value = field(error, key);

	if (*value)
		fprintf(f, "%s%s: ", word, value);
}

/* As upatchctl prints it: process, object, function, thread, message. NULL: no memory. */
static char *text_of(struct json_object *error)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	if (*field(error, "pid"))
		fprintf(f, *field(error, "comm") ? "process %s (%s): " : "process %s: ",
			field(error, "pid"), field(error, "comm"));
	print_field(f, error, "object", "");
	print_field(f, error, "function", "");
	print_field(f, error, "tid", "thread ");
	fprintf(f, "%s [%s]", field(error, "message"), field(error, "reason"));
	if (fclose(f) != 0)
		return NULL; /* a leak of what there is no memory for */
	return text;
}

static enum upatch_reason reason_of(struct json_object *error)
{
	const char *name = field(error, "reason");

	for (int i = UPATCH_E_NONE + 1; i < (int)UPATCH_E_COUNT; i++)
		if (strcmp(upatch_reason_name((enum upatch_reason)i), name) == 0)
			return (enum upatch_reason)i;
	return UPATCH_E_INTERNAL;
}

static int errno_of(enum upatch_reason reason)
{
	switch (reason) {
	case UPATCH_E_NO_PROCESS:
	case UPATCH_E_GONE:
		return -ESRCH;
	case UPATCH_E_DENIED:
		return -EPERM;
	case UPATCH_E_NO_MEMORY:
		return -ENOMEM;
	case UPATCH_E_LIMIT:
		return -EAGAIN;
	case UPATCH_E_DEADLINE:
		return -ETIMEDOUT;
	case UPATCH_E_IO:
	case UPATCH_E_WORKER:
		return -EIO;
	default:
		return -EINVAL;
	}
}

int bus_error_raise(struct failure *f, enum upatch_reason reason, pid_t pid, const char *fmt, ...)
{
	_cleanup_free_ char *message = NULL;
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = vasprintf(&message, fmt, ap);
	va_end(ap);
	if (r < 0)
		return failure_oom(f);
	(void)failure_set(f, errno_of(reason), reason, "%s", message); /* it gives back the errno */
	f->error.pid = pid;
	return -EINVAL;
}

int bus_error_answer(sd_bus_message *call, const struct upatch_error *error)
{
	struct json_object *report = bus_report_error(error);
	int r;

	r = bus_error_reply(call, report,
			    json_object_to_json_string_ext(report, JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(report);
	return r;
}

int bus_error_reply(sd_bus_message *call, struct json_object *report, const char *text)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	_cleanup_free_ char *message = NULL;
	char name[UPATCH_BUS_ERROR_MAX];
	struct json_object *first;
	int r;

	first = json_object_array_get_idx(json_object_object_get(report, "errors"), 0);
	message = text_of(first);
	r = sd_bus_error_set(&error, upatch_bus_error_name(reason_of(first), name), message);
	if (sd_bus_error_is_set(&error))
		r = sd_bus_message_new_method_error(call, &reply, &error);
	if (r >= 0)
		r = sd_bus_message_append(reply, "s", text);
	if (r >= 0)
		r = sd_bus_send(NULL, reply, NULL);
	return r;
}
