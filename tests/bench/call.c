/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a call costs: unpatched, patched, through a pointer, through a uprobe. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "bench.h"
#include "subject.h"
#include "uprobe.h"

struct calls {
	struct samples unpatched;
	struct samples patched;
	struct samples pointer;
	struct samples uprobe;
};

static void measure(struct bench *bench, struct calls *calls)
{
	struct subject s;

	subject_start(bench, "victim", 1, 0, &s);
	subject_build_patch(bench, &s);
	for (int i = 0; i < BENCH_RUNS; i++) {
		samples_add(&calls->unpatched, subject_ask(&s, "call"));
		samples_add(&calls->pointer, subject_ask(&s, "pointer"));
		(void)subject_apply(&s);
		samples_add(&calls->patched, subject_ask(&s, "call"));
		(void)subject_revert(&s);
	}
	subject_stop(&s);
}

static void measure_uprobe(struct bench *bench, struct calls *calls)
{
	_cleanup_close_ int fd = -1;
	struct subject s;

	subject_start(bench, "victim", 1, 0, &s);
	/* Position-independent, text at the same offset in file and memory. */
	fd = uprobe_open(s.exe, (uint64_t)subject_ask(&s, "address"));
	if (fd < 0)
		report_note(&bench->report, "uprobe: not measured, the kernel says: %s",
			    strerror(-fd));
	for (int i = 0; fd >= 0 && i < BENCH_RUNS; i++)
		samples_add(&calls->uprobe, subject_ask(&s, "call"));
	subject_stop(&s);
}

void measure_calls(struct bench *bench)
{
	struct calls calls = {};
	double base;

	measure(bench, &calls);
	measure_uprobe(bench, &calls);
	base = samples_median(&calls.unpatched);
	report_add(&bench->report, &calls.unpatched,
		   &(struct report_row){ .what = "call: unpatched", .unit = "ns" });
	report_add(&bench->report, &calls.pointer,
		   &(struct report_row){ .what = "call: through a function pointer",
					 .unit = "ns",
					 .base = base });
	report_add(&bench->report, &calls.patched,
		   &(struct report_row){
			   .what = "call: patched, complete",
			   .unit = "ns",
			   .base = base,
			   .goal = base + 1,
			   .peers = "unpatched + 2.2 (libpulp)",
		   });
	report_add(
		&bench->report, &calls.uprobe,
		&(struct report_row){
			.what = "call: uprobe", .unit = "ns", .base = base, .peers = "260-490" });
}
