/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <upatch/kernel.h>
#include <upatch/pair.h>

#include "args.h"
#include "cleanup.h"
#include "list.h"
#include "memory.h"
#include "model.h"
#include "progress.h"
#include "remote.h"
#include "table.h"
#include "targets.h"
#include "threadview.h"
#include "verbs.h"

enum {
	KEY_NO_KERNEL = 0x100,
};

struct check_settings {
	struct pid_list targets;
	const char *path; /* of the patch file */
	struct upatch_patch *patch;
	int patch_fd; /* for the daemon */
	bool is_without_kernel;
};

static const struct args_option check_options[] = {
	{ 'p', "pid", "PID[,PID]...", "a target; may be repeated" },
	{ KEY_NO_KERNEL, "no-kernel", NULL, "leave the kernel's side of the patch alone" },
	{},
};

static int take_check(struct cli *cli, int key, const char *value, void *userdata)
{
	struct check_settings *settings = userdata;

	if (key == 'p')
		return targets_take(cli, value, &settings->targets);
	settings->is_without_kernel = true;
	return 0;
}

static const struct args check_args = {
	.synopsis = "-p PID[,PID]... FILE [OPTION]...",
	.summary = "Find out what apply would meet, changing nothing. Exit status: 0 it can be\n"
		   "applied, 1 it would be refused, 3 it would have to wait, 4 nothing matched.",
	.options = check_options,
	.take = take_check,
};

static void settings_deinit(struct check_settings *settings)
{
	pid_list_deinit(&settings->targets);
	upatch_patch_close(settings->patch);
	if (settings->patch_fd >= 0)
		(void)close(settings->patch_fd); /* it was only read */
}

/* --- rendering ------------------------------------------------------------------------------- */

static const struct table_column result_columns[] = {
	{ "pid", "PID", TABLE_RIGHT },	   { "comm", "COMM" },	   { "patch", "PATCH" },
	{ "state", "STATE", TABLE_STATE }, { "reason", "REASON" }, {},
};

static const struct table_column object_columns[] = {
	{ "name", "OBJECT" },
	{ "state", "STATE" },
	{ "reason", "REASON" },
	{ "when_loaded", "WHEN-LOADED" },
	{},
};

static const struct table_column func_columns[] = {
	{ "object", "OBJECT" },
	{ "function", "FUNCTION" },
	{ "state", "STATE" },
	{ "addr", "ADDRESS", TABLE_RIGHT },
	{ "patched", "PATCHED" },
	{ "reason", "REASON" },
	{},
};

static bool is_all_loaded(struct json_object *row)
{
	for (size_t i = 0; i < model_length(row, "objects"); i++) {
		struct json_object *object = model_at(row, "objects", i);

		if (strcmp(model_string(object, "state"), "loaded") != 0 ||
		    model_get(object, "reason"))
			return false;
	}
	return true;
}

static void print_results(const struct cli *cli, FILE *out)
{
	struct json_object *results = model_get(cli->model, "results");

	table_print(out, results, result_columns);
	for (size_t i = 0; i < model_length(cli->model, "results"); i++) {
		struct json_object *row = model_at(cli->model, "results", i);

		if (model_length(row, "funcs") == 0)
			continue;
		fprintf(out, "\nprocess %s:\n", model_string(row, "pid"));
		/* Where all are there, the functions say so. */
		if (!is_all_loaded(row)) {
			table_print(out, model_get(row, "objects"), object_columns);
			fputc('\n', out);
		}
		table_print(out, model_get(row, "funcs"), func_columns);
	}
}

/* --- model ----------------------------------------------------------------------------------- */

/* What becomes of a library that is not loaded when it is, once the patch is applied. */
static const char *when_loaded(const struct upatch_check_object *object)
{
	if (strcmp(object->state, "absent") == 0)
		return "it does without";
	if (strcmp(object->state, "waiting") != 0)
		return NULL;
	return object->is_exclusive ? "patched at once; another build is refused"
				    : "patched at once; another build does without";
}

