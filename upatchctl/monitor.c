/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <time.h>
#include <upatch/bus.h>

#include "args.h"
#include "memory.h"
#include "model.h"
#include "remote.h"
#include "verbs.h"

/* monitor: what upatchd does, as it happens; one line each, or one JSON object each. */

struct monitor {
	struct cli *cli;
	sd_event *event;
	bool is_gone;	 /* the daemon is */
	bool is_settled; /* was the last thing that was shown */
};

static const struct args_option no_options[] = { {} };

static const struct args monitor_args = {
	.synopsis = "[OPTION]...",
	.summary = "Show what upatchd does, as it happens, until interrupted.",
	.options = no_options,
};

/* --- events ---------------------------------------------------------------------------------- */

static struct json_object *new_event(const char *name)
{
	struct json_object *event = model_object();

	model_put_string(event, "event", name);
	model_put_time(event, "at", (uint64_t)time(NULL));
	return event;
}

static void put_known(struct json_object *event, const char *key, const char *value)
{
	model_put_string(event, key, *value ? value : NULL);
}

static struct json_object *read_entry(sd_bus_message *message)
{
	const char *comm, *patch, *state, *reason, *text;
	struct json_object *event;
	uint32_t pid;

	if (sd_bus_message_read(message, "usssss", &pid, &comm, &patch, &state, &reason, &text) < 0)
		return NULL;
	event = new_event("entry");
	model_put_number(event, "pid", pid);
	put_known(event, "comm", comm);
	put_known(event, "patch", patch);
	put_known(event, "state", state);
	put_known(event, "reason", reason);
	put_known(event, "message", text);
	return event;
}

static struct json_object *read_event(sd_bus_message *message)
{
	struct json_object *event;
	const char *patch;

	if (sd_bus_message_is_signal(message, UPATCH_BUS_INTERFACE, "EntryChanged"))
		return read_entry(message);
	if (sd_bus_message_is_signal(message, UPATCH_BUS_INTERFACE, "PatchesChanged")) {
		if (sd_bus_message_read(message, "s", &patch) < 0)
			return NULL;
		event = new_event("patches");
		put_known(event, "patch", patch);
		return event;
	}
	if (sd_bus_message_is_signal(message, UPATCH_BUS_INTERFACE, "Settled"))
		return new_event("settled");
	if (sd_bus_message_is_signal(message, UPATCH_BUS_INTERFACE, "ProblemsChanged"))
		return new_event("problems");
	return NULL;
}

static void print_line(struct json_object *event, FILE *out)
{
	const char *name = model_string(event, "event");

	fprintf(out, "%s %s", model_string(event, "at"), name);
	if (model_get(event, "pid"))
		fprintf(out, " process %s (%s):", model_string(event, "pid"),
			model_string(event, "comm"));
	if (model_get(event, "patch"))
		fprintf(out, " patch '%s'", model_string(event, "patch"));
	if (model_get(event, "state"))
		fprintf(out, " %s", model_string(event, "state"));
	if (model_get(event, "message"))
		fprintf(out, ": %s", model_string(event, "message"));
	if (model_get(event, "reason"))
		fprintf(out, " [%s]", model_string(event, "reason"));
	fputc('\n', out);
}

/* Takes over the event. Whoever reads us may have gone. */
static int show(struct monitor *monitor, struct json_object *event)
{
	if (monitor->cli->flags & CLI_JSON)
		puts(json_object_to_json_string_ext(event, JSON_C_TO_STRING_NOSLASHESCAPE));
	else if (!(monitor->cli->flags & CLI_QUIET))
		print_line(event, stdout);
	json_object_put(event);
	return fflush(stdout) == 0 ? 0 : sd_event_exit(monitor->event, 0);
}

static int on_signal(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct json_object *event = read_event(message);
	struct monitor *monitor = userdata;
	bool was_settled = monitor->is_settled;

	if (!event)
		return 0;
	/* Each process that begins has to be looked at, and mostly that is all: not worth a line. */
	monitor->is_settled = strcmp(model_string(event, "event"), "settled") == 0;
	if (monitor->is_settled && was_settled) {
		json_object_put(event);
		return 0;
	}
	return show(monitor, event);
}

static int on_disconnected(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct monitor *monitor = userdata;

	monitor->is_gone = true;
	return sd_event_exit(monitor->event, 0);
}

/* --- work ------------------------------------------------------------------------------------ */

static int on_interrupt(sd_event_source *source, const struct signalfd_siginfo *info,
			void *userdata)
{
	return sd_event_exit(sd_event_source_get_event(source), 0);
}

static int watch(struct monitor *monitor, sd_bus *bus)
{
	sigset_t mask;
	int r;

	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
		return -errno;
	r = sd_event_add_signal(monitor->event, NULL, SIGINT, on_interrupt, NULL);
	if (r >= 0)
		r = sd_event_add_signal(monitor->event, NULL, SIGTERM, on_interrupt, NULL);
	if (r >= 0)
		r = sd_bus_add_match(bus, NULL,
				     "type='signal',interface='" UPATCH_BUS_INTERFACE "'",
				     on_signal, monitor);
	if (r >= 0)
		r = sd_bus_match_signal(bus, NULL, "org.freedesktop.DBus.Local", NULL,
					"org.freedesktop.DBus.Local", "Disconnected",
					on_disconnected, monitor);
	if (r >= 0)
		r = sd_bus_attach_event(bus, monitor->event, 0);
	return r;
}

static void add_gone(struct cli *cli)
{
	struct upatch_error error = {
		.reason = UPATCH_E_NO_DAEMON,
		.error = -ECONNRESET,
		.message = "the daemon has hung up",
	};

	cli_add_error(cli, &error);
}

int verb_monitor(int argc, char *argv[], void *userdata)
{
	struct remote_call call = { .method = "Subscribe" };
	struct monitor monitor = { .cli = userdata };
	struct json_object *report = NULL;
	int r;

	r = args_parse(monitor.cli, argc, argv, &monitor_args, NULL);
	if (r == ARGS_READY)
		r = args_no_operand(monitor.cli, argc, argv);
	if (r != ARGS_READY)
		return r;
	if (sd_event_new(&monitor.event) < 0)
		(void)must(NULL);
	if (!remote_connection(monitor.cli) ||
	    watch(&monitor, remote_connection(monitor.cli)) < 0 ||
	    remote_report(monitor.cli, &call, &report, "") < 0) {
		remote_fail(monitor.cli);
	} else if (model_length(report, "errors") > 0) {
		json_object_put(remote_take(monitor.cli, report, "results")); /* it has none */
	} else {
		r = show(&monitor, new_event("listening"));
		if (r >= 0)
			r = sd_event_loop(monitor.event);
	}
	if (monitor.is_gone)
		add_gone(monitor.cli);
	json_object_put(report);
	sd_event_unref(monitor.event);
	return r;
}
