/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The API itself: what malformed calls get, what is signalled, what the monitor shows. */
#include "../cli/fixture.h"
#include "bus_session.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <upatch/bus.h>

/* Call a method; the error's name has to be this, and its text has to have that in it. */
#define assert_refused(session, member, expected, part, ...)                                       \
	do {                                                                                       \
		sd_bus_error _error = SD_BUS_ERROR_NULL;                                           \
		assert_true(sd_bus_call_method(session_client(session), UPATCH_BUS_NAME,           \
					       UPATCH_BUS_PATH, UPATCH_BUS_INTERFACE, member,      \
					       &_error, NULL, __VA_ARGS__) < 0);                   \
		assert_string_equal(_error.name, expected);                                        \
		if (!strstr(_error.message, part))                                                 \
			fail_msg("'%s' is not in '%s'", part, _error.message);                     \
		sd_bus_error_free(&_error);                                                        \
	} while (0)

static void test_malformed_calls_name_the_culprit(void **state)
{
	struct session *session = *state;

	session_start(session);
	assert_refused(session, "Status", SD_BUS_ERROR_INVALID_ARGS, "Status", "s", "one");
	assert_refused(session, "Nonsense", SD_BUS_ERROR_UNKNOWN_METHOD, "Nonsense", NULL);
	assert_refused(session, "Status", "org.upatch.Error.Usage", "0 is no PID", "ua{sv}", 0, 0);
	assert_refused(session, "Status", "org.upatch.Error.Usage", "4294967295 is no PID",
		       "ua{sv}", UINT32_MAX, 0);
	assert_refused(session, "Wait", "org.upatch.Error.Usage", "Wait has no option 'speed'",
		       "ua{sv}", (uint32_t)getpid(), 1, "speed", "u", 3);
	assert_refused(session, "Threads", "org.upatch.Error.Usage", "no option 'no-wait'",
		       "ua{sv}", (uint32_t)getpid(), 1, "no-wait", "b", 1);
	assert_refused(session, "Wait", "org.upatch.Error.Usage",
		       "option 'timeout-ms' has type 's', not 'u'", "ua{sv}", (uint32_t)getpid(), 1,
		       "timeout-ms", "s", "soon");
	assert_refused(session, "Wait", "org.upatch.Error.Usage", "'timeout-ms': 4000000000",
		       "ua{sv}", (uint32_t)getpid(), 1, "timeout-ms", "u", 4000000000u);
	assert_refused(session, "Status", "org.upatch.Error.NoProcess", "process 99999999",
		       "ua{sv}", 99999999, 0);
	assert_refused(session, "DisablePatch", "org.upatch.Error.NotApplied", "'../../etc'",
		       "sa{sv}", "../../etc", 0);
	assert_refused(session, "Wait", "org.upatch.Error.Usage", "'timeout-ms' is given twice",
		       "ua{sv}", (uint32_t)getpid(), 2, "timeout-ms", "u", 1, "timeout-ms", "u", 1);
	session_stop(session);
}

/* Calls are counted, so they must not be large. */
static void test_long_strings_are_refused_before_they_wait_for_anything(void **state)
{
	struct session *session = *state;
	const char *program = getenv("PROGRAM");
	int fd = open(program, O_RDONLY | O_CLOEXEC);
	char text[4096 + 2];

	assert_true(fd >= 0);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	session_start(session);
	assert_refused(session, "Apply", "org.upatch.Error.Usage", "the label has 4097 bytes",
		       "uhsa{sv}", (uint32_t)getpid(), fd, text, 0);
	assert_refused(session, "Check", "org.upatch.Error.Usage", "the label has 4097 bytes",
		       "uhsa{sv}", (uint32_t)getpid(), fd, text, 0);
	assert_refused(session, "Revert", "org.upatch.Error.Usage", "the name has 4097 bytes",
		       "usa{sv}", (uint32_t)getpid(), text, 0);
	assert_refused(session, "DisablePatch", "org.upatch.Error.Usage", "the name has 4097 bytes",
		       "sa{sv}", text, 0);
	assert_refused(session, "EnablePatch", "org.upatch.Error.Usage", "the label has 4097 bytes",
		       "hsa(ss)a{sv}", fd, text, 0, 0);
	assert_refused(session, "EnablePatch", "org.upatch.Error.Usage",
		       "a condition has 4097 bytes", "hsa(ss)a{sv}", fd, program, 1, "name", text,
		       0);
	close(fd);
	session_stop(session);
}

