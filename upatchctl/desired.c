/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "args.h"
#include "memory.h"
#include "model.h"
#include "remote.h"
#include "table.h"
#include "verbs.h"

/* enable, disable and list: what upatchd keeps patched. */

enum {
	KEY_EXCLUDE = 0x100, /* these follow the ones that narrow, in the same order */
	CONDITIONS_MAX = 256,
};

struct condition {
	const char *key;
	const char *value;
};

struct enable_settings {
	struct condition conditions[CONDITIONS_MAX];
	size_t nr;
};

static const struct args_option enable_options[] = {
	{ 'u', "unit", "UNIT", "only processes of this systemd unit; may be repeated" },
	{ 'e', "exe", "PATH", "only processes that run this file" },
	{ 'n', "name", "GLOB", "only processes of that name, as ps shows it" },
	{ 'U', "user", "USER", "only processes of this user" },
	{ KEY_EXCLUDE, "exclude", "KEY=VALUE", "not those; KEY is unit, exe, name or user" },
	{},
};

static const char *key_of(int key)
{
	switch (key) {
	case 'u':
		return "unit";
	case 'e':
		return "exe";
	case 'n':
		return "name";
	default:
		return "user";
	}
}

/* "unit=x": what stands before the sign says which. */
static int take_exclusion(struct cli *cli, const char *value, struct condition *ret)
{
	static const char *const keys[] = { "unit", "exe", "name", "user" };
	static const char *const excluding[] = { "exclude-unit", "exclude-exe", "exclude-name",
						 "exclude-user" };

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		size_t length = strlen(keys[i]);

		if (strncmp(value, keys[i], length) != 0 || value[length] != '=')
			continue;
		*ret = (struct condition){ excluding[i], value + length + 1 };
		return 0;
	}
	return cli_usage(cli,
			 "option '--exclude': '%s' does not begin with unit=, exe=, name= or "
			 "user=",
			 value);
}

static int take_enable(struct cli *cli, int key, const char *value, void *userdata)
{
	struct enable_settings *settings = userdata;
	struct condition condition = { key_of(key), value };
	int r = 0;

	if (settings->nr == CONDITIONS_MAX)
		return cli_usage(cli, "more than %d conditions", CONDITIONS_MAX);
	if (key == KEY_EXCLUDE)
		r = take_exclusion(cli, value, &condition);
	if (r >= 0)
		settings->conditions[settings->nr++] = condition;
	return r;
}

static const struct args enable_args = {
	.synopsis = "FILE [OPTION]...",
	.summary =
		"Have upatchd apply a patch to every process that maps an object of it, now and in\n"
		"the future, or to those that the options leave.",
	.options = enable_options,
	.take = take_enable,
};

static const struct args_option no_options[] = { {} };

static const struct args disable_args = {
	.synopsis = "NAME [OPTION]...",
	.summary = "Have upatchd revert the patch of that name wherever it is applied.",
	.options = no_options,
};

static const struct args list_args = {
	.synopsis = "[OPTION]...",
	.summary = "List the patches that upatchd keeps applied.",
	.options = no_options,
};

/* --- text ------------------------------------------------------------------------------------ */

static void print_state(const struct cli *cli, FILE *out)
{
	fprintf(out, "%s is %s\n", model_string(cli->model, "patch"),
		model_string(cli->model, "state"));
}

static const struct table_column patch_columns[] = {
	{ "name", "PATCH" },	   { "version", "VERSION" }, { "enabled", "ENABLED" },
	{ "since", "SINCE" },	   { "cves", "CVES" },	     { "condition", "CONDITIONS" },
	{ "source", "ASKED-FOR" }, { "reason", "REASON" },   {},
};

/* "unit=redis.service", "exclude name=x": one string each. */
static struct json_object *condition_strings(struct json_object *patch)
{
	struct json_object *strings = model_array();

	for (size_t i = 0; i < model_length(patch, "conditions"); i++) {
		struct json_object *condition = model_at(patch, "conditions", i);
		char *text;

		if (asprintf(&text, "%s%s=%s",
			     json_object_get_boolean(model_get(condition, "exclude")) ? "exclude "
										      : "",
			     model_string(condition, "key"), model_string(condition, "value")) < 0)
			(void)must(NULL);
		model_append(strings, must(json_object_new_string(text)));
		free(text);
	}
	return strings;
}

