/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

/* What all measurements share. A failure ends the program: a figure of a failure is none. */

#include "report.h"

enum {
	BENCH_RUNS = 7,
};

struct bench {
	const char *victims; /* folder */
	char dir[64];	     /* scratch */
	struct report report;
};

/* Print a message and end the program. */
void bench_die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

void bench_init(struct bench *bench, const char *victims);
void bench_deinit(struct bench *bench);

/* The measurements, one file each. */
void measure_pauses(struct bench *bench);
void measure_unwinding(struct bench *bench);
void measure_calls(struct bench *bench);
void measure_dispatcher(struct bench *bench);
void measure_laggards(struct bench *bench);
void measure_growth(struct bench *bench);
void measure_loading(struct bench *bench);

#endif
