/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A program that watches itself while it is patched: threads that hold known values in every
 * register, in the red zone and in errno; a 200 us timer whose expirations are counted; system calls
 * that nothing may end; about a thousand threads a second that come and go. All that compute call
 * checked_value(), the function to be patched, in between. A line on its standard input makes it
 * answer with one line, see report().
 */
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "victim_watchful.h"

enum {
	OLD_VALUE = 2,
	NEW_VALUE = 1001,
	SPINS = 50000,
	TIMER_NSEC = 200 * 1000,
	STORM_NSEC = 1000 * 1000,
	LONG_SECONDS = 100000,
	TIMER_DEADLINE_NSEC = 1000 * 1000 * 1000,
};

#define NSEC_PER_SEC 1000000000ll

static atomic_long nr_register_faults, nr_errno_faults, nr_value_faults, nr_returned;
static atomic_long nr_expirations, nr_storm_threads, nr_checks, nr_blocked;

__attribute__((noipa, used)) static int checked_value(int x)
{
	for (volatile int i = 0; i < 4; i++)
		continue;
	return x + 1;
}

static void check_value(void)
{
	int value = checked_value(OLD_VALUE - 1);

	nr_value_faults += value != OLD_VALUE && value != NEW_VALUE;
	nr_checks++;
}

static long long now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

/* --- threads that compute --------------------------------------------------------------------- */

static void *watch_integers(void *arg)
{
	for (;;) {
		nr_register_faults += hold_integers(SPINS) != 0;
		nr_register_faults += hold_red_zone(SPINS) != 0;
		check_value();
	}
	return arg;
}

static void watch(void (*hold)(uint8_t *, const uint8_t *, uint64_t), size_t nr, size_t size)
{
	uint8_t in[NR_VECTORS][VECTOR_SIZE], out[NR_VECTORS][VECTOR_SIZE];

	for (size_t i = 0; i < NR_VECTORS; i++)
		for (size_t j = 0; j < VECTOR_SIZE; j++)
			in[i][j] = (uint8_t)(i * 67 + j * 7 + 1);
	memset(out, 0, sizeof(out));
	hold(out[0], in[0], SPINS);
	for (size_t i = 0; i < nr; i++)
		nr_register_faults += memcmp(out[i], in[i], size) != 0;
	check_value();
}

static void watch_masks(void)
{
	uint64_t in[NR_MASKS], out[NR_MASKS] = {};

	for (size_t i = 0; i < NR_MASKS; i++)
		in[i] = 0x8123456789abcdefull * (2 * i + 1);
	hold_masks(out, in, SPINS);
	nr_register_faults += memcmp(out, in, sizeof(in)) != 0;
}

static bool has_avx512(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
}

static void *watch_vectors(void *arg)
{
	bool has_ymm = __builtin_cpu_supports("avx"), has_zmm = has_avx512();

	for (;;) {
		watch(hold_xmm, 16, 16);
		if (has_ymm)
			watch(hold_ymm, 16, 32);
		if (has_zmm) {
			watch(hold_zmm, 32, 64);
			watch_masks();
		}
	}
	return arg;
}

static void *watch_errno(void *arg)
{
	for (int value = 1;; value = value % 100 + 1) {
		errno = value;
		for (volatile int i = 0; i < SPINS; i++)
			continue;
		nr_errno_faults += errno != value;
		check_value();
	}
	return arg;
}

/* --- threads in a system call that nothing may end ------------------------------------------------ */

static void block_epoll(void)
{
	struct epoll_event event;

	(void)epoll_wait(epoll_create1(0), &event, 1, -1);
}

static void block_poll(void)
{
	(void)poll(NULL, 0, -1);
}

static void block_poll_long(void)
{
	(void)poll(NULL, 0, LONG_SECONDS * 1000);
}

static void block_select(void)
{
	struct timeval time = { .tv_sec = LONG_SECONDS };

	(void)select(0, NULL, NULL, NULL, &time);
}

static void block_nanosleep(void)
{
	const struct timespec time = { .tv_sec = LONG_SECONDS };

	(void)nanosleep(&time, NULL);
}

static void block_clock_nanosleep(void)
{
	struct timespec time;

	(void)clock_gettime(CLOCK_MONOTONIC, &time);
	time.tv_sec += LONG_SECONDS;
	(void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

static void block_futex(void)
{
	int word = 1;

	(void)syscall(SYS_futex, &word, FUTEX_WAIT, 1, NULL, NULL, 0);
}

static void block_futex_long(void)
{
	const struct timespec time = { .tv_sec = LONG_SECONDS };
	int word = 1;

	(void)syscall(SYS_futex, &word, FUTEX_WAIT, 1, &time, NULL, 0);
}

static void block_read(void)
{
	int fds[2];
	char c;

	if (pipe(fds) == 0)
		(void)!read(fds[0], &c, 1);
}

/* With a time-out, this one is never restarted by the kernel: signal(7). */
static void block_recv(void)
{
	const struct timeval time = { .tv_sec = LONG_SECONDS };
	int fds[2];
	char c;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0 &&
	    setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)) == 0)
		(void)recv(fds[0], &c, 1, 0);
}

