/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The same words, whoever is asked: upatchctl itself, upatchctl through upatchd, and busctl. */
#include "schema.h"
#include "world.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <upatch/bus.h>

static int setup(void **state)
{
	struct world *w = world_new();

	session_start_on_bus(w->session);
	w->pid = session_spawn(w->session, getenv("HOLDER"));
	snprintf(w->pid_text, sizeof(w->pid_text), "%d", (int)w->pid);
	*state = w;
	return 0;
}

/* Without the fields that tell of one run only. */
static struct json_object *copy_of(struct json_object *json)
{
	static const char *const varying[] = { "longest_pause_ms", "wall_ms", "stops", "threads" };
	struct json_object *copy = NULL;
	struct json_object *results;

	assert_int_equal(json_object_deep_copy(json, &copy, NULL), 0);
	results = json_object_object_get(copy, "results");
	for (size_t i = 0; results && i < sizeof(varying) / sizeof(varying[0]); i++)
		json_object_object_del(json_object_array_get_idx(results, 0), varying[i]);
	return copy;
}

/* Takes over both. */
static void assert_json_equal(struct json_object *a, struct json_object *b)
{
	if (!json_object_equal(a, b))
		fail_msg("not the same: %s and %s", json_object_to_json_string(a),
			 json_object_to_json_string(b));
	json_object_put(a);
	json_object_put(b);
}

/* What upatchctl says by itself is what it says when the daemon was asked. */
#define assert_agree(w, expected, ...)                                                             \
	do {                                                                                       \
		struct json_object *_direct;                                                       \
		run((w)->cli, __VA_ARGS__, "--json");                                              \
		assert_json_reason((w)->cli, (expected));                                          \
		_direct = copy_of((w)->cli->json);                                                 \
		by_daemon(w, __VA_ARGS__);                                                         \
		assert_json_reason((w)->cli, (expected));                                          \
		assert_json_equal(_direct, copy_of((w)->cli->json));                               \
	} while (0)

/* --- names ----------------------------------------------------------------------------------- */

static void test_each_reason_has_an_error_name_of_its_own(void **state)
{
	for (int i = UPATCH_E_NONE + 1; i < (int)UPATCH_E_COUNT; i++) {
		sd_bus_error error = SD_BUS_ERROR_NULL;
		char name[UPATCH_BUS_ERROR_MAX];

		upatch_bus_error_name((enum upatch_reason)i, name);
		assert_int_equal(upatch_bus_error_reason(name), i);
		/* -EINVAL is what sd-bus has for names that are none. */
		(void)sd_bus_error_set(&error, name, "text");
		assert_string_equal(error.name, name);
		sd_bus_error_free(&error);
	}
	assert_int_equal(upatch_bus_error_reason("org.freedesktop.DBus.Error.Failed"),
			 UPATCH_E_NONE);
}

/* --- refusals -------------------------------------------------------------------------------- */

static void test_refusals_are_the_same_directly_and_by_the_daemon(void **state)
{
	struct world *w = *state;

	world_build(w, "fix");
	assert_agree(w, "no-process", "revert", "-p", NO_SUCH_PID, "fix");
	assert_agree(w, "no-process", "status", "-p", NO_SUCH_PID);
	assert_agree(w, "no-process", "threads", "-p", NO_SUCH_PID);
	assert_agree(w, "no-process", "check", "-p", NO_SUCH_PID, "fix.upatch");
	assert_agree(w, "not-applied", "revert", "-p", w->pid_text, "fix");
	assert_agree(w, "no-transition", "force", "--yes", "-p", w->pid_text);
	run(w->cli, "apply", "-p", w->pid_text, "fix.upatch");
	assert_exit(w->cli, UPATCH_EXIT_DONE);
	assert_agree(w, "exists", "apply", "-p", w->pid_text, "fix.upatch");
}

/* The error's name, its text and its report name the same reason. */
static void test_error_on_the_bus_has_name_text_and_report(void **state)
{
	struct world *w = *state;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	char *text;

	assert_true(sd_bus_call_method(session_client(w->session), UPATCH_BUS_NAME, UPATCH_BUS_PATH,
				       UPATCH_BUS_INTERFACE, "Revert", &error, NULL, "usa{sv}",
				       (uint32_t)w->pid, "fix", 0) < 0);
	assert_string_equal(error.name, "org.upatch.Error.NotApplied");
	by_daemon(w, "revert", "-p", w->pid_text, "fix");
	assert_json_reason(w->cli, "not-applied");
	assert_true(asprintf(&text, "process %s (cli-holder): %s [not-applied]", w->pid_text,
			     json_string_at(w->cli->json, "errors.0.message")) > 0);
	assert_string_equal(error.message, text);
	free(text);
	sd_bus_error_free(&error);
}

