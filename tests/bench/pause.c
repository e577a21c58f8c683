/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long threads stand still, as the library counts and as the victim sees it; wall time. */
#include <stdio.h>

#include "base/array.h"
#include "bench.h"
#include "subject.h"

struct pauses {
	struct samples longest;
	struct samples seen;
	struct samples wall;
};

struct figure {
	long threads;
	double goal_ms;
	const char *peers;
};

static const struct figure figures[] = {
	{ 1, 1, "syscare 0.5, libcareplus 1.7-5.6, libpulp 2-5 (no stack check)" },
	{ 10, 0, NULL },
	{ 100, 5, "162-182 / 147-199 / 36-56 with its check" },
	{ 1000, 25, "1724 / 3256-5938 / 937-980 with its check" },
	{ 5000, 0, NULL },
};

static void take(struct subject *s, const struct upatch_cost *cost, struct pauses *pauses)
{
	samples_add(&pauses->longest, (double)cost->longest_pause / 1e6);
	samples_add(&pauses->wall, (double)cost->wall / 1e6);
	samples_add(&pauses->seen, subject_ask(s, "beat") / 1e6);
}

static void add_rows(struct bench *bench, const struct figure *figure, const char *verb,
		     const struct pauses *pauses)
{
	struct report_row row = { .unit = "ms", .goal = figure->goal_ms, .peers = figure->peers };

	(void)snprintf(row.what, sizeof(row.what), "%s, %ld threads: longest pause", verb,
		       figure->threads);
	report_add(&bench->report, &pauses->longest, &row);
	row.goal = 0;
	row.peers = NULL;
	row.base = samples_median(&pauses->longest);
	/* A single thread has nobody beside it to see. */
	if (figure->threads > 1) {
		(void)snprintf(row.what, sizeof(row.what), "%s, %ld threads: as the victim sees it",
			       verb, figure->threads);
		report_add(&bench->report, &pauses->seen, &row);
	}
	row.base = 0;
	(void)snprintf(row.what, sizeof(row.what), "%s, %ld threads: wall time", verb,
		       figure->threads);
	report_add(&bench->report, &pauses->wall, &row);
}

static void measure(struct bench *bench, const struct figure *figure)
{
	struct pauses apply = {}, revert = {};
	struct upatch_cost cost;
	struct subject s;

	subject_start(bench, "victim", figure->threads, 0, &s);
	subject_build_patch(bench, &s);
	for (int i = 0; i < BENCH_RUNS; i++) {
		(void)subject_ask(&s, "beat"); /* forget what was before */
		cost = subject_apply_afresh(&s);
		take(&s, &cost, &apply);
		cost = subject_revert_afresh(&s);
		take(&s, &cost, &revert);
	}
	subject_stop(&s);
	add_rows(bench, figure, "apply", &apply);
	add_rows(bench, figure, "revert", &revert);
}

void measure_pauses(struct bench *bench)
{
	for (size_t i = 0; i < ARRAY_SIZE(figures); i++)
		measure(bench, &figures[i]);
}
