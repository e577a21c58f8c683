/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "reader.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <upatch/upatch.h>

#include "facts.h"
#include "failure.h"
#include "job.h"
#include "process.h"
#include "record.h"
#include "serve.h"
#include "wire.h"

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

static int on_question(void *userdata, struct wire *w)
{
	pid_t pid = (pid_t)wire_get_max(w, INT32_MAX);

	if (!wire_is_done(w))
		return -EBADMSG;
	wire_reset(w);
	put_answer(userdata, pid, w);
	return 0;
}

int reader_main(void)
{
	struct reader reader = {};
	int status = UPATCH_EXIT_REFUSED;

	if (upatch_ctx_new(&reader.ctx) >= 0 && facts_cache_new(&reader.cache) >= 0)
		status = serve(on_question, &reader);
	facts_cache_free(reader.cache);
	upatch_ctx_free(reader.ctx);
	return status;
}
