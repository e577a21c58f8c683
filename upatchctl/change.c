/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdbool.h>
#include <unistd.h>

#include "args.h"
#include "cleanup.h"
#include "list.h"
#include "model.h"
#include "number.h"
#include "pair.h"
#include "progress.h"
#include "remote.h"
#include "table.h"
#include "targets.h"
#include "verbs.h"

/* apply, revert and wait: the same work, but for the call in the middle. */

enum {
	KEY_WAIT = 0x100,
	KEY_NO_WAIT,
	KEY_SCAN_MEMORY,
	KEY_NO_KERNEL,
	KEY_FORCE,
	KEY_FILE,
	DEFAULT_TIMEOUT_MS = 10000,
};

/*
 * @patch: the file's, for apply, and for revert with --file
 * @name:  of the patch
 * @file:  revert: the path of the patch file
 */
struct change {
	const char *method; /* of upatchd */
	const char *path;   /* the file's, for apply */
	int patch_fd;	    /* the same, when the daemon is asked */
	int (*run)(struct upatch_target *target, const struct change *change,
		   struct upatch_cost *ret);
	struct upatch_patch *patch;
	const char *name;
	const char *file;
	unsigned int pair_flags; /* enum upatch_pair_flags */
	bool is_without_kernel;
	struct upatch_options opts;
	struct pid_list targets;
};

static void change_deinit(struct change *change)
{
	upatch_patch_close(change->patch);
	if (change->patch_fd >= 0)
		(void)close(change->patch_fd); /* it was only read */
	pid_list_deinit(&change->targets);
}

static int run_apply(struct upatch_target *target, const struct change *change,
		     struct upatch_cost *ret)
{
	return upatch_target_apply(target, change->patch, &change->opts, ret);
}

static int run_revert(struct upatch_target *target, const struct change *change,
		      struct upatch_cost *ret)
{
	return upatch_target_revert(target, change->name, &change->opts, ret);
}

static int run_wait(struct upatch_target *target, const struct change *change,
		    struct upatch_cost *ret)
{
	return upatch_target_wait(target, &change->opts, ret);
}

/* --- command line ---------------------------------------------------------------------------- */

#define CHANGE_OPTIONS                                                                             \
	{ 'p', "pid", "PID[,PID]...", "a target; may be repeated" },                               \
		{ KEY_WAIT, "wait", "[=SECONDS]",                                                  \
		  "wait until it completes; default: 10 seconds" },                                \
		{ KEY_NO_WAIT, "no-wait", NULL, "begin, do not wait until it completes" },         \
	{                                                                                          \
		KEY_SCAN_MEMORY, "scan-memory", NULL,                                              \
			"functions suspended in coroutines count, too"                             \
	}

/* Where a patch may have a kernel's side. */
#define PAIR_OPTIONS                                                                               \
	{ KEY_NO_KERNEL, "no-kernel", NULL, "leave the kernel's side of the patch alone" },        \
	{                                                                                          \
		KEY_FORCE, "force", NULL,                                                          \
			"both sides: force laggards at the deadline, do not reverse"               \
	}

static const struct args_option wait_options[] = {
	CHANGE_OPTIONS,
	{},
};

static const struct args_option apply_options[] = {
	CHANGE_OPTIONS,
	PAIR_OPTIONS,
	{},
};

static const struct args_option revert_options[] = {
	CHANGE_OPTIONS,
	PAIR_OPTIONS,
	{ KEY_FILE, "file", "FILE", "the patch file, in place of NAME: both its sides" },
	{},
};

static int take_change(struct cli *cli, int key, const char *value, void *settings)
{
	struct change *change = settings;

	switch (key) {
	case 'p':
		return targets_take(cli, value, &change->targets);
	case KEY_WAIT:
		change->opts.flags &= ~(unsigned int)UPATCH_NO_WAIT;
		if (value && number_seconds(value, &change->opts.timeout_ms) < 0)
			return cli_usage(cli, "option '--wait': '%s' is no number of seconds",
					 value);
		break;
	case KEY_NO_WAIT:
		change->opts.flags |= UPATCH_NO_WAIT;
		break;
	case KEY_NO_KERNEL:
		change->is_without_kernel = true;
		break;
	case KEY_FORCE:
		change->pair_flags |= UPATCH_PAIR_FORCE;
		break;
	case KEY_FILE:
		change->file = value;
		break;
	case KEY_SCAN_MEMORY:
		change->opts.flags |= UPATCH_SCAN_MEMORY;
		break;
	}
	return 0;
}

static const struct args apply_args = {
	.synopsis = "-p PID[,PID]... FILE [OPTION]...",
	.summary =
		"Enable a patch in running processes. One with klp modules is enabled in the kernel\n"
		"as well: both sides, or neither.",
	.options = apply_options,
	.take = take_change,
};

