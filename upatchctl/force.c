/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "args.h"
#include "cleanup.h"
#include "list.h"
#include "model.h"
#include "remote.h"
#include "table.h"
#include "targets.h"
#include "threadview.h"
#include "verbs.h"

/* force: switch the threads that hold a transition, wherever they are. */

enum {
	KEY_YES = 0x100,
};

struct force_settings {
	struct pid_list targets;
	bool is_yes;
};

static const struct args_option force_options[] = {
	{ 'p', "pid", "PID[,PID]...", "a target; may be repeated" },
	{ KEY_YES, "yes", NULL, "do not ask" },
	{},
};

static int take_force(struct cli *cli, int key, const char *value, void *userdata)
{
	struct force_settings *settings = userdata;

	if (key == 'p')
		return targets_take(cli, value, &settings->targets);
	settings->is_yes = true;
	return 0;
}

static const struct args force_args = {
	.synopsis = "-p PID[,PID]... [OPTION]...",
	.summary =
		"Switch the threads that hold an open transition, wherever they are: until they\n"
		"leave the old functions they run them together with the new ones.",
	.options = force_options,
	.take = take_force,
};

/* --- rendering ------------------------------------------------------------------------------- */

static const struct table_column result_columns[] = {
	{ "pid", "PID", TABLE_RIGHT },	   { "comm", "COMM" },	   { "patch", "PATCH" },
	{ "state", "STATE", TABLE_STATE }, { "reason", "REASON" }, {},
};

static void print_results(const struct cli *cli, FILE *out)
{
	table_print(out, model_get(cli->model, "results"), result_columns);
	for (size_t i = 0; i < model_length(cli->model, "results"); i++) {
		struct json_object *row = model_at(cli->model, "results", i);

		for (size_t n = 0; n < model_length(row, "forced"); n++) {
			struct json_object *thread = model_at(row, "forced", n);

			fprintf(out, "\nprocess %s: forced thread %s, which was in %s:\n",
				model_string(row, "pid"), model_string(thread, "tid"),
				model_get(thread, "function") ? model_string(thread, "function")
							      : "an unknown place");
			threadview_print(out, thread);
		}
	}
}

/* --- asking ---------------------------------------------------------------------------------- */

static unsigned int show_held(const struct upatch_threads *threads)
{
	unsigned int nr = 0;

	for (size_t i = 0; i < threads->nr_threads; i++) {
		const struct upatch_thread *thread = &threads->threads[i];

		if (!thread->error.reason)
			continue;
		fprintf(stderr, "thread %d is in %s\n", (int)thread->tid,
			thread->error.function ? thread->error.function : "an unknown place");
		nr++;
	}
	return nr;
}

