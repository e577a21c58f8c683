/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "failure.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *copy(const char *s)
{
	return s ? strdup(s) : NULL;
}

void failure_clear(struct failure *f)
{
	free((char *)f->error.patch);
	free((char *)f->error.object);
	free((char *)f->error.function);
	free((char *)f->error.message);
	free((char *)f->error.detail);
	*f = (struct failure){};
}

int failure_set(struct failure *f, int error, enum upatch_reason reason, const char *fmt, ...)
{
	char *message = NULL;
	va_list ap;

	if (!f)
		return error;
	va_start(ap, fmt);
	if (vasprintf(&message, fmt, ap) < 0)
		message = NULL;
	va_end(ap);
	failure_clear(f);
	f->error.error = error;
	f->error.reason = reason;
	f->error.message = message;
	return error;
}

int failure_oom(struct failure *f)
{
	return failure_set(f, -ENOMEM, UPATCH_E_NO_MEMORY, "out of memory");
}

int failure_copy(struct failure *f, const struct upatch_error *error)
{
	struct upatch_error own = *error;

	if (!f)
		return error->error;
	own.patch = copy(error->patch);
	own.object = copy(error->object);
	own.function = copy(error->function);
	own.message = copy(error->message);
	own.detail = copy(error->detail);
	failure_clear(f);
	f->error = own;
	return own.error;
}
