/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <upatch/kernel.h>

#include "args.h"
#include "cleanup.h"
#include "kernelview.h"
#include "model.h"
#include "number.h"
#include "table.h"
#include "verbs.h"

/* kernel: the verbs that processes have, for the kernel's livepatches. */

enum {
	KEY_WAIT = 0x100,
	KEY_NO_WAIT,
	KEY_YES,
	KEY_SYSFS_ROOT,
	KEY_PROC_ROOT,
	DEFAULT_TIMEOUT_MS = 10000,
};

struct kernel_settings {
	struct upatch_kernel_options opts;
	bool is_yes;
};

struct action {
	const char *name;
	const char *operand; /* what it needs, or NULL */
	int (*run)(struct cli *cli, const struct kernel_settings *settings, const char *operand);
};

static const struct args_option kernel_options[] = {
	{ KEY_WAIT, "wait", "[=SECONDS]", "wait until it completes; default: 10 seconds" },
	{ KEY_NO_WAIT, "no-wait", NULL, "begin, do not wait until it completes" },
	{ KEY_YES, "yes", NULL, "force: do not ask" },
	{ KEY_SYSFS_ROOT, "sysfs-root", "DIR", "sysfs to look at; default: /sys" },
	{ KEY_PROC_ROOT, "proc-root", "DIR", "proc to look at; default: /proc" },
	{},
};

static int take_kernel(struct cli *cli, int key, const char *value, void *userdata)
{
	struct kernel_settings *settings = userdata;

	switch (key) {
	case KEY_WAIT:
		settings->opts.timeout_ms = DEFAULT_TIMEOUT_MS;
		if (value && number_seconds(value, &settings->opts.timeout_ms) < 0)
			return cli_usage(cli, "option '--wait': '%s' is no number of seconds",
					 value);
		break;
	case KEY_NO_WAIT:
		settings->opts.timeout_ms = 0;
		break;
	case KEY_YES:
		settings->is_yes = true;
		break;
	case KEY_SYSFS_ROOT:
		settings->opts.sysfs_root = value;
		break;
	case KEY_PROC_ROOT:
		settings->opts.proc_root = value;
		break;
	}
	return 0;
}

static const struct args kernel_args = {
	.synopsis = "list|status|apply FILE|revert NAME|force NAME [OPTION]...",
	.summary =
		"List, enable and disable livepatches of the kernel. FILE is a patch file that was\n"
		"built with --kernel-module, or a klp module (.ko).",
	.options = kernel_options,
	.take = take_kernel,
};

/* --- list and status ---------------------------------------------------------------------------- */

static int look(struct cli *cli, const struct kernel_settings *settings, cli_render_fn render)
{
	struct upatch_kernel_status *status;
	int r;

	r = upatch_kernel_status(cli->ctx, &settings->opts, &status);
	if (r < 0) {
		cli_fail(cli);
		return r;
	}
	model_put(cli->model, "kernel", kernelview_object(status));
	upatch_kernel_status_free(status);
	cli->render = render;
	return 0;
}

static int run_list(struct cli *cli, const struct kernel_settings *settings, const char *operand)
{
	return look(cli, settings, kernelview_print_list);
}

static int run_status(struct cli *cli, const struct kernel_settings *settings, const char *operand)
{
	return look(cli, settings, kernelview_print);
}

enum kernel_change {
	KERNEL_APPLY,
	KERNEL_REVERT,
	KERNEL_FORCE,
};

/* --- apply, revert, force ------------------------------------------------------------------------ */

static const struct table_column result_columns[] = {
	{ "pid", "PID", TABLE_RIGHT },
	{ "patch", "PATCH" },
	{ "state", "STATE", TABLE_STATE },
	{ "reason", "REASON" },
	{},
};

static void print_results(const struct cli *cli, FILE *out)
{
	table_print(out, model_get(cli->model, "results"), result_columns);
}

/* Reverted, and its module stays: the kernel runs without it. */
static bool is_disabled(const struct cli *cli, int outcome, enum kernel_change change)
{
	return change == KERNEL_REVERT && outcome < 0 &&
	       upatch_ctx_error(cli->ctx)->reason == UPATCH_E_KERNEL_IN_USE;
}

