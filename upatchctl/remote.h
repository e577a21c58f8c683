/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef UPATCHCTL_REMOTE_H
#define UPATCHCTL_REMOTE_H

/*
 * upatchd as a client sees it: --daemon, --socket, and whatever we have no right to do ourselves.
 * Methods give reports, the same JSON that we print; what is in them goes into the model.
 */

#include <json.h>
#include <stdbool.h>
#include <sys/types.h>

#include "cli.h"

struct remote;
struct sd_bus;
struct sd_bus_message;

enum {
	REMOTE_ANSWER_MS = 120000, /* beyond what the daemon waits for threads itself */
};

/* One call of a method. @fill appends arguments that a list of types cannot say. */
struct remote_call {
	const char *method;
	pid_t pid; /* for errors; 0: none */
	unsigned int timeout_ms;
	int (*fill)(struct sd_bus_message *message, const void *userdata); /* or NULL */
	const void *userdata;
};

/** remote_free() - hang up */
void remote_free(struct remote *remote);

/** remote_is_wanted() - by --daemon or --socket */
bool remote_is_wanted(const struct cli *cli);

/** remote_is_there() - can we connect to a daemon, or to a bus that can start it? */
bool remote_is_there(struct cli *cli);

/**
 * remote_may_help() - was this refused for want of rights, and is there a daemon who has them?
 * @r: what the library returned
 */
bool remote_may_help(struct cli *cli, int r);

/**
 * remote_report() - call a method that gives a report
 * @ret: the report, owned
 * @types: with the arguments, as for sd_bus_message_append()
 *
 * Also with an error there may be a report; then the call counts as successful and the errors are in
 * the report.
 *
 * Return: 0, or -errno with remote_error().
 */
int remote_report(struct cli *cli, const struct remote_call *call, struct json_object **ret,
		  const char *types, ...);

/** remote_error() - of the last call; borrowed until the next one */
const struct upatch_error *remote_error(const struct cli *cli);

/** remote_fail() - put it into the model */
enum upatch_exit remote_fail(struct cli *cli);

/**
 * remote_take() - move a report's warnings, errors and exit status into the model
 * @key: of an array in it
 * Return: the first object of that array, owned; NULL when there is none.
 */
struct json_object *remote_take(struct cli *cli, struct json_object *report, const char *key);

/**
 * remote_put_outcome() - "state", "exit" and "reason" of a row that the daemon did not give
 * @report: whose first error says why, or NULL: remote_error() does, and goes into the model
 */
void remote_put_outcome(struct cli *cli, struct json_object *row, struct json_object *report);

/** remote_connection() - to listen on; NULL with remote_error() */
struct sd_bus *remote_connection(struct cli *cli);

/** remote_open_file() - a patch file for the daemon; -errno in the model */
int remote_open_file(struct cli *cli, const char *path);

#endif
