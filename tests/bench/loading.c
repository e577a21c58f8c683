/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What waiting for libraries costs those that no patch is for, beside a target without an agent and beside
 * one whose dynamic linker has a tracer's breakpoint; and how long a library takes that a patch is for.
 */
#include <errno.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/blob.h"
#include "base/array.h"
#include "bench.h"
#include "subject.h"

enum {
	LOADS = 2000,
	LOOKUPS = 200000,
	BREAKPOINT = 0xcc,
};

/* --- a tracer's breakpoint ------------------------------------------------------------------------ */

/*
 * The cheapest there is: at r_debug.r_brk alone, whose function does nothing but return, so that nothing
 * has to be stepped over.
 */
static void trace(pid_t pid, uint64_t brk_addr)
{
	struct user_regs_struct regs;
	uint64_t return_addr;
	int status;
	long word;

	if (ptrace(PTRACE_SEIZE, pid, 0, 0) < 0 || ptrace(PTRACE_INTERRUPT, pid, 0, 0) < 0 ||
	    waitpid(pid, &status, 0) != pid)
		_exit(1);
	word = ptrace(PTRACE_PEEKTEXT, pid, brk_addr, 0);
	(void)ptrace(PTRACE_POKETEXT, pid, brk_addr, (word & ~0xffL) | BREAKPOINT);
	(void)ptrace(PTRACE_CONT, pid, 0, 0);
	while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
		int signal = WSTOPSIG(status);

		if (signal == SIGTRAP && ptrace(PTRACE_GETREGS, pid, 0, &regs) == 0 &&
		    regs.rip == brk_addr + 1) {
			struct iovec local = { &return_addr, sizeof(return_addr) };
			struct iovec remote = { (void *)(uintptr_t)regs.rsp, sizeof(return_addr) };

			if (process_vm_readv(pid, &local, 1, &remote, 1, 0) < 0)
				break;
			regs.rip = return_addr;
			regs.rsp += sizeof(return_addr);
			(void)ptrace(PTRACE_SETREGS, pid, 0, &regs);
			signal = 0;
		}
		(void)ptrace(PTRACE_CONT, pid, 0, signal);
	}
	_exit(0);
}

static pid_t start_tracer(struct subject *s)
{
	uint64_t brk_addr = (uint64_t)subject_ask(s, "brk");
	pid_t tracer = fork();

	if (tracer < 0)
		bench_die("cannot fork");
	if (tracer == 0)
		trace(s->pid, brk_addr);
	return tracer;
}

/* --- patches ------------------------------------------------------------------------------------- */

/* Of the first @nr functions of the library. */
static void build(struct bench *bench, struct subject *s, unsigned int nr)
{
	char source[128], object[600];
	const char *sources[] = { source, NULL };
	const char *objects[] = { object, NULL };
	const struct upatch_build_options opts = {
		.size = sizeof(opts),
		.output = s->patch_path,
		.name = "bench",
		.sources = sources,
		.objects = objects,
	};
	FILE *file;

	(void)snprintf(source, sizeof(source), "%s/library.c", bench->dir);
	(void)snprintf(s->patch_path, sizeof(s->patch_path), "%s/library.upatch", bench->dir);
	(void)snprintf(object, sizeof(object), "libbench-functions.so=%s/libbench-functions.so",
		       bench->victims);
	file = fopen(source, "w");
	if (!file)
		bench_die("cannot write %s", source);
	(void)fprintf(file,
		      "#include <upatch/livepatch.h>\nUPATCH_OBJECT(\"libbench-functions.so\");\n");
	for (unsigned int i = 0; i < nr; i++)
		(void)fprintf(file,
			      "static long new_%u(long x) { return x + %u; }\n"
			      "UPATCH_FUNC(victim_function_%03u, new_%u);\n",
			      i, i, i, i);
	if (fclose(file) != 0 || upatch_build(s->ctx, &opts) < 0 ||
	    upatch_patch_open(s->ctx, s->patch_path, &s->patch) < 0)
		bench_die("cannot build: %s", upatch_ctx_error(s->ctx)->message);
}

/* --- measuring ----------------------------------------------------------------------------------- */

static double ask_load(const struct bench *bench, struct subject *s, const char *verb,
		       const char *library, int nr)
{
	char command[700];

	(void)snprintf(command, sizeof(command), "%s %d %s/%s", verb, nr, bench->victims, library);
	return subject_ask(s, command);
}

