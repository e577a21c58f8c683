/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bench VICTIMS_DIR INCLUDE_DIR JSON: see DESIGN, figures to reach. */
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

int main(int argc, char *argv[])
{
	struct bench bench;
	int r;

	if (argc != 4) {
		(void)fprintf(stderr, "usage: %s VICTIMS_DIR INCLUDE_DIR JSON\n", argv[0]);
		return 2;
	}
	if (setenv("UPATCH_INCLUDEDIR", argv[2], 0) < 0)
		bench_die("out of memory");
	bench_init(&bench, argv[1]);
	measure_calls(&bench);
	measure_dispatcher(&bench);
	measure_unwinding(&bench);
	measure_pauses(&bench);
	measure_laggards(&bench);
	measure_growth(&bench);
	report_print(&bench.report);
	r = report_write_json(&bench.report, argv[3]);
	bench_deinit(&bench);
	return r < 0;
}
