/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "soak.h"

/*
 * A program that creates a thousand threads a second, all of which go through a function that is patched
 * and reverted: every transition completes, and no thread sees two versions.
 */

static const char source[] = "#include <time.h>\n"
			     "extern int version(void) UPATCH_PRIVATE(\"version\", 0);\n"
			     "static int new_version(void) { return 2; }\n"
			     "static int new_handle(void)\n"
			     "{\n"
			     "	struct timespec ts = { .tv_nsec = 3000000 };\n"
			     "	int begun = version();\n"
			     "	nanosleep(&ts, NULL);\n"
			     "	return begun == version() ? begun : 0;\n"
			     "}\n"
			     "UPATCH_FUNC(version, new_version);\n"
			     "UPATCH_FUNC(handle, new_handle);\n";

struct counts {
	long threads, old, new, mixed;
	long long ms;
};

struct run {
	struct soak soak;
	struct soak_child child;
	struct upatch_target *target;
	struct upatch_patch *patch;
	unsigned int nr_pending;
	uint64_t longest_pause;
};

static struct counts ask(struct run *run)
{
	const char *answer = soak_child_ask(&run->child, "report");
	struct counts c;

	if (sscanf(answer, "threads %ld old %ld new %ld mixed %ld ms %lld", &c.threads, &c.old,
		   &c.new, &c.mixed, &c.ms) != 5)
		soak_fail("the victim says '%s'", answer);
	return c;
}

/* What waits for nobody shows how many transitions stay open; then it is waited for. */
static bool apply(void *userdata)
{
	static const struct upatch_options no_wait = { .flags = UPATCH_NO_WAIT };
	struct run *run = userdata;
	struct upatch_cost cost = {};
	int r = upatch_target_apply(run->target, run->patch, &no_wait, &cost);

	/* What exited threads have left on stacks may keep the last one, for a while. */
	if (r < 0 && upatch_ctx_error(run->soak.ctx)->reason != UPATCH_E_EXISTS)
		soak_fail_ctx(&run->soak, "apply");
	run->nr_pending += r == UPATCH_PENDING;
	run->longest_pause = cost.longest_pause > run->longest_pause ? cost.longest_pause
								     : run->longest_pause;
	return r >= 0;
}

static void complete(struct run *run)
{
	if (upatch_target_wait(run->target, NULL, NULL) != UPATCH_DONE)
		soak_fail_ctx(&run->soak, "wait");
}

int main(void)
{
	unsigned int nr_cycles = soak_cycles(100);
	struct counts before, after;
	struct run run = {};
	char exe[4096];

	soak_init(&run.soak);
	soak_victim_path("victim-storm", exe, sizeof(exe));
	soak_child_start(&run.child, exe);
	run.patch = soak_patch(&run.soak, "p", exe, source);
	run.target = soak_open(&run.soak, run.child.pid);
	before = ask(&run);
	for (unsigned int i = 0; i < nr_cycles; i++) {
		soak_check(soak_wait(apply, &run));
		complete(&run);
		soak_revert(&run.soak, run.target, "p");
	}
	after = ask(&run);
	printf("soak_storm: %u of %u transitions complete, %u of them stayed open at first; %ld "
	       "threads in %lld ms, %ld old, %ld new, 0 mixed; longest pause %.3f ms\n",
	       2 * nr_cycles, 2 * nr_cycles, run.nr_pending, after.threads - before.threads,
	       after.ms - before.ms, after.old - before.old, after.new - before.new,
	       (double)run.longest_pause / 1e6);
	soak_check(after.mixed == 0);
	soak_check(after.new > before.new &&run.nr_pending > 0);
	soak_check(after.threads - before.threads >= 2 * (long)nr_cycles); /* it was a storm */
	upatch_patch_close(run.patch);
	upatch_target_close(run.target);
	soak_child_stop(&run.child);
	soak_deinit(&run.soak);
	return 0;
}
