/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_MANAGER_H
#define DAEMON_MANAGER_H

/*
 * What upatchd decides and knows: which patches are desired, which processes there are, what is
 * applied to them, and what to do about the difference.
 *
 * Everything here runs in one thread, in the loop, and does not wait for a target. Two kinds of verbs:
 *
 *   immediate   manager_enable(), _disable(), _list(), _status(), _reload(): done, and on disk where
 *               they change what is desired, when they return. What follows from them, processes that
 *               are patched or reverted, comes later and is told by events.
 *   submitted   manager_submit(): a verb on one target. Runs in a worker process, completes by one
 *               call of its callback from the loop, never from inside manager_submit(); also when the
 *               worker is killed or its deadline passes.
 *
 * Errors are struct failure, the library's reasons with places. Callers are judged by whoever calls
 * this: the manager trusts them.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>
#include <upatch/upatch.h>

#include "failure.h"
#include "rule.h"
#include "status.h"

struct manager;
struct process;

enum {
	/*
	 * Of its work, in the loop: after everything it hears of processes, so that one turn gathers
	 * what several messages ask for. Who can be kept busy from outside must not come before it.
	 */
	MANAGER_PRIORITY = 10,
};

/* All borrowed for the call of manager_new(). */
struct manager_options {
	const char *config_root;  /* "/etc/upatch" */
	const char *state_root;	  /* "/var/lib/upatch" */
	const char *runtime_root; /* "/run/upatch" */
	const char *program;	  /* run as "program --worker", "program --reader" */
};

/* --- life -------------------------------------------------------------------------------------- */

/**
 * manager_new() - read configuration and desired state, begin to watch
 * @event: borrowed, outlives the manager
 *
 * The first look at all processes is begun, not awaited. A damaged file is no failure: it is one of
 * status' problems, and what it would have said is not acted upon.
 *
 * Return: 0 with @ret, or -errno raised.
 */
int manager_new(sd_event *event, const struct manager_options *options, struct failure *f,
		struct manager **ret);

/* Ends the workers; targets keep what they have. */
void manager_free(struct manager *m);

/**
 * manager_reload() - read the configuration again and act upon it; look at all processes once
 * Return: 0, or -errno raised: the configuration that was there stays in force.
 */
int manager_reload(struct manager *m, struct failure *f);

/* --- events ------------------------------------------------------------------------------------ */

enum manager_event_kind {
	MANAGER_EVENT_ENTRY,   /* one process and one patch changed state, or have gone */
	MANAGER_EVENT_PATCHES, /* what is desired has changed */
	MANAGER_EVENT_COUNTS,  /* counts have changed; once per turn of the loop at most */
	MANAGER_EVENT_SETTLED, /* nothing is queued, at work or unread any more */
	MANAGER_EVENT_PROBLEM, /* the list of problems has changed */
};

/* Borrowed for the call. */
struct manager_event {
	enum manager_event_kind kind;
	pid_t pid;			  /* ENTRY */
	const char *comm;		  /* ENTRY */
	const char *patch;		  /* ENTRY, PATCHES: or NULL */
	enum status_state state;	  /* ENTRY; STATUS_STATES: there is no entry any more */
	enum status_state previous;	  /* ENTRY; STATUS_STATES: there was none */
	const struct upatch_error *error; /* ENTRY: why, or NULL */
};

typedef void (*manager_event_fn)(void *userdata, const struct manager_event *event);

/* One receiver; @fn NULL for none. It must not call the manager back but for status and list. */
void manager_set_events(struct manager *m, manager_event_fn fn, void *userdata);

/* --- what is desired: immediate ---------------------------------------------------------------- */

/*
 * A patch that is desired, or was disabled and is not gone from every process yet. Borrowed until
 * control returns to the loop.
 */
struct manager_patch {
	const char *name;
	const char *file;		      /* in the store, or where the drop-in says */
	const struct upatch_patch_info *info; /* NULL when the file cannot be read, see error */
	const struct rule *rule;
	const char *source; /* path of the drop-in file it comes from, or "" for enable */
	int is_enabled;	    /* 0: disabled, being reverted */
	uint64_t since;	    /* CLOCK_REALTIME, seconds */
	const struct upatch_error *error; /* why it cannot be acted upon, or NULL */
};

