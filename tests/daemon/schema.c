/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "schema.h"

#include <inttypes.h>
#include <json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum {
	NR_COUNTS = 8, /* states and their sum */
};

static const char *const states[] = { "patched", "transition", "waiting", "skipped",
				      "restart", "reverting",  "foreign", NULL };

/* Of objects: those above, and of libraries that are not loaded. */
static const char *const library_states[] = { "refused", "not-needed", "absent", NULL };

static const char *const watchers[] = { "events", "proc-connector", "rescan", NULL };

/* s: string, n: number, b: boolean, a: array, o: object; with ?: or null. */
struct field {
	const char *name;
	const char *type;
};

static const struct field host_fields[] = {
	{ "known", "n" },    { "unmatched", "n" },
	{ "matched", "n" },  { "unread", "n" },
	{ "counts", "o" },   { "patches", "a" },
	{ "cves", "a" },     { "processes", "a" },
	{ "settled", "b" },  { "operations", "n" },
	{ "watcher", "s" },  { "longest_pause_ms", "n" },
	{ "problems", "a" }, {},
};

static const struct field patch_fields[] = {
	{ "name", "s" },    { "version", "s" }, { "cves", "a" },
	{ "enabled", "b" }, { "counts", "o" },	{},
};

static const struct field cve_fields[] = {
	{ "cve", "s" },
	{ "counts", "o" },
	{},
};

static const struct field process_fields[] = {
	{ "pid", "n" }, { "comm", "s" },   { "exe", "s?" },    { "unit", "s?" },
	{ "uid", "n" }, { "counts", "o" }, { "entries", "a" }, {},
};

static const struct field entry_fields[] = {
	{ "patch", "s" },    { "version", "s" },     { "state", "s" },
	{ "error", "o?" },   { "threads", "a" },     { "objects", "a" },
	{ "attempts", "n" }, { "retry_in_ms", "n" }, {},
};

static const struct field thread_fields[] = {
	{ "tid", "n" },
	{ "function", "s?" },
	{ "reason", "s" },
	{},
};

static const struct field object_fields[] = {
	{ "name", "s" },  { "build_id", "s" }, { "mapped", "b" },
	{ "state", "s" }, { "because", "s?" }, {},
};

static const struct field error_fields[] = {
	{ "reason", "s" },
	{ "exit", "n" },
	{ "errno", "s?" },
	{ "pid", "n?" },
	{ "comm", "s?" },
	{ "tid", "n?" },
	{ "patch", "s?" },
	{ "object", "s?" },
	{ "function", "s?" },
	{ "message", "s" },
	{ "detail", "s?" },
	{ "hint", "s?" },
	{},
};

static bool has_type(struct json_object *value, const char *type)
{
	switch (json_object_get_type(value)) {
	case json_type_null:
		return type[1] == '?';
	case json_type_string:
		return *type == 's';
	case json_type_int:
	case json_type_double:
		return *type == 'n';
	case json_type_boolean:
		return *type == 'b';
	case json_type_array:
		return *type == 'a';
	case json_type_object:
		return *type == 'o';
	}
	return false;
}

static void check_fields(struct json_object *object, const struct field *fields)
{
	int nr = 0;

	assert_true(json_object_is_type(object, json_type_object));
	for (; fields[nr].name; nr++) {
		struct json_object *value;

		if (!json_object_object_get_ex(object, fields[nr].name, &value) ||
		    !has_type(value, fields[nr].type))
			fail_msg("no '%s' of type %s in %s", fields[nr].name, fields[nr].type,
				 json_object_to_json_string(object));
	}
	if (json_object_object_length(object) != nr)
		fail_msg("more than is documented: %s", json_object_to_json_string(object));
}

static struct json_object *get(struct json_object *object, const char *key)
{
	return json_object_object_get(object, key);
}

static uint64_t number(struct json_object *object, const char *key)
{
	return json_object_get_uint64(get(object, key));
}

static bool is_one_of(struct json_object *object, const char *key, const char *const *words)
{
	while (*words && strcmp(*words, json_object_get_string(get(object, key))) != 0)
		words++;
	return *words;
}

