/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "job.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"

enum {
	WARNING_MAX = 1024, /* bytes: all of them leave room in a message */
	THREADS_SIZE_MAX = WIRE_MAX / 4,
	THREAD_SIZE = 3 * sizeof(uint64_t) + sizeof(uint32_t) + 1, /* and its function */
};

static char *get_copy(struct wire *w)
{
	const char *string = wire_get_string(w);
	char *copy = string ? strdup(string) : NULL;

	if (string && !copy)
		w->has_failed = true;
	return copy;
}

/* Negative errno values travel as what they are not. */
static void put_errno(struct wire *w, int value)
{
	wire_put(w, value < 0 ? (uint64_t)-value : 0);
	wire_put(w, value > 0 ? (uint64_t)value : 0);
}

static int get_errno(struct wire *w)
{
	int negative = (int)wire_get_max(w, 4095), positive = (int)wire_get_max(w, 4095);

	return negative ? -negative : positive;
}

/* --- warnings ---------------------------------------------------------------------------------- */

void job_warnings_add(struct job_warnings *warnings, const char *line)
{
	char *copy;

	for (size_t i = 0; i < warnings->nr; i++)
		if (strcmp(warnings->lines[i], line) == 0)
			return;
	if (warnings->nr == JOB_WARNINGS_MAX)
		return; /* the last one says that there are more */
	if (warnings->nr == JOB_WARNINGS_MAX - 1)
		line = "there are more warnings than can be kept";
	copy = strndup(line, WARNING_MAX);
	if (copy)
		warnings->lines[warnings->nr++] = copy;
}

void job_warnings_deinit(struct job_warnings *warnings)
{
	for (size_t i = 0; i < warnings->nr; i++)
		free(warnings->lines[i]);
	*warnings = (struct job_warnings){};
}

static void put_warnings(struct wire *w, const struct job_warnings *warnings)
{
	wire_put(w, warnings->nr);
	for (size_t i = 0; i < warnings->nr; i++)
		wire_put_string(w, warnings->lines[i]);
}

static void get_warnings(struct wire *w, struct job_warnings *ret)
{
	size_t nr = wire_get_max(w, JOB_WARNINGS_MAX);

	for (size_t i = 0; i < nr; i++) {
		const char *line = wire_get_string(w);

		if (line)
			job_warnings_add(ret, line);
	}
}

/* --- asked ------------------------------------------------------------------------------------- */

void job_deinit(struct job *job)
{
	free(job->path);
	free(job->label);
	free(job->name);
	*job = (struct job){};
}

void job_put(struct wire *w, const struct job *job)
{
	wire_put(w, job->verb);
	wire_put(w, (uint64_t)job->pid);
	wire_put(w, job->start_time);
	wire_put(w, job->owner);
	wire_put(w, job->flags);
	wire_put(w, job->timeout_ms);
	wire_put(w, job->digest);
	wire_put_string(w, job->path);
	wire_put_string(w, job->label);
	wire_put_string(w, job->name);
}

int job_get(struct wire *w, struct job *ret)
{
	struct job job = {
		.verb = (enum manager_verb)wire_get_max(w, MANAGER_VERBS - 1),
		.pid = (pid_t)wire_get_max(w, INT32_MAX),
		.start_time = wire_get(w),
		.owner = (uid_t)wire_get_max(w, UINT32_MAX),
		.flags = (unsigned int)wire_get_max(w, UINT32_MAX),
		.timeout_ms = (unsigned int)wire_get_max(w, UINT32_MAX),
		.digest = (uint32_t)wire_get_max(w, UINT32_MAX),
	};

	job.path = get_copy(w);
	job.label = get_copy(w);
	job.name = get_copy(w);
	if (!wire_is_done(w)) {
		job_deinit(&job);
		return -EBADMSG;
	}
	*ret = job;
	return 0;
}

/* --- errors ------------------------------------------------------------------------------------ */

void job_put_error(struct wire *w, const struct upatch_error *error)
{
	wire_put(w, error->reason);
	put_errno(w, error->error);
	wire_put(w, (uint64_t)error->pid);
	wire_put(w, (uint64_t)error->tid);
	wire_put_string(w, error->patch);
	wire_put_string(w, error->object);
	wire_put_string(w, error->function);
	wire_put_string(w, error->message);
	wire_put_string(w, error->detail);
}

