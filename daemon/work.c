/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "manager_private.h"
#include "operation.h"
#include "pool.h"

enum {
	REQUESTS_MAX = 1024,
	/* For threads to leave, so that no worker waits long: later tries carry on. */
	STEP_TIMEOUT_MS = 100,
	DEADLINE_SLACK_MS = 5000,
};

/* --- targets ----------------------------------------------------------------------------------- */

void work_target(struct manager *m, struct target *target)
{
	if (!target->is_to_work) {
		target->is_to_work = true;
		TAILQ_INSERT_TAIL(&m->work, target, in_work);
	}
	manager_wake(m);
}

void work_forget(struct manager *m, struct target *target)
{
	struct request *request;

	if (target->is_to_work)
		TAILQ_REMOVE(&m->work, target, in_work);
	target->is_to_work = false;
	/* Its operation goes on, to no avail, and nobody listens but who asked for it. */
	if (!target->op)
		return;
	TAILQ_FOREACH(request, &m->running, in_queue)
	if (request->op == target->op)
		return;
	operation_set_userdata(target->op, NULL);
}

static void take_records(struct target *target, struct job_result *result)
{
	struct process *from = &result->process, *to = &target->process;
	struct process swap = *to;

	if (!result->has_records)
		return;
	to->records = from->records;
	to->nr_records = from->nr_records;
	from->records = swap.records;
	from->nr_records = swap.nr_records;
}

static void take_result(struct manager *m, struct target *target, const char *patch,
			struct job_result *result)
{
	enum policy_retry retry = policy_retry(result->failure.error.reason);

	take_records(target, result);
	target->is_stale |= target->is_reading; /* what the reader has seen may be older */
	m->is_tidy = false;
	if (patch)
		decide_result(m, target, patch, result);
	/* The kernel tells when it has gone; what it is that was not done, a look tells. */
	if (result->outcome < 0 && (retry == POLICY_GONE || !result->has_records))
		scan_target(m, target);
	work_target(m, target);
}

/* The manager's own operation is done. */
static void on_done(void *userdata, struct job_result *result)
{
	struct target *target = userdata;
	const char *patch;

	if (!target)
		return; /* it has gone */
	patch = operation_job(target->op)->name;
	target->manager->nr_operations++;
	for (size_t i = 0; i < result->warnings.nr; i++)
		log_line(LOG_INFO, "%s", result->warnings.lines[i]);
	if (result->cost.longest_pause > target->manager->longest_pause)
		target->manager->longest_pause = result->cost.longest_pause;
	if (result->outcome < 0)
		log_line(LOG_INFO, "process %d (%s): patch '%s': %s [%s]", (int)target->process.pid,
			 target->process.comm, patch ? patch : "?",
			 result->failure.error.message ? result->failure.error.message : "?",
			 upatch_reason_name(result->failure.error.reason));
	if (!patchset_means(&target->manager->patches, operation_job(target->op)))
		patch = NULL; /* what that file met says nothing of this one */
	/* The name lives in the operation, as does the job. */
	take_result(target->manager, target, patch, result);
	target->op = NULL;
}

static int begin(struct manager *m, struct target *target, const struct decide_action *action)
{
	const struct patchset_item *item = &m->patches.items[action->patch];
	struct job job = {
		.verb = action->verb,
		.pid = target->process.pid,
		.start_time = target->process.start_time,
		.timeout_ms = STEP_TIMEOUT_MS,
		.order = m->patches.policy[action->patch].since,
		.name = strdup(item->name),
		.path = action->verb == MANAGER_APPLY ? strdup(item->path) : NULL,
	};
	const struct operation_options options = {
		.job = &job,
		.deadline_ms = m->config.deadline_s * 1000,
		.fn = on_done,
		.userdata = target,
	};
	int r;

	if (action->verb == MANAGER_APPLY && item->patch)
		job.digest = upatch_patch_info(item->patch)->digest;
	r = job.name ? operation_new(m->pool, &options, &target->op) : -ENOMEM;

	job_deinit(&job);
	return r;
}