/* Every state is counted, and the total is their sum; @sums grows by them. */
static void check_counts(struct json_object *object, uint64_t sums[static NR_COUNTS])
{
	struct json_object *counts = get(object, "counts");
	uint64_t sum = 0;
	size_t i = 0;

	assert_int_equal(json_object_object_length(counts), NR_COUNTS);
	for (; states[i]; i++) {
		assert_true(has_type(get(counts, states[i]), "n"));
		sum += number(counts, states[i]);
		sums[i] += number(counts, states[i]);
	}
	assert_int_equal(number(counts, "total"), sum);
	sums[i] += sum;
}

void schema_check_error(struct json_object *error)
{
	check_fields(error, error_fields);
}

static void check_threads(struct json_object *threads)
{
	for (size_t i = 0; i < json_object_array_length(threads); i++)
		check_fields(json_object_array_get_idx(threads, i), thread_fields);
}

static void check_objects(struct json_object *objects)
{
	for (size_t i = 0; i < json_object_array_length(objects); i++) {
		struct json_object *object = json_object_array_get_idx(objects, i);

		check_fields(object, object_fields);
		assert_true(is_one_of(object, "state", states) ||
			    is_one_of(object, "state", library_states));
	}
}

/* What a process's entries are is what its counts say. */
static void check_process(struct json_object *process)
{
	struct json_object *entries = get(process, "entries");
	struct json_object *counts = get(process, "counts");

	check_fields(process, process_fields);
	assert_int_equal(json_object_array_length(entries), number(counts, "total"));
	for (size_t n = 0; states[n]; n++) {
		uint64_t nr = 0;

		for (size_t i = 0; i < json_object_array_length(entries); i++)
			nr += strcmp(json_object_get_string(
					     get(json_object_array_get_idx(entries, i), "state")),
				     states[n]) == 0;
		assert_int_equal(nr, number(counts, states[n]));
	}
	for (size_t i = 0; i < json_object_array_length(entries); i++) {
		struct json_object *entry = json_object_array_get_idx(entries, i);

		check_fields(entry, entry_fields);
		if (get(entry, "error"))
			schema_check_error(get(entry, "error"));
		check_threads(get(entry, "threads"));
		check_objects(get(entry, "objects"));
	}
}

/* Rows with counts; their sum is in @sums. */
static void check_rows(struct json_object *rows, const struct field *fields,
		       uint64_t sums[static NR_COUNTS])
{
	for (size_t i = 0; i < json_object_array_length(rows); i++) {
		check_fields(json_object_array_get_idx(rows, i), fields);
		check_counts(json_object_array_get_idx(rows, i), sums);
	}
}

void schema_check_host(struct json_object *host)
{
	uint64_t of_host[NR_COUNTS] = {}, of_patches[NR_COUNTS] = {};
	uint64_t of_processes[NR_COUNTS] = {}, of_cves[NR_COUNTS] = {};
	struct json_object *processes = get(host, "processes");
	struct json_object *problems = get(host, "problems");

	check_fields(host, host_fields);
	assert_true(is_one_of(host, "watcher", watchers));
	assert_int_equal(number(host, "known"),
			 number(host, "unmatched") + number(host, "matched"));
	assert_true(number(host, "unread") <= number(host, "known"));
	assert_int_equal(json_object_array_length(processes), number(host, "matched"));
	check_counts(host, of_host);
	check_rows(get(host, "patches"), patch_fields, of_patches);
	check_rows(get(host, "cves"), cve_fields, of_cves);
	check_rows(processes, process_fields, of_processes);
	for (size_t i = 0; i < json_object_array_length(processes); i++)
		check_process(json_object_array_get_idx(processes, i));
	for (size_t i = 0; i < json_object_array_length(problems); i++)
		schema_check_error(json_object_array_get_idx(problems, i));
	assert_memory_equal(of_host, of_patches, sizeof(of_host));
	assert_memory_equal(of_host, of_processes, sizeof(of_host));
}
