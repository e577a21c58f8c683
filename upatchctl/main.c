/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <getopt.h>
#include <locale.h>
#include <stdbool.h>
#include <stdio.h>

#include "args.h"
#include "cli.h"
#include "verbs.h"

static const struct verb verbs[] = {
	{ "build", verb_build, "compile replacements into a patch file" },
	{ "inspect", verb_inspect, "print what is in a patch file" },
	{ "check", verb_check, "find out what apply would meet, changing nothing" },
	{ "apply", verb_apply, "enable a patch in running processes" },
	{ "revert", verb_revert, "disable a patch in running processes" },
	{ "wait", verb_wait, "carry on with open transitions" },
	{ "threads", verb_threads, "list threads, and what holds those that have not switched" },
	{ "force", verb_force, "switch the threads that hold a transition" },
	{ "gc", verb_gc, "unmap what was kept, once nothing refers to it" },
	{ "kernel", verb_kernel, "the same for the kernel's own livepatches (klp modules)" },
	{ "status", verb_status, "list patched processes and their patches" },
	{ "enable", verb_enable, "have upatchd keep a patch applied" },
	{ "disable", verb_disable, "have upatchd revert it everywhere" },
	{ "list", verb_list, "list what upatchd keeps applied" },
	{ "monitor", verb_monitor, "show what upatchd does, as it happens" },
	{},
};

enum {
	KEY_VERSION = 0x100,
};

static const struct args_option main_options[] = {
	{ KEY_VERSION, "version", NULL, "show the version" },
	{},
};

static int take_main(struct cli *cli, int key, const char *value, void *settings)
{
	bool *is_version = settings;

	*is_version = true; /* the only option */
	return 0;
}

static const struct args main_args = {
	.synopsis = "[OPTION]... VERB [ARGUMENT]...",
	.summary = "Replace functions in running programs, and take the replacements back.",
	.options = main_options,
	.take = take_main,
	.order = ARGS_VERB_FOLLOWS,
};

static void print_verbs(void)
{
	puts("\nVerbs (upatchctl VERB --help tells more):");
	for (const struct verb *verb = verbs; verb->name; verb++)
		printf("  %-10s %s\n", verb->name, verb->summary);
	puts("Exit status: 0 done, 1 refused, 2 usage, 3 pending, 4 nothing matched.");
}

/* What stands before the verb. */
static int parse_main(struct cli *cli, int argc, char *argv[])
{
	bool is_version = false;
	int r;

	r = args_parse(cli, argc, argv, &main_args, &is_version);
	if (r == ARGS_SHOWN)
		print_verbs();
	if (r != ARGS_READY)
		return r;
	if (!is_version)
		return 0;
	printf("upatchctl %s, libupatch %s\n", UPATCH_VERSION, upatch_version());
	return ARGS_SHOWN;
}

static int run_verb(struct cli *cli, int argc, char *argv[])
{
	const struct verb *verb;

	if (argc == 0)
		return cli_usage(cli, "a verb is missing");
	verb = verbs_find(verbs, argv[0]);
	if (!verb)
		return cli_usage(cli, "unknown verb '%s'", argv[0]);
	cli->verb = verb->name;
	return verb->run(argc, argv, cli);
}

/* The exit status is the model's: failures of a verb are in it by the time it returns. */
static int run(struct cli *cli, int argc, char *argv[])
{
	int r;

	r = parse_main(cli, argc, argv);
	if (r == 0)
		r = run_verb(cli, argc - optind, argv + optind);
	if (r == ARGS_SHOWN)
		return fflush(stdout) == 0 ? UPATCH_EXIT_DONE : UPATCH_EXIT_REFUSED;
	return cli_finish(cli);
}

int main(int argc, char *argv[])
{
	struct cli cli;
	int status;

	/* Not LC_NUMERIC: numbers are the same everywhere. */
	(void)setlocale(LC_CTYPE, ""); /* if it fails, "C" it is */
	if (cli_init(&cli) < 0) {
		fputs("upatchctl: out of memory [no-memory]\n", stderr);
		return UPATCH_EXIT_REFUSED;
	}
	status = run(&cli, argc, argv);
	cli_deinit(&cli);
	return status;
}