static void block_sigwait(void)
{
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	(void)sigwaitinfo(&set, &info);
}

static void *block(void *arg)
{
	void (*const *fn)(void) = arg;

	nr_blocked++;
	(*fn)();
	nr_returned++;
	return NULL;
}

static void (*const blocking[])(void) = {
	block_epoll,	       block_poll,  block_poll_long,  block_select, block_nanosleep,
	block_clock_nanosleep, block_futex, block_futex_long, block_read,   block_recv,
	block_sigwait,
};

/* --- threads that come and go -------------------------------------------------------------------- */

static void *short_life(void *arg)
{
	nr_storm_threads++;
	check_value();
	return arg;
}

static void *storm(void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	for (long long next = now();; next += STORM_NSEC) {
		/* What is behind the schedule is caught up with at once. */
		while (now() < next)
			(void)usleep(100);
		(void)pthread_create(&thread, &attr, short_life, NULL);
	}
	return arg;
}

/* --- the timer -------------------------------------------------------------------------------------- */

static void count_expirations(int signal, siginfo_t *info, void *context)
{
	nr_expirations += 1 + info->si_overrun;
}

static long long start_timer(void)
{
	struct sigaction action = { .sa_sigaction = count_expirations,
				    .sa_flags = SA_SIGINFO | SA_RESTART };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN };
	long long begin = now();
	const struct itimerspec period = {
		.it_interval = { .tv_nsec = TIMER_NSEC },
		.it_value = { .tv_sec = (begin + TIMER_NSEC) / NSEC_PER_SEC,
			      .tv_nsec = (begin + TIMER_NSEC) % NSEC_PER_SEC },
	};
	timer_t timer;

	if (sigaction(SIGRTMIN, &action, NULL) != 0 ||
	    timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 ||
	    timer_settime(timer, TIMER_ABSTIME, &period, NULL) != 0)
		abort();
	return begin;
}

/*
 * How many expirations are missing (or, negative, too many). The count runs behind the clock by the
 * time that a signal takes: the best moment within the deadline counts. One that was really lost is
 * missing at every moment.
 */
static long long missing_expirations(long long begin)
{
	long long best = INT64_MAX, deadline = now() + TIMER_DEADLINE_NSEC;

	while (now() < deadline) {
		long long count = nr_expirations, due = (now() - begin) / TIMER_NSEC;

		/* More than were due after the count was read: at no moment may that be. */
		if (count > due)
			return due - count;
		/* Read again, so that what is due is from before this count. */
		count = nr_expirations;
		if (due - count < best)
			best = due - count;
	}
	return best > 0 ? best : 0;
}

/* --- all together ------------------------------------------------------------------------------------ */

static void start(void *(*fn)(void *), void *arg)
{
	sigset_t timer_only, old;
	pthread_t thread;

	/* The timer's signals are the main thread's; SIGUSR2 is nobody's. */
	sigemptyset(&timer_only);
	sigaddset(&timer_only, SIGRTMIN);
	sigaddset(&timer_only, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &timer_only, &old);
	if (pthread_create(&thread, NULL, fn, arg) != 0)
		abort();
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void report(long long begin)
{
	long long missing = missing_expirations(begin);

	printf("registers %ld errno %ld value %ld returned %ld of %ld missing %lld of %ld "
	       "checks %ld storm %ld ms %lld widest %s\n",
	       nr_register_faults, nr_errno_faults, nr_value_faults, nr_returned, nr_blocked,
	       missing, nr_expirations, nr_checks, nr_storm_threads, (now() - begin) / 1000000,
	       has_avx512()		       ? "zmm+masks"
	       : __builtin_cpu_supports("avx") ? "ymm"
					       : "xmm");
}

int main(void)
{
	static void *(*const computing[])(void *) = { watch_integers, watch_vectors, watch_errno,
						      storm };
	long long begin;
	char line[64];

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < sizeof(blocking) / sizeof(blocking[0]); i++)
		start(block, (void *)&blocking[i]);
	for (size_t i = 0; i < sizeof(computing) / sizeof(computing[0]); i++)
		start(computing[i], NULL);
	begin = start_timer();
	while (fgets(line, sizeof(line), stdin))
		report(begin);
	return 0;
}