int job_get_error(struct wire *w, struct failure *ret)
{
	struct upatch_error error = {
		.reason = (enum upatch_reason)wire_get_max(w, UPATCH_E_COUNT - 1),
		.error = get_errno(w),
		.pid = (pid_t)wire_get_max(w, INT32_MAX),
		.tid = (pid_t)wire_get_max(w, INT32_MAX),
	};

	/* One after the other: the order of initialisers is not defined. */
	error.patch = get_copy(w);
	error.object = get_copy(w);
	error.function = get_copy(w);
	error.message = get_copy(w);
	error.detail = get_copy(w);
	failure_clear(ret);
	ret->error = error;
	return w->has_failed ? -EBADMSG : 0;
}

/* --- reported ---------------------------------------------------------------------------------- */

void job_result_deinit(struct job_result *result)
{
	for (size_t i = 0; i < result->nr_threads; i++)
		free(result->threads[i].function);
	free(result->threads);
	free(result->patch);
	job_warnings_deinit(&result->warnings);
	failure_clear(&result->failure);
	process_deinit(&result->process);
	*result = (struct job_result){};
}

/* As many as have room beside all else that a message says. */
static size_t count_fitting(const struct job_result *result)
{
	size_t size = 0, nr = 0;

	for (; nr < result->nr_threads; nr++) {
		const char *function = result->threads[nr].function;

		size += THREAD_SIZE + (function ? strlen(function) : 0);
		if (size > THREADS_SIZE_MAX)
			break;
	}
	return nr;
}

void job_result_put(struct wire *w, const struct job_result *result)
{
	size_t nr_threads = count_fitting(result);

	put_errno(w, result->outcome);
	job_put_error(w, &result->failure.error);
	wire_put(w, result->cost.longest_pause);
	wire_put(w, result->cost.wall);
	wire_put(w, result->cost.stops);
	wire_put(w, result->cost.threads);
	wire_put(w, result->gc.freed);
	wire_put(w, result->gc.kept);
	wire_put_string(w, result->patch);
	wire_put(w, nr_threads);
	for (size_t i = 0; i < nr_threads; i++) {
		wire_put(w, (uint64_t)result->threads[i].tid);
		wire_put(w, result->threads[i].reason);
		wire_put_string(w, result->threads[i].function);
		wire_put(w, (uint64_t)(result->threads[i].state + 1));
	}
	put_warnings(w, &result->warnings);
	wire_put(w, result->has_records);
	process_put_records(w, &result->process);
}

static int get_threads(struct wire *w, struct job_result *ret)
{
	size_t nr = wire_get_max(w, PROCESS_THREADS_MAX);

	ret->threads = calloc(nr + 1, sizeof(*ret->threads));
	if (!ret->threads)
		return -ENOMEM;
	for (size_t i = 0; i < nr; i++) {
		ret->threads[i].tid = (pid_t)wire_get_max(w, INT32_MAX);
		ret->threads[i].reason = (enum upatch_reason)wire_get_max(w, UPATCH_E_COUNT - 1);
		ret->threads[i].function = get_copy(w);
		ret->threads[i].state = (int)wire_get_max(w, 2) - 1; /* from -1 */
		ret->nr_threads++;
	}
	return 0;
}

int job_result_get(struct wire *w, struct job_result *ret)
{
	struct job_result result = { .outcome = get_errno(w) };
	int r;

	r = job_get_error(w, &result.failure);
	result.cost.longest_pause = wire_get(w);
	result.cost.wall = wire_get(w);
	result.cost.stops = (unsigned int)wire_get_max(w, UINT32_MAX);
	result.cost.threads = (unsigned int)wire_get_max(w, UINT32_MAX);
	result.gc.freed = (unsigned int)wire_get_max(w, UINT32_MAX);
	result.gc.kept = (unsigned int)wire_get_max(w, UINT32_MAX);
	result.patch = get_copy(w);
	if (r >= 0)
		r = get_threads(w, &result);
	get_warnings(w, &result.warnings);
	result.has_records = wire_get_max(w, 1);
	if (r >= 0)
		r = process_get_records(w, &result.process);
	if (r >= 0 && !wire_is_done(w))
		r = -EBADMSG;
	if (r < 0)
		job_result_deinit(&result);
	else
		*ret = result;
	return r;
}
