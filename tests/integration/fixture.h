/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef INTEGRATION_FIXTURE_H
#define INTEGRATION_FIXTURE_H

/*
 * A running victim, a library context that has it open, and what the victim looked like before.
 * Everything that goes wrong here fails the test at once.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include <upatch/upatch.h>

#include <cmocka.h>

struct fixture {
	char dir[64];	/* for sources and patch files */
	char exe[4096]; /* of the victim */
	pid_t pid;
	FILE *to;
	FILE *from;
	struct upatch_ctx *ctx;
	struct upatch_target *target;
	char *before; /* its mappings and code, see fixture_assert_unchanged() */
	char *told;   /* see fixture_assert_told() */
};

/* Start the victim of that flavour ("pie", "static", ...). For cmocka's setup and teardown. */
struct fixture *fixture_start(const char *flavour);

/* The same, but it may be in its start-up yet, and its target is not open. */
struct fixture *fixture_launch(const char *flavour);

void fixture_stop(struct fixture *f);
int fixture_setup(void **state); /* "pie" */
int fixture_teardown(void **state);

/* Send a command, return the answer without its newline; valid until the next one. */
const char *fixture_ask(struct fixture *f, const char *command);
#define assert_answer(f, command, expected) assert_string_equal(fixture_ask(f, command), expected)

/*
 * Compile a patch from the body of a source file (includes and UPATCH_OBJECT() are added).
 * Return: its path, valid until the next one; NULL when it was refused.
 */
const char *fixture_build(struct fixture *f, const char *name, const char *source);

enum fixture_build_flags {
	FIXTURE_REPLACE = 1,
	FIXTURE_STRICT = 2,
};

/* Of whatever object. */
struct fixture_source {
	const char *dir;    /* for the files */
	const char *name;   /* of the patch */
	const char *suffix; /* of the source file, or NULL: "c" */
	const char *object; /* what it is called in the patch */
	const char *object_path;
	const char *source; /* without the lines that all have */
	enum fixture_build_flags flags;
};

/* Return: the path of the patch file, until the next one; or NULL, as upatch_build() says. */
const char *fixture_build_source(struct upatch_ctx *ctx, const struct fixture_source *from);

const char *fixture_build_as(struct fixture *f, const char *name, const char *source,
			     enum fixture_build_flags flags);

/* Build and open; must succeed. */
struct upatch_patch *fixture_patch(struct fixture *f, const char *name, const char *source);

/* Build, apply; must succeed. */
void fixture_apply(struct fixture *f, const char *name, const char *source);
void fixture_revert(struct fixture *f, const char *name);

/*
 * Have a patch unmapped that was reverted and kept: a word that an earlier call left in what is now a
 * live frame looks like a reference. The victim moves on and the revert is repeated, as an admin would.
 */
void fixture_drop_kept(struct fixture *f, const char *name);

/* Apply with a time-out of @timeout_ms, which must be refused for @reason. */
void fixture_apply_refused(struct fixture *f, const char *name, const char *source,
			   unsigned int timeout_ms, enum upatch_reason reason);

/*
 * Apply, or revert, with a time-out of @timeout_ms, by which some thread is still inside a function
 * that changes: the transition stays open.
 */
void fixture_apply_pending(struct fixture *f, const char *name, const char *source,
			   unsigned int timeout_ms);
void fixture_revert_pending(struct fixture *f, const char *name, unsigned int timeout_ms);

/* The state of a patch in the victim's record; "none": it is not there. */
const char *fixture_state(struct fixture *f, const char *name);

/* The milestones since the last time, without the target they are about; each line ends with \n. */
void fixture_assert_told(struct fixture *f, const char *expected);
void fixture_forget_told(struct fixture *f);

/* Remember what the victim's code and mappings look like; they must look the same. */
void fixture_remember(struct fixture *f);
void fixture_assert_unchanged(struct fixture *f);

/* The last failure of the context must be for this reason, and say something. */
void fixture_assert_reason(struct fixture *f, enum upatch_reason reason);

/* Its record, which must be there, and its memory. */
uint64_t fixture_record_addr(struct fixture *f);
void fixture_write(struct fixture *f, uint64_t addr, const void *bytes, size_t size);
void fixture_read(struct fixture *f, uint64_t addr, void *bytes, size_t size);

/* Wait until /proc/PID/task/TID/wchan or state tells that a thread sleeps: all threads do. */
void fixture_wait_asleep(struct fixture *f, size_t nr_threads);

#endif