/* Return: false when there is no worker for it now. */
static bool run_target(struct manager *m, struct target *target)
{
	uint64_t now = manager_now();
	struct decide_action action = decide(m, target, now);
	int r;

	if (action.verb == MANAGER_VERBS) {
		if (action.retry_at && !target->is_young && !target->is_stale)
			scan_target_in(m, target, action.retry_at - now);
		return true;
	}
	r = begin(m, target, &action);
	if (r == -EAGAIN)
		return false;
	m->is_turn_of_targets = false;
	if (r < 0) {
		log_line(LOG_ERR, "process %d: cannot start a worker: %s", (int)target->process.pid,
			 strerror(-r));
		scan_target_in(m, target, 1000000);
	}
	return true;
}

/* --- requests ---------------------------------------------------------------------------------- */

static void request_free(struct request *request)
{
	closep(&request->fd);
	job_deinit(&request->job);
	free(request->patch);
	job_warnings_deinit(&request->warnings);
	request->manager->nr_requests--;
	free(request);
}

static void answer(struct request *request, const struct job_result *result)
{
	const struct target *target = target_find(&request->manager->targets, request->pid);
	struct manager_result public = {
		.verb = request->verb,
		.pid = request->pid,
		.comm = target ? target->process.comm : "",
		.patch = result->patch ? result->patch : "",
		.outcome = result->outcome,
		.error = result->outcome != UPATCH_DONE ? &result->failure.error : NULL,
		.cost = result->cost,
		.gc = result->gc,
		.process = result->has_records ? &result->process : NULL,
		.warnings = (const char *const *)request->warnings.lines,
		.nr_warnings = request->warnings.nr,
	};
	struct status_thread *threads = calloc(result->nr_threads + 1, sizeof(*threads));

	for (size_t i = 0; threads && i < result->nr_threads; i++)
		threads[public.nr_threads++] = (struct status_thread){
			.tid = result->threads[i].tid,
			.function = result->threads[i].function,
			.reason = result->threads[i].reason,
			.state = result->threads[i].state,
		};
	public.threads = threads;
	if (request->fn)
		request->fn(request->userdata, &public);
	free(threads);
}

/* Threads are in the way, or cannot be stopped, and the asker's time is not over. */
static bool has_next_step(const struct request *request, const struct job_result *result)
{
	bool is_held =
		result->outcome == UPATCH_PENDING ||
		(result->outcome < 0 && result->failure.error.reason == UPATCH_E_UNINTERRUPTIBLE);

	return is_held && manager_now() < request->until;
}

static char *copy_string(const char *string)
{
	return string ? strdup(string) : NULL;
}

static void prepare_next_step(struct request *request, struct job_result *result)
{
	const struct job *done = operation_job(request->op);

	request->job = (struct job){
		.verb = result->outcome < 0 ? done->verb : MANAGER_WAIT,
		.pid = done->pid,
		.start_time = done->start_time,
		.owner = done->owner,
		.flags = done->flags,
		.path = copy_string(done->path), /* without memory the next step says so */
		.label = copy_string(done->label),
		.name = copy_string(done->name),
	};
	if (!request->patch) {
		request->patch = result->patch;
		result->patch = NULL;
	}
	request->op = NULL;
	TAILQ_REMOVE(&request->manager->running, request, in_queue);
	TAILQ_INSERT_TAIL(&request->manager->waiting, request, in_queue);
}

static void add_cost(struct request *request, struct upatch_cost *cost)
{
	if (request->cost.longest_pause > cost->longest_pause)
		cost->longest_pause = request->cost.longest_pause;
	if (request->cost.threads > cost->threads)
		cost->threads = request->cost.threads;
	cost->stops += request->cost.stops;
	cost->wall = (manager_now() - request->begun) * 1000;
}

/* Between two steps somebody who does not ask us may have turned the transition around. */
static void check_end(const struct request *request, struct job_result *result)
{
	const struct process_record *record;
	bool is_enabled;

	if (result->outcome != UPATCH_DONE || !result->has_records || !request->patch)
		return;
	record = process_record(&result->process, request->patch);
	is_enabled = record && strcmp(record->state, "enabled") == 0;
	if (request->verb == MANAGER_APPLY && !is_enabled)
		result->outcome = failure_set(
			&result->failure, -ENOENT, UPATCH_E_NOT_APPLIED,
			"patch '%s' was taken back by somebody else meanwhile", request->patch);
	if (request->verb == MANAGER_REVERT && is_enabled)
		result->outcome = failure_set(
			&result->failure, -EEXIST, UPATCH_E_EXISTS,
			"patch '%s' was applied again by somebody else meanwhile", request->patch);
	if (result->outcome < 0)
		result->failure.error.pid = request->pid;
}

