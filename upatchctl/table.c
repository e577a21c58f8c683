/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "table.h"

#include <libsmartcols.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "memory.h"
#include "model.h"

/* Elements of an array, with commas between them. */
static char *join(struct json_object *array)
{
	char *text = NULL;
	size_t size;
	FILE *f = must(open_memstream(&text, &size));

	for (size_t i = 0; i < json_object_array_length(array); i++)
		fprintf(f, "%s%s", i ? ", " : "",
			json_object_get_string(json_object_array_get_idx(array, i)));
	if (fclose(f) != 0)
		(void)must(NULL); /* a stream in memory fails for want of it only */
	return text;
}

static char *cell_text(struct json_object *row, const char *key)
{
	struct json_object *value = model_get(row, key);
	_cleanup_free_ char *joined = NULL;
	const char *text;

	if (json_object_is_type(value, json_type_boolean))
		return must(strdup(json_object_get_boolean(value) ? "yes" : "no"));
	if (json_object_is_type(value, json_type_array))
		text = joined = join(value);
	else
		text = model_string(row, key);
	return must(strdup(*text ? text : "-"));
}

static const char *state_colour(const char *state)
{
	static const struct {
		const char *state;
		const char *colour;
	} colours[] = {
		{ "done", "green" },	   { "applicable", "green" }, { "enabled", "green" },
		{ "refused", "red" },	   { "interrupted", "red" },  { "pending", "brown" },
		{ "would-wait", "brown" }, { "enabling", "brown" },   { "disabling", "brown" },
		{ "failed", "red" },
	};

	for (size_t i = 0; i < sizeof(colours) / sizeof(colours[0]); i++)
		if (strcmp(colours[i].state, state) == 0)
			return colours[i].colour;
	return NULL;
}

static struct libscols_table *new_table(FILE *out)
{
	struct libscols_table *table = must(scols_new_table());
	bool has_colour = isatty(fileno(out)) && !getenv("NO_COLOR");

	scols_table_set_stream(table, out);
	/* Strings were cleaned when they were put into the model. */
	scols_table_enable_noencoding(table, 1);
	scols_table_enable_colors(table, has_colour);
	/* Never cut to the terminal's width: a build ID must be whole to be of use. */
	scols_table_set_termforce(table, SCOLS_TERMFORCE_NEVER);
	return table;
}

static void set_cell(struct libscols_line *line, size_t index, char *text)
{
	if (scols_line_refer_data(line, index, text) < 0)
		(void)must(NULL);
}

static void add_row(struct libscols_table *table, struct json_object *row,
		    const struct table_column *columns)
{
	struct libscols_line *line = must(scols_table_new_line(table, NULL));

	for (size_t i = 0; columns[i].key; i++) {
		char *text = cell_text(row, columns[i].key);

		set_cell(line, i, text);
		if (columns[i].flags & TABLE_STATE)
			scols_cell_set_color(scols_line_get_cell(line, i), state_colour(text));
	}
}

void table_print(FILE *out, struct json_object *rows, const struct table_column *columns)
{
	struct libscols_table *table;

	if (json_object_array_length(rows) == 0)
		return;
	table = new_table(out);
	for (size_t i = 0; columns[i].key; i++)
		must(scols_table_new_column(table, columns[i].heading, 0,
					    columns[i].flags & TABLE_RIGHT ? SCOLS_FL_RIGHT : 0));
	for (size_t i = 0; i < json_object_array_length(rows); i++)
		add_row(table, json_object_array_get_idx(rows, i), columns);
	scols_print_table(table);
	scols_unref_table(table);
}

void table_print_fields(FILE *out, struct json_object *object, const struct table_column *columns)
{
	struct libscols_table *table = new_table(out);

	scols_table_enable_noheadings(table, 1);
	must(scols_table_new_column(table, "FIELD", 0, 0));
	must(scols_table_new_column(table, "VALUE", 0, 0));
	for (size_t i = 0; columns[i].key; i++) {
		struct libscols_line *line = must(scols_table_new_line(table, NULL));

		set_cell(line, 0, must(strdup(columns[i].heading)));
		set_cell(line, 1, cell_text(object, columns[i].key));
	}
	scols_print_table(table);
	scols_unref_table(table);
}
