/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/diag.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/export.h"

static const struct {
	const char *name;
	const char *hint;
	enum upatch_exit status;
} reasons[] = {
#define REASON_ENTRY(id, reason_name, exit_status, next_step)                                      \
	[UPATCH_E_##id] = { .name = reason_name, .hint = next_step, .status = exit_status },
	UPATCH_REASONS(REASON_ENTRY)
#undef REASON_ENTRY
};

static enum upatch_reason reason_clamp(enum upatch_reason reason)
{
	return (unsigned int)reason < UPATCH_E_COUNT ? reason : UPATCH_E_INTERNAL;
}

EXPORT const char *upatch_reason_name(enum upatch_reason reason)
{
	return reasons[reason_clamp(reason)].name;
}

EXPORT const char *upatch_reason_hint(enum upatch_reason reason)
{
	return reasons[reason_clamp(reason)].hint;
}

EXPORT enum upatch_exit upatch_reason_exit(enum upatch_reason reason)
{
	return reasons[reason_clamp(reason)].status;
}

void diag_init(struct diag *d)
{
	*d = (struct diag){ .error = { .message = "" } };
}

void diag_deinit(struct diag *d)
{
	diag_clear(d);
}

void diag_clear(struct diag *d)
{
	/* The strings are ours; struct upatch_error shows them to users as const. An empty message
	 * is a literal. */
	free((char *)d->error.patch);
	free((char *)d->error.object);
	free((char *)d->error.function);
	free((char *)d->error.detail);
	if (d->error.message && *d->error.message)
		free((char *)d->error.message);
	d->error = (struct upatch_error){ .message = "" };
}

struct upatch_error diag_set_aside(struct diag *d)
{
	struct upatch_error cause = d->error;

	d->error = (struct upatch_error){ .message = "" };
	return cause;
}

void diag_put_back(struct diag *d, const struct upatch_error *cause)
{
	if (d->error.reason != UPATCH_E_NONE)
		diag_debug(d, "then: %s", d->error.message);
	diag_clear(d);
	d->error = *cause;
}

static char *copy_first(const char *a, const char *b)
{
	const char *s = a ? a : b;

	/* Without memory the field is missing from the report, the reason is not. */
	return s ? strdup(s) : NULL;
}

int diag_err(struct diag *d, int error, enum upatch_reason reason, const struct diag_where *where,
	     const char *fmt, ...)
{
	static const struct diag_where nowhere;
	_cleanup_free_ char *message = NULL;
	va_list ap;

	if (!d)
		return error;
	if (!where)
		where = &nowhere;
	va_start(ap, fmt);
	if (vasprintf(&message, fmt, ap) < 0)
		message = NULL;
	va_end(ap);
	if (d->error.reason != UPATCH_E_NONE) {
		diag_debug(d, "then: %s", message ? message : "out of memory");
		return error;
	}
	d->error = (struct upatch_error){
		.reason = reason,
		.error = error,
		.pid = where->pid ? where->pid : d->scope.pid,
		.tid = where->tid ? where->tid : d->scope.tid,
		.patch = copy_first(where->patch, d->scope.patch),
		.object = copy_first(where->object, d->scope.object),
		.function = copy_first(where->function, d->scope.function),
		.message = message && *message ? take_ptr(message) : "",
	};
	return error;
}

int diag_oom(struct diag *d)
{
	return diag_err(d, -ENOMEM, UPATCH_E_NO_MEMORY, NULL, "out of memory");
}

void diag_set_detail(struct diag *d, const char *detail)
{
	free((char *)d->error.detail);
	d->error.detail = detail ? strdup(detail) : NULL;
}

void diag_log(struct diag *d, enum upatch_log_level level, const char *fmt, ...)
{
	_cleanup_free_ char *line = NULL;
	va_list ap;

	if (!d || !d->log || level > d->log_level)
		return;
	va_start(ap, fmt);
	if (vasprintf(&line, fmt, ap) < 0)
		line = NULL;
	va_end(ap);
	if (line)
		d->log(d->log_userdata, level, line);
}
