/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "remote.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <unistd.h>
#include <upatch/bus.h>

#include "cleanup.h"
#include "memory.h"
#include "model.h"

/*
 * @bus:     NULL before it is needed
 * @error:   of the last call; @message is its text
 */
struct remote {
	sd_bus *bus;
	struct upatch_error error;
	char *message;
};

static struct remote *remote_of(struct cli *cli)
{
	if (!cli->remote)
		cli->remote = must(calloc(1, sizeof(*cli->remote)));
	return cli->remote;
}

void remote_free(struct remote *remote)
{
	if (!remote)
		return;
	sd_bus_flush_close_unref(remote->bus);
	free(remote->message);
	free(remote);
}

__attribute__((format(printf, 4, 5))) static int
raise_error(struct remote *remote, enum upatch_reason reason, pid_t pid, const char *fmt, ...)
{
	va_list ap;
	int r;

	free(remote->message);
	va_start(ap, fmt);
	r = vasprintf(&remote->message, fmt, ap);
	va_end(ap);
	(void)must(r < 0 ? NULL : remote->message);
	remote->error = (struct upatch_error){
		.reason = reason,
		.error = -EIO,
		.pid = pid,
		.message = remote->message,
	};
	return -EIO;
}

const struct upatch_error *remote_error(const struct cli *cli)
{
	return &cli->remote->error;
}

enum upatch_exit remote_fail(struct cli *cli)
{
	cli_add_error(cli, remote_error(cli));
	return upatch_reason_exit(remote_error(cli)->reason);
}

/* --- connection ------------------------------------------------------------------------------ */

static int connect_socket(const char *path, sd_bus **ret)
{
	_cleanup_(sd_bus_unrefp) sd_bus *bus = NULL;
	_cleanup_free_ char *escaped = NULL;
	char *to;
	int r;

	/* The address has its own syntax: everything but the plainest is escaped. */
	escaped = to = must(malloc(3 * strlen(path) + sizeof("unix:path=")));
	to += sprintf(to, "unix:path=");
	for (; *path; path++)
		to += sprintf(to, strchr("%,;: \\=", *path) || (*path & 0x80) ? "%%%02x" : "%c",
			      (unsigned char)*path);
	r = sd_bus_new(&bus);
	if (r >= 0)
		r = sd_bus_set_address(bus, escaped);
	if (r >= 0)
		r = sd_bus_negotiate_fds(bus, 1);
	if (r >= 0)
		r = sd_bus_start(bus);
	if (r < 0)
		return r;
	*ret = bus;
	bus = NULL;
	return 0;
}

/* The socket named by the user; else ours, where there is one; else the system bus. */
static int remote_connect(struct cli *cli)
{
	struct remote *remote = remote_of(cli);
	const char *named = cli->socket ?: getenv("UPATCH_SOCKET");
	const char *path = named ?: UPATCH_BUS_SOCKET;
	int r;

	if (remote->bus)
		return 0;
	r = connect_socket(path, &remote->bus);
	if (r < 0 && !named && sd_bus_open_system(&remote->bus) >= 0)
		return 0;
	if (r < 0)
		return raise_error(remote, UPATCH_E_NO_DAEMON, 0, "cannot connect to %s: %s", path,
				   strerror(-r));
	return 0;
}

struct sd_bus *remote_connection(struct cli *cli)
{
	return remote_connect(cli) < 0 ? NULL : cli->remote->bus;
}

bool remote_is_wanted(const struct cli *cli)
{
	return cli->flags & CLI_DAEMON;
}

bool remote_is_there(struct cli *cli)
{
	return remote_connect(cli) >= 0;
}

bool remote_may_help(struct cli *cli, int r)
{
	return r < 0 && upatch_ctx_error(cli->ctx)->reason == UPATCH_E_PERMISSION &&
	       remote_connect(cli) >= 0;
}

/* --- calls ----------------------------------------------------------------------------------- */

/* What the bus says, where it is not upatchd that speaks. */
static enum upatch_reason reason_of(const char *name)
{
	static const struct {
		const char *name;
		enum upatch_reason reason;
	} others[] = {
		{ SD_BUS_ERROR_SERVICE_UNKNOWN, UPATCH_E_NO_DAEMON },
		{ SD_BUS_ERROR_NAME_HAS_NO_OWNER, UPATCH_E_NO_DAEMON },
		{ SD_BUS_ERROR_NO_SERVER, UPATCH_E_NO_DAEMON },
		{ SD_BUS_ERROR_DISCONNECTED, UPATCH_E_NO_DAEMON },
		{ "System.Error.ECONNRESET", UPATCH_E_NO_DAEMON },
		{ "System.Error.ENOTCONN", UPATCH_E_NO_DAEMON },
		{ "System.Error.ECONNREFUSED", UPATCH_E_NO_DAEMON },
		{ "System.Error.ENOENT", UPATCH_E_NO_DAEMON },
		{ SD_BUS_ERROR_ACCESS_DENIED, UPATCH_E_DENIED },
		{ SD_BUS_ERROR_LIMITS_EXCEEDED, UPATCH_E_LIMIT },
		{ SD_BUS_ERROR_NO_REPLY, UPATCH_E_DEADLINE },
		{ SD_BUS_ERROR_TIMEOUT, UPATCH_E_DEADLINE },
		{ "System.Error.ETIMEDOUT", UPATCH_E_DEADLINE },
		{ SD_BUS_ERROR_UNKNOWN_METHOD, UPATCH_E_UNSUPPORTED },
		{ SD_BUS_ERROR_INVALID_ARGS, UPATCH_E_UNSUPPORTED },
	};
	enum upatch_reason reason = upatch_bus_error_reason(name);

