/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Creates a thousand threads a second; each one handles something, which takes some milliseconds, and
 * exits. Each answer to a line on the standard input is a line:
 *
 *	report		"threads N old N new N ms N"
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
	EVERY_NSEC = 1000000,
	HANDLE_NSEC = 3000000,
	OLD = 1,
};

static atomic_long nr_of[3];
static atomic_long nr_threads;

/* Says which version of it ran. */
__attribute__((noipa, used)) int version(void)
{
	return OLD;
}

__attribute__((noipa, used)) int handle(void)
{
	struct timespec ts = { .tv_nsec = HANDLE_NSEC };
	int begun = version();

	nanosleep(&ts, NULL);
	return begun == version() ? begun : 0;
}

static void *serve(void *arg)
{
	nr_of[handle()]++;
	nr_threads++;
	return arg;
}

static void *create(void *arg)
{
	struct timespec ts = { .tv_nsec = EVERY_NSEC };
	struct timespec next;
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	clock_gettime(CLOCK_MONOTONIC, &next);
	for (;;) {
		(void)pthread_create(&thread, &attr, serve, NULL); /* or there are too many */
		next.tv_nsec += ts.tv_nsec;
		if (next.tv_nsec >= 1000000000) {
			next.tv_sec++;
			next.tv_nsec -= 1000000000;
		}
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
	}
	return arg;
}

static long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

int main(void)
{
	pthread_t thread;
	char line[64];

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (pthread_create(&thread, NULL, create, NULL) != 0)
		return 1;
	while (fgets(line, sizeof(line), stdin)) {
		if (strcmp(line, "report\n") == 0)
			printf("threads %ld old %ld new %ld mixed %ld ms %lld\n", nr_threads,
			       nr_of[OLD], nr_of[OLD + 1], nr_of[0], now_ms());
		else
			printf("what?\n");
	}
	return 0;
}
