/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "cleanup.h"
#include "host.h"
#include "kernelview.h"
#include "list.h"
#include "memory.h"
#include "model.h"
#include "process.h"
#include "remote.h"
#include "table.h"
#include "targets.h"
#include "verbs.h"

static const struct args_option status_options[] = {
	{ 'p', "pid", "PID[,PID]...", "a target; may be repeated; default: all processes" },
	{},
};

static int take_status(struct cli *cli, int key, const char *value, void *settings)
{
	return targets_take(cli, value, settings); /* the only option */
}

static const struct args status_args = {
	.synopsis = "[-p PID]... [OPTION]...",
	.summary = "List patched processes and their patches. Without -p, the kernel, too, and\n"
		   "processes that may not be looked into, or have no patches, are left out; with\n"
		   "--daemon, everything that upatchd keeps patched, and what is in its way.",
	.options = status_options,
	.take = take_status,
};

/* --- rendering ------------------------------------------------------------------------------- */

static const struct table_column patch_columns[] = {
	{ "pid", "PID", TABLE_RIGHT },
	{ "comm", "COMM" },
	{ "name", "PATCH" },
	{ "version", "VERSION" },
	{ "state", "STATE", TABLE_STATE },
	{ "because", "BECAUSE" },
	{ "nr_blocked", "BLOCKED", TABLE_RIGHT },
	{ "seq", "SEQ", TABLE_RIGHT },
	{ "enabled_at", "ENABLED-AT" },
	{},
};

static const struct table_column object_columns[] = {
	{ "pid", "PID", TABLE_RIGHT },
	{ "patch", "PATCH" },
	{ "name", "OBJECT" },
	{ "state", "STATE" },
	{ "when", "WHEN" },
	{ "because", "BECAUSE" },
	{},
};

static const struct table_column func_columns[] = {
	{ "pid", "PID", TABLE_RIGHT },
	{ "patch", "PATCH" },
	{ "object", "OBJECT" },
	{ "name", "FUNCTION" },
	{ "old_addr", "OLD-ADDRESS", TABLE_RIGHT },
	{ "new_addr", "NEW-ADDRESS", TABLE_RIGHT },
	{ "winner", "RUNS" },
	{},
};

/* Give @row, one of the model's objects, the field of an object around it. */
static void inherit(struct json_object *row, const char *key, struct json_object *outer,
		    const char *outer_key)
{
	model_put(row, key, json_object_get(model_get(outer, outer_key)));
}

/* A copy of @object's plain fields: rows of a table are not part of the model. */
static struct json_object *new_row(struct json_object *object)
{
	struct json_object *row = model_object();

	json_object_object_foreach(object, key, value) model_put(row, key, json_object_get(value));
	return row;
}

/* What is not there has no addresses to show. */
static void add_func_rows(struct json_object *rows, struct json_object *process,
			  struct json_object *patch, struct json_object *object)
{
	if (strcmp(model_string(object, "state"), "patched") != 0)
		return;
	for (size_t i = 0; i < model_length(object, "funcs"); i++) {
		struct json_object *row = new_row(model_at(object, "funcs", i));

		inherit(row, "pid", process, "pid");
		inherit(row, "patch", patch, "name");
		inherit(row, "object", object, "name");
		model_append(rows, row);
	}
}

static void add_object_row(struct json_object *rows, struct json_object *process,
			   struct json_object *patch, struct json_object *object)
{
	struct json_object *row = new_row(object);

	inherit(row, "pid", process, "pid");
	inherit(row, "patch", patch, "name");
	model_append(rows, row);
}

/* The tables that are printed. */
struct tables {
	struct json_object *patches;
	struct json_object *objects;
	struct json_object *funcs;
};

static void add_patch_rows(const struct tables *tables, struct json_object *process)
{
	for (size_t i = 0; i < model_length(process, "patches"); i++) {
		struct json_object *patch = model_at(process, "patches", i);
		struct json_object *row = new_row(patch);

		inherit(row, "pid", process, "pid");
		inherit(row, "comm", process, "comm");
		model_append(tables->patches, row);
		for (size_t n = 0; n < model_length(patch, "objects"); n++) {
			struct json_object *object = model_at(patch, "objects", n);

			add_object_row(tables->objects, process, patch, object);
			add_func_rows(tables->funcs, process, patch, object);
		}
	}
}

