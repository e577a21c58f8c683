/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus_report.h"

#include <errno.h>
#include <inttypes.h>
#include <json.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bus_text.h"
#include "cleanup.h"
#include "log.h"
#include "manager.h"
#include "process.h"

/* --- JSON ------------------------------------------------------------------------------------ */

/*
 * Running out of memory ends the daemon, which is started again and rebuilds its view: a report with
 * holes would be a lie.
 */
static struct json_object *must(struct json_object *value)
{
	if (value)
		return value;
	log_line(LOG_CRIT, "bus: out of memory");
	abort();
}

static void put(struct json_object *object, const char *key, struct json_object *value)
{
	if (json_object_object_add(object, key, value) < 0)
		(void)must(NULL); /* it fails for want of memory only */
}

static void put_string(struct json_object *object, const char *key, const char *value)
{
	_cleanup_free_ char *clean = value ? bus_text_clean(value) : NULL;

	put(object, key, clean ? must(json_object_new_string(clean)) : NULL);
}

static void put_lines(struct json_object *object, const char *key, const char *value)
{
	_cleanup_free_ char *clean = value ? bus_text_clean_lines(value) : NULL;

	put(object, key, clean ? must(json_object_new_string(clean)) : NULL);
}

static void put_number(struct json_object *object, const char *key, uint64_t value)
{
	put(object, key, must(json_object_new_uint64(value)));
}

static void put_bool(struct json_object *object, const char *key, int value)
{
	put(object, key, must(json_object_new_boolean(value)));
}

static void put_id(struct json_object *object, const char *key, pid_t id)
{
	if (id > 0)
		put_number(object, key, (uint64_t)id);
	else
		put(object, key, NULL);
}

static struct json_object *put_array(struct json_object *object, const char *key)
{
	struct json_object *array = must(json_object_new_array());

	put(object, key, array);
	return array;
}

static struct json_object *append_object(struct json_object *array)
{
	struct json_object *object = must(json_object_new_object());

	if (json_object_array_add(array, object) < 0)
		(void)must(NULL);
	return object;
}

static void put_ms(struct json_object *object, const char *key, uint64_t ns)
{
	uint64_t us = ns / 1000;
	char ms[32];

	snprintf(ms, sizeof(ms), "%" PRIu64 ".%03u", us / 1000, (unsigned int)(us % 1000));
	put(object, key, must(json_object_new_double_s((double)us / 1e3, ms)));
}