static void on_request_done(void *userdata, struct job_result *result)
{
	struct request *request = userdata;
	struct manager *m = request->manager;
	struct target *target = target_find(&m->targets, request->pid);

	if (request->steps++ > 0)
		add_cost(request, &result->cost);
	request->cost = result->cost;
	for (size_t i = 0; i < result->warnings.nr; i++)
		job_warnings_add(&request->warnings, result->warnings.lines[i]);
	if (has_next_step(request, result)) {
		if (target && target->op == request->op)
			target->op = NULL;
		prepare_next_step(request, result);
		manager_wake(m);
		return;
	}
	check_end(request, result);
	if (!result->patch) {
		result->patch = request->patch;
		request->patch = NULL;
	}
	answer(request, result);
	if (target && target->op == request->op) {
		target->op = NULL;
		take_result(m, target, NULL, result);
	}
	TAILQ_REMOVE(&m->running, request, in_queue);
	request_free(request);
	manager_wake(m);
}

/* It never got a worker. */
static void fail_request(struct request *request, int error)
{
	struct job_result result = { .outcome = error };

	failure_set(&result.failure, error, UPATCH_E_WORKER, "cannot start a worker: %s",
		    strerror(-error));
	result.failure.error.pid = request->pid;
	TAILQ_REMOVE(&request->manager->waiting, request, in_queue);
	answer(request, &result);
	job_result_deinit(&result);
	request_free(request);
}

/* A request other than this one, or NULL, is between two steps. */
static bool is_taken(const struct manager *m, pid_t pid, const struct request *but)
{
	const struct request *request;

	TAILQ_FOREACH(request, &m->waiting, in_queue)
	if (request->pid == pid && request->begun && request != but)
		return true;
	return false;
}

static bool is_busy(struct manager *m, const struct request *self)
{
	const struct target *target = target_find(&m->targets, self->pid);
	const struct request *request;

	if (target && target->op)
		return true;
	TAILQ_FOREACH(request, &m->running, in_queue)
	if (request->pid == self->pid)
		return true;
	return is_taken(m, self->pid, self);
}

/* Some workers are left to root, and one to what the manager wants itself. */
static bool has_worker(const struct manager *m, uid_t owner)
{
	unsigned int max = m->config.workers, all = 0, users = 0;
	const struct request *request;

	TAILQ_FOREACH(request, &m->running, in_queue)
	{
		all++;
		users += operation_job(request->op)->owner != 0;
	}
	if (owner != 0 && users >= (max > 3 ? max / 2 : 1))
		return false;
	return all < (max > 1 ? max - 1 : 1);
}

static unsigned int step_timeout(const struct request *request)
{
	uint64_t now = manager_now();
	uint64_t left_ms = now < request->until ? (request->until - now + 999) / 1000 : 0;

	return left_ms < STEP_TIMEOUT_MS ? (unsigned int)left_ms : STEP_TIMEOUT_MS;
}

/* Return: false when there is no worker for it now. */
static bool run_request(struct manager *m, struct request *request)
{
	struct target *target = target_find(&m->targets, request->pid);
	const struct operation_options options = {
		.job = &request->job,
		.deadline_ms = STEP_TIMEOUT_MS + m->config.deadline_s * 1000,
		.fn = on_request_done,
		.userdata = request,
	};
	uint64_t begun = request->begun ?: manager_now();
	int r;

	if (!request->begun)
		request->until = request->job.flags & UPATCH_NO_WAIT
					 ? begun
					 : begun + request->timeout_ms * 1000ull;
	request->job.timeout_ms = step_timeout(request);
	r = operation_new(m->pool, &options, &request->op);
	if (r == -EAGAIN)
		return false;
	request->begun = begun;
	m->is_turn_of_targets = true;
	if (r < 0) {
		fail_request(request, r);
		return true;
	}
	TAILQ_REMOVE(&m->waiting, request, in_queue);
	TAILQ_INSERT_TAIL(&m->running, request, in_queue);
	if (target)
		target->op = request->op;
	return true;
}

