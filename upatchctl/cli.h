/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef UPATCHCTL_CLI_H
#define UPATCHCTL_CLI_H

/* One run of upatchctl: its global options, its model, its exit status. */

#include <json.h>
#include <stdio.h>
#include <upatch/upatch.h>

enum cli_flags {
	CLI_JSON = 1,
	CLI_VERBOSE = 2,
	CLI_QUIET = 4,
	CLI_RELOCS = 8,	 /* of inspect, which shows them in text only when asked */
	CLI_DAEMON = 16, /* through upatchd, see remote.h */
};

struct cli;
struct remote;

/* Prints the model's results, not its errors, as text. */
typedef void (*cli_render_fn)(const struct cli *cli, FILE *out);

/*
 * @model:  with "errors" and "warnings" from the beginning; verbs add their results
 * @exit:   the worst so far, see cli_worsen()
 * @render: set by the verb once there are results
 * @socket: of the daemon, or NULL for the default
 * @remote: NULL before the daemon was needed
 */
struct cli {
	unsigned int flags; /* enum cli_flags */
	const char *verb;   /* NULL before it is known */
	struct upatch_ctx *ctx;
	struct json_object *model;
	enum upatch_exit exit;
	cli_render_fn render;
	const char *socket;
	struct remote *remote;
};

/** cli_init() - Return: 0, or -ENOMEM */
int cli_init(struct cli *cli);
void cli_deinit(struct cli *cli);

/** cli_set_verbose() - send the library's log to stderr from now on */
void cli_set_verbose(struct cli *cli);

/** cli_worsen() - usage beats refused beats pending beats nothing beats done */
void cli_worsen(struct cli *cli, enum upatch_exit exit_status);

/** cli_add_error() - copy an error into the model, and worsen the exit status by it */
void cli_add_error(struct cli *cli, const struct upatch_error *error);

/** cli_fail() - add the context's last error; returns its exit status */
enum upatch_exit cli_fail(struct cli *cli);

/** cli_usage() - the command line is wrong; always -EINVAL */
int cli_usage(struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** cli_finish() - print the model; returns the exit status */
int cli_finish(struct cli *cli);

#endif
