/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "control.h"

#include <fcntl.h>
#include <json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <upatch/bus.h>

#include "bus_session.h"
#include "schema.h"

enum {
	WORDS_MAX = 16,
	TIMEOUT_MS = 2000, /* of work on one process */
};

struct request {
	struct session *session;
	char *words[WORDS_MAX];
	size_t nr;
	char *answer;
	size_t size;
};

/* --- calls ------------------------------------------------------------------------------------- */

static sd_bus_message *new_call(struct session *session, const char *method)
{
	sd_bus_message *call;

	assert_true(sd_bus_message_new_method_call(session_client(session), &call, UPATCH_BUS_NAME,
						   UPATCH_BUS_PATH, UPATCH_BUS_INTERFACE,
						   method) >= 0);
	return call;
}

/* The report; NULL after an error, which is the answer then, or when the daemon has gone. */
static struct json_object *call_for_report(struct request *request, sd_bus_message *call,
					   const char *prefix)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *reply = NULL;
	struct json_object *report = NULL;
	enum upatch_reason reason;
	const char *text;

	if (sd_bus_call(session_client(request->session), call, 0, &error, &reply) >= 0) {
		assert_true(sd_bus_message_read(reply, "s", &text) > 0);
		report = json_tokener_parse(text);
		assert_non_null(report);
	} else {
		reason = upatch_bus_error_reason(error.name ?: "");
		if (reason == UPATCH_E_NONE)
			request->answer = NULL;
		else if (*prefix)
			snprintf(request->answer, request->size, "%s %s %s", prefix,
				 upatch_reason_name(reason), error.message);
		else
			snprintf(request->answer, request->size, "%s", upatch_reason_name(reason));
	}
	sd_bus_error_free(&error);
	sd_bus_message_unref(reply);
	sd_bus_message_unref(call);
	return report;
}

static struct json_object *get(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	if (!json_object_object_get_ex(object, key, &value))
		fail_msg("no '%s' in %s", key, json_object_to_json_string(object));
	return value;
}

static const char *get_string(struct json_object *object, const char *key)
{
	return json_object_get_string(get(object, key));
}

static struct json_object *host_report(struct request *request)
{
	return call_for_report(request, new_call(request->session, "HostStatus"), "refused");
}

/* --- what is desired --------------------------------------------------------------------------- */

static void append_conditions(sd_bus_message *call, char *words[], size_t nr)
{
	assert_true(sd_bus_message_open_container(call, 'a', "(ss)") >= 0);
	for (size_t i = 0; i < nr; i++) {
		char *equals = strchr(words[i], '=');

		assert_non_null(equals);
		*equals = 0;
		assert_true(sd_bus_message_append(call, "(ss)", words[i], equals + 1) >= 0);
	}
	assert_true(sd_bus_message_close_container(call) >= 0);
}

static void append_file(sd_bus_message *call, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_true(sd_bus_message_append(call, "hs", fd, path) >= 0);
	(void)close(fd); /* the message has its own */
}

static sd_bus_message *new_change(struct request *request)
{
	sd_bus_message *call;

	if (strcmp(request->words[0], "reload") == 0)
		return new_call(request->session, "Reload");
	if (strcmp(request->words[0], "disable") == 0) {
		call = new_call(request->session, "DisablePatch");
		assert_true(sd_bus_message_append(call, "sa{sv}", request->words[1], 0) >= 0);
		return call;
	}
	call = new_call(request->session, "EnablePatch");
	append_file(call, request->words[1]);
	append_conditions(call, request->words + 2, request->nr - 2);
	assert_true(sd_bus_message_append(call, "a{sv}", 0) >= 0);
	return call;
}

static void run_change(struct request *request)
{
	struct json_object *report = call_for_report(request, new_change(request), "refused");
	struct json_object *name = NULL;

	if (!report)
		return;
	json_object_object_get_ex(report, "patch", &name);
	snprintf(request->answer, request->size, "ok%s%s", name ? " " : "",
		 name ? json_object_get_string(name) : "");
	json_object_put(report);
}

