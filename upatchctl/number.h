/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef UPATCHCTL_NUMBER_H
#define UPATCHCTL_NUMBER_H

/* Numbers on the command line. Nothing but the number may be there: no sign, blank or suffix. */

#include <stddef.h>
#include <sys/types.h>

/**
 * number_pid() - the PID in the first @length bytes of @text
 * Return: 0, or -EINVAL for what cannot be a PID: 0, a sign, letters, too large.
 */
int number_pid(const char *text, size_t length, pid_t *ret);

/**
 * number_seconds() - seconds with an optional fraction
 * @ret_ms: in milliseconds; digits beyond them are dropped
 * Return: 0, or -EINVAL.
 */
int number_seconds(const char *text, unsigned int *ret_ms);

#endif
