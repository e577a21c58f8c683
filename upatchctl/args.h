/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef UPATCHCTL_ARGS_H
#define UPATCHCTL_ARGS_H

/*
 * Command lines. Each verb has one table of options, which feeds getopt_long() and the help. The
 * global options (--json, --verbose, --quiet, --help) are understood before and after the verb.
 */

#include "cli.h"

/* @key: the letter of the short option, or a number above 255 when there is none */
struct args_option {
	int key;
	const char *name;
	const char *value; /* what the help calls it; NULL: it takes none; "[=X]": or none */
	const char *help;
};

enum args_order {
	ARGS_ANY_ORDER,	   /* options and other arguments may be mixed */
	ARGS_VERB_FOLLOWS, /* the first other argument is a verb, with options of its own */
};

/*
 * @take: called for each option of the table; complains with cli_usage()
 */
struct args {
	const char *synopsis; /* what follows the verb's name */
	const char *summary;
	const struct args_option *options; /* ends with a name of NULL */
	int (*take)(struct cli *cli, int key, const char *value, void *settings);
	enum args_order order;
};

enum args_outcome {
	ARGS_READY = 0,
	ARGS_SHOWN = 1, /* help, or whatever else was asked for, is printed */
};

/**
 * args_parse() - read a verb's options; optind is then the first of the other arguments
 *
 * All of the command line is read even if some of it is wrong, so that --json holds for the
 * complaint wherever it stands.
 *
 * Return: an args_outcome, or -EINVAL after cli_usage().
 */
int args_parse(struct cli *cli, int argc, char *argv[], const struct args *args, void *settings);

/**
 * args_operand() - the one argument that a verb needs
 * @what: what it is, for the complaint
 * Return: 0, or -EINVAL after cli_usage().
 */
int args_operand(struct cli *cli, int argc, char *argv[], const char *what, const char **ret);

/** args_no_operand() - the verb takes no arguments; 0, or -EINVAL after cli_usage() */
int args_no_operand(struct cli *cli, int argc, char *argv[]);

#endif
