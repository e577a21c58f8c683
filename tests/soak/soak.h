/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SOAK_SOAK_H
#define SOAK_SOAK_H

/*
 * What the soak programs share: a working folder, patches built on the spot, a child that runs on
 * pipes, and what another process looks like from outside. Each program does one thing very often,
 * prints one line of counts and fails at the first deviation.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <upatch/upatch.h>

enum {
	SOAK_DEADLINE_MS = 30000, /* for whatever must happen at all */
};

/* Print the reason and leave: nothing can be concluded from what would come after it. */
#define soak_fail(...) soak_fail_at(__FILE__, __LINE__, __VA_ARGS__)
#define soak_check(condition)                                                                      \
	do {                                                                                       \
		if (!(condition))                                                                  \
			soak_fail("not so: %s", #condition);                                       \
	} while (0)

_Noreturn __attribute__((format(printf, 3, 4))) void soak_fail_at(const char *file, int line,
								  const char *format, ...);

/* Number of cycles: from the environment's UPATCH_CYCLES, or @fallback. */
unsigned int soak_cycles(unsigned int fallback);

/* Path of the victim of that name: in the folder UPATCH_SOAK_VICTIMS. */
void soak_victim_path(const char *name, char *ret, size_t size);

/* --- waiting ---------------------------------------------------------------------------------- */

/* The only wait: call @is_so again and again until it is, at most SOAK_DEADLINE_MS. */
typedef bool (*soak_condition_fn)(void *userdata);
bool soak_wait(soak_condition_fn is_so, void *userdata);

/* --- a folder with patches -------------------------------------------------------------------- */

struct soak {
	char dir[64];
	struct upatch_ctx *ctx;
};

void soak_init(struct soak *s);
void soak_deinit(struct soak *s); /* removes the folder */

/* Fail with the context's last error. */
_Noreturn void soak_fail_ctx(struct soak *s, const char *what);

/* Compile @source (after the header and UPATCH_OBJECT) for the object of @exe; must succeed. */
struct upatch_patch *soak_patch(struct soak *s, const char *name, const char *exe,
				const char *source);

struct upatch_target *soak_open(struct soak *s, pid_t pid);
void soak_apply(struct soak *s, struct upatch_target *target, struct upatch_patch *patch);
void soak_revert(struct soak *s, struct upatch_target *target, const char *name);

/* --- a child that answers lines with lines ------------------------------------------------------- */

struct soak_child {
	pid_t pid;
	int to;
	int from;
};

void soak_child_start(struct soak_child *child, const char *exe);
void soak_child_stop(struct soak_child *child);

/* Valid until the next one. Fails when the child does not answer in time. */
const char *soak_child_ask(struct soak_child *child, const char *question);

/* --- a process from outside ----------------------------------------------------------------------- */

/* The lines of /proc/PID/maps, the heap's and the stack's without their changing bounds. */
char *soak_maps(pid_t pid);

/* Fail with the lines that differ. */
void soak_check_same_maps(const char *before, const char *now);

/* Compare all executable file mappings with their files. Return: bytes compared. */
uint64_t soak_check_text(pid_t pid);

/* Resident memory in KiB. */
long soak_rss(pid_t pid);

#endif