static const struct args revert_args = {
	.synopsis = "-p PID[,PID]... NAME|--file FILE [OPTION]...",
	.summary =
		"Disable the patch of that name in running processes; with its file, in the kernel\n"
		"as well, if it has klp modules: both sides, or neither.",
	.options = revert_options,
	.take = take_change,
};

static const struct args wait_args = {
	.synopsis = "-p PID[,PID]... [OPTION]...",
	.summary = "Carry on with the open transitions of running processes, whoever began them.",
	.options = wait_options,
	.take = take_change,
};

/* --- rendering ------------------------------------------------------------------------------- */

static const struct table_column result_columns[] = {
	{ "pid", "PID", TABLE_RIGHT },
	{ "comm", "COMM" },
	{ "patch", "PATCH" },
	{ "state", "STATE", TABLE_STATE },
	{ "reason", "REASON" },
	{ "longest_pause_ms", "PAUSE-MS", TABLE_RIGHT },
	{ "wall_ms", "WALL-MS", TABLE_RIGHT },
	{ "stops", "STOPS", TABLE_RIGHT },
	{ "threads", "THREADS", TABLE_RIGHT },
	{},
};

static void print_results(const struct cli *cli, FILE *out)
{
	table_print(out, model_get(cli->model, "results"), result_columns);
}

/* --- work ------------------------------------------------------------------------------------ */

static void put_outcome(struct cli *cli, struct json_object *row, int outcome)
{
	enum upatch_exit status = UPATCH_EXIT_DONE;

	/* Pending, there is a thread to tell about. */
	if (outcome != UPATCH_DONE) {
		model_put_string(row, "reason",
				 upatch_reason_name(upatch_ctx_error(cli->ctx)->reason));
		status = cli_fail(cli);
	} else {
		model_put(row, "reason", NULL);
	}
	model_put_string(row, "state", upatch_outcome_name(outcome, status));
	model_put_number(row, "exit", status);
}

static struct json_object *change_row(const struct change *change, pid_t pid)
{
	struct json_object *row = model_object();

	targets_put(row, pid);
	model_put_string(row, "patch", change->name); /* not known to wait: null */
	return row;
}

static int call_daemon(struct cli *cli, const struct change *change, pid_t pid,
		       struct json_object **ret)
{
	struct remote_call call = {
		.method = change->method,
		.pid = pid,
		.timeout_ms = change->opts.timeout_ms,
	};
	int has_no_wait = !!(change->opts.flags & UPATCH_NO_WAIT);
	int has_scan = !!(change->opts.flags & UPATCH_SCAN_MEMORY);
	uint32_t timeout = change->opts.timeout_ms;

	if (change->path)
		return remote_report(cli, &call, ret, "uhsa{sv}", (uint32_t)pid, change->patch_fd,
				     change->path, 3, "timeout-ms", "u", timeout, "no-wait", "b",
				     has_no_wait, "scan-memory", "b", has_scan);
	if (change->name)
		return remote_report(cli, &call, ret, "usa{sv}", (uint32_t)pid, change->name, 3,
				     "timeout-ms", "u", timeout, "no-wait", "b", has_no_wait,
				     "scan-memory", "b", has_scan);
	return remote_report(cli, &call, ret, "ua{sv}", (uint32_t)pid, 3, "timeout-ms", "u",
			     timeout, "no-wait", "b", has_no_wait, "scan-memory", "b", has_scan);
}

static struct json_object *change_by_daemon(struct cli *cli, const struct change *change, pid_t pid)
{
	const struct upatch_cost none = {};
	struct json_object *report = NULL;
	struct json_object *row = NULL;
	int r;

	r = call_daemon(cli, change, pid, &report);
	if (r >= 0)
		row = remote_take(cli, report, "results");
	if (!row) {
		row = change_row(change, pid);
		remote_put_outcome(cli, row, r < 0 ? NULL : report);
		model_put_cost(row, &none);
	}
	json_object_put(report);
	return row;
}

static struct json_object *change_target(struct cli *cli, const struct change *change, pid_t pid)
{
	_cleanup_(target_closep) struct upatch_target *target = NULL;
	struct upatch_cost cost = {};
	struct json_object *row;
	int r;

	if (remote_is_wanted(cli))
		return change_by_daemon(cli, change, pid);
	r = targets_open(cli, pid, &target);
	if (r >= 0)
		r = change->run(target, change, &cost);
	if (remote_may_help(cli, r))
		return change_by_daemon(cli, change, pid);
	row = change_row(change, pid);
	put_outcome(cli, row, r);
	model_put_cost(row, &cost);
	return row;
}

