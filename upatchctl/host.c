/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host.h"

#include <stdio.h>
#include <string.h>

#include "memory.h"
#include "model.h"
#include "remote.h"
#include "table.h"

/* The whole host: what is desired, what is so, and why not. Made of one object, "host". */

static const struct table_column entry_columns[] = {
	{ "pid", "PID", TABLE_RIGHT },
	{ "comm", "COMM" },
	{ "patch", "PATCH" },
	{ "version", "VERSION" },
	{ "state", "STATE", TABLE_STATE },
	{ "reason", "REASON" },
	{ "because", "BECAUSE" },
	{ "objects", "OBJECTS" },
	{},
};

#define COUNT_COLUMNS                                                                              \
	{ "patched", "PATCHED", TABLE_RIGHT }, { "transition", "TRANSITION", TABLE_RIGHT },        \
		{ "waiting", "WAITING", TABLE_RIGHT }, { "skipped", "SKIPPED", TABLE_RIGHT },      \
		{ "restart", "RESTART", TABLE_RIGHT }, { "reverting", "REVERTING", TABLE_RIGHT },  \
		{ "foreign", "FOREIGN", TABLE_RIGHT }, { "total", "TOTAL", TABLE_RIGHT },          \
	{                                                                                          \
	}

static const struct table_column patch_columns[] = {
	{ "name", "PATCH" },
	{ "enabled", "ENABLED" },
	COUNT_COLUMNS,
};

static const struct table_column cve_columns[] = {
	{ "cve", "CVE" },
	COUNT_COLUMNS,
};

/* --- rows: made for the tables, no part of the model ------------------------------------------- */

/* The thread that holds a transition, else what the error says. */
static void put_because(struct json_object *row, struct json_object *entry)
{
	struct json_object *thread = model_at(entry, "threads", 0);
	struct json_object *error = model_get(entry, "error");
	char text[160];

	if (!thread) {
		model_put_string(row, "because", error ? model_string(error, "message") : NULL);
		return;
	}
	snprintf(text, sizeof(text), "thread %s is in %s, and %zu more",
		 model_string(thread, "tid"),
		 model_get(thread, "function") ? model_string(thread, "function")
					       : "an unknown place",
		 model_length(entry, "threads") - 1);
	model_put_string(row, "because", text);
}

/* Their names, and how they are where they are not as the whole is. */
static void put_objects(struct json_object *row, struct json_object *entry)
{
	struct json_object *names = model_array();

	for (size_t i = 0; i < model_length(entry, "objects"); i++) {
		struct json_object *object = model_at(entry, "objects", i);
		const char *state = model_string(object, "state");
		char text[320];

		if (strcmp(state, model_string(entry, "state")) == 0) {
			model_append(names, json_object_get(model_get(object, "name")));
			continue;
		}
		snprintf(text, sizeof(text), "%s (%s)", model_string(object, "name"), state);
		model_append(names, must(json_object_new_string(text)));
	}
	model_put(row, "objects", names);
}

static void copy(struct json_object *row, struct json_object *from, const char *key)
{
	model_put(row, key, json_object_get(model_get(from, key)));
}

static struct json_object *entry_row(struct json_object *process, struct json_object *entry)
{
	struct json_object *row = model_object();
	struct json_object *error = model_get(entry, "error");

	copy(row, process, "pid");
	copy(row, process, "comm");
	copy(row, entry, "patch");
	copy(row, entry, "version");
	copy(row, entry, "state");
	model_put_string(row, "reason", error ? model_string(error, "reason") : NULL);
	put_because(row, entry);
	put_objects(row, entry);
	return row;
}

static struct json_object *count_row(struct json_object *from, const char *name)
{
	struct json_object *row = model_object();

	copy(row, from, name);
	copy(row, from, "enabled");
	json_object_object_foreach(model_get(from, "counts"), key, value)
		model_put(row, key, json_object_get(value));
	return row;
}

/* --- text ------------------------------------------------------------------------------------ */

static void print_entries(struct json_object *host, FILE *out)
{
	struct json_object *rows = model_array();

	for (size_t i = 0; i < model_length(host, "processes"); i++) {
		struct json_object *process = model_at(host, "processes", i);

		for (size_t n = 0; n < model_length(process, "entries"); n++)
			model_append(rows, entry_row(process, model_at(process, "entries", n)));
	}
	if (json_object_array_length(rows) == 0)
		fputs("no patches\n", out);
	table_print(out, rows, entry_columns);
	json_object_put(rows);
}

static void print_counts(struct json_object *host, const char *array, const char *name,
			 const struct table_column *columns, FILE *out)
{
	struct json_object *rows = model_array();

	for (size_t i = 0; i < model_length(host, array); i++)
		model_append(rows, count_row(model_at(host, array, i), name));
	if (json_object_array_length(rows) > 0)
		fputc('\n', out);
	table_print(out, rows, columns);
	json_object_put(rows);
}

static void print_problems(struct json_object *host, FILE *out)
{
	for (size_t i = 0; i < model_length(host, "problems"); i++) {
		struct json_object *problem = model_at(host, "problems", i);

		fprintf(out, "problem: %s [%s]\n", model_string(problem, "message"),
			model_string(problem, "reason"));
	}
}

static void print_host(const struct cli *cli, FILE *out)
{
	struct json_object *host = model_get(cli->model, "host");

	print_entries(host, out);
	print_counts(host, "patches", "name", patch_columns, out);
	print_counts(host, "cves", "cve", cve_columns, out);
	fprintf(out, "\n%s processes: %s with patches, %s without; %s\n",
		model_string(host, "known"), model_string(host, "matched"),
		model_string(host, "unmatched"),
		json_object_get_boolean(model_get(host, "settled")) ? "nothing is left to do"
								    : "work is being done");
	print_problems(host, out);
}

int host_status(struct cli *cli)
{
	struct remote_call call = { .method = "HostStatus" };
	struct json_object *report = NULL;
	int r;

	r = remote_report(cli, &call, &report, "");
	if (r < 0) {
		remote_fail(cli);
		return r;
	}
	(void)remote_take(cli, report, "host"); /* it is no array: only the errors are taken */
	if (model_get(report, "host")) {
		model_put(cli->model, "host", json_object_get(model_get(report, "host")));
		cli->render = print_host;
	}
	json_object_put(report);
	return 0;
}