static bool has_absent(struct json_object *objects)
{
	for (size_t i = 0; i < json_object_array_length(objects); i++)
		if (strcmp(model_string(json_object_array_get_idx(objects, i), "state"),
			   "patched") != 0)
			return true;
	return false;
}

static void print_processes(const struct cli *cli, FILE *out)
{
	const struct tables tables = { model_array(), model_array(), model_array() };

	for (size_t i = 0; i < model_length(cli->model, "processes"); i++)
		add_patch_rows(&tables, model_at(cli->model, "processes", i));
	kernelview_add_rows(tables.patches, model_get(cli->model, "kernel"));
	if (json_object_array_length(tables.patches) == 0)
		fputs("no patches\n", out);
	table_print(out, tables.patches, patch_columns);
	/* Where all are there, the functions say so. */
	if (has_absent(tables.objects)) {
		fputc('\n', out);
		table_print(out, tables.objects, object_columns);
	}
	if (json_object_array_length(tables.funcs) > 0)
		fputc('\n', out);
	table_print(out, tables.funcs, func_columns);
	json_object_put(tables.patches);
	json_object_put(tables.objects);
	json_object_put(tables.funcs);
}

/* --- model ----------------------------------------------------------------------------------- */

static struct json_object *func_object(const struct upatch_status_func *func)
{
	struct json_object *object = model_object();

	model_put_string(object, "name", func->name);
	model_put_address(object, "old_addr", func->old_addr);
	model_put_address(object, "new_addr", func->new_addr);
	model_put(object, "winner", must(json_object_new_boolean(func->is_winner)));
	return object;
}

static struct json_object *object_object(const struct upatch_status_object *status)
{
	struct json_object *object = model_object();
	struct json_object *funcs = model_array();

	for (size_t i = 0; i < status->nr_funcs; i++)
		model_append(funcs, func_object(&status->funcs[i]));
	model_put_string(object, "name", status->name);
	model_put_string(object, "build_id", status->build_id);
	model_put_string(object, "state", status->state);
	model_put_string(object, "because", status->reason);
	if (status->when)
		model_put_time(object, "when", (uint64_t)status->when);
	else
		model_put(object, "when", NULL);
	model_put_address(object, "payload_addr", status->payload_addr);
	model_put_number(object, "payload_size", status->payload_size);
	model_put(object, "funcs", funcs);
	return object;
}

static struct json_object *patch_object(const struct upatch_status_patch *status)
{
	struct json_object *patch = model_object();
	struct json_object *objects = model_array();
	struct json_object *blocked = model_array();

	for (size_t i = 0; i < status->nr_objects; i++)
		model_append(objects, object_object(&status->objects[i]));
	model_put_string(patch, "name", status->name);
	model_put_string(patch, "version", status->version);
	model_put_string(patch, "state", status->state);
	model_put_string(patch, "because", status->reason);
	model_put(patch, "replace", must(json_object_new_boolean(status->replace)));
	model_put(patch, "forced", must(json_object_new_boolean(status->forced)));
	for (size_t i = 0; i < status->nr_blocked; i++)
		model_append(blocked, must(json_object_new_int(status->blocked[i])));
	model_put(patch, "blocked", blocked);
	if (status->blocked)
		model_put_number(patch, "nr_blocked", status->nr_blocked);
	else
		model_put(patch, "nr_blocked", NULL);
	model_put_number(patch, "seq", status->seq);
	if (status->enabled_at)
		model_put_time(patch, "enabled_at", status->enabled_at);
	else
		model_put(patch, "enabled_at", NULL);
	model_put(patch, "objects", objects);
	return patch;
}

static struct json_object *process_object(const struct upatch_status *status)
{
	struct json_object *process = model_object();
	struct json_object *patches = model_array();

	for (size_t i = 0; i < status->nr_patches; i++)
		model_append(patches, patch_object(&status->patches[i]));
	model_put_number(process, "pid", (uint64_t)status->pid);
	model_put_string(process, "comm", status->comm);
	model_put_string(process, "exe", status->exe);
	model_put(process, "patches", patches);
	return process;
}

/* --- work ------------------------------------------------------------------------------------ */

static int read_status(struct cli *cli, pid_t pid, struct upatch_status **ret)
{
	_cleanup_(target_closep) struct upatch_target *target = NULL;
	int r;

	r = targets_open(cli, pid, &target);
	if (r >= 0)
		r = upatch_target_status(target, ret);
	return r;
}