/**
 * manager_enable() - desire a patch from now on
 * @fd:	   the .upatch file, borrowed, read from its beginning
 * @label: for messages: the path it was opened by
 * @rule:  copied; NULL: every process that maps an object of it
 * @ret_name: the patch's name, borrowed as of manager_list()
 *
 * Copies the file into the store. Enabling what is enabled replaces file and rule, in one step.
 *
 * Return: 0 when it is on disk, or -errno raised: nothing has changed then.
 */
int manager_enable(struct manager *m, int fd, const char *label, const struct rule *rule,
		   struct failure *f, const char **ret_name);

/**
 * manager_disable() - desire it no longer, and revert it wherever it is applied
 * Return: 0 when it is on disk, or -errno raised: UPATCH_E_NOT_APPLIED when it is not enabled,
 * UPATCH_E_USAGE when a drop-in file asks for it, which the message names.
 */
int manager_disable(struct manager *m, const char *name, struct failure *f);

/* Return: their number; @ret is an array, by name, borrowed until control returns to the loop. */
size_t manager_list(struct manager *m, const struct manager_patch **ret);

/**
 * manager_status() - the whole host, or of one process
 * @pid: 0: all
 * Return: 0 with @ret, owned by the caller, see status.h for its strings; -errno raised:
 * UPATCH_E_NO_PROCESS for a PID that is not there. For a process without entries it is empty.
 */
int manager_status(struct manager *m, pid_t pid, struct failure *f, struct status **ret);

/* --- verbs on a target: submitted -------------------------------------------------------------- */

enum manager_verb {
	MANAGER_APPLY,	/* patch */
	MANAGER_REVERT, /* name */
	MANAGER_WAIT,
	MANAGER_FORCE,
	MANAGER_GC,
	MANAGER_THREADS, /* which threads hold the open transition */
	MANAGER_VERBS,
};

/* Strings and descriptor are copied. */
struct manager_request {
	enum manager_verb verb;
	pid_t pid;
	uint64_t start_time;	 /* of the process that is meant; 0: whoever has the PID */
	uid_t owner;		 /* it must be this user's when a worker has it; 0: anybody's */
	int patch_fd;		 /* APPLY: the file; else -1 */
	const char *label;	 /* APPLY: the path it was opened by */
	const char *name;	 /* REVERT: of the patch; else NULL */
	unsigned int flags;	 /* enum upatch_flags */
	unsigned int timeout_ms; /* for the threads to leave; bounded by the daemon's deadline */
};

/* Borrowed for the call. */
struct manager_result {
	enum manager_verb verb;
	pid_t pid;
	const char *comm;		  /* or "" */
	const char *patch;		  /* name, or "" where none is known */
	int outcome;			  /* enum upatch_outcome, or -errno */
	const struct upatch_error *error; /* not NULL unless outcome is UPATCH_DONE */
	struct upatch_cost cost;
	struct upatch_gc gc;	       /* GC */
	const struct process *process; /* only its records, as they are now; NULL: not known */
	const char *const *warnings;   /* what should be known all the same */
	size_t nr_warnings;
	const struct status_thread
		*threads; /* FORCE: forced; THREADS: those that have not switched */
	size_t nr_threads;
};

typedef void (*manager_result_fn)(void *userdata, const struct manager_result *result);

/**
 * manager_submit() - begin a verb on a target
 *
 * One at a time works on a target; others for it queue. What is asked for here goes before what the
 * manager wants itself. A patch applied or reverted by hand is not desired or undesired by that.
 *
 * Return: 0, or -errno raised: UPATCH_E_USAGE, UPATCH_E_BUSY when too many are queued; then @fn is not
 * called.
 */
int manager_submit(struct manager *m, const struct manager_request *request, manager_result_fn fn,
		   void *userdata, struct failure *f);

/* The asker has gone: @fn will not be called with this @userdata. What was begun goes on. */
void manager_forget(struct manager *m, void *userdata);

#endif