static void test_without_a_daemon_the_socket_is_named(void **state)
{
	struct world *w = *state;

	run(w->cli, "list", "--json", "--socket", "nowhere");
	assert_json_reason(w->cli, "no-daemon");
	assert_contains(json_string_at(w->cli->json, "errors.0.message"), "nowhere");
}

/* As a user who may do little: what does upatchctl print? */
static struct json_object *ask_as_nobody(struct world *w, const char *arguments)
{
	struct json_object *json;
	char command[512];
	char *text = NULL;
	size_t size = 0;
	FILE *f;

	snprintf(command, sizeof(command),
		 "UPATCH_SOCKET='%s' setpriv --reuid=65534 --regid=65534 --clear-groups '%s' "
		 "--json %s",
		 w->session->socket, getenv("UPATCHCTL"), arguments);
	f = popen(command, "re");
	assert_non_null(f);
	assert_true(getdelim(&text, &size, '\0', f) > 0);
	(void)pclose(f); /* its exit status is in the report, too */
	json = json_tokener_parse(text);
	if (!json)
		fail_msg("this is not JSON: %s", text);
	free(text);
	return json;
}

/* The kernel says no, the daemon is asked, and has a reason of its own; without it: permission. */
static void test_daemon_is_asked_where_rights_are_missing(void **state)
{
	struct world *w = *state;
	struct json_object *json;
	char arguments[64];

	snprintf(arguments, sizeof(arguments), "threads -p %s", w->pid_text);
	json = ask_as_nobody(w, arguments);
	assert_string_equal(json_string_at(json, "errors.0.reason"), "denied");
	assert_int_equal(json_object_get_int(json_at(json, "exit")), UPATCH_EXIT_REFUSED);
	json_object_put(json);
	json = ask_as_nobody(w, "status");
	assert_true(json_object_get_int(json_at(json, "host.known")) > 0);
	json_object_put(json);

	session_stop(w->session);
	(void)unlink(w->session->socket); /* systemd would listen on */
	json = ask_as_nobody(w, arguments);
	assert_string_equal(json_string_at(json, "errors.0.reason"), "permission");
	json_object_put(json);
}

/* --- status ---------------------------------------------------------------------------------- */

/* busctl --json=short prints {"type":"s","data":["..."]}. */
static struct json_object *ask_busctl(struct world *w)
{
	char command[512];
	struct json_object *answer, *report;
	char *text = NULL;
	size_t size = 0;
	FILE *f;

	snprintf(command, sizeof(command),
		 "DBUS_SYSTEM_BUS_ADDRESS='%s' busctl --system --json=short call " UPATCH_BUS_NAME
		 " " UPATCH_BUS_PATH " " UPATCH_BUS_INTERFACE " Status 'ua{sv}' %s 0",
		 w->session->address, w->pid_text);
	f = popen(command, "re");
	assert_non_null(f);
	assert_true(getdelim(&text, &size, '\0', f) > 0);
	assert_int_equal(pclose(f), 0);
	answer = json_tokener_parse(text);
	assert_non_null(answer);
	report = json_tokener_parse(json_string_at(answer, "data.0"));
	assert_non_null(report);
	json_object_put(answer);
	free(text);
	return report;
}

static void test_status_is_the_same_three_ways(void **state)
{
	struct world *w = *state;
	struct json_object *direct, *again;

	world_build(w, "fix");
	by_daemon(w, "apply", "-p", w->pid_text, "fix.upatch");
	assert_exit(w->cli, UPATCH_EXIT_DONE);
	assert_string_equal(json_string_at(w->cli->json, "results.0.state"), "done");

	run(w->cli, "status", "--json", "-p", w->pid_text);
	assert_exit(w->cli, UPATCH_EXIT_DONE);
	assert_string_equal(json_string_at(w->cli->json, "processes.0.patches.0.name"), "fix");
	direct = copy_of(w->cli->json);
	again = json_object_get(direct);
	by_daemon(w, "status", "-p", w->pid_text);
	assert_exit(w->cli, UPATCH_EXIT_DONE);
	assert_json_equal(direct, copy_of(w->cli->json));
	assert_json_equal(again, ask_busctl(w));
}