static void put_time(struct json_object *object, const char *key, uint64_t seconds)
{
	time_t when = (time_t)seconds;
	char text[64];
	struct tm tm;

	if (seconds && gmtime_r(&when, &tm) &&
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
		put_string(object, key, text);
	else
		put(object, key, NULL);
}

static char *text_of(struct json_object *report)
{
	const char *text = json_object_to_json_string_ext(report, JSON_C_TO_STRING_NOSLASHESCAPE);

	return text ? strdup(text) : NULL;
}

static void put_strings(struct json_object *object, const char *key, const char *const *items,
			size_t nr)
{
	struct json_object *array = put_array(object, key);

	for (size_t i = 0; i < nr; i++) {
		_cleanup_free_ char *clean = bus_text_clean(items[i]);

		if (json_object_array_add(array,
					  clean ? must(json_object_new_string(clean)) : NULL) < 0)
			(void)must(NULL);
	}
}

/* --- errors ---------------------------------------------------------------------------------- */

static const char *read_comm(pid_t pid, char *buffer, size_t size)
{
	char path[32];
	FILE *f;
	bool has_line;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	f = pid > 0 ? fopen(path, "re") : NULL;
	if (!f)
		return NULL;
	has_line = fgets(buffer, (int)size, f);
	(void)fclose(f); /* it was only read */
	if (!has_line)
		return NULL;
	buffer[strcspn(buffer, "\n")] = 0;
	return buffer;
}

static void fill_error(struct json_object *object, const struct upatch_error *error)
{
	const char *hint = upatch_reason_hint(error->reason);
	char comm[64];

	put_string(object, "reason", upatch_reason_name(error->reason));
	put_number(object, "exit", upatch_reason_exit(error->reason));
	put_string(object, "errno", strerrorname_np(-error->error));
	put_id(object, "pid", error->pid);
	put_string(object, "comm", read_comm(error->pid, comm, sizeof(comm)));
	put_id(object, "tid", error->tid);
	put_string(object, "patch", error->patch);
	put_string(object, "object", error->object);
	put_string(object, "function", error->function);
	put_string(object, "message", error->message ?: "");
	put_lines(object, "detail", error->detail);
	put_string(object, "hint", *hint ? hint : NULL);
}

/* null where there is none. */
static void put_error(struct json_object *object, const char *key, const struct upatch_error *error)
{
	struct json_object *value = error ? must(json_object_new_object()) : NULL;

	if (value)
		fill_error(value, error);
	put(object, key, value);
}

/* --- one target ------------------------------------------------------------------------------ */

static const char *verb_name(enum manager_verb verb)
{
	static const char *const names[MANAGER_VERBS] = {
		[MANAGER_APPLY] = "apply", [MANAGER_REVERT] = "revert",
		[MANAGER_WAIT] = "wait",   [MANAGER_FORCE] = "force",
		[MANAGER_GC] = "gc",	   [MANAGER_THREADS] = "threads",
	};

	return names[verb];
}

static void put_cost(struct json_object *row, const struct upatch_cost *cost)
{
	put_ms(row, "longest_pause_ms", cost->longest_pause);
	put_ms(row, "wall_ms", cost->wall);
	put_number(row, "stops", cost->stops);
	put_number(row, "threads", cost->threads);
}

static void put_forced(struct json_object *row, const struct manager_result *result)
{
	struct json_object *forced = put_array(row, "forced");

	for (size_t i = 0; i < result->nr_threads; i++) {
		const struct status_thread *thread = &result->threads[i];
		struct json_object *object = append_object(forced);
		char comm[64];

		put_number(object, "tid", (uint64_t)thread->tid);
		put_string(object, "comm", read_comm(thread->tid, comm, sizeof(comm)) ?: "");
		put(object, "state", must(json_object_new_int(thread->state)));
		put_string(object, "version", upatch_thread_state_name(thread->state));
		put_string(object, "reason",
			   thread->reason ? upatch_reason_name(thread->reason) : NULL);
		put_string(object, "function", thread->function);
		put_array(object, "frames");
	}
}

/* Those that gc has not unmapped. */
static void put_kept(struct json_object *row, const struct manager_result *result)
{
	struct json_object *patches = put_array(row, "patches");
	const struct process *process = result->process;

	for (size_t i = 0; process && i < process->nr_records; i++) {
		const struct process_record *record = &process->records[i];
		struct json_object *object;

		if (strcmp(record->state, "kept") != 0)
			continue;
		object = append_object(patches);
		put_string(object, "patch", record->name);
		put_string(object, "because", *record->reason ? record->reason : NULL);
	}
}

static void fill_row(struct json_object *row, const struct manager_result *result,
		     enum upatch_exit status)
{
	char comm[64];

	put_number(row, "pid", (uint64_t)result->pid);
	put_string(row, "comm",
		   result->comm && *result->comm ? result->comm
						 : read_comm(result->pid, comm, sizeof(comm)));
	put_number(row, "exit", status);
	put_string(row, "reason", result->error ? upatch_reason_name(result->error->reason) : NULL);
	if (result->verb == MANAGER_GC) {
		put_number(row, "freed", result->gc.freed);
		put_number(row, "kept", result->gc.kept);
		put_kept(row, result);
		return;
	}
	put_string(row, "patch",
		   result->verb != MANAGER_WAIT && result->patch && *result->patch ? result->patch
										   : NULL);
	put_string(row, "state", upatch_outcome_name(result->outcome, status));
	if (result->verb == MANAGER_FORCE)
		put_forced(row, result);
	else
		put_cost(row, &result->cost);
}

struct json_object *bus_report_change(const struct manager_result *result)
{
	enum upatch_exit status = result->error ? upatch_reason_exit(result->error->reason)
						: UPATCH_EXIT_DONE;
	struct json_object *report = must(json_object_new_object());
	struct json_object *errors;

	put_string(report, "verb", verb_name(result->verb));
	put_number(report, "exit", status);
	put_strings(report, "warnings", (const char *const *)result->warnings, result->nr_warnings);
	errors = put_array(report, "errors");
	if (result->error)
		fill_error(append_object(errors), result->error);
	fill_row(append_object(put_array(report, "results")), result, status);
	return report;
}

struct json_object *bus_report_error(const struct upatch_error *error)
{
	struct json_object *report = must(json_object_new_object());

	put(report, "verb", NULL);
	put_number(report, "exit", upatch_reason_exit(error->reason));
	put_array(report, "warnings");
	fill_error(append_object(put_array(report, "errors")), error);
	return report;
}

/* --- what is desired ------------------------------------------------------------------------- */

static void put_rule(struct json_object *row, const struct rule *rule)
{
	struct json_object *conditions = put_array(row, "conditions");

	for (size_t i = 0; rule && i < rule->nr; i++) {
		const struct rule_condition *condition = &rule->conditions[i];
		struct json_object *object = append_object(conditions);

		put_string(object, "key", rule_key_name(condition->key));
		put_string(object, "value", condition->value);
		put_bool(object, "exclude", condition->is_exclusion);
	}
}

static void put_patch(struct json_object *row, const struct manager_patch *patch)
{
	const struct upatch_patch_info *info = patch->info;

	put_string(row, "name", patch->name);
	put_string(row, "version", info ? info->version : NULL);
	put_string(row, "description", info ? info->description : NULL);
	put_strings(row, "cves", info ? info->cves : NULL, info ? info->nr_cves : 0);
	put_bool(row, "enabled", patch->is_enabled);
	put_string(row, "source", patch->source && *patch->source ? patch->source : NULL);
	put_string(row, "file", patch->file);
	put_time(row, "since", patch->since);
	put_rule(row, patch->rule);
	put_error(row, "error", patch->error);
}

static struct json_object *new_report(const char *verb)
{
	struct json_object *report = must(json_object_new_object());

	put_string(report, "verb", verb);
	put_number(report, "exit", UPATCH_EXIT_DONE);
	put_array(report, "warnings");
	put_array(report, "errors");
	return report;
}

char *bus_report_state(const char *patch, const char *state, const char *warning)
{
	struct json_object *report = new_report(NULL);
	char *text;

	if (warning)
		put_strings(report, "warnings", &warning, 1);
	if (patch) {
		put_string(report, "patch", patch);
		put_string(report, "state", state);
	}
	text = text_of(report);
	json_object_put(report);
	return text;
}

char *bus_report_list(struct manager *manager)
{
	struct json_object *report = new_report("list");
	struct json_object *rows = put_array(report, "patches");
	const struct manager_patch *patches;
	size_t nr = manager_list(manager, &patches);
	char *text;

	for (size_t i = 0; i < nr; i++)
		put_patch(append_object(rows), &patches[i]);
	text = text_of(report);
	json_object_put(report);
	return text;
}

/* --- the host -------------------------------------------------------------------------------- */

static void put_counts(struct json_object *object, const struct status_counts *counts)
{
	struct json_object *value = must(json_object_new_object());

	for (int i = 0; i < STATUS_STATES; i++)
		put_number(value, status_state_name((enum status_state)i), counts->by_state[i]);
	put_number(value, "total", counts->total);
	put(object, "counts", value);
}

static void put_threads(struct json_object *row, const struct status_entry *entry)
{
	struct json_object *threads = put_array(row, "threads");

	for (size_t i = 0; i < entry->nr_threads; i++) {
		struct json_object *object = append_object(threads);

		put_number(object, "tid", (uint64_t)entry->threads[i].tid);
		put_string(object, "function", entry->threads[i].function);
		put_string(object, "reason", upatch_reason_name(entry->threads[i].reason));
	}
}

static void put_objects(struct json_object *row, const struct status_entry *entry)
{
	struct json_object *objects = put_array(row, "objects");

	for (size_t i = 0; i < entry->nr_objects; i++) {
		struct json_object *object = append_object(objects);

		put_string(object, "name", entry->objects[i].name);
		put_string(object, "build_id", entry->objects[i].build_id);
		put_bool(object, "mapped", entry->objects[i].is_mapped);
		put_string(object, "state", entry->objects[i].state);
		put_string(object, "because",
			   *entry->objects[i].reason ? entry->objects[i].reason : NULL);
	}
}

static void put_entry(struct json_object *row, const struct status_entry *entry)
{
	put_string(row, "patch", entry->patch);
	put_string(row, "version", entry->version);
	put_string(row, "state", status_state_name(entry->state));
	put_error(row, "error", entry->error);
	put_threads(row, entry);
	put_objects(row, entry);
	put_number(row, "attempts", entry->attempts);
	put_number(row, "retry_in_ms", entry->retry_in_ms);
}

static void put_process(struct json_object *row, const struct status_process *process)
{
	struct json_object *entries;

	put_number(row, "pid", (uint64_t)process->pid);
	put_string(row, "comm", process->comm);
	put_string(row, "exe", *process->exe ? process->exe : NULL);
	put_string(row, "unit", *process->unit ? process->unit : NULL);
	put_number(row, "uid", process->uid);
	put_counts(row, &process->counts);
	entries = put_array(row, "entries");
	for (size_t i = 0; i < process->nr_entries; i++)
		put_entry(append_object(entries), &process->entries[i]);
}

static void put_processes(struct json_object *host, const struct status *status)
{
	struct json_object *rows = put_array(host, "processes");

	for (size_t i = 0; i < status->nr_processes; i++)
		put_process(append_object(rows), &status->processes[i]);
}

static void put_patches(struct json_object *host, const struct status *status)
{
	struct json_object *rows = put_array(host, "patches");

	for (size_t i = 0; i < status->nr_patches; i++) {
		const struct status_patch *patch = &status->patches[i];
		struct json_object *row = append_object(rows);

		put_string(row, "name", patch->name);
		put_string(row, "version", patch->version);
		put_strings(row, "cves", patch->cves, patch->nr_cves);
		put_bool(row, "enabled", patch->is_enabled);
		put_counts(row, &patch->counts);
	}
}

static void put_cves(struct json_object *host, const struct status *status)
{
	struct json_object *rows = put_array(host, "cves");

	for (size_t i = 0; i < status->nr_cves; i++) {
		struct json_object *row = append_object(rows);

		put_string(row, "cve", status->cves[i].cve);
		put_counts(row, &status->cves[i].counts);
	}
}

static struct json_object *host_object(const struct status *status)
{
	struct json_object *host = must(json_object_new_object());
	struct json_object *problems;

	put_number(host, "known", status->nr_known);
	put_number(host, "unmatched", status->nr_unmatched);
	put_number(host, "matched", status->nr_processes);
	put_number(host, "unread", status->nr_pending);
	put_counts(host, &status->counts);
	put_patches(host, status);
	put_cves(host, status);
	put_processes(host, status);
	put_bool(host, "settled", status->is_settled);
	put_string(host, "watcher", status->watcher);
	put_number(host, "operations", status->nr_operations);
	put_ms(host, "longest_pause_ms", status->longest_pause);
	problems = put_array(host, "problems");
	for (size_t i = 0; i < status->nr_problems; i++)
		fill_error(append_object(problems), status->problems[i]);
	return host;
}

int bus_report_host(struct manager *manager, struct failure *f, char **ret)
{
	struct json_object *report;
	struct status *status;
	char *text;
	int r;

	r = manager_status(manager, 0, f, &status);
	if (r < 0)
		return r;
	report = new_report("status");
	put(report, "host", host_object(status));
	put_array(report, "processes");
	text = text_of(report);
	json_object_put(report);
	status_free(status);
	if (!text)
		return failure_oom(f);
	*ret = text;
	return 0;
}
