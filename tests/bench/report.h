/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

/* Measured numbers: medians, printed as one table and written as JSON. */

#include <stddef.h>

enum {
	SAMPLES_MAX = 64,
	REPORT_ROWS_MAX = 128,
};

struct samples {
	double values[SAMPLES_MAX];
	size_t nr;
};

/* Beyond SAMPLES_MAX they are dropped. */
void samples_add(struct samples *samples, double value);
double samples_median(const struct samples *samples);

/*
 * @base: what it is compared with, 0: nothing
 * @goal: what it must not exceed, 0: none
 * @peers: their figures, as measured on this kind of machine, or ""
 */
struct report_row {
	char what[64];
	const char *unit;
	double value;
	double min;
	double max;
	size_t nr;
	double base;
	double goal;
	const char *peers;
};

struct report {
	struct report_row rows[REPORT_ROWS_MAX];
	size_t nr;
	char notes[2048];
};

/* Adds the median of @samples as a row; @row says the rest. What has no samples is left out. */
void report_add(struct report *report, const struct samples *samples, const struct report_row *row);

/* A line below the table: what could not be measured, and why. */
void report_note(struct report *report, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void report_print(const struct report *report);

/* Return: 0, or -errno. */
int report_write_json(const struct report *report, const char *path);

#endif
