/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "reader.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <upatch/upatch.h>

#include "facts.h"
#include "failure.h"
#include "job.h"
#include "process.h"
#include "record.h"
#include "wire.h"
#include "worker.h"

struct reader {
	struct upatch_ctx *ctx;
	struct facts_cache *cache;
};

static int read_record(struct reader *reader, struct process *process)
{
	struct upatch_target *target = NULL;
	int r;

	/* Nobody has been at it since its exec. */
	if (process->startup == PROCESS_STARTUP_OPEN)
		return 0;
	r = upatch_target_open(reader->ctx, process->pid, &target);
	if (r >= 0)
		r = record_fill(target, process);
	upatch_target_close(target);
	return r;
}

static void put_failure(struct reader *reader, pid_t pid, int error, struct wire *w)
{
	struct failure f = {};

	bool is_forbidden = error == -EACCES || error == -EPERM;

	failure_set(&f, error, is_forbidden ? UPATCH_E_PERMISSION : UPATCH_E_IO,
		    "cannot look at the process: %s", strerror(-error));
	f.error.pid = pid;
	wire_put(w, READER_ERROR);
	job_put_error(w, &f.error);
	failure_clear(&f);
}

static void put_answer(struct reader *reader, pid_t pid, struct wire *w)
{
	const struct upatch_error *error = upatch_ctx_error(reader->ctx);
	struct process process = {};
	int r;

	wire_put(w, (uint64_t)pid);
	r = facts_read(reader->cache, pid, &process);
	if (r < 0) {
		put_failure(reader, pid, r, w);
	} else if (r != FACTS_READ) {
		wire_put(w, r == FACTS_NOBODY ? READER_NOBODY : READER_KERNEL_THREAD);
	} else if (read_record(reader, &process) >= 0) {
		wire_put(w, READER_PROCESS);
		job_put_error(w, &(struct upatch_error){ .reason = UPATCH_E_NONE });
		process_put(w, &process);
	} else if (upatch_reason_exit(error->reason) == UPATCH_EXIT_NOTHING) {
		wire_put(w, READER_NOBODY);
	} else {
		wire_put(w, READER_PROCESS);
		job_put_error(w, error);
		process_put(w, &process);
	}
	process_deinit(&process);
}

static int serve(struct reader *reader, struct wire *w)
{
	pid_t pid;
	int r;

	r = wire_receive(w, WORKER_FD);
	if (r <= 0)
		return r;
	pid = (pid_t)wire_get_max(w, INT32_MAX);
	if (!wire_is_done(w))
		return -EBADMSG;
	wire_reset(w);
	put_answer(reader, pid, w);
	r = wire_send(w, WORKER_FD);
	return r < 0 ? r : 1;
}

int reader_main(void)
{
	struct reader reader = {};
	struct wire w;
	sigset_t none;
	int r;

	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	r = wire_init(&w);
	if (r >= 0)
		r = upatch_ctx_new(&reader.ctx);
	if (r >= 0)
		r = facts_cache_new(&reader.cache);
	if (r >= 0)
		r = 1;
	while (r > 0)
		r = serve(&reader, &w);
	facts_cache_free(reader.cache);
	upatch_ctx_free(reader.ctx);
	wire_deinit(&w);
	return r < 0 ? UPATCH_EXIT_REFUSED : UPATCH_EXIT_DONE;
}
