/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef BASE_DEADLINE_H
#define BASE_DEADLINE_H

/* Points in CLOCK_MONOTONIC time, in nanoseconds. */

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define NSEC_PER_SEC 1000000000ull
#define NSEC_PER_MSEC 1000000ull
#define NSEC_PER_USEC 1000ull

static inline uint64_t clock_now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail for this clock */
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static inline uint64_t deadline_in(uint64_t nsec)
{
	uint64_t now = clock_now();

	return nsec > UINT64_MAX - now ? UINT64_MAX : now + nsec;
}

static inline bool deadline_is_over(uint64_t deadline)
{
	return clock_now() >= deadline;
}

/* Nanoseconds left, 0 when it is over. */
static inline uint64_t deadline_left(uint64_t deadline)
{
	uint64_t now = clock_now();

	return now >= deadline ? 0 : deadline - now;
}

#endif
