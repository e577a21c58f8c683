/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A program to measure on: idle threads some frames deep, a heartbeat that sees how long it was
 * not allowed to run, and a function to call and to patch.
 *
 *	victim THREADS MAPPINGS
 *
 * Commands on standard input, each answered by one line: "beat" (longest gap between two
 * heartbeats since the last time, ns), "call" and "pointer" (ns per call), "address" (of the
 * function, in the file), "hold N" (N threads wait in another function that is patched), "release MS"
 * (they leave it then), "left" (when the last one did, ns), "spin N" (N threads never rest).
 */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum {
	DEPTH_MIN = 10, /* frames of an idle thread, C library included */
	DEPTHS = 4,
	LIBRARY_FRAMES = 4,
	STACK_SIZE = 64 * 1024,
	HEARTBEAT_NSEC = 50000,
	CALLS = 1000,
	MEASURE_NSEC = 20000000,
};

static sem_t never;
static _Atomic uint64_t longest_gap;

long victim_answer(long x);
long victim_twin(long x);
void victim_hold(void);

static uint64_t now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail for this clock */
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* What is patched; the patch has the same body, so that only the way to it differs. */
__attribute__((noipa)) long victim_answer(long x)
{
	return x * 3 + 42;
}

__attribute__((noipa)) long victim_twin(long x)
{
	return x * 3 + 42;
}

static __attribute__((noipa)) int idle(long depth, long which)
{
	struct timespec long_time = { .tv_sec = INT_MAX };
	int r;

	if (depth > 0)
		return idle(depth - 1, which) + 1;
	if (which & 1)
		r = nanosleep(&long_time, NULL);
	else
		r = sem_wait(&never);
	return r;
}

static void *idle_thread(void *arg)
{
	long which = (long)(intptr_t)arg;

	for (;;)
		(void)idle(DEPTH_MIN + which % DEPTHS - LIBRARY_FRAMES, which);
	return NULL;
}

static void *heartbeat_thread(void *arg)
{
	struct timespec pause = { .tv_nsec = HEARTBEAT_NSEC };
	uint64_t last = now();

	for (;;) {
		(void)nanosleep(&pause, NULL);
		uint64_t at = now();

		if (at - last > atomic_load(&longest_gap))
			atomic_store(&longest_gap, at - last);
		last = at;
	}
	return arg;
}

static int start_threads(long nr)
{
	pthread_attr_t attr;
	pthread_t thread;

	(void)sem_init(&never, 0, 0);
	if (pthread_attr_init(&attr) || pthread_attr_setstacksize(&attr, STACK_SIZE))
		return -1;
	/* One of the threads asked for is the main one, one the heartbeat. */
	if (pthread_create(&thread, &attr, heartbeat_thread, NULL))
		return -1;
	for (long i = 2; i < nr; i++)
		if (pthread_create(&thread, &attr, idle_thread, (void *)(intptr_t)i))
			return -1;
	return 0;
}

