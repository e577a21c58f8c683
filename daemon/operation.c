/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "operation.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "child.h"
#include "log.h"
#include "pool.h"
#include "wire.h"

struct operation {
	struct pool *pool;   /* borrowed */
	struct child *child; /* the worker */
	struct job job;
	operation_fn fn;
	void *userdata;
	sd_event_source *timer;
};

/* --- end --------------------------------------------------------------------------------------- */

static void release(struct operation *op)
{
	sd_event_source_disable_unref(op->timer);
	job_deinit(&op->job);
	free(op);
}

void operation_free(struct operation *op)
{
	if (!op)
		return;
	child_free(op->child);
	pool_lose(op->pool);
	release(op);
}

static void finish(struct operation *op, struct job_result *result)
{
	op->fn(op->userdata, result);
	job_result_deinit(result);
	release(op);
}

/* The worker is no more. What it had begun is in the target's record. */
static void fail(struct operation *op, int error, const char *what)
{
	struct job_result result = { .outcome = error };

	log_line(LOG_WARNING, "worker %d: process %d: %s", (int)child_pid(op->child),
		 (int)op->job.pid, what);
	child_kill(op->child);
	pool_lose(op->pool);
	failure_set(&result.failure, error, UPATCH_E_WORKER, "%s", what);
	result.failure.error.pid = op->job.pid;
	if (op->job.name)
		result.failure.error.patch = strdup(op->job.name);
	finish(op, &result);
}

/* --- what happens to it ------------------------------------------------------------------------ */

static int on_message(void *userdata, struct wire *message)
{
	struct operation *op = userdata;
	struct job_result result = {};
	int r;

	r = job_result_get(message, &result);
	if (r < 0)
		return r;
	pool_give(op->pool, op->child);
	finish(op, &result);
	return 0;
}

static void on_end(void *userdata)
{
	fail(userdata, -EPIPE, "the worker ended before it was done");
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
	fail(userdata, -ETIMEDOUT, "the worker was not done by its deadline");
	return 0;
}

/* --- begin ------------------------------------------------------------------------------------- */

static int send_job(struct child *child, const struct job *job)
{
	struct wire w;
	int r;

	r = wire_init(&w);
	if (r < 0)
		return r;
	job_put(&w, job);
	r = child_send(child, &w);
	wire_deinit(&w);
	return r;
}

static int begin(struct operation *op, const struct operation_options *options)
{
	const struct child_receiver receiver = { on_message, on_end, op };
	int r;

	r = sd_event_add_time_relative(pool_event(op->pool), &op->timer, CLOCK_MONOTONIC,
				       options->deadline_ms * 1000ull, 0, on_deadline, op);
	if (r >= 0)
		r = send_job(op->child, options->job);
	if (r >= 0)
		child_set_receiver(op->child, &receiver);
	return r;
}

int operation_new(struct pool *pool, const struct operation_options *options,
		  struct operation **ret)
{
	struct operation *op = calloc(1, sizeof(*op));
	int r;

	if (!op)
		return -ENOMEM;
	*op = (struct operation){ .pool = pool, .fn = options->fn, .userdata = options->userdata };
	r = pool_take(pool, &op->child);
	if (r < 0) {
		free(op);
		return r;
	}
	r = begin(op, options);
	if (r < 0) {
		child_kill(op->child);
		pool_lose(pool);
		release(op);
		return r;
	}
	op->job = *options->job;
	*options->job = (struct job){};
	*ret = op;
	return 0;
}

const struct job *operation_job(const struct operation *op)
{
	return &op->job;
}

void operation_set_userdata(struct operation *op, void *userdata)
{
	op->userdata = userdata;
}
