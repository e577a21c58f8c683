/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_MANAGER_PRIVATE_H
#define DAEMON_MANAGER_PRIVATE_H

/*
 * What the manager's parts share.
 *
 *	manager.c  its life, and what is desired
 *	scan.c	   who is there: events of the watcher, looks by the reader
 *	decide.c   what is to be done to one target, and what its entries say
 *	work.c	   doing it: queues of targets and requests, operations
 *	status.c   the snapshot
 */

#include "config.h"
#include "desired.h"
#include "manager.h"
#include "patchset.h"
#include "policy.h"
#include "store.h"
#include "target.h"
#include "wire.h"

struct child;
struct pool;
struct watcher;

/*
 * A submitted verb that waits for its turn, or is at work. A worker has it for a step; in between, others
 * have the worker, and nobody else the process.
 * @begun: when it first had a worker; 0: not yet
 * @until: when it is not to wait for threads any longer
 * @steps: that are done
 * @patch: that it applies or reverts, when it has begun; or NULL
 * @cost:  of the steps that are done
 */
struct request {
	TAILQ_ENTRY(request) in_queue;
	struct manager *manager;
	struct job job;
	pid_t pid;
	int fd; /* the patch file, or -1 */
	enum manager_verb verb;
	manager_result_fn fn; /* NULL: the asker has gone */
	void *userdata;
	struct operation *op; /* NULL: it waits */
	unsigned int timeout_ms;
	unsigned int steps;
	uint64_t begun;
	uint64_t until;
	char *patch;
	struct upatch_cost cost;
	struct job_warnings warnings; /* of all steps */
};

TAILQ_HEAD(request_queue, request);

struct manager {
	sd_event *event;
	char *program;
	char *config_root;
	struct config config;
	bool is_held; /* the configuration, who is left alone, cannot be read */
	struct store store;
	struct desired desired;
	struct upatch_ctx *ctx;
	struct patchset patches;

	struct target_table targets;
	struct watcher *watcher;
	struct child *reader;	/* or NULL */
	struct target *reading; /* at the reader, or NULL: it has gone meanwhile */
	pid_t reading_pid;	/* 0: nobody */
	sd_event_source *reading_timer;
	struct wire wire;
	struct target_queue reads;

	struct pool *pool;
	struct target_queue work;
	struct request_queue waiting;
	struct request_queue running;
	size_t nr_requests;
	bool is_turn_of_targets; /* a request had the worker, if there is one only */
	uint64_t nr_operations;	 /* that are done, of our own */
	uint64_t longest_pause;	 /* that one of them took */

	sd_event_source *defer;
	bool has_changed;
	bool was_settled;
	bool is_tidy; /* no disabled patch can have gone since the last look */
	manager_event_fn fn;
	void *userdata;

	struct failure config_failure;
	struct failure journal_failure;
	struct failure watcher_failure;
};

/* --- manager.c --------------------------------------------------------------------------------- */

/* Something is to be done before the loop sleeps again. */
void manager_wake(struct manager *m);
void manager_tell(struct manager *m, const struct manager_event *event);
bool manager_is_settled(const struct manager *m);

/* --- scan.c ------------------------------------------------------------------------------------ */

int scan_init(struct manager *m, struct failure *f);
void scan_deinit(struct manager *m);

/* Look at all processes, anew. */
void scan_all(struct manager *m);

/* Look at one, soon; or after @usec. */
void scan_target(struct manager *m, struct target *target);
void scan_target_in(struct manager *m, struct target *target, uint64_t usec);
void scan_forget(struct manager *m, struct target *target); /* it is gone */
void scan_run(struct manager *m);

/* --- decide.c ---------------------------------------------------------------------------------- */

struct decide_action {
	enum manager_verb verb; /* MANAGER_VERBS: nothing to do now */
	size_t patch;		/* index */
	uint64_t retry_at;	/* when something is to be tried again; 0: nothing is */
};

/* Bring the entries up to date, and find the first thing to do. */
struct decide_action decide(struct manager *m, struct target *target, uint64_t now);

/* What became of an operation on an entry's patch. */
void decide_result(struct manager *m, struct target *target, const char *patch,
		   struct job_result *result);

/* --- work.c ------------------------------------------------------------------------------------ */

void work_target(struct manager *m, struct target *target);
void work_forget(struct manager *m, struct target *target);
void work_run(struct manager *m);
void work_deinit(struct manager *m);

uint64_t manager_now(void); /* CLOCK_MONOTONIC, microseconds */

#endif
