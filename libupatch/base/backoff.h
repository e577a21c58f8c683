/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef BASE_BACKOFF_H
#define BASE_BACKOFF_H

/* Trying again, after ever longer waits. */

#include <stdint.h>
#include <time.h>

#include "base/array.h"
#include "base/deadline.h"

enum {
	BACKOFF_FIRST_MS = 1,
	BACKOFF_MAX_MS = 200,
};

/* Zero it to begin. */
struct backoff {
	unsigned int ms;
};

/* How long to wait this time, in nanoseconds. */
static inline uint64_t backoff_next(struct backoff *backoff)
{
	backoff->ms = backoff->ms ? MIN(backoff->ms * 2, (unsigned int)BACKOFF_MAX_MS)
				  : (unsigned int)BACKOFF_FIRST_MS;
	return backoff->ms * NSEC_PER_MSEC;
}

/* Wait for that long; a signal may end it earlier, which does no harm to whoever tries again. */
static inline void nap_for(uint64_t nsec)
{
	struct timespec ts = { (time_t)(nsec / NSEC_PER_SEC), (long)(nsec % NSEC_PER_SEC) };

	(void)nanosleep(&ts, NULL); /* see above */
}

/* Wait, but not beyond the deadline. */
static inline void backoff_wait(struct backoff *backoff, uint64_t deadline)
{
	nap_for(MIN(backoff_next(backoff), deadline_left(deadline)));
}

#endif
