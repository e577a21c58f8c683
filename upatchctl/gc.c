/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "cleanup.h"
#include "list.h"
#include "model.h"
#include "remote.h"
#include "table.h"
#include "targets.h"
#include "verbs.h"

/* gc: unmap what was kept, once nothing refers to it. */

static const struct args_option gc_options[] = {
	{ 'p', "pid", "PID[,PID]...", "a target; may be repeated" },
	{},
};

static int take_gc(struct cli *cli, int key, const char *value, void *settings)
{
	return targets_take(cli, value, settings); /* the only option */
}

static const struct args gc_args = {
	.synopsis = "-p PID[,PID]... [OPTION]...",
	.summary = "Unmap disabled patches that were kept and that nothing refers to any more.",
	.options = gc_options,
	.take = take_gc,
};

static const struct table_column result_columns[] = {
	{ "pid", "PID", TABLE_RIGHT },	 { "comm", "COMM" },	 { "freed", "FREED", TABLE_RIGHT },
	{ "kept", "KEPT", TABLE_RIGHT }, { "reason", "REASON" }, {},
};

static const struct table_column kept_columns[] = {
	{ "patch", "KEPT" },
	{ "because", "BECAUSE" },
	{},
};

static void print_results(const struct cli *cli, FILE *out)
{
	table_print(out, model_get(cli->model, "results"), result_columns);
	for (size_t i = 0; i < model_length(cli->model, "results"); i++) {
		struct json_object *row = model_at(cli->model, "results", i);

		if (model_length(row, "patches") == 0)
			continue;
		fprintf(out, "\nprocess %s:\n", model_string(row, "pid"));
		table_print(out, model_get(row, "patches"), kept_columns);
	}
}

/* Which are still there, and why. */
static int put_kept(struct json_object *row, struct upatch_target *target)
{
	struct json_object *patches = model_get(row, "patches");
	struct upatch_status *status;
	int r;

	r = upatch_target_status(target, &status);
	if (r < 0)
		return r;
	for (size_t i = 0; i < status->nr_patches; i++) {
		const struct upatch_status_patch *patch = &status->patches[i];
		struct json_object *object;

		if (strcmp(patch->state, "kept") != 0)
			continue;
		object = model_object();
		model_put_string(object, "patch", patch->name);
		model_put_string(object, "because", patch->reason);
		model_append(patches, object);
	}
	upatch_status_free(status);
	return 0;
}

static struct json_object *gc_by_daemon(struct cli *cli, pid_t pid)
{
	struct remote_call call = { .method = "Gc", .pid = pid };
	struct json_object *report = NULL;
	struct json_object *row = NULL;
	int r;

	r = remote_report(cli, &call, &report, "ua{sv}", (uint32_t)pid, 0);
	if (r >= 0)
		row = remote_take(cli, report, "results");
	if (!row) {
		row = model_object();
		targets_put(row, pid);
		model_put_number(row, "freed", 0);
		model_put_number(row, "kept", 0);
		model_put(row, "patches", model_array());
		remote_put_outcome(cli, row, r < 0 ? NULL : report);
		json_object_object_del(row, "state"); /* rows of gc have none */
	}
	json_object_put(report);
	return row;
}

static struct json_object *gc_target(struct cli *cli, pid_t pid)
{
	_cleanup_(target_closep) struct upatch_target *target = NULL;
	struct json_object *row;
	struct upatch_gc gc = {};
	int r;

	if (remote_is_wanted(cli))
		return gc_by_daemon(cli, pid);
	r = targets_open(cli, pid, &target);
	if (r >= 0)
		r = upatch_target_gc(target, &gc);
	if (remote_may_help(cli, r))
		return gc_by_daemon(cli, pid);
	row = model_object();
	targets_put(row, pid);
	model_put(row, "patches", model_array());
	if (r >= 0)
		r = put_kept(row, target);
	model_put_number(row, "freed", gc.freed);
	model_put_number(row, "kept", gc.kept);
	model_put_number(row, "exit", r < 0 ? cli_fail(cli) : UPATCH_EXIT_DONE);
	model_put_string(row, "reason",
			 r < 0 ? upatch_reason_name(upatch_ctx_error(cli->ctx)->reason) : NULL);
	return row;
}

int verb_gc(int argc, char *argv[], void *userdata)
{
	struct cli *cli = userdata;
	_cleanup_(pid_list_deinit) struct pid_list targets = {};
	struct json_object *results;
	int r;

	r = args_parse(cli, argc, argv, &gc_args, &targets);
	if (r != ARGS_READY)
		return r;
	r = targets_needed(cli, &targets);
	if (r >= 0)
		r = args_no_operand(cli, argc, argv);
	if (r < 0)
		return r;
	results = model_array();
	model_put(cli->model, "results", results);
	cli->render = print_results;
	for (size_t i = 0; i < targets.nr; i++)
		model_append(results, gc_target(cli, targets.items[i]));
	return 0;
}
