/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A pool of workers. Every request runs f, then g, under a contract: both old, or both new. Each answer
 * to a line on the standard input is a line:
 *
 *	report		"requests N old N new N mixed N", mixed pairs since the last report, once all
 *			requests that were running when it was asked for are through
 */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	WORKERS = 4,
	OLD = 1,
	BLOCK_EVERY = 65536, /* requests */
	BLOCK_NSEC = 1000000,
	THINK_STEPS = 40,
};

struct request {
	long number;
	int f;
	int g;
};

struct worker {
	_Alignas(64) atomic_long nr; /* requests that are through */
	atomic_long nr_of[3];	     /* by the version of f */
	atomic_long nr_mixed;
};

static struct worker workers[WORKERS];

#define TARGET __attribute__((noipa, used))

TARGET void f(struct request *r)
{
	r->f = OLD;
}

TARGET void g(struct request *r)
{
	r->g = OLD;
}

/* What lies between the two: mostly nothing, now and then a wait. */
TARGET void between(struct request *r)
{
	struct timespec ts = { .tv_nsec = BLOCK_NSEC };

	if (r->number % BLOCK_EVERY == 0)
		nanosleep(&ts, NULL);
}

TARGET void serve(struct request *r)
{
	f(r);
	between(r);
	g(r);
	__asm__ volatile("");
}

/* What a worker does between two requests. */
TARGET int think(int x)
{
	for (int i = 0; i < THINK_STEPS; i++)
		x = x * 1103515245 + 12345;
	return x;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct request r = { .number = (w - workers) * (BLOCK_EVERY / WORKERS) };

	for (;;) {
		r.number++;
		think((int)r.number);
		serve(&r);
		if (r.f == r.g)
			w->nr_of[r.f]++;
		else
			w->nr_mixed++;
		w->nr++;
	}
	return NULL;
}

static long sum(atomic_long *first)
{
	long total = 0;

	for (int i = 0; i < WORKERS; i++)
		total += *(atomic_long *)((char *)first + (size_t)i * sizeof(struct worker));
	return total;
}

/* Every worker has ended the request that it is in now. */
static void drain(void)
{
	for (int i = 0; i < WORKERS; i++) {
		long nr = workers[i].nr;

		while (workers[i].nr == nr)
			poll(NULL, 0, 1);
	}
}

static void report(void)
{
	long mixed = 0;

	drain();
	for (int i = 0; i < WORKERS; i++)
		mixed += atomic_exchange(&workers[i].nr_mixed, 0);
	printf("requests %ld old %ld new %ld mixed %ld\n", sum(&workers[0].nr),
	       sum(&workers[0].nr_of[OLD]), sum(&workers[0].nr_of[OLD + 1]), mixed);
}

int main(void)
{
	pthread_t thread;
	char line[64];

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 0; i < WORKERS; i++)
		if (pthread_create(&thread, NULL, work, &workers[i]) != 0)
			return 1;
	while (fgets(line, sizeof(line), stdin)) {
		if (strcmp(line, "report\n") == 0)
			report();
		else
			printf("what?\n");
	}
	return 0;
}
