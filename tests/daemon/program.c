/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A victim: program SLOTS-FILE INDEX [contained | idle | hold | START]. Built as a, b, c and d; b and c use the
 * library, d loads it when it is told to.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "slots.h"

int own_answer(int x);
int shared_answer(int x);

__attribute__((noinline, noclone)) int own_answer(int x)
{
	__asm__ volatile("" : "+r"(x));
	return x * 3 + 1; /* long enough for a jump */
}

#ifndef HAS_LIBRARY
static void *library;
static int (*loaded)(int x);

int shared_answer(int x)
{
	return loaded ? loaded(x) : x;
}

static void load(void)
{
	library = dlopen("libshared.so", RTLD_NOW); /* found by the run path */
	loaded = library ? (int (*)(int))dlsym(library, "shared_answer") : NULL;
}

static void unload(void)
{
	loaded = NULL;
	(void)dlclose(library);
}
#else
static void load(void)
{
}

static void unload(void)
{
}
#endif

static struct slot *slots;

__attribute__((noinline, noclone)) static int hold_answer(struct slot *slot)
{
	const struct timespec nap = { .tv_nsec = 10000000 };

	while (!slot->arg) {
		slot->beats++;
		nanosleep(&nap, NULL);
	}
	return 1;
}

/* For the figures: how long from before its start, as @started tells, until it is patched? */
static void measure(struct slot *slot, const char *started)
{
	struct timespec pause = { .tv_nsec = 1000000 };
	struct timespec ts;

	/* To a tenth: hundreds that looked every millisecond would keep the daemon from its work. */
	for (unsigned int i = 0; own_answer(0) != 2; i++) {
		nanosleep(&pause, NULL);
		if (i >= 10 && pause.tv_nsec < 100000000)
			pause.tv_nsec += pause.tv_nsec / 10;
	}
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	slot->beats = (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec -
		      strtoull(started, NULL, 10);
	_exit(0);
}

static char **arguments;
static unsigned int own_index;

static void *run(void *unused);

static void go_on_without_main(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run, NULL) == 0)
		pthread_exit(NULL);
}

static void become(const char *path, const char *file, unsigned int index)
{
	char number[16];

	(void)snprintf(number, sizeof(number), "%u", index);
	execl(path, path, file, number, NULL);
	_exit(9);
}

/* The daemon looks at what is forked after some 5 ms: from 3 to 9 ms afterwards it is no more what it was. */
static void spawn(char *argv[], unsigned int index)
{
	const struct timespec nap = { .tv_nsec = 3000000 + index * 617 % 6000 * 1000 };

	if (fork() == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		nanosleep(&nap, NULL);
		become(argv[0], argv[1], index);
	}
}

static void obey(char *argv[], unsigned int *index)
{
	struct slot *slot = &slots[*index];
	char path[4096];
	uint32_t command = slot->command;

	if (command == SLOT_EXIT)
		_exit(0);
	if (command == SLOT_LOAD)
		load();
	if (command == SLOT_UNLOAD)
		unload();
	if (command == SLOT_FORK) {
		unsigned int child = slot->arg;

		if (fork() == 0) {
			*index = child;
			slot = &slots[child];
			slot->program = PROGRAM;
			slot->pid = getpid();
			return;
		}
	}
	if (command == SLOT_SPAWN)
		spawn(argv, slot->arg);
	if (command == SLOT_EXEC) {
		(void)snprintf(path, sizeof(path), "%s", argv[0]);
		path[strlen(path) - 1] = (char)slot->arg;
		slot->own = 0;
		slot->command = SLOT_RUN;
		become(path, argv[1], *index);
	}
	slot->command = SLOT_RUN;
	if (command == SLOT_ORPHAN)
		go_on_without_main();
}

static void *run(void *unused)
{
	const struct timespec nap = { .tv_nsec = 30000000 };

	for (;;) {
		struct slot *slot = &slots[own_index];

		slot->own = (uint32_t)own_answer(0);
		slot->shared = (uint32_t)shared_answer(0);
		slot->beats++;
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (slot->command != SLOT_RUN)
			obey(arguments, &own_index);
		nanosleep(&nap, NULL);
	}
	return NULL;
}

int main(int argc, char *argv[])
{
	unsigned int index = (unsigned int)atoi(argv[2]);
	int fd = open(argv[1], O_RDWR | O_CLOEXEC);

	slots = mmap(NULL, SLOTS * sizeof(*slots), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (slots == MAP_FAILED)
		return 9;
	(void)close(fd);
	slots[index].program = PROGRAM;
	if (argc > 3 && strcmp(argv[3], "contained") == 0)
		argc = 3; /* it does not know its PID; the rest is as ever */
	else
		slots[index].pid = getpid();
	while (argc > 3 && strcmp(argv[3], "hold") == 0)
		slots[index].own = (uint32_t)hold_answer(&slots[index]);
	if (argc > 3)
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (argc > 3 && strcmp(argv[3], "idle") != 0)
		measure(&slots[index], argv[3]);
	while (argc > 3)
		(void)pause();
	arguments = argv;
	own_index = index;
	(void)run(NULL);
	return 0;
}
