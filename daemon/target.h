/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_TARGET_H
#define DAEMON_TARGET_H

/*
 * A process as the manager sees it: what is known, what each patch's business with it stands at, and
 * what is being done. All of them are in a table by PID.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "failure.h"
#include "job.h"
#include "process.h"
#include "status.h"

struct manager;
struct operation;

/* One patch's business with one process. */
struct target_entry {
	char *patch;
	char *version;
	enum status_state state;
	struct failure failure;	       /* why, if there is something to say */
	struct status_thread *threads; /* who holds the transition; their names are owned */
	size_t nr_threads;
	unsigned int attempts; /* without success, since something changed */
	uint64_t retry_at;     /* CLOCK_MONOTONIC, microseconds; 0: at once */
	bool has_given_up;
	bool is_current; /* while deciding: it is still there */
};

struct target {
	LIST_ENTRY(target) in_bucket;
	TAILQ_ENTRY(target) in_reads;
	TAILQ_ENTRY(target) in_work;
	struct manager *manager;
	struct process process; /* pid is set always, the rest when it is known */
	bool is_known;		/* facts were read, or copied by a fork */
	bool is_kernel_thread;
	bool is_unread;		/* in the queue of reads */
	bool is_reading;	/* at the reader */
	bool is_stale;		/* something has happened to it since the last look began */
	bool is_to_work;	/* in the queue of work */
	bool is_young;		/* has begun a program; its libraries may be missing yet */
	unsigned int step;	/* looks at it since then */
	struct failure failure; /* why it, or its record, cannot be looked at */
	unsigned int misses;	/* looks in a row that could not, and may yet */
	struct target_entry *entries;
	size_t nr_entries;
	struct operation *op; /* at work, or NULL */
	sd_event_source *timer;
	sd_event_source *end; /* its main thread has exited: this tells of the others */
};

TAILQ_HEAD(target_queue, target);

enum {
	TARGET_BUCKETS = 4096,
};

struct target_table {
	LIST_HEAD(, target) buckets[TARGET_BUCKETS];
	size_t nr;
};

struct target *target_find(const struct target_table *table, pid_t pid);
int target_new(struct target_table *table, struct manager *manager, pid_t pid, struct target **ret);
void target_free(struct target_table *table, struct target *target);

/* All of them; a target may be freed in the body. */
#define TARGET_FOREACH(table, i, t, next)                                                          \
	for (size_t i = 0; i < TARGET_BUCKETS; i++)                                                \
		for (struct target *t = LIST_FIRST(&(table)->buckets[i]), *next;                   \
		     t && (next = LIST_NEXT(t, in_bucket), 1); t = next)

struct target_entry *target_entry(const struct target *target, const char *patch);
int target_entry_new(struct target *target, const char *patch, struct target_entry **ret);
void target_entry_clear_threads(struct target_entry *entry);

/* Take over the threads of a result. */
void target_entry_set_threads(struct target_entry *entry, struct job_result *result);

/* Forget what was tried: something has changed. */
void target_forget_attempts(struct target *target);
void target_drop_entries(struct target *target);

#endif