static void run_enabled(struct request *request)
{
	struct json_object *report =
		call_for_report(request, new_call(request->session, "ListPatches"), "refused");
	struct json_object *patches;
	bool is_enabled = false;

	if (!report)
		return;
	patches = get(report, "patches");
	for (size_t i = 0; i < json_object_array_length(patches); i++) {
		struct json_object *patch = json_object_array_get_idx(patches, i);

		if (strcmp(get_string(patch, "name"), request->words[1]) == 0)
			is_enabled = json_object_get_boolean(get(patch, "enabled"));
	}
	json_object_put(report);
	snprintf(request->answer, request->size, "%d", is_enabled);
}

/* --- one process ------------------------------------------------------------------------------- */

static void run_verb(struct request *request)
{
	static const struct {
		const char *verb;
		const char *method;
		bool has_timeout;
	} verbs[] = {
		{ "apply", "Apply", true },  { "revert", "Revert", true }, { "wait", "Wait", true },
		{ "force", "Force", false }, { "gc", "Gc", false },
	};
	size_t i = 0;
	struct json_object *report;
	sd_bus_message *call;

	while (i < sizeof(verbs) / sizeof(verbs[0]) &&
	       strcmp(verbs[i].verb, request->words[0]) != 0)
		i++;
	assert_true(i < sizeof(verbs) / sizeof(verbs[0]));
	call = new_call(request->session, verbs[i].method);
	assert_true(sd_bus_message_append(call, "u", (uint32_t)atoi(request->words[1])) >= 0);
	if (strcmp(request->words[0], "apply") == 0)
		append_file(call, request->words[2]);
	if (strcmp(request->words[0], "revert") == 0)
		assert_true(sd_bus_message_append(call, "s", request->words[2]) >= 0);
	if (!verbs[i].has_timeout)
		assert_true(sd_bus_message_append(call, "a{sv}", 0) >= 0);
	else
		assert_true(sd_bus_message_append(call, "a{sv}", 1, "timeout-ms", "u",
						  (uint32_t)TIMEOUT_MS) >= 0);
	report = call_for_report(request, call, "");
	if (report)
		snprintf(request->answer, request->size, "done");
	json_object_put(report);
}

/* --- the host ---------------------------------------------------------------------------------- */

static void run_status(struct request *request)
{
	static const char *const numbers[] = { "known", "unmatched", "unread", "settled",
					       "watcher" };
	struct json_object *report = host_report(request);
	struct json_object *host;
	size_t at = 0;

	if (!report)
		return;
	host = get(report, "host");
	at += (size_t)snprintf(request->answer, request->size, "problems %zu",
			       json_object_array_length(get(host, "problems")));
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		at += (size_t)snprintf(request->answer + at, request->size - at, " %s %s",
				       numbers[i], get_string(host, numbers[i]));
	json_object_object_foreach(get(host, "counts"), state, nr)
		at += (size_t)snprintf(request->answer + at, request->size - at, " %s %s", state,
				       json_object_get_string(nr));
	json_object_put(report);
}

static void run_check(struct request *request)
{
	struct json_object *report = host_report(request);

	if (!report)
		return;
	schema_check_host(get(report, "host"));
	json_object_put(report);
	snprintf(request->answer, request->size, "ok");
}

static struct json_object *find(struct json_object *array, const char *key, const char *value)
{
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		struct json_object *item = json_object_array_get_idx(array, i);

		if (strcmp(get_string(item, key), value) == 0)
			return item;
	}
	return NULL;
}

static void print_entry(struct request *request, struct json_object *entry)
{
	struct json_object *error = get(entry, "error");
	struct json_object *thread = json_object_array_get_idx(get(entry, "threads"), 0);
	const char *function = thread ? get_string(thread, "function") : NULL;

	snprintf(request->answer, request->size, "%s %s %s", get_string(entry, "state"),
		 error ? get_string(error, "reason") : "none", function ?: "-");
}

static void print_objects(struct request *request, struct json_object *entry)
{
	struct json_object *objects = get(entry, "objects");
	size_t at = 0;

	for (size_t i = 0; i < json_object_array_length(objects); i++) {
		struct json_object *object = json_object_array_get_idx(objects, i);

		at += (size_t)snprintf(request->answer + at, request->size - at, "%s%s=%s",
				       i ? " " : "", get_string(object, "name"),
				       get_string(object, "state"));
	}
}

