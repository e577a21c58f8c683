/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_POOL_H
#define DAEMON_POOL_H

/*
 * Workers: at most so many. One that has done its job is kept a while for the next, with what it has
 * read of files; idle for long it goes.
 */

#include <systemd/sd-event.h>

struct child;
struct pool;

int pool_new(sd_event *event, const char *program, struct pool **ret);
void pool_free(struct pool *pool);

void pool_set_max(struct pool *pool, unsigned int max);
unsigned int pool_nr_busy(const struct pool *pool);
sd_event *pool_event(const struct pool *pool);

/* Return: 0 with a worker that the caller owns; -EAGAIN when there are enough; -errno. */
int pool_take(struct pool *pool, struct child **ret);

/* Give it back, or with pool_lose() tell that it is no more. */
void pool_give(struct pool *pool, struct child *child);
void pool_lose(struct pool *pool);

#endif
