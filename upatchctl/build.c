/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "cleanup.h"
#include "list.h"
#include "memory.h"
#include "model.h"
#include "patchview.h"
#include "verbs.h"

enum {
	KEY_NAME = 0x100,
	KEY_PATCH_VERSION,
	KEY_DESCRIPTION,
	KEY_CVE,
	KEY_OBJECT,
	KEY_CFLAG,
	KEY_COMPILER,
	KEY_REPLACE,
	KEY_STACK_ORDER,
	KEY_REQUIRE,
	KEY_KERNEL_MODULE,
	KEY_ORDER,
};

struct build_settings {
	struct upatch_build_options opts;
	struct string_list sources;
	struct string_list cves;
	struct string_list objects;
	struct string_list cflags;
	struct string_list required;
	struct string_list modules;
};

static void build_settings_deinit(struct build_settings *settings)
{
	string_list_deinit(&settings->sources);
	string_list_deinit(&settings->cves);
	string_list_deinit(&settings->objects);
	string_list_deinit(&settings->cflags);
	string_list_deinit(&settings->required);
	string_list_deinit(&settings->modules);
}

static const struct args_option build_options[] = {
	{ 's', "source", "FILE", "a source file of replacements; may be repeated" },
	{ 'o', "output", "FILE", "the patch file to write; default: SOURCE.upatch, here" },
	{ KEY_OBJECT, "object", "NAME=PATH",
	  "the ELF file of each UPATCH_OBJECT() in the sources" },
	{ KEY_NAME, "name", "NAME", "name of the patch; default: as the output file" },
	{ KEY_PATCH_VERSION, "patch-version", "VERSION", "version of the patch" },
	{ KEY_DESCRIPTION, "description", "TEXT", "what it is good for" },
	{ KEY_CVE, "cve", "ID", "a CVE that it fixes; may be repeated" },
	{ KEY_REPLACE, "replace", NULL, "it supersedes all other patches" },
	{ KEY_STACK_ORDER, "stack-order", "strict|any", "may it be reverted under newer ones" },
	{ KEY_REQUIRE, "require", "OBJECT", "no other build of that library may be loaded" },
	{ KEY_KERNEL_MODULE, "kernel-module", "FILE", "a klp module (.ko) for one kernel" },
	{ KEY_ORDER, "order", "WHICH", "kernel-first or userspace-first" },
	{ KEY_CFLAG, "cflag", "FLAG", "a flag for the compiler, such as -I; may be repeated" },
	{ KEY_COMPILER, "compiler", "COMMAND", "the compiler; default: $CC or cc" },
	{},
};

static int take_object(struct cli *cli, const char *value, struct string_list *objects)
{
	const char *equals = strchr(value, '=');

	if (!equals || equals == value || !equals[1])
		return cli_usage(cli, "option '--object': '%s' is not NAME=PATH", value);
	string_list_add(objects, value);
	return 0;
}

static int take_order(struct cli *cli, const char *value, struct upatch_build_options *opts)
{
	opts->userspace_first = strcmp(value, "userspace-first") == 0;
	if (!opts->userspace_first && strcmp(value, "kernel-first") != 0)
		return cli_usage(cli,
				 "option '--order': '%s' is not kernel-first or userspace-first",
				 value);
	return 0;
}

static int take_build(struct cli *cli, int key, const char *value, void *userdata)
{
	struct build_settings *settings = userdata;

	switch (key) {
	case 's':
		string_list_add(&settings->sources, value);
		break;
	case 'o':
		settings->opts.output = value;
		break;
	case KEY_NAME:
		settings->opts.name = value;
		break;
	case KEY_PATCH_VERSION:
		settings->opts.version = value;
		break;
	case KEY_DESCRIPTION:
		settings->opts.description = value;
		break;
	case KEY_CVE:
		string_list_add(&settings->cves, value);
		break;
	case KEY_OBJECT:
		return take_object(cli, value, &settings->objects);
	case KEY_CFLAG:
		string_list_add(&settings->cflags, value);
		break;
	case KEY_COMPILER:
		settings->opts.compiler = value;
		break;
	case KEY_STACK_ORDER:
		settings->opts.strict = strcmp(value, "strict") == 0;
		if (!settings->opts.strict && strcmp(value, "any") != 0)
			return cli_usage(cli, "option '--stack-order': '%s' is not strict or any",
					 value);
		break;
	case KEY_REQUIRE:
		string_list_add(&settings->required, value);
		break;
	case KEY_KERNEL_MODULE:
		string_list_add(&settings->modules, value);
		break;
	case KEY_ORDER:
		return take_order(cli, value, &settings->opts);
	case KEY_REPLACE:
		settings->opts.replace = true;
		break;
	}
	return 0;
}

static const struct args build_args = {
	.synopsis = "--source FILE... --object NAME=PATH... [OPTION]...",
	.summary = "Compile replacements, written with <upatch/livepatch.h>, into a patch file.",
	.options = build_options,
	.take = take_build,
};

/* "dir/fix.c" gives "fix.upatch". */
static char *default_output(const char *source)
{
	const char *slash = strrchr(source, '/');
	const char *name = slash ? slash + 1 : source;
	const char *dot = strrchr(name, '.');
	size_t length = dot && dot != name ? (size_t)(dot - name) : strlen(name);
	char *output = NULL;

	if (asprintf(&output, "%.*s.upatch", (int)length, name) < 0)
		output = NULL;
	return must(output);
}

static void print_build(const struct cli *cli, FILE *out)
{
	fprintf(out, "wrote %s\n\n", model_string(cli->model, "output"));
	patchview_print(cli, out);
}

int verb_build(int argc, char *argv[], void *userdata)
{
	struct cli *cli = userdata;
	_cleanup_(build_settings_deinit) struct build_settings settings = {
		.opts = { .size = sizeof(settings.opts) },
	};
	_cleanup_free_ char *output = NULL;
	int r;

	r = args_parse(cli, argc, argv, &build_args, &settings);
	if (r != ARGS_READY)
		return r;
	r = args_no_operand(cli, argc, argv);
	if (r >= 0 && settings.sources.nr == 0)
		r = cli_usage(cli, "option '--source' is missing");
	if (r < 0)
		return r;
	if (!settings.opts.output)
		settings.opts.output = output = default_output(settings.sources.items[0]);
	settings.opts.sources = settings.sources.items;
	settings.opts.cves = settings.cves.items;
	settings.opts.objects = settings.objects.items;
	settings.opts.cflags = settings.cflags.items;
	settings.opts.required = settings.required.items;
	settings.opts.kernel_modules = settings.modules.items;
	r = upatch_build(cli->ctx, &settings.opts);
	if (r < 0) {
		cli_fail(cli);
		return r;
	}
	model_put_string(cli->model, "output", settings.opts.output);
	/* Read back, so that what is shown is what was written. */
	r = patchview_load(cli, settings.opts.output);
	if (r >= 0)
		cli->render = print_build;
	return r;
}
