/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bench VICTIMS_DIR INCLUDE_DIR JSON [MEASUREMENT]...: see DESIGN, figures to reach. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "bench.h"

static const struct measurement {
	const char *name;
	void (*fn)(struct bench *bench);
} measurements[] = {
	{ "calls", measure_calls },	    { "dispatcher", measure_dispatcher },
	{ "unwinding", measure_unwinding }, { "pauses", measure_pauses },
	{ "laggards", measure_laggards },   { "growth", measure_growth },
	{ "loading", measure_loading },
};

/* All of them, when none is named. */
static int is_wanted(const char *name, char *names[], int nr)
{
	for (int i = 0; i < nr; i++)
		if (strcmp(names[i], name) == 0)
			return 1;
	return !nr;
}

int main(int argc, char *argv[])
{
	struct bench bench;
	int r;

	if (argc < 4) {
		(void)fprintf(stderr, "usage: %s VICTIMS_DIR INCLUDE_DIR JSON [MEASUREMENT]...\n",
			      argv[0]);
		return 2;
	}
	if (setenv("UPATCH_INCLUDEDIR", argv[2], 0) < 0)
		bench_die("out of memory");
	bench_init(&bench, argv[1]);
	for (size_t i = 0; i < ARRAY_SIZE(measurements); i++)
		if (is_wanted(measurements[i].name, argv + 4, argc - 4))
			measurements[i].fn(&bench);
	report_print(&bench.report);
	r = report_write_json(&bench.report, argv[3]);
	bench_deinit(&bench);
	return r < 0;
}