/* --- the host -------------------------------------------------------------------------------- */

static uint64_t number_at(struct json_object *json, const char *path)
{
	return json_object_get_uint64(json_at(json, path));
}

static bool is_patched(struct session *session, void *userdata)
{
	const uint32_t *nr = userdata;

	return session_count(session, "patched") == *nr && session_count(session, "total") == *nr;
}

static void test_enabled_patch_reaches_all_and_the_counts_add_up(void **state)
{
	struct world *w = *state;
	uint32_t nr = 3;

	world_build(w, "fix");
	session_spawn(w->session, getenv("HOLDER"));
	by_daemon(w, "enable", "fix.upatch");
	assert_exit(w->cli, UPATCH_EXIT_DONE);
	assert_string_equal(json_string_at(w->cli->json, "patch"), "fix");
	assert_string_equal(json_string_at(w->cli->json, "state"), "enabled");
	session_spawn(w->session, getenv("HOLDER"));
	session_wait(w->session, is_patched, &nr, "three processes are patched");

	by_daemon(w, "status");
	assert_exit(w->cli, UPATCH_EXIT_DONE);
	assert_keys(w->cli->json, "verb exit warnings errors processes host");
	schema_check_host(json_at(w->cli->json, "host"));
	assert_int_equal(number_at(w->cli->json, "host.counts.patched"), 3);
	assert_string_equal(json_string_at(w->cli->json, "host.cves.0.cve"), "CVE-2026-1234");
	assert_int_equal(number_at(w->cli->json, "host.cves.0.counts.patched"), 3);
	run(w->cli, "status", "--socket", w->session->socket);
	assert_contains(w->cli->out, "CVE-2026-1234");
	assert_contains(w->cli->out, "cli-holder");

	by_daemon(w, "list");
	assert_keys(json_at(w->cli->json, "patches.0"),
		    "name version description cves enabled source file since conditions error");
	assert_string_equal(json_string_at(w->cli->json, "patches.0.name"), "fix");

	by_daemon(w, "disable", "fix");
	assert_exit(w->cli, UPATCH_EXIT_DONE);
	nr = 0;
	session_wait(w->session, is_patched, &nr, "nobody is patched");
	run(w->cli, "status", "--json");
	assert_int_equal(json_object_array_length(json_at(w->cli->json, "processes")), 0);
	by_daemon(w, "disable", "fix");
	assert_json_reason(w->cli, "not-applied");
}

static void test_conditions_narrow_and_bad_ones_are_named(void **state)
{
	struct world *w = *state;

	world_build(w, "fix");
	by_daemon(w, "enable", "fix.upatch", "--name", "no-such-name", "--exclude", "user=root");
	assert_exit(w->cli, UPATCH_EXIT_DONE);
	session_wait_settled(w->session);
	assert_int_equal(session_count(w->session, "patched"), 0);
	by_daemon(w, "list");
	assert_string_equal(json_string_at(w->cli->json, "patches.0.conditions.0.key"), "name");
	assert_string_equal(json_string_at(w->cli->json, "patches.0.conditions.1.key"), "user");
	by_daemon(w, "enable", "fix.upatch", "--user", "no such user");
	assert_json_reason(w->cli, "usage");
	assert_contains(json_string_at(w->cli->json, "errors.0.message"), "no such user");
	by_daemon(w, "enable", "fix.upatch", "--exclude", "nonsense");
	assert_json_reason(w->cli, "usage");
	by_daemon(w, "enable", "fix.c");
	assert_exit(w->cli, UPATCH_EXIT_REFUSED);
	assert_json_reason(w->cli, "not-elf");
}

int main(void)
{
#define world_test(fn) cmocka_unit_test_setup_teardown(fn, setup, world_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_reason_has_an_error_name_of_its_own),
		world_test(test_refusals_are_the_same_directly_and_by_the_daemon),
		world_test(test_error_on_the_bus_has_name_text_and_report),
		world_test(test_without_a_daemon_the_socket_is_named),
		world_test(test_daemon_is_asked_where_rights_are_missing),
		world_test(test_status_is_the_same_three_ways),
		world_test(test_enabled_patch_reaches_all_and_the_counts_add_up),
		world_test(test_conditions_narrow_and_bad_ones_are_named),
	};

	return cmocka_run_group_tests_name("agree", tests, NULL, NULL);
}