static void change_targets(struct cli *cli, const struct change *change)
{
	struct json_object *results = model_array();

	model_put(cli->model, "results", results);
	cli->render = print_results;
	for (size_t i = 0; i < change->targets.nr; i++) {
		progress_show(cli, change->targets.items[i], i, change->targets.nr);
		model_append(results, change_target(cli, change, change->targets.items[i]));
	}
	progress_clear(cli, change->targets.nr);
}

static int change_parse(struct cli *cli, int argc, char *argv[], const struct args *args,
			struct change *ret)
{
	int r;

	ret->opts = (struct upatch_options){
		.size = sizeof(ret->opts),
		.timeout_ms = DEFAULT_TIMEOUT_MS,
	};
	r = args_parse(cli, argc, argv, args, ret);
	if (r != ARGS_READY)
		return r;
	return targets_needed(cli, &ret->targets);
}

static int open_patch(struct cli *cli, struct change *change, const char *path)
{
	int r;

	r = upatch_patch_open(cli->ctx, path, &change->patch);
	if (r < 0) {
		cli_fail(cli);
		return r;
	}
	change->name = upatch_patch_info(change->patch)->name;
	return 0;
}

/* Is it a patch with both sides, both of which are meant? */
static bool is_pair(const struct change *change)
{
	return change->patch && !change->is_without_kernel &&
	       upatch_patch_info(change->patch)->nr_modules;
}

/* What is not a pair has "upatchctl force" for itself. */
static int refuse_force(struct cli *cli, const struct change *change)
{
	if (!(change->pair_flags & UPATCH_PAIR_FORCE))
		return 0;
	return cli_usage(cli, "option '--force': there is no kernel's side to go along with; see "
			      "upatchctl force");
}

/* Both sides are one transaction, which has no half-way. */
static int change_pair(struct cli *cli, struct change *change, pair_run_fn run)
{
	const struct upatch_pair_options opts = {
		.size = sizeof(opts),
		.flags = change->pair_flags | (change->opts.flags & UPATCH_SCAN_MEMORY),
		.timeout_ms = change->opts.timeout_ms,
	};

	if (change->opts.flags & UPATCH_NO_WAIT)
		return cli_usage(cli, "option '--no-wait': the patch has a kernel's side, which is "
				      "waited for; or give --no-kernel");
	cli->render = print_results;
	model_put(cli->model, "results",
		  pair_change(cli, change->patch, &change->targets, run, &opts));
	return 0;
}

int verb_apply(int argc, char *argv[], void *userdata)
{
	struct cli *cli = userdata;
	_cleanup_(change_deinit) struct change change = {
		.method = "Apply",
		.run = run_apply,
		.patch_fd = -1,
	};
	int r;

	r = change_parse(cli, argc, argv, &apply_args, &change);
	if (r != ARGS_READY)
		return r;
	r = args_operand(cli, argc, argv, "the patch file", &change.path);
	if (r >= 0)
		r = open_patch(cli, &change, change.path);
	if (r < 0)
		return r;
	if (is_pair(&change))
		return change_pair(cli, &change, upatch_pair_apply);
	r = refuse_force(cli, &change);
	if (r < 0)
		return r;
	r = change.patch_fd = remote_open_file(cli, change.path);
	if (r < 0)
		return r;
	change_targets(cli, &change);
	return 0;
}

int verb_revert(int argc, char *argv[], void *userdata)
{
	struct cli *cli = userdata;
	_cleanup_(change_deinit) struct change change = {
		.method = "Revert",
		.run = run_revert,
		.patch_fd = -1,
	};
	int r;

	r = change_parse(cli, argc, argv, &revert_args, &change);
	if (r != ARGS_READY)
		return r;
	if (change.file)
		r = args_no_operand(cli, argc, argv);
	else
		r = args_operand(cli, argc, argv, "the name of the patch", &change.name);
	if (r >= 0 && change.file)
		r = open_patch(cli, &change, change.file);
	if (r < 0)
		return r;
	if (is_pair(&change))
		return change_pair(cli, &change, upatch_pair_revert);
	r = refuse_force(cli, &change);
	if (r < 0)
		return r;
	change_targets(cli, &change);
	return 0;
}

int verb_wait(int argc, char *argv[], void *userdata)
{
	struct cli *cli = userdata;
	_cleanup_(change_deinit) struct change change = {
		.method = "Wait",
		.run = run_wait,
		.patch_fd = -1,
	};
	int r;

	r = change_parse(cli, argc, argv, &wait_args, &change);
	if (r != ARGS_READY)
		return r;
	r = args_no_operand(cli, argc, argv);
	if (r < 0)
		return r;
	change_targets(cli, &change);
	return 0;
}
