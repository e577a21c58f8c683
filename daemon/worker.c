/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <upatch/upatch.h>

#include "cleanup.h"
#include "facts.h"
#include "job.h"
#include "owner.h"
#include "record.h"
#include "serve.h"
#include "wire.h"

/* The last patch stays open: a thousand targets get the same. */
struct worker {
	struct upatch_ctx *ctx;
	struct job_warnings *warnings; /* of the job that is at work, or NULL */
	struct upatch_patch *patch;
	char *path;
	struct stat st;
};

/* --- patches ----------------------------------------------------------------------------------- */

static void close_patch(struct worker *worker)
{
	upatch_patch_close(worker->patch);
	free(worker->path);
	worker->patch = NULL;
	worker->path = NULL;
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static int open_patch(struct worker *worker, const char *path)
{
	struct stat st;
	int r;

	if (worker->patch && strcmp(path, worker->path) == 0 && stat(path, &st) == 0 &&
	    is_same_file(&st, &worker->st))
		return 0;
	close_patch(worker);
	if (stat(path, &worker->st) < 0)
		worker->st = (struct stat){}; /* opening it says why */
	r = upatch_patch_open(worker->ctx, path, &worker->patch);
	if (r < 0)
		return r;
	worker->path = strdup(path);
	if (worker->path)
		return 0;
	close_patch(worker);
	return -ENOMEM;
}

/* --- one job ----------------------------------------------------------------------------------- */

static void keep_error(struct worker *worker, const struct job *job, struct job_result *result)
{
	const struct upatch_error *error = upatch_ctx_error(worker->ctx);
	const char *at = job->label && job->path ? strstr(error->message, job->path) : NULL;
	char *message;

	(void)failure_copy(&result->failure, error);
	/* The file's path is ours; the user knows it by another name. */
	if (at && asprintf(&message, "%.*s%s%s", (int)(at - error->message), error->message,
			   job->label, at + strlen(job->path)) >= 0) {
		free((char *)result->failure.error.message);
		result->failure.error.message = message;
	}
}

static bool is_holder(const struct upatch_thread *thread)
{
	return thread->error.reason != UPATCH_E_NONE;
}

static void keep_threads(const struct upatch_threads *threads, struct job_result *result)
{
	size_t nr = threads->nr_threads;

	if (nr > PROCESS_THREADS_MAX)
		nr = PROCESS_THREADS_MAX;
	result->threads = calloc(nr + 1, sizeof(*result->threads));
	if (!result->threads)
		return;
	for (size_t i = 0; i < nr; i++) {
		const struct upatch_thread *thread = &threads->threads[i];

		if (!is_holder(thread))
			continue;
		result->threads[result->nr_threads++] = (struct job_thread){
			.tid = thread->tid,
			.reason = thread->error.reason,
			.function = thread->error.function ? strdup(thread->error.function) : NULL,
			.state = thread->state,
		};
	}
}

/*
 * Is the process still the one that the job is about, and his who asked? @target is bound to it: another
 * process, or another program by execve(2), is told from it by all that follows.
 */
static int check_identity(const struct job *job, struct job_result *result)
{
	struct facts_stat stat;
	int r = 0;

	if (job->start_time &&
	    (facts_read_stat(job->pid, &stat) < 0 || stat.start_time != job->start_time))
		r = failure_set(&result->failure, -ESRCH, UPATCH_E_GONE, "the process has exited");
	else if (job->owner && owner_is(job->pid, job->owner) != 1)
		r = failure_set(&result->failure, -EPERM, UPATCH_E_DENIED,
				"the process does not run as user %u any more, or with privileges",
				job->owner);
	if (r < 0)
		result->failure.error.pid = job->pid;
	return r;
}

/* The file may have changed since the daemon read it: what it would be then nobody has asked for. */
static int apply(struct worker *worker, struct upatch_target *target, const struct job *job,
		 const struct upatch_options *options, struct job_result *result)
{
	const struct upatch_patch_info *info;
	int r;

	r = open_patch(worker, job->path ? job->path : "");
	if (r < 0)
		return r;
	info = upatch_patch_info(worker->patch);
	result->patch = strdup(info->name);
	if (job->digest && job->digest != info->digest)
		return failure_set(&result->failure, -ESTALE, UPATCH_E_CONFIG,
				   "'%s' is another file than upatchd has read: reload upatchd",
				   job->path);
	return upatch_target_apply(target, worker->patch, options, &result->cost);
}

static int run_verb(struct worker *worker, struct upatch_target *target, const struct job *job,
		    struct job_result *result)
{
	struct upatch_options options = {
		.size = sizeof(options),
		.flags = job->flags,
		.timeout_ms = job->timeout_ms,
	};
	struct upatch_threads *threads = NULL;
	int r = -EINVAL;

	switch (job->verb) {
	case MANAGER_APPLY:
		r = apply(worker, target, job, &options, result);
		break;
	case MANAGER_REVERT:
		r = upatch_target_revert(target, job->name ? job->name : "", &options,
					 &result->cost);
		break;
	case MANAGER_WAIT:
		r = upatch_target_wait(target, &options, &result->cost);
		break;
	case MANAGER_FORCE:
		r = upatch_target_force(target, &threads, &result->cost);
		if (threads && threads->patch)
			result->patch = strdup(threads->patch);
		break;
	case MANAGER_GC:
		r = upatch_target_gc(target, &result->gc);
		break;
	case MANAGER_THREADS:
		r = upatch_target_threads(target, &threads);
		break;
	case MANAGER_VERBS:
		break;
	}
	if (r != UPATCH_DONE && !result->failure.error.message)
		keep_error(worker, job, result);
	if (r == UPATCH_PENDING && upatch_target_threads(target, &threads) < 0)
		threads = NULL; /* the error names one of them */
	if (threads)
		keep_threads(threads, result);
	upatch_threads_free(threads);
	return r;
}

static void run_job(struct worker *worker, const struct job *job, struct job_result *result)
{
	struct upatch_target *target = NULL;
	int r;

	r = upatch_target_open(worker->ctx, job->pid, &target);
	if (r < 0)
		keep_error(worker, job, result);
	else
		r = check_identity(job, result);
	if (r >= 0)
		r = run_verb(worker, target, job, result);
	result->outcome = r;
	if (target)
		result->has_records = record_fill(target, &result->process) >= 0;
	if (!result->patch && job->name)
		result->patch = strdup(job->name);
	upatch_target_close(target);
}

static int on_job(void *userdata, struct wire *w)
{
	struct worker *worker = userdata;
	struct job_result result = {};
	struct job job;
	int r;

	r = job_get(w, &job);
	if (r < 0)
		return r;
	worker->warnings = &result.warnings;
	run_job(worker, &job, &result);
	worker->warnings = NULL;
	wire_reset(w);
	job_result_put(w, &result);
	job_result_deinit(&result);
	job_deinit(&job);
	return 0;
}

/* Who asked gets them with the report. */
static void take_line(void *userdata, enum upatch_log_level level, const char *line)
{
	const struct worker *worker = userdata;

	if (level == UPATCH_LOG_WARNING && worker->warnings)
		job_warnings_add(worker->warnings, line);
}

int worker_main(void)
{
	struct worker worker = {};
	int status = UPATCH_EXIT_REFUSED;

	if (upatch_ctx_new(&worker.ctx) >= 0) {
		upatch_ctx_set_log(worker.ctx, UPATCH_LOG_WARNING, take_line, &worker);
		status = serve(on_job, &worker);
	}
	close_patch(&worker);
	upatch_ctx_free(worker.ctx);
	return status;
}
