/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "subject.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/deadline.h"
#include "bench.h"

static const char patch_name[] = "bench";

static void die_of(struct subject *s, const char *what)
{
	const struct upatch_error *e = upatch_ctx_error(s->ctx);

	bench_die("%s: %s: %s: %s", s->exe, what, upatch_reason_name(e->reason), e->message);
}

static void open_target(struct subject *s)
{
	if (upatch_ctx_new(&s->ctx) < 0)
		bench_die("out of memory");
	if (upatch_target_open(s->ctx, s->pid, &s->target) < 0)
		die_of(s, "open");
}

static void close_target(struct subject *s)
{
	upatch_patch_close(s->patch);
	upatch_target_close(s->target);
	upatch_ctx_free(s->ctx);
	s->patch = NULL;
}

static void open_patch(struct subject *s)
{
	if (upatch_patch_open(s->ctx, s->patch_path, &s->patch) < 0)
		die_of(s, "patch");
}

static void run_victim(const struct subject *s, long threads, long mappings, int in, int out)
{
	char threads_arg[32], mappings_arg[32];

	(void)snprintf(threads_arg, sizeof(threads_arg), "%ld", threads);
	(void)snprintf(mappings_arg, sizeof(mappings_arg), "%ld", mappings);
	if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
		_exit(127);
	(void)execl(s->exe, s->exe, threads_arg, mappings_arg, (char *)NULL);
	_exit(127);
}

void subject_start(struct bench *bench, const char *victim, long threads, long mappings,
		   struct subject *ret)
{
	int to[2], from[2];
	char line[32];

	*ret = (struct subject){};
	(void)snprintf(ret->exe, sizeof(ret->exe), "%s/%s", bench->victims, victim);
	if (pipe2(to, O_CLOEXEC) < 0 || pipe2(from, O_CLOEXEC) < 0)
		bench_die("pipe: %s", strerror(errno));
	ret->pid = fork();
	if (ret->pid < 0)
		bench_die("fork: %s", strerror(errno));
	if (ret->pid == 0)
		run_victim(ret, threads, mappings, to[0], from[1]);
	(void)close(to[0]);   /* the victim's ends */
	(void)close(from[1]); /* likewise */
	ret->to = fdopen(to[1], "w");
	ret->from = fdopen(from[0], "r");
	if (!ret->to || !ret->from)
		bench_die("out of memory");
	if (!fgets(line, sizeof(line), ret->from) || strcmp(line, "ready\n") != 0)
		bench_die("%s does not start", ret->exe);
	open_target(ret);
}

void subject_stop(struct subject *subject)
{
	close_target(subject);
	(void)kill(subject->pid, SIGKILL);    /* our child, not waited for yet */
	(void)waitpid(subject->pid, NULL, 0); /* likewise */
	(void)fclose(subject->to);	      /* a pipe without a reader */
	(void)fclose(subject->from);
}

static void write_replacement(FILE *f, const char *function, unsigned int summand)
{
	(void)fprintf(f,
		      "static long new_%s(long x)\n{\n\treturn x * 3 + %u;\n}\n"
		      "UPATCH_FUNC(%s, new_%s);\n",
		      function, summand, function, function);
}

static void build(struct bench *bench, struct subject *s, const char *source)
{
	char object[600];
	const char *base = strrchr(s->exe, '/') + 1;
	const char *sources[] = { source, NULL };
	const char *objects[] = { object, NULL };

	(void)snprintf(object, sizeof(object), "%s=%s", base, s->exe);
	(void)snprintf(s->patch_path, sizeof(s->patch_path), "%s/bench.upatch", bench->dir);
	if (upatch_build(s->ctx, &(struct upatch_build_options){
					 .size = sizeof(struct upatch_build_options),
					 .output = s->patch_path,
					 .name = patch_name,
					 .sources = sources,
					 .objects = objects,
				 }) < 0)
		die_of(s, "build");
	open_patch(s);
}

/* @nr: 0 for victim_answer() */
static void build_source(struct bench *bench, struct subject *s, unsigned int nr, const char *more)
{
	char source[128], function[64];
	FILE *f;

	(void)snprintf(source, sizeof(source), "%s/bench.c", bench->dir);
	f = fopen(source, "we");
	if (!f)
		bench_die("%s: %s", source, strerror(errno));
	(void)fprintf(f, "#include <upatch/livepatch.h>\nUPATCH_OBJECT(\"%s\");\n",
		      strrchr(s->exe, '/') + 1);
	if (!nr)
		write_replacement(f, "victim_answer", 42);
	for (unsigned int i = 0; i < nr; i++) {
		(void)snprintf(function, sizeof(function), "victim_function_%03u", i);
		write_replacement(f, function, i);
	}
	(void)fputs(more, f);
	if (fclose(f) != 0)
		bench_die("%s: %s", source, strerror(errno));
	build(bench, s, source);
}

void subject_build_patch(struct bench *bench, struct subject *subject)
{
	build_source(bench, subject, 0, "");
}

void subject_build_patch_of(struct bench *bench, struct subject *subject, unsigned int nr)
{
	build_source(bench, subject, nr, "");
}

void subject_build_patch_with_hold(struct bench *bench, struct subject *subject)
{
	build_source(bench, subject, 0,
		     "static void new_hold(void)\n{\n}\nUPATCH_FUNC(victim_hold, new_hold);\n");
}

double subject_ask(struct subject *subject, const char *command)
{
	char line[64];

	if (fprintf(subject->to, "%s\n", command) < 0 || fflush(subject->to) != 0 ||
	    !fgets(line, sizeof(line), subject->from))
		bench_die("%s does not answer '%s'", subject->exe, command);
	return strtod(line, NULL);
}

struct upatch_cost subject_open(struct subject *subject)
{
	static const struct upatch_options no_wait = { .flags = UPATCH_NO_WAIT };
	struct upatch_cost cost;

	if (upatch_target_apply(subject->target, subject->patch, &no_wait, &cost) < 0)
		die_of(subject, "apply");
	return cost;
}

struct upatch_cost subject_complete(struct subject *subject)
{
	struct upatch_cost cost;

	if (upatch_target_wait(subject->target, NULL, &cost) != UPATCH_DONE)
		die_of(subject, "wait");
	return cost;
}

struct upatch_cost subject_apply(struct subject *subject)
{
	struct upatch_cost cost;

	if (upatch_target_apply(subject->target, subject->patch, NULL, &cost) != 0)
		die_of(subject, "apply");
	return cost;
}

struct upatch_cost subject_revert(struct subject *subject)
{
	struct upatch_cost cost;

	if (upatch_target_revert(subject->target, patch_name, NULL, &cost) != 0)
		die_of(subject, "revert");
	return cost;
}

struct upatch_cost subject_apply_afresh(struct subject *subject)
{
	uint64_t begun = clock_now();
	struct upatch_cost cost;

	close_target(subject);
	open_target(subject);
	open_patch(subject);
	cost = subject_apply(subject);
	cost.wall = clock_now() - begun;
	return cost;
}

struct upatch_cost subject_revert_afresh(struct subject *subject)
{
	uint64_t begun = clock_now();
	struct upatch_cost cost;

	close_target(subject);
	open_target(subject);
	cost = subject_revert(subject);
	cost.wall = clock_now() - begun;
	open_patch(subject);
	return cost;
}
