/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "soak.h"

/* A program that watches itself, see victim_watchful.c, is patched and reverted 500 times. */

enum {
	BLOCKED_THREADS = 11,
};

static const char source[] = "static int new_value(int x) { return x + 1000; }\n"
			     "UPATCH_FUNC(checked_value, new_value);\n";

struct report {
	long registers, errnos, values, returned, blocked;
	long long missing;
	long expirations, checks, storm_threads;
	long long ms;
	char widest[16];
};

static struct report ask(struct soak_child *child)
{
	const char *answer = soak_child_ask(child, "report");
	struct report r;

	if (sscanf(answer,
		   "registers %ld errno %ld value %ld returned %ld of %ld missing %lld of %ld "
		   "checks %ld storm %ld ms %lld widest %15s",
		   &r.registers, &r.errnos, &r.values, &r.returned, &r.blocked, &r.missing,
		   &r.expirations, &r.checks, &r.storm_threads, &r.ms, r.widest) != 11)
		soak_fail("the victim says '%s'", answer);
	return r;
}

static void check(const struct report *r)
{
	if (r->registers || r->errnos || r->values || r->returned || r->missing)
		soak_fail("registers %ld, errno %ld, value %ld, system calls returned %ld, "
			  "expirations missing %lld",
			  r->registers, r->errnos, r->values, r->returned, r->missing);
	soak_check(r->blocked == BLOCKED_THREADS);
	soak_check(r->checks > 0);
}

static bool is_warm(void *userdata)
{
	struct report r = ask(userdata);

	check(&r);
	return r.blocked == BLOCKED_THREADS;
}

int main(void)
{
	unsigned int nr_cycles = soak_cycles(500);
	struct upatch_target *target;
	struct upatch_patch *patch;
	struct soak_child child;
	struct soak soak;
	struct report before, r;
	char exe[4096];

	soak_init(&soak);
	soak_victim_path("victim-watchful", exe, sizeof(exe));
	soak_child_start(&child, exe);
	/* What deviates without being patched says nothing about patching. */
	soak_check(soak_wait(is_warm, &child));
	before = ask(&child);
	patch = soak_patch(&soak, "p", exe, source);
	target = soak_open(&soak, child.pid);
	for (unsigned int i = 0; i < nr_cycles; i++) {
		soak_apply(&soak, target, patch);
		soak_revert(&soak, target, "p");
	}
	r = ask(&child);
	check(&r);
	printf("soak_selfcheck: %u cycles, 0 deviations in %ld checks up to %s, %ld of %ld timer "
	       "expirations, 0 of %ld system calls returned, %ld threads in %lld ms\n",
	       nr_cycles, r.checks, r.widest, r.expirations, r.expirations, r.blocked,
	       r.storm_threads - before.storm_threads, r.ms - before.ms);
	soak_check(r.storm_threads - before.storm_threads >= (long)nr_cycles); /* it was a storm */
	soak_check_text(child.pid);
	upatch_patch_close(patch);
	upatch_target_close(target);
	soak_child_stop(&child);
	soak_deinit(&soak);
	return 0;
}
