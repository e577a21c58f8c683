/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parts of one stop of all threads: stopping, walking stacks, letting go. */
#include <stdio.h>
#include <stdlib.h>

#include "api/ctx.h"
#include "base/array.h"
#include "base/deadline.h"
#include "bench.h"
#include "livepatch/session.h"
#include "livepatch/walk.h"
#include "subject.h"
#include "target/freeze.h"

struct parts {
	struct samples stop;
	struct samples walk;
	struct samples thaw;
	struct samples frames;
};

/* Microseconds per thread. */
static void walk_all(struct session *session, const struct freeze *freeze, struct parts *parts)
{
	struct unwind_stack *stack = malloc(sizeof(*stack));
	uint64_t begun = clock_now();
	size_t frames = 0, lost = 0;

	if (!stack)
		bench_die("out of memory");
	for (size_t i = 0; i < freeze->nr; i++) {
		lost += walk_thread(session, &freeze->threads[i], stack) != UNWIND_COMPLETE;
		frames += stack->nr;
	}
	samples_add(&parts->walk, (double)(clock_now() - begun) / 1e3 / (double)freeze->nr);
	samples_add(&parts->frames, (double)frames / (double)freeze->nr);
	if (lost)
		bench_die("%zu stacks cannot be walked", lost);
	free(stack);
}

static void stop_once(struct subject *s, struct parts *parts)
{
	struct target *target = s->target->target;
	struct session session;
	struct freeze freeze;
	uint64_t begun;

	if (session_open(target, s->ctx->cache, deadline_in(NSEC_PER_SEC), &session) < 0 ||
	    session_prepare_unwinder(&session) < 0)
		bench_die("cannot prepare to unwind");
	begun = clock_now();
	if (freeze_all(target, deadline_in(NSEC_PER_SEC), &freeze) < 0)
		bench_die("cannot stop the victim");
	samples_add(&parts->stop, (double)(clock_now() - begun) / 1e3 / (double)freeze.nr);
	walk_all(&session, &freeze, parts);

	double nr = (double)freeze.nr;

	begun = clock_now();
	freeze_thaw(&freeze);
	samples_add(&parts->thaw, (double)(clock_now() - begun) / 1e3 / nr);
	session_close(&session);
}

static void add_rows(struct bench *bench, long threads, const struct parts *parts)
{
	struct report_row row = { .unit = "us" };

	(void)snprintf(row.what, sizeof(row.what), "of %ld threads: stop one", threads);
	report_add(&bench->report, &parts->stop, &row);
	(void)snprintf(row.what, sizeof(row.what), "of %ld threads: let one go", threads);
	report_add(&bench->report, &parts->thaw, &row);
	row.goal = 15;
	row.peers = "default libunwind-ptrace 30-780";
	(void)snprintf(row.what, sizeof(row.what), "of %ld threads: unwind one, %.1f frames",
		       threads, samples_median(&parts->frames));
	report_add(&bench->report, &parts->walk, &row);
}

void measure_unwinding(struct bench *bench)
{
	static const long threads[] = { 100, 1000 };

	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		struct parts parts = {};
		struct subject s;

		subject_start(bench, "victim", threads[i], 0, &s);
		for (int n = 0; n < BENCH_RUNS; n++)
			stop_once(&s, &parts);
		subject_stop(&s);
		add_rows(bench, threads[i], &parts);
	}
}
