/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernelview.h"

#include "memory.h"
#include "model.h"
#include "table.h"

/* --- model ----------------------------------------------------------------------------------- */

static struct json_object *task_object(const struct upatch_kernel_task *task)
{
	struct json_object *object = model_object();

	model_put_number(object, "pid", (uint64_t)task->pid);
	model_put_number(object, "tid", (uint64_t)task->tid);
	model_put_string(object, "comm", task->comm);
	return object;
}

static struct json_object *object_object(const struct upatch_kernel_object *status)
{
	struct json_object *object = model_object();

	model_put_string(object, "name", status->name);
	if (status->patched < 0)
		model_put(object, "patched", NULL);
	else
		model_put(object, "patched", must(json_object_new_boolean(status->patched)));
	return object;
}

static struct json_object *patch_object(const struct upatch_kernel_patch *status)
{
	struct json_object *patch = model_object();
	struct json_object *objects = model_array();
	struct json_object *blocked = model_array();

	for (size_t i = 0; i < status->nr_objects; i++)
		model_append(objects, object_object(&status->objects[i]));
	for (size_t i = 0; i < status->nr_blocked; i++)
		model_append(blocked, task_object(&status->blocked[i]));
	model_put_string(patch, "name", status->name);
	model_put_string(patch, "state", status->state);
	if (status->blocked)
		model_put_number(patch, "nr_blocked", status->nr_blocked);
	else
		model_put(patch, "nr_blocked", NULL);
	if (status->refcnt < 0)
		model_put(patch, "refcnt", NULL);
	else
		model_put_number(patch, "refcnt", (uint64_t)status->refcnt);
	model_put(patch, "objects", objects);
	model_put(patch, "blocked", blocked);
	return patch;
}

struct json_object *kernelview_object(const struct upatch_kernel_status *status)
{
	struct json_object *kernel = model_object();
	struct json_object *patches = model_array();

	for (size_t i = 0; i < status->nr_patches; i++)
		model_append(patches, patch_object(&status->patches[i]));
	model_put_string(kernel, "release", status->release);
	model_put(kernel, "patches", patches);
	return kernel;
}

/* --- rendering ------------------------------------------------------------------------------- */

static const struct table_column patch_columns[] = {
	{ "name", "PATCH" },
	{ "state", "STATE", TABLE_STATE },
	{ "nr_blocked", "BLOCKED", TABLE_RIGHT },
	{ "refcnt", "REFCNT", TABLE_RIGHT },
	{},
};

static const struct table_column object_columns[] = {
	{ "patch", "PATCH" },
	{ "name", "OBJECT" },
	{ "patched", "PATCHED" },
	{},
};

static const struct table_column task_columns[] = {
	{ "patch", "PATCH" },
	{ "pid", "PID", TABLE_RIGHT },
	{ "tid", "TASK", TABLE_RIGHT },
	{ "comm", "COMM" },
	{},
};

/* A copy of the plain fields, with the patch's name: rows of a table are not part of the model. */
static struct json_object *new_row(struct json_object *object, struct json_object *patch)
{
	struct json_object *row = model_object();

	json_object_object_foreach(object, key, value) model_put(row, key, json_object_get(value));
	if (patch)
		model_put(row, "patch", json_object_get(model_get(patch, "name")));
	return row;
}

void kernelview_add_rows(struct json_object *rows, struct json_object *kernel)
{
	for (size_t i = 0; i < model_length(kernel, "patches"); i++) {
		struct json_object *row = new_row(model_at(kernel, "patches", i), NULL);

		model_put_string(row, "pid", "kernel");
		model_put(row, "comm", json_object_get(model_get(kernel, "release")));
		model_append(rows, row);
	}
}

void kernelview_print_list(const struct cli *cli, FILE *out)
{
	struct json_object *kernel = model_get(cli->model, "kernel");

	fprintf(out, "kernel %s\n", model_string(kernel, "release"));
	if (model_length(kernel, "patches") == 0)
		fputs("no patches\n", out);
	table_print(out, model_get(kernel, "patches"), patch_columns);
}

/* What @key lists in each patch, as one table. */
static void print_parts(FILE *out, struct json_object *kernel, const char *key,
			const struct table_column *columns)
{
	struct json_object *rows = model_array();

	for (size_t i = 0; i < model_length(kernel, "patches"); i++) {
		struct json_object *patch = model_at(kernel, "patches", i);

		for (size_t n = 0; n < model_length(patch, key); n++)
			model_append(rows, new_row(model_at(patch, key, n), patch));
	}
	if (json_object_array_length(rows) > 0)
		fputc('\n', out);
	table_print(out, rows, columns);
	json_object_put(rows);
}

void kernelview_print(const struct cli *cli, FILE *out)
{
	struct json_object *kernel = model_get(cli->model, "kernel");

	kernelview_print_list(cli, out);
	print_parts(out, kernel, "objects", object_columns);
	print_parts(out, kernel, "blocked", task_columns);
}