/* Neighbours differ in protection: the kernel does not merge them. */
static int make_mappings(long nr)
{
	for (long i = 0; i < nr; i++)
		if (mmap(NULL, 4096, i & 1 ? PROT_READ : PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
			return -1;
	return 0;
}

/*
 * Of the fastest batch: what disturbs it, other programs and the host's other guests, only ever
 * makes it slower.
 */
static double time_calls(void)
{
	uint64_t begun = now(), at = begun, fastest = UINT64_MAX;
	long x = 0;

	while (at - begun < MEASURE_NSEC) {
		uint64_t before = at;

		for (long i = 0; i < CALLS; i++)
			x = victim_answer(x);
		at = now();
		fastest = at - before < fastest ? at - before : fastest;
	}
	return (double)fastest / CALLS;
}

static double time_pointer_calls(void)
{
	long (*volatile pointer)(long) = victim_twin;
	uint64_t begun = now(), at = begun, fastest = UINT64_MAX;
	long x = 0;

	while (at - begun < MEASURE_NSEC) {
		uint64_t before = at;

		for (long i = 0; i < CALLS; i++)
			x = pointer(x);
		at = now();
		fastest = at - before < fastest ? at - before : fastest;
	}
	return (double)fastest / CALLS;
}

static int gate[2];
static atomic_long nr_inside;
static _Atomic uint64_t left_at;

/* Patched, too: threads wait in it. */
__attribute__((noipa)) void victim_hold(void)
{
	char c;

	nr_inside++;
	while (read(gate[0], &c, 1) != 1)
		continue;
	left_at = now();
	nr_inside--;
}

static void *hold_thread(void *arg)
{
	victim_hold();
	return arg;
}

static void *spin_thread(void *arg)
{
	for (long x = 0;; x = victim_answer(x))
		continue;
	return arg;
}

static void start_detached(void *(*fn)(void *), long nr, void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;

	if (pthread_attr_init(&attr) || pthread_attr_setstacksize(&attr, STACK_SIZE) ||
	    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED))
		abort();
	while (nr-- > 0)
		if (pthread_create(&thread, &attr, fn, arg))
			abort();
}

static void hold(long nr)
{
	struct timespec pause = { .tv_nsec = HEARTBEAT_NSEC };

	start_detached(hold_thread, nr, NULL);
	while (nr_inside != nr)
		(void)nanosleep(&pause, NULL);
}

static void *release_thread(void *arg)
{
	long ms = (long)(intptr_t)arg, nr = nr_inside;
	struct timespec pause = { .tv_nsec = ms * 1000000 };

	(void)nanosleep(&pause, NULL);
	while (nr-- > 0)
		if (write(gate[1], "x", 1) != 1)
			abort();
	return arg;
}

static int find_bias(struct dl_phdr_info *info, size_t size, void *ret)
{
	*(uintptr_t *)ret = info->dlpi_addr;
	return 1; /* the first one is the executable */
}

/* ns each: of dlopen(3) and dlclose(3), or of the first alone. */
static double time_loads(const char *path, long nr, int counts_close)
{
	double sum = 0;

	for (long i = 0; i < nr; i++) {
		uint64_t start = now(), opened;
		void *handle = dlopen(path, RTLD_NOW);

		if (!handle)
			abort();
		opened = now();
		dlclose(handle);
		sum += (double)((counts_close ? now() : opened) - start);
	}
	return sum / (double)nr;
}

static double time_lookups(long nr)
{
	uint64_t start = now();

	for (long i = 0; i < nr; i++)
		if (!dlsym(RTLD_DEFAULT, "getpid"))
			abort();
	return (double)(now() - start) / (double)nr;
}

static void answer(const char *command)
{
	char path[512];
	uintptr_t bias = 0;
	long n;

	if (strcmp(command, "beat\n") == 0) {
		printf("%llu\n", (unsigned long long)atomic_exchange(&longest_gap, 0));
	} else if (strcmp(command, "call\n") == 0) {
		printf("%f\n", time_calls());
	} else if (strcmp(command, "pointer\n") == 0) {
		printf("%f\n", time_pointer_calls());
	} else if (sscanf(command, "hold %ld", &n) == 1) {
		hold(n);
		puts("0");
	} else if (sscanf(command, "release %ld", &n) == 1) {
		start_detached(release_thread, 1, (void *)(intptr_t)n);
		puts("0");
	} else if (sscanf(command, "spin %ld", &n) == 1) {
		start_detached(spin_thread, n, NULL);
		puts("0");
	} else if (sscanf(command, "load %ld %511s", &n, path) == 2) {
		printf("%f\n", time_loads(path, n, 1));
	} else if (sscanf(command, "open %ld %511s", &n, path) == 2) {
		printf("%f\n", time_loads(path, n, 0));
	} else if (sscanf(command, "dlsym %ld", &n) == 1) {
		printf("%f\n", time_lookups(n));
	} else if (strcmp(command, "brk\n") == 0) {
		printf("%llu\n", (unsigned long long)_r_debug.r_brk);
	} else if (strcmp(command, "left\n") == 0) {
		printf("%llu\n", (unsigned long long)left_at);
	} else if (strcmp(command, "address\n") == 0) {
		(void)dl_iterate_phdr(find_bias, &bias);
		printf("%llu\n", (unsigned long long)((uintptr_t)victim_answer - bias));
	}
	(void)fflush(stdout); /* nobody listens: the end of input comes next */
}

int main(int argc, char *argv[])
{
	char line[700];

	if (argc != 3 || pipe(gate) < 0)
		return 2;
	if (make_mappings(atol(argv[2])) < 0 ||
	    (atol(argv[1]) > 1 && start_threads(atol(argv[1])))) {
		perror("victim");
		return 1;
	}
	puts("ready");
	(void)fflush(stdout); /* as above */
	while (fgets(line, sizeof(line), stdin))
		answer(line);
	return 0;
}
