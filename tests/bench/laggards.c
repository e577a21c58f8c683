/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What threads inside the old version cost the others, and how soon they switch once they have left. */
#include <stdio.h>

#include "base/array.h"
#include "base/deadline.h"
#include "bench.h"
#include "subject.h"

enum {
	RELEASE_MS = 30, /* after the transition is open */
};

struct figure {
	long threads;
	unsigned int percent; /* of them that lag behind */
	double goal_ms;
};

static const struct figure figures[] = {
	{ 10, 10, 5 },	  { 100, 1, 5 },  { 100, 10, 5 },  { 1000, 1, 25 },
	{ 1000, 10, 25 }, { 5000, 1, 0 }, { 5000, 10, 0 },
};

struct measured {
	struct samples start;	 /* longest pause when it opens, ms */
	struct samples complete; /* and from then on */
	struct samples delay;	 /* from the last one's leaving to the end, ms */
};

static void run_once(struct subject *s, long laggards, struct measured *m)
{
	struct upatch_cost cost;
	char command[32];

	(void)snprintf(command, sizeof(command), "hold %ld", laggards);
	(void)subject_ask(s, command);
	cost = subject_open(s);
	samples_add(&m->start, (double)cost.longest_pause / 1e6);
	(void)snprintf(command, sizeof(command), "release %d", RELEASE_MS);
	(void)subject_ask(s, command);
	cost = subject_complete(s);
	samples_add(&m->delay, ((double)clock_now() - subject_ask(s, "left")) / 1e6);
	samples_add(&m->complete, (double)cost.longest_pause / 1e6);
	(void)subject_revert(s);
}

static void add_row(struct bench *bench, const struct figure *figure, const char *what,
		    const struct samples *samples, double goal)
{
	struct report_row row = { .unit = "ms", .goal = goal };

	(void)snprintf(row.what, sizeof(row.what), "%ld threads, %u %% laggards: %s",
		       figure->threads, figure->percent, what);
	report_add(&bench->report, samples, &row);
}

static void measure(struct bench *bench, const struct figure *figure)
{
	long laggards = figure->threads * (long)figure->percent / 100;
	struct measured m = {};
	struct subject s;

	subject_start(bench, "victim", figure->threads - laggards, 0, &s);
	subject_build_patch_with_hold(bench, &s);
	for (int i = 0; i < BENCH_RUNS; i++)
		run_once(&s, laggards, &m);
	subject_stop(&s);
	add_row(bench, figure, "longest pause, start", &m.start, figure->goal_ms);
	add_row(bench, figure, "longest pause, later", &m.complete, figure->goal_ms);
	add_row(bench, figure, "left to complete", &m.delay, 0);
}

static void measure_busy(struct bench *bench, long threads)
{
	struct samples apply = {}, revert = {};
	struct report_row row = { .unit = "ms" };
	char command[32];
	struct subject s;

	subject_start(bench, "victim", 1, 0, &s);
	subject_build_patch_with_hold(bench, &s);
	(void)snprintf(command, sizeof(command), "spin %ld", threads);
	(void)subject_ask(&s, command);
	for (int i = 0; i < BENCH_RUNS; i++) {
		samples_add(&apply, (double)subject_apply(&s).longest_pause / 1e6);
		samples_add(&revert, (double)subject_revert(&s).longest_pause / 1e6);
	}
	subject_stop(&s);
	(void)snprintf(row.what, sizeof(row.what), "apply, %ld busy threads: longest pause",
		       threads);
	report_add(&bench->report, &apply, &row);
	(void)snprintf(row.what, sizeof(row.what), "revert, %ld busy threads: longest pause",
		       threads);
	report_add(&bench->report, &revert, &row);
}

void measure_laggards(struct bench *bench)
{
	static const long busy[] = { 1, 10, 100 };

	for (size_t i = 0; i < ARRAY_SIZE(figures); i++)
		measure(bench, &figures[i]);
	for (size_t i = 0; i < ARRAY_SIZE(busy); i++)
		measure_busy(bench, busy[i]);
}