int manager_submit(struct manager *m, const struct manager_request *from, manager_result_fn fn,
		   void *userdata, struct failure *f)
{
	struct request *request;

	if (from->verb >= MANAGER_VERBS || from->pid <= 0 ||
	    (from->verb == MANAGER_APPLY && from->patch_fd < 0) ||
	    (from->verb == MANAGER_REVERT && (!from->name || !*from->name)))
		return failure_set(f, -EINVAL, UPATCH_E_USAGE,
				   "the request has no process, or no patch where one is needed");
	if (m->nr_requests >= REQUESTS_MAX)
		return failure_set(f, -EBUSY, UPATCH_E_BUSY, "%d requests are waiting already",
				   REQUESTS_MAX);
	request = calloc(1, sizeof(*request));
	if (!request)
		return failure_oom(f);
	*request = (struct request){
		.manager = m,
		.pid = from->pid,
		.verb = from->verb,
		.fn = fn,
		.userdata = userdata,
		.timeout_ms = from->timeout_ms,
		.fd = from->verb == MANAGER_APPLY ? fcntl(from->patch_fd, F_DUPFD_CLOEXEC, 0)
							 : -1,
		.job = {
			.verb = from->verb,
			.pid = from->pid,
			.start_time = from->start_time,
			.owner = from->owner,
			.flags = from->flags,
			.name = from->name ? strdup(from->name) : NULL,
			.label = from->label ? strdup(from->label) : NULL,
		},
	};
	m->nr_requests++;
	/* The worker opens it through us: the descriptor is a promise that it is this very file. */
	if (request->fd >= 0 &&
	    asprintf(&request->job.path, "/proc/%d/fd/%d", (int)getpid(), request->fd) < 0)
		request->job.path = NULL;
	TAILQ_INSERT_TAIL(&m->waiting, request, in_queue);
	manager_wake(m);
	return 0;
}

void manager_forget(struct manager *m, void *userdata)
{
	struct request *request;

	TAILQ_FOREACH(request, &m->waiting, in_queue)
	if (request->userdata == userdata)
		request->fn = NULL;
	TAILQ_FOREACH(request, &m->running, in_queue)
	if (request->userdata == userdata)
		request->fn = NULL;
}

/* --- both -------------------------------------------------------------------------------------- */

static void run_requests(struct manager *m)
{
	struct request *request = TAILQ_FIRST(&m->waiting), *next;

	for (; request; request = next) {
		next = TAILQ_NEXT(request, in_queue);
		if (has_worker(m, request->job.owner) && !is_busy(m, request) &&
		    !run_request(m, request))
			return;
	}
}

static void run_targets(struct manager *m)
{
	struct target *target;

	while ((target = TAILQ_FIRST(&m->work))) {
		/* A look or an operation brings it back here. */
		if (!target->op && !target->is_unread && !target->is_reading &&
		    !is_taken(m, target->process.pid, NULL) && !run_target(m, target))
			return;
		TAILQ_REMOVE(&m->work, target, in_work);
		target->is_to_work = false;
	}
}

void work_run(struct manager *m)
{
	/* With one worker there is none to leave to anybody: they take turns. */
	if (m->is_turn_of_targets && m->config.workers == 1)
		run_targets(m);
	run_requests(m);
	run_targets(m);
}

void work_deinit(struct manager *m)
{
	struct request *request;

	while ((request = TAILQ_FIRST(&m->waiting))) {
		TAILQ_REMOVE(&m->waiting, request, in_queue);
		request_free(request);
	}
	while ((request = TAILQ_FIRST(&m->running))) {
		struct target *target = target_find(&m->targets, request->pid);

		TAILQ_REMOVE(&m->running, request, in_queue);
		if (target && target->op == request->op)
			target->op = NULL;
		operation_free(request->op);
		request_free(request);
	}
	TARGET_FOREACH(&m->targets, i, t, next)
	{
		operation_free(t->op);
		t->op = NULL;
	}
}
