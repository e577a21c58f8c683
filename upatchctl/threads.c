/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdbool.h>
#include <stdio.h>

#include "args.h"
#include "cleanup.h"
#include "list.h"
#include "memory.h"
#include "model.h"
#include "remote.h"
#include "table.h"
#include "targets.h"
#include "threadview.h"
#include "verbs.h"

/* threads: who runs which version, and what holds those that have not switched. */

enum {
	KEY_BACKTRACE = 0x100,
};

struct threads_settings {
	struct pid_list targets;
	bool has_backtraces; /* of all threads, not only of those that are held */
};

static const struct args_option threads_options[] = {
	{ 'p', "pid", "PID[,PID]...", "a target; may be repeated" },
	{ KEY_BACKTRACE, "backtrace", NULL, "show the stacks of all threads" },
	{},
};

static int take_threads(struct cli *cli, int key, const char *value, void *userdata)
{
	struct threads_settings *settings = userdata;

	if (key == 'p')
		return targets_take(cli, value, &settings->targets);
	settings->has_backtraces = true;
	return 0;
}

static const struct args threads_args = {
	.synopsis = "-p PID[,PID]... [OPTION]...",
	.summary =
		"List threads: -1 no transition is open, 0 unpatched, 1 patched; and what holds\n"
		"those that have not switched. Stops the process once, briefly.",
	.options = threads_options,
	.take = take_threads,
};

/* --- rendering ------------------------------------------------------------------------------- */

static const struct table_column thread_columns[] = {
	{ "tid", "TID", TABLE_RIGHT },
	{ "comm", "NAME" },
	{ "state", "STATE", TABLE_RIGHT },
	{ "version", "VERSION" },
	{ "reason", "REASON" },
	{ "function", "FUNCTION" },
	{},
};

static void print_stacks(struct json_object *process, FILE *out)
{
	bool is_asked_for = json_object_get_boolean(model_get(process, "backtraces"));

	for (size_t i = 0; i < model_length(process, "threads"); i++) {
		struct json_object *thread = model_at(process, "threads", i);

		if (!is_asked_for && !model_get(thread, "reason"))
			continue;
		fprintf(out, "\nthread %s:\n", model_string(thread, "tid"));
		threadview_print(out, thread);
	}
}

static void print_threads(const struct cli *cli, FILE *out)
{
	for (size_t i = 0; i < model_length(cli->model, "processes"); i++) {
		struct json_object *process = model_at(cli->model, "processes", i);
		const char *patch = model_string(process, "patch");

		fprintf(out, "%sprocess %s (%s): ", i ? "\n" : "", model_string(process, "pid"),
			model_string(process, "comm"));
		if (*patch)
			fprintf(out, "the transition of patch '%s' is open\n", patch);
		else
			fputs("no transition is open\n", out);
		table_print(out, model_get(process, "threads"), thread_columns);
		print_stacks(process, out);
	}
}

/* --- work ------------------------------------------------------------------------------------ */

static struct json_object *process_object(const struct upatch_threads *threads,
					  const struct threads_settings *settings)
{
	struct json_object *process = model_object();
	struct json_object *array = model_array();

	targets_put(process, threads->pid);
	model_put_string(process, "patch", threads->patch);
	model_put(process, "backtraces", must(json_object_new_boolean(settings->has_backtraces)));
	for (size_t i = 0; i < threads->nr_threads; i++)
		model_append(array, threadview_object(&threads->threads[i]));
	model_put(process, "threads", array);
	return process;
}

static int look_by_daemon(struct cli *cli, struct json_object *processes, pid_t pid,
			  const struct threads_settings *settings)
{
	struct remote_call call = { .method = "Threads", .pid = pid };
	struct json_object *report = NULL;
	struct json_object *process;
	int r;

	r = remote_report(cli, &call, &report, "ua{sv}", (uint32_t)pid, 1, "backtrace", "b",
			  (int)settings->has_backtraces);
	if (r < 0) {
		remote_fail(cli);
		return r;
	}
	process = remote_take(cli, report, "processes");
	if (process)
		model_append(processes, process);
	json_object_put(report);
	return 0;
}

static void look_at(struct cli *cli, struct json_object *processes, pid_t pid,
		    const struct threads_settings *settings)
{
	_cleanup_(target_closep) struct upatch_target *target = NULL;
	struct upatch_threads *threads = NULL;
	int r;

	if (remote_is_wanted(cli)) {
		(void)look_by_daemon(cli, processes, pid, settings); /* it is in the model */
		return;
	}
	r = targets_open(cli, pid, &target);
	if (r >= 0)
		r = upatch_target_threads(target, &threads);
	if (remote_may_help(cli, r))
		(void)look_by_daemon(cli, processes, pid, settings); /* it is in the model */
	else if (r < 0)
		cli_fail(cli);
	else
		model_append(processes, process_object(threads, settings));
	upatch_threads_free(threads);
}

int verb_threads(int argc, char *argv[], void *userdata)
{
	struct cli *cli = userdata;
	struct threads_settings settings = {};
	struct json_object *processes;
	int r;

	r = args_parse(cli, argc, argv, &threads_args, &settings);
	if (r == ARGS_READY)
		r = targets_needed(cli, &settings.targets);
	if (r >= 0 && r != ARGS_SHOWN)
		r = args_no_operand(cli, argc, argv);
	if (r == ARGS_READY) {
		processes = model_array();
		model_put(cli->model, "processes", processes);
		cli->render = print_threads;
		for (size_t i = 0; i < settings.targets.nr; i++)
			look_at(cli, processes, settings.targets.items[i], &settings);
	}
	pid_list_deinit(&settings.targets);
	return r;
}
