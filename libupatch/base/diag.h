/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef BASE_DIAG_H
#define BASE_DIAG_H

/*
 * Where facts about a failure are collected on their way to the user.
 *
 * A failure is raised once, by diag_err(), where it is known. Callers forward the negative errno
 * unchanged; the message, the reason and the place travel in the diag.
 */

#include <stdarg.h>
#include <upatch/error.h>
#include <upatch/upatch.h>

/* What a message is about. Unset fields are taken from the diag's scope. */
struct diag_where {
	pid_t pid;
	pid_t tid;
	const char *patch;
	const char *object;
	const char *function;
};

struct diag {
	upatch_log_fn log;
	void *log_userdata;
	enum upatch_log_level log_level;
	struct diag_where scope;   /* strings borrowed from whoever set them */
	struct upatch_error error; /* strings owned, see diag_clear() */
};

void diag_init(struct diag *d);
void diag_deinit(struct diag *d);

/* Forget the last error. */
void diag_clear(struct diag *d);

/*
 * Set the error aside while what it interrupted is undone, which may fail, retry and clear on its
 * own; put it back afterwards: the cause stays what the user sees.
 */
struct upatch_error diag_set_aside(struct diag *d);
void diag_put_back(struct diag *d, const struct upatch_error *cause);

/**
 * diag_err() - raise a failure
 * @d:		 may be NULL, then nothing is kept
 * @error:	 negative errno
 * @where:	 NULL or what is known beyond the scope; copied
 *
 * The first failure wins: an undo that fails later is logged, not kept, so that the user sees the
 * cause and not its consequence.
 *
 * Return: @error, so that it can be returned by the caller.
 */
int diag_err(struct diag *d, int error, enum upatch_reason reason, const struct diag_where *where,
	     const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* Out of memory, the commonest failure: returns -ENOMEM. */
int diag_oom(struct diag *d);

/* Attach more lines (a backtrace) to the error that was just raised; copied. */
void diag_set_detail(struct diag *d, const char *detail);

/* One line for the log, without a newline, subject first, lower case. */
void diag_log(struct diag *d, enum upatch_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define diag_debug(d, ...) diag_log((d), UPATCH_LOG_DEBUG, __VA_ARGS__)
#define diag_info(d, ...) diag_log((d), UPATCH_LOG_INFO, __VA_ARGS__)
#define diag_warn(d, ...) diag_log((d), UPATCH_LOG_WARNING, __VA_ARGS__)

#endif