	for (size_t i = 0; !reason && i < sizeof(others) / sizeof(others[0]); i++)
		if (strcmp(others[i].name, name) == 0)
			reason = others[i].reason;
	return reason ?: UPATCH_E_INTERNAL;
}

static int parse_report(struct cli *cli, sd_bus_message *reply, struct json_object **ret)
{
	struct json_object *report;
	const char *text;

	if (sd_bus_message_read(reply, "s", &text) <= 0)
		return -ENOMSG;
	report = json_tokener_parse(text);
	if (!report || !json_object_is_type(model_get(report, "errors"), json_type_array)) {
		json_object_put(report);
		return raise_error(cli->remote, UPATCH_E_INTERNAL, 0,
				   "the daemon's report cannot be read");
	}
	*ret = report;
	return 0;
}

/* Of upatchd the second argument is a report; others have none. */
static int take_error(struct cli *cli, const struct remote_call *call, sd_bus_message *reply,
		      struct json_object **ret)
{
	const sd_bus_error *error = sd_bus_message_get_error(reply);

	if (upatch_bus_error_reason(error->name) && sd_bus_message_skip(reply, "s") >= 0 &&
	    parse_report(cli, reply, ret) >= 0)
		return 0;
	return raise_error(cli->remote, reason_of(error->name), call->pid, "%s: %s", call->method,
			   error->message ?: error->name);
}

struct answer {
	sd_bus_message *message;
};

static int on_answer(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct answer *answer = userdata;

	answer->message = sd_bus_message_ref(message);
	return 0;
}

/* sd_bus_call() would keep an error's name and text and drop its other arguments. */
static int call_and_wait(sd_bus *bus, sd_bus_message *message, uint64_t usec, sd_bus_message **ret)
{
	_cleanup_(sd_bus_slot_unrefp) sd_bus_slot *slot = NULL;
	struct answer answer = {};
	int r;

	r = sd_bus_call_async(bus, &slot, message, on_answer, &answer, usec);
	while (r >= 0 && !answer.message) {
		r = sd_bus_process(bus, NULL);
		if (r == 0 && !answer.message)
			r = sd_bus_wait(bus, UINT64_MAX);
		if (r == -EINTR)
			r = 0;
	}
	if (r < 0 && !answer.message)
		return r;
	*ret = answer.message;
	return 0;
}

static int send_call(struct cli *cli, const struct remote_call *call, sd_bus_message **ret,
		     const char *types, va_list ap)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
	uint64_t usec = ((uint64_t)call->timeout_ms + REMOTE_ANSWER_MS) * 1000;
	sd_bus *bus = cli->remote->bus;
	int r;

	r = sd_bus_message_new_method_call(bus, &message, UPATCH_BUS_NAME, UPATCH_BUS_PATH,
					   UPATCH_BUS_INTERFACE, call->method);
	if (r >= 0)
		r = sd_bus_message_set_allow_interactive_authorization(message, 1);
	if (r >= 0 && *types)
		r = sd_bus_message_appendv(message, types, ap);
	if (r >= 0 && call->fill)
		r = call->fill(message, call->userdata);
	if (r >= 0)
		r = call_and_wait(bus, message, usec, ret);
	return r;
}

int remote_report(struct cli *cli, const struct remote_call *call, struct json_object **ret,
		  const char *types, ...)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	va_list ap;
	int r;

	r = remote_connect(cli);
	if (r < 0)
		return r;
	va_start(ap, types);
	r = send_call(cli, call, &reply, types, ap);
	va_end(ap);
	if (r < 0)
		return raise_error(cli->remote,
				   r == -EINVAL ? UPATCH_E_INTERNAL : UPATCH_E_NO_DAEMON, call->pid,
				   "%s: cannot speak to the daemon: %s", call->method,
				   strerror(-r));
	*ret = NULL;
	if (sd_bus_message_is_method_error(reply, NULL))
		return take_error(cli, call, reply, ret);
	return parse_report(cli, reply, ret);
}

/* --- reports --------------------------------------------------------------------------------- */

static void move_array(struct json_object *from, struct json_object *to, const char *key)
{
	for (size_t i = 0; i < model_length(from, key); i++)
		model_append(model_get(to, key), json_object_get(model_at(from, key, i)));
}

struct json_object *remote_take(struct cli *cli, struct json_object *report, const char *key)
{
	int status = json_object_get_int(model_get(report, "exit"));

	move_array(report, cli->model, "warnings");
	move_array(report, cli->model, "errors");
	if (status >= UPATCH_EXIT_DONE && status <= UPATCH_EXIT_NOTHING)
		cli_worsen(cli, (enum upatch_exit)status);
	if (model_length(report, key) == 0)
		return NULL;
	return json_object_get(model_at(report, key, 0));
}

void remote_put_outcome(struct cli *cli, struct json_object *row, struct json_object *report)
{
	struct json_object *error = report ? model_at(report, "errors", 0) : NULL;
	enum upatch_exit status;

	if (report)
		status = (enum upatch_exit)json_object_get_int(model_get(error, "exit"));
	else
		status = remote_fail(cli);
	model_put_string(row, "state", upatch_outcome_name(-1, status));
	model_put_number(row, "exit", status);
	model_put_string(row, "reason",
			 report ? model_string(error, "reason")
				: upatch_reason_name(remote_error(cli)->reason));
}

int remote_open_file(struct cli *cli, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	(void)raise_error(remote_of(cli), UPATCH_E_IO, 0, "cannot open %s: %s", path,
			  strerror(errno));
	remote_fail(cli);
	return -EIO;
}
