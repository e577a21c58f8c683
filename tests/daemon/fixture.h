/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_DAEMON_FIXTURE_H
#define TESTS_DAEMON_FIXTURE_H

/*
 * A daemon in a session of its own, victims, and patches for them. Whatever goes wrong here fails the
 * test at once.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <cmocka.h>

#include "bus_session.h"
#include "slots.h"

/*
 * Patches: "own" for the function of program a, "shared" for the library of b and c, each making the
 * answer 2 instead of 1; "hold" for hold_answer() of program a; "both" for program d and the library
 * that it may load; "broken" for program a, which cannot have it.
 */
struct fixture {
	struct session *session;
	const char *dir; /* the session's */
	struct slot *slots;
	unsigned int nr_slots; /* used so far */
	bool is_own_enabled;   /* as fixture_await_answers() expects */
	bool is_shared_enabled;
};

int fixture_setup(void **state);
int fixture_teardown(void **state);

void fixture_start_daemon(struct fixture *f);
void fixture_kill_daemon(struct fixture *f); /* -9 */

/* See control.h; the answer lives until the next one. Return: NULL when the daemon is gone. */
const char *fixture_ask(struct fixture *f, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
#define assert_ask(f, answer, ...) assert_string_equal(fixture_ask(f, __VA_ARGS__), answer)

/* The same for enable and disable, without waiting for the answer. */
void fixture_send(struct fixture *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Ask, at most for some 20 s, until that is the answer. */
void fixture_await_answer(struct fixture *f, const char *answer, const char *question);

/* A number of the status line. */
long fixture_count(struct fixture *f, const char *name);

/* Wait, at most some 20 s, for the number, or for more than none. */
void fixture_await_count(struct fixture *f, const char *name, long number);
void fixture_await_any(struct fixture *f, const char *name);

/* Path of the file of a patch, which is built when it is asked for first. */
const char *fixture_patch(struct fixture *f, const char *name);

/* The same of "own", built anew: name and version are as they were, the answer is 3. */
const char *fixture_patch_corrected(struct fixture *f);

/* As "own", by another name, with another answer and other options of the build. */
const char *fixture_patch_variant(struct fixture *f, const char *name, unsigned int answer,
				  const char *options);

unsigned int fixture_spawn(struct fixture *f, char program); /* its slot */

/* The same, which does nothing but stay in hold_answer(), until its slot's arg is set. */
unsigned int fixture_spawn_holding(struct fixture *f, char program);
/* The same of a copy whose file is then deleted. */
unsigned int fixture_spawn_deleted(struct fixture *f, char program);

/* The same in namespaces of its own, from files that are in no other. */
unsigned int fixture_spawn_contained(struct fixture *f, char program);
void fixture_command(struct fixture *f, unsigned int slot, enum slot_command command, uint32_t arg);
unsigned int fixture_fork(struct fixture *f, unsigned int slot);	  /* the child's slot */
unsigned int fixture_fork_and_exec(struct fixture *f, unsigned int slot); /* likewise */

/* Wait for a few milliseconds at most, for nothing. */
void fixture_breathe(void);

/*
 * Wait, at most some 20 s, until each victim, those of program d aside, answers as is_own_enabled and
 * is_shared_enabled want.
 */
void fixture_await_answers(struct fixture *f);

/* How many victims there are of a program. */
long fixture_nr(struct fixture *f, const char *programs);

/* Each victim is alive and goes on. */
void fixture_assert_alive(struct fixture *f);

/* Of a process by its name in /proc; 0: it has gone. */
pid_t fixture_parent_of(const char *pid);

#endif
