/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_FAILURE_H
#define DAEMON_FAILURE_H

/*
 * One refusal with everything that is known about it, owned: the library's struct upatch_error, kept
 * beyond the context's next call. Zeroed, it holds none.
 */

#include <upatch/error.h>

struct failure {
	struct upatch_error error; /* strings owned; message is NULL when there is none */
};

/**
 * failure_set() - raise a failure, in place of what was there
 * @f: may be NULL
 * Return: @error, negative errno, so that it can be returned by the caller.
 */
int failure_set(struct failure *f, int error, enum upatch_reason reason, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Out of memory: returns -ENOMEM. */
int failure_oom(struct failure *f);

/* Copy what the library raised. Return: its errno. */
int failure_copy(struct failure *f, const struct upatch_error *error);

/* Forget it, and give its memory back. */
void failure_clear(struct failure *f);

#endif
