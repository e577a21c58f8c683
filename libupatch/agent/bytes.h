/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AGENT_BYTES_H
#define AGENT_BYTES_H

/* What string.h would have. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The compiler calls these, too (bytes.c). */
void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);
int memcmp(const void *a, const void *b, size_t size);

static inline bool str_is_equal(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

/* As much of it as there is room for, terminated. */
static inline void str_copy(char *to, size_t room, const char *from)
{
	size_t i = 0;

	for (; from && from[i] && i + 1 < room; i++)
		to[i] = from[i];
	to[i] = '\0';
}

static inline uint64_t align_up(uint64_t value, uint64_t to)
{
	return (value + to - 1) & ~(to - 1);
}

#endif