/* A row as processes have, but for what stopping threads cost: none is stopped. */
static void put_row(struct cli *cli, const char *patch, const char *state, enum upatch_exit status)
{
	struct json_object *results = model_array();
	struct json_object *row = model_object();

	model_put_string(row, "pid", "kernel");
	model_put(row, "comm", NULL);
	model_put_string(row, "patch", patch);
	model_put(row, "reason", NULL);
	model_put_string(row, "state", state);
	model_put_number(row, "exit", status);
	model_append(results, row);
	model_put(cli->model, "results", results);
	cli->render = print_results;
}

static int put_result(struct cli *cli, const char *patch, int outcome, enum kernel_change change)
{
	enum upatch_exit status = outcome == UPATCH_DONE ? UPATCH_EXIT_DONE : cli_fail(cli);
	const char *state = is_disabled(cli, outcome, change)
				    ? "disabled"
				    : upatch_outcome_name(outcome, status);

	put_row(cli, patch, state, status);
	if (outcome != UPATCH_DONE)
		model_put_string(model_at(cli->model, "results", 0), "reason",
				 upatch_reason_name(upatch_ctx_error(cli->ctx)->reason));
	return outcome < 0 ? outcome : 0;
}

static int run_apply(struct cli *cli, const struct kernel_settings *settings, const char *operand)
{
	struct upatch_kernel_module *module;
	int r;

	r = upatch_kernel_module_open(cli->ctx, operand, &module);
	if (r < 0) {
		cli_fail(cli);
		return r;
	}
	r = upatch_kernel_apply(cli->ctx, module, &settings->opts);
	r = put_result(cli, module->info.name, r, KERNEL_APPLY);
	upatch_kernel_module_close(module);
	return r;
}

static int run_revert(struct cli *cli, const struct kernel_settings *settings, const char *operand)
{
	return put_result(cli, operand, upatch_kernel_revert(cli->ctx, operand, &settings->opts),
			  KERNEL_REVERT);
}

static bool is_agreed(const char *name)
{
	char answer[16] = "";

	fprintf(stderr, "force the kernel's transition of '%s'? [y/N] ", name);
	return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

static int run_force(struct cli *cli, const struct kernel_settings *settings, const char *operand)
{
	if (!settings->is_yes && !isatty(STDIN_FILENO))
		return cli_usage(cli, "option '--yes' is missing, and there is nobody to ask");
	if (!settings->is_yes && !is_agreed(operand)) {
		put_row(cli, operand, "nothing", UPATCH_EXIT_NOTHING);
		cli_worsen(cli, UPATCH_EXIT_NOTHING);
		return 0;
	}
	return put_result(cli, operand, upatch_kernel_force(cli->ctx, operand, &settings->opts),
			  KERNEL_FORCE);
}

/* --- command line ---------------------------------------------------------------------------- */

static const struct action actions[] = {
	{ "list", NULL, run_list },
	{ "status", NULL, run_status },
	{ "apply", "the patch file or klp module", run_apply },
	{ "revert", "the name of the patch", run_revert },
	{ "force", "the name of the patch", run_force },
	{},
};

static int find_action(struct cli *cli, int argc, char *argv[], const struct action **ret)
{
	if (optind >= argc)
		return cli_usage(cli, "what to do with the kernel is missing: list, status, apply, "
				      "revert or force");
	for (const struct action *action = actions; action->name; action++)
		if (strcmp(action->name, argv[optind]) == 0) {
			*ret = action;
			optind++;
			return 0;
		}
	return cli_usage(cli, "unknown verb 'kernel %s'", argv[optind]);
}

int verb_kernel(int argc, char *argv[], void *userdata)
{
	struct kernel_settings settings = {
		.opts = { .size = sizeof(settings.opts), .timeout_ms = DEFAULT_TIMEOUT_MS },
	};
	struct cli *cli = userdata;
	const struct action *action = NULL;
	const char *operand = NULL;
	int r;

	r = args_parse(cli, argc, argv, &kernel_args, &settings);
	if (r == ARGS_READY)
		r = find_action(cli, argc, argv, &action);
	if (r != ARGS_READY)
		return r;
	if (action->operand)
		r = args_operand(cli, argc, argv, action->operand, &operand);
	else
		r = args_no_operand(cli, argc, argv);
	return r < 0 ? r : action->run(cli, &settings, operand);
}