static struct json_object *object_object(const struct upatch_check *check,
					 const struct upatch_check_object *found)
{
	struct json_object *object = model_object();

	model_put_string(object, "name", found->name);
	model_put_string(object, "build_id", found->build_id);
	model_put_string(object, "state", found->state);
	model_put_string(object, "when_loaded", check->applicable ? when_loaded(found) : NULL);
	threadview_put_reason(object, &found->error);
	model_put_string(object, "message", found->error.reason ? found->error.message : NULL);
	return object;
}

static struct json_object *func_object(const struct upatch_check_func *func)
{
	struct json_object *object = model_object();

	model_put_string(object, "object", func->object);
	model_put_string(object, "function", func->function);
	model_put_string(object, "state", func->state);
	if (func->addr)
		model_put_address(object, "addr", func->addr);
	else
		model_put(object, "addr", NULL);
	model_put(object, "patched", must(json_object_new_boolean(func->is_patched)));
	threadview_put_reason(object, &func->error);
	return object;
}

static void add_thread_error(struct cli *cli, const struct upatch_check *check,
			     const struct upatch_thread *thread)
{
	_cleanup_free_ char *backtrace = threadview_backtrace(thread);
	struct upatch_error error = thread->error;

	if (!error.patch)
		error.patch = check->patch;
	if (!error.detail)
		error.detail = backtrace;
	cli_add_error(cli, &error);
}

/* Fields that the library leaves out where they are plain from the context. */
static void add_func_error(struct cli *cli, const struct upatch_check *check,
			   const struct upatch_check_func *func)
{
	struct upatch_error error = func->error;

	error.pid = check->pid;
	if (!error.patch)
		error.patch = check->patch;
	if (!error.object)
		error.object = func->object;
	if (!error.function)
		error.function = func->function;
	cli_add_error(cli, &error);
}

/*
 * What decides, in this order: the whole is refused, a function is, a thread is in the way. The
 * model gets all that was found; the first one is the row's reason.
 */
static const struct upatch_error *add_errors(struct cli *cli, const struct upatch_check *check)
{
	const struct upatch_error *first = NULL;

	if (check->error.reason) {
		first = &check->error;
		cli_add_error(cli, first);
	}
	for (size_t i = 0; i < check->nr_funcs; i++) {
		const struct upatch_check_func *func = &check->funcs[i];

		if (!func->error.reason)
			continue;
		add_func_error(cli, check, func);
		first = first ? first : &func->error;
	}
	for (size_t i = 0; i < check->nr_threads; i++) {
		add_thread_error(cli, check, &check->threads[i]);
		first = first ? first : &check->threads[i].error;
	}
	return first;
}

static const char *state_of(const struct upatch_error *error)
{
	switch (error ? upatch_reason_exit(error->reason) : UPATCH_EXIT_DONE) {
	case UPATCH_EXIT_DONE:
		return "applicable";
	case UPATCH_EXIT_PENDING:
		return "would-wait";
	case UPATCH_EXIT_NOTHING:
		return "nothing";
	default:
		return "refused";
	}
}

static void put_verdict(struct json_object *row, const struct upatch_error *error)
{
	enum upatch_exit status = error ? upatch_reason_exit(error->reason) : UPATCH_EXIT_DONE;

	model_put_string(row, "state", state_of(error));
	model_put_number(row, "exit", status);
	model_put_string(row, "reason", error ? upatch_reason_name(error->reason) : NULL);
}

static void put_enabled(struct json_object *row, bool is_enabled)
{
	model_put(row, "enabled", must(json_object_new_boolean(is_enabled)));
}

static void put_check(struct cli *cli, struct json_object *row, const struct upatch_check *check)
{
	struct json_object *objects = model_array();
	struct json_object *funcs = model_array();
	struct json_object *threads = model_array();

	for (size_t i = 0; i < check->nr_objects; i++)
		model_append(objects, object_object(check, &check->objects[i]));
	for (size_t i = 0; i < check->nr_funcs; i++)
		model_append(funcs, func_object(&check->funcs[i]));
	for (size_t i = 0; i < check->nr_threads; i++)
		model_append(threads, threadview_object(&check->threads[i]));
	put_verdict(row, add_errors(cli, check));
	put_enabled(row, check->is_enabled);
	model_put(row, "objects", objects);
	model_put(row, "funcs", funcs);
	model_put(row, "threads", threads);
}