/* Return: 1 yes, 0 no, or -errno in the context. */
static int ask(struct upatch_target *target)
{
	struct upatch_threads *threads;
	char answer[16] = "";
	int r;

	r = upatch_target_threads(target, &threads);
	if (r < 0)
		return r;
	/* With nothing to force the library says so. */
	if (threads->patch)
		fprintf(stderr, "force %u threads of process %d? [y/N] ", show_held(threads),
			(int)threads->pid);
	r = !threads->patch;
	upatch_threads_free(threads);
	if (r)
		return r;
	return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

/* --- work ------------------------------------------------------------------------------------ */

static void put_failure(struct cli *cli, struct json_object *row)
{
	enum upatch_exit status = cli_fail(cli);

	threadview_put_reason(row, upatch_ctx_error(cli->ctx));
	model_put(row, "patch", NULL);
	model_put(row, "forced", model_array());
	model_put_string(row, "state", upatch_outcome_name(-1, status));
	model_put_number(row, "exit", status);
}

static void put_done(struct json_object *row, const struct upatch_threads *threads)
{
	struct json_object *forced = model_array();

	for (size_t i = 0; threads && i < threads->nr_threads; i++)
		model_append(forced, threadview_object(&threads->threads[i]));
	model_put_string(row, "patch", threads ? threads->patch : NULL);
	model_put(row, "reason", NULL);
	model_put(row, "forced", forced);
	model_put_string(row, "state", threads ? "done" : "nothing");
	model_put_number(row, "exit", threads ? UPATCH_EXIT_DONE : UPATCH_EXIT_NOTHING);
}

/* The threads as the daemon sees them; it has no question to ask, we have. */
static int ask_about_report(struct cli *cli, pid_t pid)
{
	struct remote_call call = { .method = "Threads", .pid = pid };
	struct json_object *report = NULL;
	struct json_object *process;
	char answer[16] = "";
	unsigned int nr = 0;
	int r;

	r = remote_report(cli, &call, &report, "ua{sv}", (uint32_t)pid, 0);
	process = r < 0 ? NULL : model_at(report, "processes", 0);
	for (size_t i = 0; process && i < model_length(process, "threads"); i++) {
		struct json_object *thread = model_at(process, "threads", i);

		if (!model_get(thread, "reason"))
			continue;
		fprintf(stderr, "thread %s is in %s\n", model_string(thread, "tid"),
			model_get(thread, "function") ? model_string(thread, "function")
						      : "an unknown place");
		nr++;
	}
	/* What is wrong, or that there is nothing to force, the call itself will tell. */
	if (nr > 0) {
		fprintf(stderr, "force %u threads of process %d? [y/N] ", nr, (int)pid);
		if (!fgets(answer, sizeof(answer), stdin))
			answer[0] = 0;
	}
	json_object_put(report);
	return nr == 0 || answer[0] == 'y' || answer[0] == 'Y';
}

static struct json_object *force_by_daemon(struct cli *cli, pid_t pid, bool is_yes)
{
	struct remote_call call = { .method = "Force", .pid = pid };
	struct json_object *report = NULL;
	struct json_object *row = NULL;
	int r = 0;

	if (!is_yes && !ask_about_report(cli, pid)) {
		row = model_object();
		targets_put(row, pid);
		put_done(row, NULL);
		cli_worsen(cli, UPATCH_EXIT_NOTHING); /* the answer was no */
		return row;
	}
	r = remote_report(cli, &call, &report, "ua{sv}", (uint32_t)pid, 0);
	if (r >= 0)
		row = remote_take(cli, report, "results");
	if (!row) {
		row = model_object();
		targets_put(row, pid);
		remote_put_outcome(cli, row, r < 0 ? NULL : report);
		model_put(row, "patch", NULL);
		model_put(row, "forced", model_array());
	}
	json_object_put(report);
	return row;
}

static struct json_object *force_target(struct cli *cli, pid_t pid, bool is_yes)
{
	_cleanup_(target_closep) struct upatch_target *target = NULL;
	struct upatch_threads *threads = NULL;
	struct json_object *row;
	int r;

	if (remote_is_wanted(cli))
		return force_by_daemon(cli, pid, is_yes);
	r = targets_open(cli, pid, &target);
	if (r >= 0)
		r = is_yes ? 1 : ask(target);
	if (r > 0)
		r = upatch_target_force(target, &threads, NULL);
	if (remote_may_help(cli, r))
		return force_by_daemon(cli, pid, is_yes);
	row = model_object();
	targets_put(row, pid);
	if (r < 0) {
		put_failure(cli, row);
		return row;
	}
	put_done(row, threads);
	if (!threads)
		cli_worsen(cli, UPATCH_EXIT_NOTHING); /* the answer was no */
	upatch_threads_free(threads);
	return row;
}

static int force_targets(struct cli *cli, const struct force_settings *settings)
{
	struct json_object *results;

	if (!settings->is_yes && !isatty(STDIN_FILENO))
		return cli_usage(cli, "option '--yes' is missing, and there is nobody to ask");
	results = model_array();
	model_put(cli->model, "results", results);
	cli->render = print_results;
	for (size_t i = 0; i < settings->targets.nr; i++)
		model_append(results,
			     force_target(cli, settings->targets.items[i], settings->is_yes));
	return 0;
}

int verb_force(int argc, char *argv[], void *userdata)
{
	struct cli *cli = userdata;
	struct force_settings settings = {};
	int r;

	r = args_parse(cli, argc, argv, &force_args, &settings);
	if (r == ARGS_READY)
		r = targets_needed(cli, &settings.targets);
	if (r == ARGS_READY)
		r = args_no_operand(cli, argc, argv);
	if (r == ARGS_READY)
		r = force_targets(cli, &settings);
	pid_list_deinit(&settings.targets);
	return r;
}
