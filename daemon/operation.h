/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_OPERATION_H
#define DAEMON_OPERATION_H

/*
 * One job at work: owns the worker that does it, until it answers, dies, or its deadline passes. Then
 * the worker goes back to the pool, or is killed, and the operation ends by one call of its function.
 */

#include <systemd/sd-event.h>

#include "job.h"

struct operation;
struct pool;

/*
 * @result: borrowed; of a worker that failed it has UPATCH_E_WORKER
 * The operation is gone when it returns.
 */
typedef void (*operation_fn)(void *userdata, struct job_result *result);

struct operation_options {
	struct job *job; /* taken over on success */
	unsigned int deadline_ms;
	operation_fn fn;
	void *userdata;
};

/**
 * operation_new() - begin a job
 * Return: 0; -EAGAIN when all workers are busy; -errno when no worker can be started.
 */
int operation_new(struct pool *pool, const struct operation_options *options,
		  struct operation **ret);

/* End it without telling: the daemon stops. The worker finishes what it is at. */
void operation_free(struct operation *op);

const struct job *operation_job(const struct operation *op);

/* Nobody wants to be told with this userdata any more. */
void operation_set_userdata(struct operation *op, void *userdata);

#endif
