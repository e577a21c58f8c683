/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef BENCH_SUBJECT_H
#define BENCH_SUBJECT_H

/* A running victim with the library's handles on it, and patches for it. */

#include <stdio.h>
#include <sys/types.h>
#include <upatch/upatch.h>

struct bench;

struct subject {
	char exe[512];
	char patch_path[128];
	pid_t pid;
	FILE *to;
	FILE *from;
	struct upatch_ctx *ctx;
	struct upatch_target *target;
	struct upatch_patch *patch;
};

/* @threads and @mappings as for the victim's command line. */
void subject_start(struct bench *bench, const char *victim, long threads, long mappings,
		   struct subject *ret);
void subject_stop(struct subject *subject);

/* Build and open a patch of victim_answer(), or of the first @nr of a thousand functions. */
void subject_build_patch(struct bench *bench, struct subject *subject);
void subject_build_patch_of(struct bench *bench, struct subject *subject, unsigned int nr);

/* Of victim_answer() and victim_hold(). */
void subject_build_patch_with_hold(struct bench *bench, struct subject *subject);

/* Ask the victim for a number. */
double subject_ask(struct subject *subject, const char *command);

/* Begin to apply, and wait until it is complete: one after the other. */
struct upatch_cost subject_open(struct subject *subject);
struct upatch_cost subject_complete(struct subject *subject);

struct upatch_cost subject_apply(struct subject *subject);
struct upatch_cost subject_revert(struct subject *subject);

/* As apply and revert by a new process each: nothing is left of what the last one knew. */
struct upatch_cost subject_apply_afresh(struct subject *subject);
struct upatch_cost subject_revert_afresh(struct subject *subject);

#endif