static void status_by_daemon(struct cli *cli, struct json_object *processes, pid_t pid)
{
	struct remote_call call = { .method = "Status", .pid = pid };
	struct json_object *report = NULL;
	struct json_object *process;

	if (remote_report(cli, &call, &report, "ua{sv}", (uint32_t)pid, 0) < 0) {
		remote_fail(cli);
		return;
	}
	process = remote_take(cli, report, "processes");
	if (process)
		model_append(processes, process);
	json_object_put(report);
}

static void status_of_targets(struct cli *cli, struct json_object *processes,
			      const struct pid_list *targets)
{
	for (size_t i = 0; i < targets->nr; i++) {
		struct upatch_status *status = NULL;
		int r;

		if (remote_is_wanted(cli)) {
			status_by_daemon(cli, processes, targets->items[i]);
			continue;
		}
		r = read_status(cli, targets->items[i], &status);
		if (remote_may_help(cli, r))
			status_by_daemon(cli, processes, targets->items[i]);
		else if (r < 0)
			cli_fail(cli);
		else
			model_append(processes, process_object(status));
		upatch_status_free(status);
	}
}

static void warn_of_hidden(struct cli *cli, size_t nr)
{
	_cleanup_free_ char *text = NULL;
	int r = asprintf(&text,
			 "%zu processes are left out, which this user may not look into: be root, "
			 "or start upatchd",
			 nr);

	model_append(model_get(cli->model, "warnings"),
		     must(json_object_new_string(must(r < 0 ? NULL : text))));
}

/* Most processes are nobody's targets, and some vanish while they are looked at. */
static int status_of_all(struct cli *cli, struct json_object *processes)
{
	_cleanup_(pid_list_deinit) struct pid_list all = {};
	size_t nr_hidden = 0;
	int r;

	r = process_list(&all);
	if (r < 0) {
		struct upatch_error error = {
			.reason = UPATCH_E_IO,
			.error = r,
			.message = "cannot list the processes in /proc",
			.detail = strerror(-r),
		};

		cli_add_error(cli, &error);
		return r;
	}
	for (size_t i = 0; i < all.nr; i++) {
		struct upatch_status *status = NULL;

		r = read_status(cli, all.items[i], &status);
		if (r >= 0 && status->nr_patches > 0)
			model_append(processes, process_object(status));
		else if (r < 0 && upatch_ctx_error(cli->ctx)->reason == UPATCH_E_PERMISSION)
			nr_hidden++;
		upatch_status_free(status);
	}
	/* Root is kept out by a sandbox, and can do nothing about it. */
	if (nr_hidden && geteuid() != 0)
		warn_of_hidden(cli, nr_hidden);
	return 0;
}

/* Only root sees all processes; without a daemon one has to do with what one sees. */
static bool remote_sees_more(struct cli *cli)
{
	return remote_is_wanted(cli) || (geteuid() != 0 && remote_is_there(cli));
}

/* One more target. A kernel that cannot be patched is as little worth a word as most processes. */
static void status_of_kernel(struct cli *cli)
{
	struct upatch_kernel_status *status = NULL;
	int r;

	r = upatch_kernel_status(cli->ctx, NULL, &status);
	if (r < 0 && upatch_ctx_error(cli->ctx)->reason != UPATCH_E_NO_LIVEPATCH)
		cli_fail(cli);
	model_put(cli->model, "kernel", r < 0 ? NULL : kernelview_object(status));
	upatch_kernel_status_free(status);
}

int verb_status(int argc, char *argv[], void *userdata)
{
	struct cli *cli = userdata;
	_cleanup_(pid_list_deinit) struct pid_list targets = {};
	struct json_object *processes;
	int r;

	r = args_parse(cli, argc, argv, &status_args, &targets);
	if (r != ARGS_READY)
		return r;
	r = args_no_operand(cli, argc, argv);
	if (r < 0)
		return r;
	processes = model_array();
	model_put(cli->model, "processes", processes);
	if (targets.nr == 0 && remote_sees_more(cli))
		return host_status(cli);
	if (targets.nr > 0)
		status_of_targets(cli, processes, &targets);
	else
		r = status_of_all(cli, processes);
	if (targets.nr == 0)
		status_of_kernel(cli);
	if (r >= 0)
		cli->render = print_processes;
	return r;
}