static void put_nothing(struct json_object *row)
{
	put_enabled(row, false);
	model_put(row, "objects", model_array());
	model_put(row, "funcs", model_array());
	model_put(row, "threads", model_array());
}

/* Of a patch with both sides: this part has it, which does not keep apply from going on with the others. */
static void put_there(struct json_object *row)
{
	put_verdict(row, NULL);
	model_put_string(row, "state", "there");
	put_nothing(row);
	put_enabled(row, true);
}

/* --- work ------------------------------------------------------------------------------------ */

static struct json_object *new_row(const struct check_settings *settings, pid_t pid)
{
	struct json_object *row = model_object();

	targets_put(row, pid);
	model_put_string(row, "patch", upatch_patch_info(settings->patch)->name);
	return row;
}

static bool has_kernel_side(const struct check_settings *settings)
{
	return upatch_patch_info(settings->patch)->nr_modules;
}

static bool is_pair(const struct check_settings *settings)
{
	return has_kernel_side(settings) && !settings->is_without_kernel;
}

/* The daemon is asked about the process; about the kernel as who would apply it. */
static int call_daemon(struct cli *cli, const struct check_settings *settings, pid_t pid,
		       struct json_object **ret)
{
	struct remote_call call = { .method = "Check", .pid = pid };

	if (!has_kernel_side(settings))
		return remote_report(cli, &call, ret, "uhsa{sv}", (uint32_t)pid, settings->patch_fd,
				     settings->path, 0);
	return remote_report(cli, &call, ret, "uhsa{sv}", (uint32_t)pid, settings->patch_fd,
			     settings->path, 1, "no-kernel", "b", 1);
}

static bool says_enabled(struct json_object *report)
{
	return json_object_get_boolean(model_get(model_at(report, "results", 0), "enabled"));
}

static struct json_object *check_by_daemon(struct cli *cli, const struct check_settings *settings,
					   pid_t pid)
{
	struct json_object *report = NULL;
	struct json_object *row = NULL;
	int r;

	r = call_daemon(cli, settings, pid, &report);
	if (r >= 0 && is_pair(settings) && says_enabled(report)) {
		row = new_row(settings, pid);
		put_there(row);
	} else if (r >= 0) {
		row = remote_take(cli, report, "results");
	}
	if (!row) {
		row = new_row(settings, pid);
		remote_put_outcome(cli, row, r < 0 ? NULL : report);
		put_nothing(row);
	}
	json_object_put(report);
	return row;
}

static struct json_object *check_target(struct cli *cli, const struct check_settings *settings,
					pid_t pid)
{
	_cleanup_(target_closep) struct upatch_target *target = NULL;
	struct upatch_check *check = NULL;
	struct json_object *row;
	int r;

	if (remote_is_wanted(cli))
		return check_by_daemon(cli, settings, pid);
	r = targets_open(cli, pid, &target);
	if (r >= 0)
		r = upatch_target_check(target, settings->patch, &check);
	if (remote_may_help(cli, r))
		return check_by_daemon(cli, settings, pid);
	if (r < 0) {
		cli_fail(cli);
		row = new_row(settings, pid);
		put_verdict(row, upatch_ctx_error(cli->ctx));
		put_nothing(row);
		return row;
	}
	row = new_row(settings, pid);
	if (is_pair(settings) && check->is_enabled)
		put_there(row);
	else
		put_check(cli, row, check);
	upatch_check_free(check);
	return row;
}

