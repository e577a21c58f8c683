/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "report.h"

#include <string.h>

#include "model.h"

static void print_subject(struct json_object *model, FILE *out)
{
	const char *verb = model_string(model, "verb");

	fprintf(out, "upatchctl: %s%s", verb, *verb ? ": " : "");
}

static void print_process(struct json_object *error, FILE *out)
{
	const char *comm = model_string(error, "comm");

	if (!model_get(error, "pid"))
		return;
	fprintf(out, "process %s", model_string(error, "pid"));
	if (*comm)
		fprintf(out, " (%s)", comm);
	fputs(": ", out);
}

static void print_field(struct json_object *error, const char *key, const char *word, FILE *out)
{
	const char *value = model_string(error, key);

	if (*value)
		fprintf(out, "%s%s: ", word, value);
}

static void print_indented(const char *lines, FILE *out)
{
	while (*lines) {
		int length = (int)strcspn(lines, "\n");

		fprintf(out, "    %.*s\n", length, lines);
		lines += length;
		lines += *lines == '\n';
	}
}

/* Where comes before what: process, object, function, thread, message, reason. */
static void print_error(struct json_object *model, struct json_object *error, FILE *out)
{
	const char *hint = model_string(error, "hint");

	print_subject(model, out);
	print_process(error, out);
	print_field(error, "object", "", out);
	print_field(error, "function", "", out);
	print_field(error, "tid", "thread ", out);
	fprintf(out, "%s [%s]\n", model_string(error, "message"), model_string(error, "reason"));
	print_indented(model_string(error, "detail"), out);
	if (*hint)
		fprintf(out, "hint: %s\n", hint);
}

void report_print(struct json_object *model, FILE *out)
{
	for (size_t i = 0; i < model_length(model, "warnings"); i++) {
		print_subject(model, out);
		fprintf(out, "warning: %s\n",
			json_object_get_string(model_at(model, "warnings", i)));
	}
	for (size_t i = 0; i < model_length(model, "errors"); i++)
		print_error(model, model_at(model, "errors", i), out);
}
