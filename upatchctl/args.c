/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "args.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
	OPTIONS_MAX = 32,
	KEY_JSON = 0x1000,
	KEY_DAEMON,
	KEY_SOCKET,
};

static const struct args_option global_options[] = {
	{ KEY_JSON, "json", NULL, "print JSON, as described in docs/json.md" },
	{ KEY_DAEMON, "daemon", NULL, "have upatchd do it" },
	{ KEY_SOCKET, "socket", "PATH", "where it listens; implies --daemon" },
	{ 'v', "verbose", NULL, "show what happens, on stderr" },
	{ 'q', "quiet", NULL, "print errors only" },
	{ 'h', "help", NULL, "show this help" },
	{},
};

static bool is_letter(int key)
{
	return key < 256;
}

/* "[=SECONDS]": the value may be left out. */
static bool is_optional(const struct args_option *option)
{
	return option->value && option->value[0] == '[';
}

/* --- help ------------------------------------------------------------------------------------ */

static void print_options(const struct args_option *options)
{
	for (; options->name; options++) {
		char left[64];

		snprintf(left, sizeof(left), "%s%c%s --%s%s%s", is_letter(options->key) ? "-" : " ",
			 is_letter(options->key) ? options->key : ' ',
			 is_letter(options->key) ? "," : " ", options->name,
			 options->value && !is_optional(options) ? " " : "",
			 options->value ? options->value : "");
		printf("  %-28s %s\n", left, options->help);
	}
}

static void print_help(const struct cli *cli, const struct args *args)
{
	printf("Usage: upatchctl %s%s%s\n\n%s\n\nOptions:\n", cli->verb ? cli->verb : "",
	       cli->verb ? " " : "", args->synopsis, args->summary);
	print_options(args->options);
	print_options(global_options);
}

/* --- getopt ---------------------------------------------------------------------------------- */

struct getopt_tables {
	struct option longs[OPTIONS_MAX + 1];
	char shorts[2 * OPTIONS_MAX + 3];
	size_t nr_longs;
	size_t nr_shorts;
};

static void add_options(struct getopt_tables *tables, const struct args_option *options)
{
	for (; options->name && tables->nr_longs < OPTIONS_MAX; options++) {
		tables->longs[tables->nr_longs++] = (struct option){
			.name = options->name,
			.has_arg = is_optional(options) ? optional_argument
				   : options->value	? required_argument
							: no_argument,
			.val = options->key,
		};
		if (!is_letter(options->key))
			continue;
		tables->shorts[tables->nr_shorts++] = (char)options->key;
		if (options->value)
			tables->shorts[tables->nr_shorts++] = ':';
	}
}

static const char *name_of_key(const struct getopt_tables *tables, int key)
{
	for (size_t i = 0; i < tables->nr_longs; i++)
		if (tables->longs[i].val == key)
			return tables->longs[i].name;
	return NULL;
}

static int complain(struct cli *cli, const struct getopt_tables *tables, int c, char *argv[])
{
	const char *name = optopt ? name_of_key(tables, optopt) : NULL;

	if (c == ':')
		return cli_usage(cli, "option '--%s' needs a value", name ? name : "?");
	if (name)
		return cli_usage(cli, "option '--%s' takes no value", name);
	if (optopt)
		return cli_usage(cli, "unknown option '-%c'", optopt);
	return cli_usage(cli, "unknown or ambiguous option '%s'", argv[optind - 1]);
}

/* True for the options that all verbs have. --help is left to the caller. */
static bool take_global(struct cli *cli, int key, const char *value)
{
	switch (key) {
	case KEY_JSON:
		cli->flags |= CLI_JSON;
		return true;
	case KEY_SOCKET:
		cli->socket = value;
		cli->flags |= CLI_DAEMON;
		return true;
	case KEY_DAEMON:
		cli->flags |= CLI_DAEMON;
		return true;
	case 'v':
		cli_set_verbose(cli);
		return true;
	case 'q':
		cli->flags |= CLI_QUIET;
		return true;
	default:
		return false;
	}
}

int args_parse(struct cli *cli, int argc, char *argv[], const struct args *args, void *settings)
{
	struct getopt_tables tables = {};
	bool is_help = false;
	int c;
	int r = 0;

	if (args->order == ARGS_VERB_FOLLOWS)
		tables.shorts[tables.nr_shorts++] = '+';
	tables.shorts[tables.nr_shorts++] = ':'; /* tells a missing value from an unknown option */
	add_options(&tables, args->options);
	add_options(&tables, global_options);
	optind = 0; /* begin anew, with GNU's permutation */
	opterr = 0;
	while ((c = getopt_long(argc, argv, tables.shorts, tables.longs, NULL)) >= 0) {
		int error = 0;

		if (c == '?' || c == ':')
			error = complain(cli, &tables, c, argv);
		else if (c == 'h')
			is_help = true;
		else if (!take_global(cli, c, optarg))
			error = args->take(cli, c, optarg, settings);
		if (error < 0)
			r = error;
	}
	if (r >= 0 && is_help) {
		print_help(cli, args);
		return ARGS_SHOWN;
	}
	return r;
}

/* Both mistakes leave a number behind. */
static int complain_of_operand(struct cli *cli, char *const operands[], const char *unexpected)
{
	bool has_number = false;

	for (; *operands; operands++)
		has_number |= strspn(*operands, "0123456789.") == strlen(*operands);
	return cli_usage(cli, "unexpected argument '%s'%s", unexpected,
			 has_number ? "; it is --pid=PID,PID and --wait=SECONDS, without spaces"
				    : "");
}

int args_operand(struct cli *cli, int argc, char *argv[], const char *what, const char **ret)
{
	if (optind >= argc)
		return cli_usage(cli, "%s is missing", what);
	if (argc - optind > 1)
		return complain_of_operand(cli, argv + optind, argv[optind + 1]);
	*ret = argv[optind];
	return 0;
}

int args_no_operand(struct cli *cli, int argc, char *argv[])
{
	if (optind < argc)
		return complain_of_operand(cli, argv + optind, argv[optind]);
	return 0;
}
