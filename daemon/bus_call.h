/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_BUS_CALL_H
#define DAEMON_BUS_CALL_H

/*
 * One call of a method that takes time: who asked, which worker does it, what is answered.
 *
 *   ASKING -> QUEUED -> RUNNING -> answered, freed
 *
 * What changes a process goes to the manager. What only looks at one runs upatchctl in direct mode
 * as its worker, and answers with the JSON that it prints; a worker that does not end by its deadline
 * is killed, which harms no target. Calls are bounded in number, per client and per user; users take
 * turns; a process has one call in work at a time.
 */

#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "bus_caller.h"
#include "manager.h"

struct bus;
struct bus_link;

enum {
	BUS_CALL_ARGS_MAX = 12,
	BUS_CALL_GRACE_MS = 30000, /* beyond what the caller wants to wait for threads */
};

enum bus_call_state {
	BUS_CALL_ASKING, /* for credentials, or polkit */
	BUS_CALL_QUEUED,
	BUS_CALL_RUNNING,
};

typedef int (*bus_run_fn)(sd_bus_message *message, struct bus_link *link, struct failure *f);

/*
 * What is asked for. Strings are copied.
 * @pid:	the target; 0: none
 * @patch_fd:	a patch file, or -1. Duplicated.
 *
 * and one of
 *
 * @verb:	of upatchctl, with @args: options and operands, ends with NULL. The worker finds the
 *		patch file at BUS_CALL_PATCH.
 * @change:	what the manager is asked to do with the target
 * @run:	answers at once; or -errno, raised unless the arguments are to blame
 */
struct bus_request {
	enum bus_right right;
	pid_t pid;
	const char *verb;
	const char *const *args;
	int patch_fd;
	const struct manager_request *change;
	unsigned int timeout_ms;
	bus_run_fn run;
};

#define BUS_CALL_PATCH "/proc/self/fd/3"

struct bus_call {
	TAILQ_ENTRY(bus_call) calls;
	struct bus *bus;
	struct bus_link *link;
	sd_bus_message *message;
	sd_bus_slot *question;
	enum bus_call_state state;
	struct bus_caller caller;
	struct bus_request request; /* its strings are in @argv */
	char *argv[BUS_CALL_ARGS_MAX + 6];
	int patch_fd;
	int pidfd;  /* of the target: proves that the worker has the process that was judged */
	int output; /* of the worker, in memory */
	pid_t worker;
	sd_event_source *child;
	sd_event_source *deadline;
	struct manager_request change; /* if it is one: with strings of ours */
	bool is_change;
	bool is_identified; /* @caller is known, and counts */
	bool is_late;
};

struct bus_calls {
	TAILQ_HEAD(, bus_call) list;
	size_t nr;
	size_t nr_running;
};

/**
 * bus_call_begin() - take a request in
 * Return: 1: it will be answered; or -errno raised.
 */
int bus_call_begin(struct bus_link *link, sd_bus_message *message,
		   const struct bus_request *request, struct failure *f);

/* The client has gone: what it waits for is dropped, workers finish what they began. */
void bus_calls_forget(struct bus *bus, const struct bus_link *link);

void bus_calls_deinit(struct bus *bus);

/** bus_call_check_file() - may root read this file for the caller? 0, or -errno raised */
int bus_call_check_file(int fd, struct failure *f);

/* The caller is known, or has the right now: go on, or say why not. For bus_caller.c. */
void bus_call_identified(struct bus_call *call, const struct bus_caller *caller);
void bus_call_refuse(struct bus_call *call, const struct failure *f);
void bus_call_permit(struct bus_call *call);

#endif