static void print_list(const struct cli *cli, FILE *out)
{
	struct json_object *rows = model_array();

	for (size_t i = 0; i < model_length(cli->model, "patches"); i++) {
		struct json_object *patch = model_at(cli->model, "patches", i);
		struct json_object *row = model_object();
		struct json_object *error = model_get(patch, "error");

		json_object_object_foreach(patch, key, value)
			model_put(row, key, json_object_get(value));
		model_put(row, "condition", condition_strings(patch));
		model_put_string(row, "reason", error ? model_string(error, "reason") : NULL);
		model_append(rows, row);
	}
	if (json_object_array_length(rows) == 0)
		fputs("no patches\n", out);
	table_print(out, rows, patch_columns);
	json_object_put(rows);
}

/* --- work ------------------------------------------------------------------------------------ */

/* The report has "patch" and "state" at its top, unless the call was refused. Takes it over. */
static void take_state(struct cli *cli, int r, struct json_object *report)
{
	if (r < 0) {
		remote_fail(cli);
		return;
	}
	json_object_put(
		remote_take(cli, report, "results")); /* errors, if any; there are no rows */
	if (model_get(report, "patch")) {
		model_put(cli->model, "patch", json_object_get(model_get(report, "patch")));
		model_put(cli->model, "state", json_object_get(model_get(report, "state")));
		cli->render = print_state;
	}
	json_object_put(report);
}

struct enable_call {
	const struct enable_settings *settings;
	const char *path;
	int fd;
};

static int fill_enable(sd_bus_message *message, const void *userdata)
{
	const struct enable_call *enable = userdata;
	const struct enable_settings *settings = enable->settings;
	int r;

	r = sd_bus_message_append(message, "hs", enable->fd, enable->path);
	if (r >= 0)
		r = sd_bus_message_open_container(message, 'a', "(ss)");
	for (size_t i = 0; r >= 0 && i < settings->nr; i++)
		r = sd_bus_message_append(message, "(ss)", settings->conditions[i].key,
					  settings->conditions[i].value);
	if (r >= 0)
		r = sd_bus_message_close_container(message);
	return r < 0 ? r : sd_bus_message_append(message, "a{sv}", 0);
}

int verb_enable(int argc, char *argv[], void *userdata)
{
	struct cli *cli = userdata;
	struct enable_settings settings = {};
	struct enable_call enable = { .settings = &settings };
	struct remote_call call = {
		.method = "EnablePatch",
		.fill = fill_enable,
		.userdata = &enable,
	};
	struct json_object *report = NULL;
	int r;

	r = args_parse(cli, argc, argv, &enable_args, &settings);
	if (r != ARGS_READY)
		return r;
	r = args_operand(cli, argc, argv, "the patch file", &enable.path);
	if (r < 0)
		return r;
	enable.fd = remote_open_file(cli, enable.path);
	if (enable.fd < 0)
		return enable.fd;
	r = remote_report(cli, &call, &report, "");
	(void)close(enable.fd); /* it was only read */
	take_state(cli, r, report);
	return r;
}

int verb_disable(int argc, char *argv[], void *userdata)
{
	struct cli *cli = userdata;
	struct remote_call call = { .method = "DisablePatch" };
	struct json_object *report = NULL;
	const char *name;
	int r;

	r = args_parse(cli, argc, argv, &disable_args, NULL);
	if (r != ARGS_READY)
		return r;
	r = args_operand(cli, argc, argv, "the name of the patch", &name);
	if (r < 0)
		return r;
	r = remote_report(cli, &call, &report, "sa{sv}", name, 0);
	take_state(cli, r, report);
	return r;
}

int verb_list(int argc, char *argv[], void *userdata)
{
	struct cli *cli = userdata;
	struct remote_call call = { .method = "ListPatches" };
	struct json_object *report = NULL;
	int r;

	r = args_parse(cli, argc, argv, &list_args, NULL);
	if (r == ARGS_READY)
		r = args_no_operand(cli, argc, argv);
	if (r != ARGS_READY)
		return r;
	r = remote_report(cli, &call, &report, "");
	if (r < 0) {
		remote_fail(cli);
		return r;
	}
	json_object_put(remote_take(cli, report, "results")); /* only errors are taken */
	if (model_get(report, "patches")) {
		model_put(cli->model, "patches", json_object_get(model_get(report, "patches")));
		cli->render = print_list;
	}
	json_object_put(report);
	return 0;
}
