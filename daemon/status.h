/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_STATUS_H
#define DAEMON_STATUS_H

/*
 * The gap between desired and actual, for the whole host: a snapshot.
 *
 * One entry is one process and one patch. Every entry is in exactly one state, so that the counts of
 * a process, of a patch and of the host are sums of entries. Arrays are owned by the snapshot;
 * strings and errors are borrowed from the manager: they live until control returns to the loop.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <upatch/error.h>

enum status_state {
	STATUS_PATCHED,	   /* applied, every thread runs it */
	STATUS_TRANSITION, /* open: some threads have not switched, see threads */
	STATUS_WAITING, /* not applied yet: queued, at work, or a passing refusal that is retried */
	STATUS_SKIPPED, /* left alone because the admin said so, see error */
	STATUS_RESTART, /* refused for good: only a restart of the process helps, see error */
	STATUS_REVERTING, /* disabled, and not gone yet */
	STATUS_FOREIGN,	  /* applied by somebody else's hand: not desired, and left alone */
	STATUS_STATES,
};

/* "patched", "transition", "waiting", "skipped", "restart", "reverting", "foreign" */
const char *status_state_name(enum status_state state);

struct status_counts {
	size_t by_state[STATUS_STATES];
	size_t total; /* their sum */
};

/* Who holds a transition. */
struct status_thread {
	pid_t tid;
	const char *function; /* or NULL when it is not known */
	enum upatch_reason reason;
	int state; /* as upatch_thread.state */
};

struct status_object {
	const char *name;     /* as the patch calls it */
	const char *build_id; /* lower-case hex */
	bool is_mapped;	      /* by this process, now */
	/*
	 * A name of a status_state; of a library that is not mapped also "refused" (the last time it
	 * came), "not-needed" (it came in another build), "absent" (and nothing waits for it)
	 */
	const char *state;
	const char *reason; /* refused: why; else "" */
};

struct status_entry {
	const char *patch;
	const char *version; /* or "" */
	enum status_state state;
	const struct upatch_error *error; /* why; NULL when nothing is to be said */
	const struct status_thread *threads;
	size_t nr_threads;
	const struct status_object
		*objects; /* those of the patch; none when the patch is unknown */
	size_t nr_objects;
	unsigned int attempts; /* failed or unfinished ones since the last change */
	uint64_t retry_in_ms;  /* 0: none is planned, or one is at work */
};

struct status_process {
	pid_t pid;
	const char *comm;
	const char *exe;  /* "" when it cannot be read */
	const char *unit; /* of its cgroup, or "" */
	uid_t uid;
	const struct status_entry *entries;
	size_t nr_entries;
	struct status_counts counts;
};

struct status_patch {
	const char *name;
	const char *version;
	const char *const *cves;
	size_t nr_cves;
	bool is_enabled; /* false: disabled, or foreign */
	struct status_counts counts;
};

struct status_cve {
	const char *cve;
	struct status_counts counts;
};

struct status {
	size_t nr_known;     /* processes of the host that are not kernel threads */
	size_t nr_unmatched; /* of these, no patch is for them: known = unmatched + nr_processes */
	size_t nr_pending; /* not looked at yet, or in vain: see problems; unmatched unless known before */
	struct status_counts counts;
	const struct status_process *processes; /* with at least one entry, by PID */
	size_t nr_processes;
	const struct status_patch *patches; /* by name */
	size_t nr_patches;
	const struct status_cve *cves; /* by name */
	size_t nr_cves;
	bool is_settled;     /* nothing is queued, at work or unread */
	const char *watcher; /* what tells of new processes: "proc-connector", "rescan" */
	const struct upatch_error *const
		*problems; /* with files, watcher, store, looks: what needs an admin */
	size_t nr_problems;
	/* Since the daemon began, of what it did by itself. */
	uint64_t nr_operations;
	uint64_t longest_pause; /* of any thread of any target, nanoseconds */
};

void status_free(struct status *status);

#endif
