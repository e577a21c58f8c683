/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Userspace's twin of ../modules/victim_main.c. Commands, one a line, one answer each:
 *
 *	answer		what patched functions return
 *	block, release	a thread in block_here(); and let it go
 *	open NAME, close NAME	a library in /lib
 *	scrub		overwrite what calls left on stacks
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "victim.h"

static int fds[2];
static void *handles[8];

TARGET static int secret(int x)
{
	return x * 3;
}

TARGET static int other(int x)
{
	return x + 1;
}

/* There are two static functions of this name. */
TARGET static int both(void)
{
	__asm__ volatile("");
	return 10;
}

TARGET static void block_here(int fd)
{
	char c;

	while (read(fd, &c, 1) < 0)
		continue;
	__asm__ volatile("");
}

static void *blocker(void *arg)
{
	block_here(fds[0]);
	return arg;
}

static void *scrubber(void *arg)
{
	volatile char room[65536];

	for (size_t i = 0; i < sizeof(room); i++)
		room[i] = 0;
	return arg;
}

static const char *start(void *(*fn)(void *))
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, fn, NULL) != 0)
		abort();
	pthread_detach(thread);
	return "ok";
}

/* NAME ends with its number, or has none. */
static void **handle_of(const char *name)
{
	char last = name[strlen(name) - 1];

	return &handles[last >= '0' && last <= '7' ? last - '0' : 0];
}

static const char *open_library(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/lib/%s", name);
	*handle_of(name) = dlopen(path, RTLD_NOW);
	return *handle_of(name) ? "ok" : dlerror();
}

static const char *close_library(const char *name)
{
	return dlclose(*handle_of(name)) == 0 ? "ok" : "error";
}

static const char *answer(const char *command, const char *operand)
{
	static char text[64];

	if (strcmp(command, "block") == 0)
		return start(blocker);
	if (strcmp(command, "release") == 0)
		return write(fds[1], "x", 1) == 1 ? "ok" : "error";
	if (strcmp(command, "open") == 0)
		return open_library(operand);
	if (strcmp(command, "close") == 0)
		return close_library(operand);
	if (strcmp(command, "scrub") == 0) {
		scrubber(NULL);
		return start(scrubber);
	}
	snprintf(text, sizeof(text), "%d %d %d %d", secret(2), other(4), both(), victim_both());
	return text;
}

int main(void)
{
	char line[128], command[32], operand[32];

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (pipe(fds) < 0)
		return 1;
	while (fgets(line, sizeof(line), stdin)) {
		operand[0] = '\0';
		if (sscanf(line, "%31s %31s", command, operand) > 0)
			printf("%s\n", answer(command, operand));
	}
	return 0;
}