/* What is added to the API one day is an option: none is ignored by a daemon that does not know it. */
static void test_every_verb_refuses_options_that_it_does_not_know(void **state)
{
	static const char *const on_process[] = { "Force", "Gc", "Status", "Threads", "Wait" };
	struct session *session = *state;
	const char *program = getenv("PROGRAM");
	int fd = open(program, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	session_start(session);
	for (size_t i = 0; i < sizeof(on_process) / sizeof(on_process[0]); i++)
		assert_refused(session, on_process[i], "org.upatch.Error.Usage",
			       "no option 'speed'", "ua{sv}", (uint32_t)getpid(), 1, "speed", "u",
			       3);
	assert_refused(session, "Check", "org.upatch.Error.Usage", "no option 'speed'", "uhsa{sv}",
		       (uint32_t)getpid(), fd, program, 1, "speed", "u", 3);
	assert_refused(session, "EnablePatch", "org.upatch.Error.Usage", "no option 'speed'",
		       "hsa(ss)a{sv}", fd, program, 0, 1, "speed", "u", 3);
	assert_refused(session, "DisablePatch", "org.upatch.Error.Usage", "no option 'speed'",
		       "sa{sv}", "x", 1, "speed", "u", 3);
	close(fd);
	session_stop(session);
}

/* --- events ---------------------------------------------------------------------------------- */

struct seen {
	unsigned int patches;
	unsigned int entries;
	unsigned int properties;
};

static int on_signal(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct seen *seen = userdata;

	seen->patches += sd_bus_message_is_signal(message, UPATCH_BUS_INTERFACE, "PatchesChanged") >
			 0;
	seen->entries += sd_bus_message_is_signal(message, UPATCH_BUS_INTERFACE, "EntryChanged") >
			 0;
	seen->properties += sd_bus_message_is_signal(message, "org.freedesktop.DBus.Properties",
						     "PropertiesChanged") > 0;
	return 0;
}

static void build(struct cli *cli)
{
	cli_write(cli, "fix.c",
		  "#include <upatch/livepatch.h>\n"
		  "UPATCH_OBJECT(\"cli-holder\");\n"
		  "static void new_hold(void) { __asm__ volatile(\"\"); }\n"
		  "UPATCH_FUNC(hold, new_hold);\n");
	run(cli, "build", "-s", "fix.c", "--object", getenv("HOLDER_OBJECT"));
	assert_exit(cli, UPATCH_EXIT_DONE);
}

static bool has_seen_all(struct session *session, void *userdata)
{
	const struct seen *seen = userdata;

	return seen->patches > 0 && seen->entries > 0 && seen->properties > 0;
}

static void test_changes_are_signalled_on_the_socket(void **state)
{
	struct session *session = *state;
	struct seen seen = {};
	void *cli;

	cli_setup(&cli);
	session_start(session);
	session_spawn(session, getenv("HOLDER"));
	build(cli);
	assert_true(sd_bus_add_filter(session_client(session), NULL, on_signal, &seen) >= 0);
	run(cli, "enable", "fix.upatch", "--socket", session->socket);
	assert_exit(cli, UPATCH_EXIT_DONE);
	session_wait(session, has_seen_all, &seen, "signals of a patch that is enabled");
	session_stop(session);
	cli_teardown(&cli);
}

static pid_t start_monitor(const struct session *session, int *ret)
{
	int out[2];
	pid_t pid;

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(out[1], 1);
		execl(getenv("UPATCHCTL"), "upatchctl", "monitor", "--json", "--socket",
		      session->socket, NULL);
		_exit(127);
	}
	close(out[1]);
	*ret = out[0];
	return pid;
}

/*
 * One JSON object per line. Until there is one with this event. That all is settled is said once: processes
 * of others come and go all the time, and have to be looked at.
 */
static void await_line(FILE *f, const char *event, const char *keys)
{
	bool was_settled = false;
	struct pollfd pollfd = { .fd = fileno(f), .events = POLLIN };
	char line[1024];

	for (;;) {
		struct json_object *json;
		bool is_it, is_settled;

		assert_int_equal(poll(&pollfd, 1, SESSION_DEADLINE_MS), 1);
		assert_non_null(fgets(line, sizeof(line), f));
		json = json_tokener_parse(line);
		if (!json)
			fail_msg("this is not JSON: %s", line);
		is_it = strcmp(json_string_at(json, "event"), event) == 0;
		is_settled = strcmp(json_string_at(json, "event"), "settled") == 0;
		assert_false(is_settled && was_settled);
		was_settled = is_settled;
		if (is_it)
			assert_keys(json, keys);
		json_object_put(json);
		if (is_it)
			return;
	}
}

static void test_monitor_shows_events_as_they_happen(void **state)
{
	struct session *session = *state;
	int status, out;
	pid_t monitor;
	void *cli;
	FILE *f;

	cli_setup(&cli);
	session_start(session);
	build(cli);
	monitor = start_monitor(session, &out);
	f = fdopen(out, "r");
	assert_non_null(f);
	setvbuf(f, NULL, _IONBF, 0); /* what poll() says is all there is */
	/* Its first line says that it listens. */
	await_line(f, "listening", "event at");
	for (int i = 0; i < 8; i++)
		session_spawn(session, getenv("HOLDER"));
	run(cli, "enable", "fix.upatch", "--socket", session->socket);
	assert_exit(cli, UPATCH_EXIT_DONE);
	await_line(f, "patches", "event at patch");
	await_line(f, "entry", "event at pid comm patch state reason message");
	/* It ends with the daemon, and says so. */
	session_stop(session);
	assert_int_equal(waitpid(monitor, &status, 0), monitor);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), UPATCH_EXIT_REFUSED);
	fclose(f);
	cli_teardown(&cli);
}

int main(void)
{
#define session_test(fn) cmocka_unit_test_setup_teardown(fn, session_setup, session_teardown)
	const struct CMUnitTest tests[] = {
		session_test(test_malformed_calls_name_the_culprit),
		session_test(test_long_strings_are_refused_before_they_wait_for_anything),
		session_test(test_every_verb_refuses_options_that_it_does_not_know),
		session_test(test_changes_are_signalled_on_the_socket),
		session_test(test_monitor_shows_events_as_they_happen),
	};

	return cmocka_run_group_tests_name("bus", tests, NULL, NULL);
}
