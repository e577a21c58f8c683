/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef UPATCH_BUS_H
#define UPATCH_BUS_H

/*
 * Names of upatchd's D-Bus API, for the daemon and its clients. org.upatch.Manager1(5) says what
 * the methods take and give.
 */

#include <stddef.h>
#include <string.h>
#include <upatch/error.h>

#define UPATCH_BUS_NAME "org.upatch.Manager1"
#define UPATCH_BUS_PATH "/org/upatch/Manager1"
#define UPATCH_BUS_INTERFACE "org.upatch.Manager1"
#define UPATCH_BUS_ERROR_PREFIX "org.upatch.Error."
#define UPATCH_BUS_SOCKET "/run/upatch/bus"

enum {
	UPATCH_BUS_ERROR_MAX = 64,
};

/**
 * upatch_bus_error_name() - D-Bus error name of a reason, "org.upatch.Error.InFunction"
 * @reason: any value; unknown ones give that of "internal"
 * @buffer: of UPATCH_BUS_ERROR_MAX bytes
 *
 * Made from the reason's name, so that there is nothing to keep in step.
 *
 * Return: @buffer.
 */
static inline const char *upatch_bus_error_name(enum upatch_reason reason, char *buffer)
{
	const char *name = upatch_reason_name(reason);
	size_t length = sizeof(UPATCH_BUS_ERROR_PREFIX) - 1;
	int is_first = 1;

	memcpy(buffer, UPATCH_BUS_ERROR_PREFIX, length);
	for (; *name && length < UPATCH_BUS_ERROR_MAX - 1; name++) {
		if (*name == '-') {
			is_first = 1;
			continue;
		}
		buffer[length++] = is_first && *name >= 'a' && *name <= 'z'
					   ? (char)(*name - 'a' + 'A')
					   : *name;
		is_first = 0;
	}
	buffer[length] = 0;
	return buffer;
}

/**
 * upatch_bus_error_reason() - the reason of a D-Bus error name
 * Return: the reason, or UPATCH_E_NONE for names that are not ours.
 */
static inline enum upatch_reason upatch_bus_error_reason(const char *name)
{
	char buffer[UPATCH_BUS_ERROR_MAX];

	for (int i = UPATCH_E_NONE + 1; i < (int)UPATCH_E_COUNT; i++)
		if (strcmp(upatch_bus_error_name((enum upatch_reason)i, buffer), name) == 0)
			return (enum upatch_reason)i;
	return UPATCH_E_NONE;
}

#endif
