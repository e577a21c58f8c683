/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "soak.h"

/*
 * A pool whose requests run f and g under a contract, see victim_pool.c, while the patch over both is
 * applied, reversed, reverted and forced: no request may see one of each, but those that were forced.
 */

enum {
	REQUESTS_MIN = 10000000,
};

static const char source[] =
	"struct request { long number; int f, g; };\n"
	"extern void f(struct request *) UPATCH_PRIVATE(\"f\", 0);\n"
	"extern void g(struct request *) UPATCH_PRIVATE(\"g\", 0);\n"
	"extern void between(struct request *) UPATCH_PRIVATE(\"between\", 0);\n"
	"static void new_f(struct request *r) { r->f = 2; }\n"
	"static void new_g(struct request *r) { r->g = 2; }\n"
	"static void new_serve(struct request *r)\n"
	"{\n"
	"	f(r);\n"
	"	between(r);\n"
	"	g(r);\n"
	"	__asm__ volatile(\"\");\n"
	"}\n"
	"UPATCH_FUNC(f, new_f);\n"
	"UPATCH_FUNC(g, new_g);\n"
	"UPATCH_FUNC(serve, new_serve);\n";

struct counts {
	long requests, old, new, mixed;
};

struct run {
	struct soak soak;
	struct soak_child child;
	struct upatch_target *target;
	struct upatch_patch *patch;
	unsigned int nr_pending;
	unsigned int nr_forced;
	long nr_mixed_when_forced;
};

static struct counts ask(struct run *run)
{
	const char *answer = soak_child_ask(&run->child, "report");
	struct counts c;

	if (sscanf(answer, "requests %ld old %ld new %ld mixed %ld", &c.requests, &c.old, &c.new,
		   &c.mixed) != 4)
		soak_fail("the victim says '%s'", answer);
	return c;
}

/* Begin, and leave it open if somebody lags behind. Kept under its name: try again. */
static bool begin_apply(void *userdata)
{
	static const struct upatch_options no_wait = { .flags = UPATCH_NO_WAIT };
	struct run *run = userdata;
	int r = upatch_target_apply(run->target, run->patch, &no_wait, NULL);

	if (r < 0 && upatch_ctx_error(run->soak.ctx)->reason != UPATCH_E_EXISTS)
		soak_fail_ctx(&run->soak, "apply");
	run->nr_pending += r == UPATCH_PENDING;
	return r >= 0;
}

static void begin_revert(struct run *run)
{
	static const struct upatch_options no_wait = { .flags = UPATCH_NO_WAIT };
	int r = upatch_target_revert(run->target, "p", &no_wait, NULL);

	if (r < 0)
		soak_fail_ctx(&run->soak, "revert");
	run->nr_pending += r == UPATCH_PENDING;
}

static void complete(struct run *run)
{
	if (upatch_target_wait(run->target, NULL, NULL) != UPATCH_DONE)
		soak_fail_ctx(&run->soak, "wait");
}

/* If it is still open. */
static void force(struct run *run)
{
	struct upatch_threads *threads = NULL;

	if (upatch_target_force(run->target, &threads, NULL) < 0) {
		if (upatch_ctx_error(run->soak.ctx)->reason != UPATCH_E_NO_TRANSITION)
			soak_fail_ctx(&run->soak, "force");
		return;
	}
	run->nr_forced += threads->nr_threads > 0;
	upatch_threads_free(threads);
	run->nr_mixed_when_forced += ask(run).mixed;
}

static void cycle(struct run *run, unsigned int i)
{
	soak_check(soak_wait(begin_apply, run));
	switch (i % 4) {
	case 0: /* there and back */
		complete(run);
		break;
	case 1: /* turned around on the way there */
		break;
	case 2: /* turned around on the way back */
		complete(run);
		begin_revert(run);
		soak_check(soak_wait(begin_apply, run) ||
			   upatch_ctx_error(run->soak.ctx)->reason == UPATCH_E_EXISTS);
		break;
	case 3:
		force(run);
		break;
	}
	begin_revert(run);
	complete(run);
	if (ask(run).mixed)
		soak_fail("cycle %u: a request saw one old and one new function", i);
}

int main(void)
{
	unsigned int nr_cycles = soak_cycles(1000);
	struct run run = {};
	struct counts before, after;
	char exe[4096];

	soak_init(&run.soak);
	soak_victim_path("victim-pool", exe, sizeof(exe));
	soak_child_start(&run.child, exe);
	run.patch = soak_patch(&run.soak, "p", exe, source);
	run.target = soak_open(&run.soak, run.child.pid);
	before = ask(&run);
	for (unsigned int i = 0; i < nr_cycles; i++)
		cycle(&run, i);
	do {
		after = ask(&run);
	} while (after.requests - before.requests < REQUESTS_MIN);
	printf("soak_contract: %u cycles, %u of their transitions stayed open, %ld requests, %ld of "
	       "them new, 0 mixed; %u forced with %ld mixed\n",
	       nr_cycles, run.nr_pending, after.requests - before.requests, after.new - before.new,
	       run.nr_forced, run.nr_mixed_when_forced);
	soak_check(after.mixed == 0);
	soak_check(after.new > before.new &&run.nr_pending > 0 && run.nr_forced > 0);
	soak_check_text(run.child.pid);
	upatch_patch_close(run.patch);
	upatch_target_close(run.target);
	soak_child_stop(&run.child);
	soak_deinit(&run.soak);
	return 0;
}
