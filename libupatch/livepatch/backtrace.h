/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_BACKTRACE_H
#define LIVEPATCH_BACKTRACE_H

/* Stacks with names, for people. */

#include <stddef.h>
#include <stdint.h>

struct session;
struct unwind_stack;

/* One frame's names. Strings are borrowed from the session. */
struct backtrace_name {
	const char *function; /* or NULL */
	uint64_t offset;
	const char *object; /* or NULL */
};

/* Read all names now, so that looking one up reads no file: while a thread is stopped that takes too long. */
void backtrace_prepare(struct session *session);

/* What an address is called. Never fails: what is unknown has no name. */
void backtrace_name(struct session *session, uint64_t addr, struct backtrace_name *ret);

/**
 * backtrace_format() - one line per frame
 * Return: malloc'ed text without a final newline, or NULL without memory.
 */
char *backtrace_format(struct session *session, const struct unwind_stack *stack);

#endif
