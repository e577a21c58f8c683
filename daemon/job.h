/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_JOB_H
#define DAEMON_JOB_H

/* What a worker is asked to do, and what it reports. Strings are owned. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <upatch/upatch.h>

#include "failure.h"
#include "manager.h"
#include "process.h"

struct wire;

struct job {
	enum manager_verb verb;
	pid_t pid;
	uint64_t start_time; /* of the process that is meant; 0: whoever has the PID */
	uid_t owner;	     /* it must be his, see owner.h; 0: anybody's */
	unsigned int flags;  /* enum upatch_flags */
	unsigned int timeout_ms;
	uint64_t order;	 /* of the patch that is meant, as policy_patch.since; it stays here */
	uint32_t digest; /* APPLY: of the file that is meant; 0: whatever is there */
	char *path;	 /* APPLY: where to open the file */
	char *label;	 /* APPLY: what messages call it; NULL: as the path */
	char *name;	 /* REVERT */
};

void job_deinit(struct job *job);
void job_put(struct wire *w, const struct job *job);
int job_get(struct wire *w, struct job *ret); /* 0, -EBADMSG or -ENOMEM */

/* A thread that holds the transition, or was forced. */
struct job_thread {
	pid_t tid;
	enum upatch_reason reason;
	char *function; /* or NULL */
	int state;	/* as upatch_thread.state */
};

enum {
	JOB_WARNINGS_MAX = 16,
};

/* Lines for whoever asked, each once. */
struct job_warnings {
	char *lines[JOB_WARNINGS_MAX];
	size_t nr;
};

/* When there is no room for it, the last one says so. */
void job_warnings_add(struct job_warnings *warnings, const char *line);
void job_warnings_deinit(struct job_warnings *warnings);

struct job_result {
	int outcome; /* enum upatch_outcome or -errno */
	struct failure failure;
	struct upatch_cost cost;
	struct upatch_gc gc;
	char *patch; /* or NULL */
	struct job_thread *threads;
	size_t nr_threads;
	struct job_warnings warnings;
	bool has_records;	/* the record was read afterwards: */
	struct process process; /* only its records */
};

void job_result_deinit(struct job_result *result);
void job_result_put(struct wire *w, const struct job_result *result);
int job_result_get(struct wire *w, struct job_result *ret);

/* An error alone. */
void job_put_error(struct wire *w, const struct upatch_error *error);
int job_get_error(struct wire *w, struct failure *ret);

#endif