static void run_entry(struct request *request)
{
	struct json_object *report = host_report(request);
	struct json_object *process, *entry = NULL;

	if (!report)
		return;
	process = find(get(get(report, "host"), "processes"), "pid", request->words[1]);
	if (process)
		entry = find(get(process, "entries"), "patch", request->words[2]);
	if (!entry)
		snprintf(request->answer, request->size, "none none -");
	else if (strcmp(request->words[0], "entry") == 0)
		print_entry(request, entry);
	else
		print_objects(request, entry);
	json_object_put(report);
}

/* --- questions --------------------------------------------------------------------------------- */

static void split(struct request *request, char *line)
{
	while (request->nr < WORDS_MAX && (request->words[request->nr] = strsep(&line, " ")))
		request->nr++;
	assert_true(request->nr > 0);
}

const char *control_ask(struct session *session, char *line, char *answer, size_t size)
{
	static const struct {
		const char *word;
		void (*run)(struct request *request);
	} questions[] = {
		{ "enable", run_change }, { "disable", run_change },  { "reload", run_change },
		{ "status", run_status }, { "check", run_check },     { "entry", run_entry },
		{ "objects", run_entry }, { "enabled", run_enabled },
	};
	struct request request = { .session = session, .answer = answer, .size = size };

	*answer = 0;
	split(&request, line);
	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++)
		if (strcmp(questions[i].word, request.words[0]) == 0) {
			questions[i].run(&request);
			return request.answer;
		}
	run_verb(&request);
	return request.answer;
}

void control_send(struct session *session, char *line)
{
	struct request request = { .session = session };
	sd_bus_message *call;

	split(&request, line);
	call = new_change(&request);
	assert_true(sd_bus_send(session_client(session), call, NULL) >= 0);
	assert_true(sd_bus_flush(session_client(session)) >= 0);
	sd_bus_message_unref(call);
}

double control_number(struct session *session, const char *name)
{
	char answer[512];
	struct request request = { .session = session, .answer = answer, .size = sizeof(answer) };
	struct json_object *report = host_report(&request);
	struct json_object *value;
	double nr;

	assert_non_null(report);
	value = get(get(report, "host"), name);
	nr = json_object_is_type(value, json_type_array) ? (double)json_object_array_length(value)
							 : json_object_get_double(value);
	json_object_put(report);
	return nr;
}

/* Of patches of the tests: somebody may have applied others by hand. */
static bool is_ours(struct json_object *patch)
{
	static const char *const names[] = { "own", "shared", "hold", "both", "broken" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(get_string(patch, "name"), names[i]) == 0)
			return true;
	return false;
}

/* How many patches, or what their counts of that name come to. */
static long count_ours(struct session *session, const char *name)
{
	char answer[512];
	struct request request = { .session = session, .answer = answer, .size = sizeof(answer) };
	struct json_object *report = host_report(&request);
	struct json_object *patches;
	long nr = 0;

	assert_non_null(report);
	patches = get(get(report, "host"), "patches");
	for (size_t i = 0; i < json_object_array_length(patches); i++) {
		struct json_object *patch = json_object_array_get_idx(patches, i);

		if (is_ours(patch))
			nr += strcmp(name, "patches") == 0
				      ? 1
				      : (long)json_object_get_int64(
						get(get(patch, "counts"), name));
	}
	json_object_put(report);
	return nr;
}

long control_count(struct session *session, const char *name)
{
	static const char *const of_ours[] = { "patches", "total", "foreign" };
	static const char *const of_host[] = { "unread", "problems", "settled" };

	for (size_t i = 0; i < sizeof(of_ours) / sizeof(of_ours[0]); i++)
		if (strcmp(of_ours[i], name) == 0)
			return count_ours(session, name);
	for (size_t i = 0; i < sizeof(of_host) / sizeof(of_host[0]); i++)
		if (strcmp(of_host[i], name) == 0)
			return (long)control_number(session, name);
	return (long)session_count(session, name);
}