static bool kernel_has_enabled(struct cli *cli, const char *name)
{
	struct upatch_kernel_status *status;
	bool has = false;

	if (upatch_kernel_status(cli->ctx, NULL, &status) < 0)
		return false;
	for (size_t i = 0; i < status->nr_patches; i++)
		has |= strcmp(status->patches[i].name, name) == 0 &&
		       strcmp(status->patches[i].state, "enabled") == 0;
	upatch_kernel_status_free(status);
	return has;
}

/* A row as a process has, but for functions and threads: nothing of the kernel is looked into. */
static struct json_object *check_kernel(struct cli *cli, const struct check_settings *settings)
{
	struct upatch_kernel_module *module;
	struct json_object *row = model_object();
	bool has_it = false;
	int r;

	model_put_string(row, "pid", "kernel");
	model_put(row, "comm", NULL);
	model_put_string(row, "patch", upatch_patch_info(settings->patch)->name);
	r = upatch_kernel_module_open(cli->ctx, settings->path, &module);
	if (r >= 0) {
		has_it = kernel_has_enabled(cli, module->info.name);
		r = upatch_kernel_check(cli->ctx, module, NULL);
		upatch_kernel_module_close(module);
	}
	if (r < 0 && has_it && upatch_ctx_error(cli->ctx)->reason == UPATCH_E_EXISTS) {
		put_there(row);
		return row;
	}
	if (r < 0)
		cli_fail(cli);
	put_verdict(row, r < 0 ? upatch_ctx_error(cli->ctx) : NULL);
	put_nothing(row);
	return row;
}

/*
 * Of a patch with both sides: what the parts do not say each for itself, that all have it, or that one could
 * not come back. It is looked for as apply does it, and not at all where apply is refused anyway.
 */
static void check_whole(struct cli *cli, const struct check_settings *settings)
{
	const struct pid_list *pids = &settings->targets;
	_cleanup_free_ struct upatch_pair_part *parts = NULL;
	struct json_object *results = model_get(cli->model, "results");

	if (cli->exit != UPATCH_EXIT_DONE && cli->exit != UPATCH_EXIT_PENDING)
		return;
	parts = must(calloc(pids->nr + 1, sizeof(*parts)));
	for (size_t i = 0; i < pids->nr; i++)
		parts[i + 1].pid = pids->items[i];
	if (upatch_pair_check(cli->ctx, settings->patch, parts, pids->nr + 1, NULL) >= 0)
		return;
	cli_fail(cli);
	for (size_t i = 0; i <= pids->nr; i++)
		if (parts[i].state == UPATCH_PART_REFUSED)
			put_verdict(json_object_array_get_idx(results, i),
				    upatch_ctx_error(cli->ctx));
}

static void check_targets(struct cli *cli, const struct check_settings *settings)
{
	const struct pid_list *pids = &settings->targets;
	struct json_object *results = model_get(cli->model, "results");

	for (size_t i = 0; i < pids->nr; i++) {
		progress_show(cli, pids->items[i], i, pids->nr);
		model_append(results, check_target(cli, settings, pids->items[i]));
	}
	progress_clear(cli, pids->nr);
}

int verb_check(int argc, char *argv[], void *userdata)
{
	struct cli *cli = userdata;
	_cleanup_(settings_deinit) struct check_settings settings = { .patch_fd = -1 };
	int r;

	r = args_parse(cli, argc, argv, &check_args, &settings);
	if (r != ARGS_READY)
		return r;
	r = targets_needed(cli, &settings.targets);
	if (r >= 0)
		r = args_operand(cli, argc, argv, "the patch file", &settings.path);
	if (r < 0)
		return r;
	r = upatch_patch_open(cli->ctx, settings.path, &settings.patch);
	if (r < 0) {
		cli_fail(cli);
		return r;
	}
	model_put(cli->model, "results", model_array());
	cli->render = print_results;
	if (is_pair(&settings))
		model_append(model_get(cli->model, "results"), check_kernel(cli, &settings));
	r = settings.patch_fd = remote_open_file(cli, settings.path);
	if (r < 0)
		return r;
	check_targets(cli, &settings);
	if (is_pair(&settings))
		check_whole(cli, &settings);
	return 0;
}
