/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How the cost grows with functions in the patch, symbols in the object, mappings of the target. */
#include <stdio.h>

#include "base/array.h"
#include "bench.h"
#include "subject.h"

struct costs {
	struct samples apply;
	struct samples revert;
	struct samples pause;
};

/* The first of a series, that the others are compared with. */
struct base {
	double apply;
	double revert;
	double pause;
};

static struct costs measure(struct subject *s)
{
	struct costs costs = {};

	for (int i = 0; i < BENCH_RUNS; i++) {
		struct upatch_cost apply = subject_apply_afresh(s);
		struct upatch_cost revert = subject_revert_afresh(s);

		samples_add(&costs.apply, (double)apply.wall / 1e6);
		samples_add(&costs.revert, (double)revert.wall / 1e6);
		samples_add(&costs.pause,
			    (double)MAX(apply.longest_pause, revert.longest_pause) / 1e6);
	}
	return costs;
}

static void add_rows(struct bench *bench, const char *what, const struct costs *costs,
		     struct base *base)
{
	struct report_row row = { .unit = "ms", .base = base->apply };

	(void)snprintf(row.what, sizeof(row.what), "%s: apply", what);
	report_add(&bench->report, &costs->apply, &row);
	row.base = base->revert;
	(void)snprintf(row.what, sizeof(row.what), "%s: revert", what);
	report_add(&bench->report, &costs->revert, &row);
	row.base = base->pause;
	(void)snprintf(row.what, sizeof(row.what), "%s: longest pause", what);
	report_add(&bench->report, &costs->pause, &row);
	if (base->apply == 0)
		*base = (struct base){
			.apply = samples_median(&costs->apply),
			.revert = samples_median(&costs->revert),
			.pause = samples_median(&costs->pause),
		};
}

static void measure_functions(struct bench *bench)
{
	static const unsigned int functions[] = { 1, 100, 1000 };
	struct base base = {};

	for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
		struct subject s;
		struct costs costs;
		char what[40];

		subject_start(bench, "victim-functions", 1, 0, &s);
		subject_build_patch_of(bench, &s, functions[i]);
		costs = measure(&s);
		subject_stop(&s);
		(void)snprintf(what, sizeof(what), "%u functions", functions[i]);
		add_rows(bench, what, &costs, &base);
	}
}

static void measure_symbols(struct bench *bench)
{
	static const char *const symbols[] = { "1000", "10000", "100000", "1000000" };
	struct base base = {};

	for (size_t i = 0; i < ARRAY_SIZE(symbols); i++) {
		struct subject s;
		struct costs costs;
		char what[40];

		(void)snprintf(what, sizeof(what), "victim-symbols-%s", symbols[i]);
		subject_start(bench, what, 1, 0, &s);
		subject_build_patch(bench, &s);
		costs = measure(&s);
		subject_stop(&s);
		(void)snprintf(what, sizeof(what), "%s symbols", symbols[i]);
		add_rows(bench, what, &costs, &base);
	}
}

static void measure_mappings(struct bench *bench)
{
	static const long mappings[] = { 10, 1000, 10000 };
	struct base base = {};

	for (size_t i = 0; i < ARRAY_SIZE(mappings); i++) {
		struct subject s;
		struct costs costs;
		char what[40];

		subject_start(bench, "victim", 1, mappings[i], &s);
		subject_build_patch(bench, &s);
		costs = measure(&s);
		subject_stop(&s);
		(void)snprintf(what, sizeof(what), "%ld mappings", mappings[i]);
		add_rows(bench, what, &costs, &base);
	}
}

void measure_growth(struct bench *bench)
{
	measure_functions(bench);
	measure_symbols(bench);
	measure_mappings(bench);
}