static double ask_lookups(struct subject *s)
{
	char command[32];

	(void)snprintf(command, sizeof(command), "dlsym %d", LOOKUPS);
	return subject_ask(s, command);
}

struct side {
	struct samples load;	   /* us */
	struct samples lookup;	   /* ns */
	struct samples load_ratio; /* to the first side, in the same round */
	struct samples lookup_ratio;
};

static void add_rows(struct bench *bench, const char *who, const struct side *side, double goal)
{
	struct report_row row = { .unit = "us" };

	(void)snprintf(row.what, sizeof(row.what), "dlopen+dlclose, %s", who);
	report_add(&bench->report, &side->load, &row);
	(void)snprintf(row.what, sizeof(row.what), "dlopen+dlclose, %s: ratio", who);
	row.unit = "x";
	row.goal = goal;
	report_add(&bench->report, &side->load_ratio, &row);
	(void)snprintf(row.what, sizeof(row.what), "dlsym, %s", who);
	row = (struct report_row){ .unit = "ns" };
	(void)snprintf(row.what, sizeof(row.what), "dlsym, %s", who);
	report_add(&bench->report, &side->lookup, &row);
	(void)snprintf(row.what, sizeof(row.what), "dlsym, %s: ratio", who);
	row.unit = "x";
	row.goal = goal;
	report_add(&bench->report, &side->lookup_ratio, &row);
}

/* Round by round, all three one after the other. */
static void measure_unrelated(struct bench *bench)
{
	static const char *const who[] = { "no agent", "agent", "tracer's breakpoint" };
	struct subject s[ARRAY_SIZE(who)];
	struct side sides[ARRAY_SIZE(who)] = {};
	pid_t tracer;

	for (size_t i = 0; i < ARRAY_SIZE(who); i++)
		subject_start(bench, "victim", 1, 0, &s[i]);
	build(bench, &s[1], 1);
	(void)subject_apply(&s[1]);
	tracer = start_tracer(&s[2]);
	for (int round = 0; round < BENCH_RUNS; round++) {
		double load[ARRAY_SIZE(who)], lookup[ARRAY_SIZE(who)];

		for (size_t i = 0; i < ARRAY_SIZE(who); i++) {
			load[i] = ask_load(bench, &s[i], "load", "libbench-unrelated.so", LOADS);
			lookup[i] = ask_lookups(&s[i]);
			samples_add(&sides[i].load, load[i] / 1e3);
			samples_add(&sides[i].lookup, lookup[i]);
			if (i) {
				samples_add(&sides[i].load_ratio, load[i] / load[0]);
				samples_add(&sides[i].lookup_ratio, lookup[i] / lookup[0]);
			}
		}
	}
	(void)kill(tracer, SIGKILL);
	(void)waitpid(tracer, NULL, 0);
	for (size_t i = 0; i < ARRAY_SIZE(who); i++) {
		add_rows(bench, who[i], &sides[i], i == 1 ? 1.05 : 0);
		subject_stop(&s[i]);
	}
}

/* Opening the library with and without its patch waiting. */
static void measure_coming(struct bench *bench, unsigned int nr)
{
	struct samples without = {}, with = {}, gone = {};
	struct report_row row = { .unit = "us" };
	struct subject s;

	subject_start(bench, "victim", 1, 0, &s);
	build(bench, &s, nr);
	for (int i = 0; i < BENCH_RUNS; i++) {
		samples_add(&without,
			    ask_load(bench, &s, "open", "libbench-functions.so", 100) / 1e3);
		(void)subject_apply(&s);
		samples_add(&with, ask_load(bench, &s, "open", "libbench-functions.so", 100) / 1e3);
		samples_add(&gone, ask_load(bench, &s, "load", "libbench-functions.so", 100) / 1e3);
		(void)subject_revert(&s);
	}
	subject_stop(&s);
	(void)snprintf(row.what, sizeof(row.what), "dlopen, patch of %u functions waits", nr);
	row.base = samples_median(&without);
	report_add(&bench->report, &with, &row);
	(void)snprintf(row.what, sizeof(row.what), "the same and dlclose, %u functions", nr);
	row.base = 0;
	report_add(&bench->report, &gone, &row);
}

void measure_loading(struct bench *bench)
{
	static const unsigned int numbers[] = { 1, 100, 1000 };

	measure_unrelated(bench);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		measure_coming(bench, numbers[i]);
	report_note(&bench->report, "the agent: %u bytes of text, %u of data",
		    agent_blob_head()->text_size, agent_blob_head()->data_size);
}
