/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "child.h"

enum {
	IDLE_MAX = 512,
	IDLE_US = 5000000,
};

struct pool {
	sd_event *event;
	char *program;
	unsigned int max;
	unsigned int nr_busy;
	struct child *idle[IDLE_MAX];
	unsigned int nr_idle;
	sd_event_source *timer; /* runs while some are idle */
};

/* An idle worker has nothing to say: whoever speaks, or ends, is dismissed. */
static int on_message(void *userdata, struct wire *message)
{
	return -EBADMSG;
}

static void dismiss_all(struct pool *pool)
{
	while (pool->nr_idle > 0)
		child_free(pool->idle[--pool->nr_idle]);
}

/* Which one it was does not matter: those that are well are started again when needed. */
static void on_end(void *userdata)
{
	dismiss_all(userdata);
}

static int on_idle(sd_event_source *source, uint64_t usec, void *userdata)
{
	dismiss_all(userdata);
	return 0;
}

int pool_new(sd_event *event, const char *program, struct pool **ret)
{
	struct pool *pool = calloc(1, sizeof(*pool));
	int r;

	if (!pool)
		return -ENOMEM;
	pool->event = event;
	pool->program = strdup(program);
	r = pool->program ? sd_event_add_time_relative(event, &pool->timer, CLOCK_MONOTONIC,
						       IDLE_US, 0, on_idle, pool)
			  : -ENOMEM;
	if (r >= 0)
		r = sd_event_source_set_enabled(pool->timer, SD_EVENT_OFF);
	if (r < 0)
		pool_free(pool);
	else
		*ret = pool;
	return r;
}

void pool_free(struct pool *pool)
{
	if (!pool)
		return;
	dismiss_all(pool);
	sd_event_source_disable_unref(pool->timer);
	free(pool->program);
	free(pool);
}

void pool_set_max(struct pool *pool, unsigned int max)
{
	pool->max = max;
}

unsigned int pool_nr_busy(const struct pool *pool)
{
	return pool->nr_busy;
}

sd_event *pool_event(const struct pool *pool)
{
	return pool->event;
}

int pool_take(struct pool *pool, struct child **ret)
{
	static const struct child_receiver nobody = { on_message, on_end, NULL };
	int r;

	if (pool->nr_busy >= pool->max)
		return -EAGAIN;
	if (pool->nr_idle > 0) {
		*ret = pool->idle[--pool->nr_idle];
	} else {
		r = child_new(pool->event, pool->program, "--worker", &nobody, ret);
		if (r < 0)
			return r;
	}
	pool->nr_busy++;
	return 0;
}

void pool_give(struct pool *pool, struct child *child)
{
	const struct child_receiver receiver = { on_message, on_end, pool };

	pool->nr_busy--;
	if (pool->nr_idle >= IDLE_MAX) {
		child_free(child);
		return;
	}
	child_set_receiver(child, &receiver);
	pool->idle[pool->nr_idle++] = child;
	(void)sd_event_source_set_time_relative(pool->timer, IDLE_US); /* it is a timer */
	(void)sd_event_source_set_enabled(pool->timer, SD_EVENT_ONESHOT);
}

void pool_lose(struct pool *pool)
{
	pool->nr_busy--;
}
