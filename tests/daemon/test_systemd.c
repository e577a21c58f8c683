/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What systemd is told about the daemon. The units themselves, and what they promise. */
#include "bus_session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	/* systemd-analyze(1): tenths; what is left is in the unit, with why. */
	EXPOSURE_MAX = 71,
};

static char *read_file(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = NULL;
	size_t size = 0;

	if (!f)
		fail_msg("cannot open %s", path);
	assert_true(getdelim(&text, &size, '\0', f) > 0);
	fclose(f);
	return text;
}

static const char *unit_path(void)
{
	const char *path = getenv("UPATCHD_UNIT");

	if (!path)
		fail_msg("UPATCHD_UNIT is not set: run this through meson");
	return path;
}

/* A copy that runs a program which is there, as the real one is not installed yet. */
static void copy_units(const struct session *session)
{
	char *unit = read_file(unit_path());
	char *line = strstr(unit, "\nExecStart=");
	char path[128], command[512];
	FILE *f;

	assert_non_null(line);
	snprintf(path, sizeof(path), "%s/upatchd.service", session->dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f, "%.*s\nExecStart=%s%s", (int)(line - unit), unit, getenv("UPATCHD"),
		strchr(line + 1, '\n'));
	assert_int_equal(fclose(f), 0);
	snprintf(command, sizeof(command), "cp '%s/systemd/upatchd.socket' '%s'",
		 getenv("UPATCH_SOURCE_ROOT"), session->dir);
	assert_int_equal(system(command), 0);
	free(unit);
}

/* What the command prints; it has to succeed and, where @is_silent, print nothing. */
static void run_analyze(const struct session *session, const char *arguments, bool is_silent)
{
	char command[512], output[4096];
	size_t length;
	int status;
	FILE *f;

	snprintf(command, sizeof(command),
		 "cd '%s' && SYSTEMD_COLORS=0 systemd-analyze --no-pager %s upatchd.service 2>&1",
		 session->dir, arguments);
	f = popen(command, "re");
	assert_non_null(f);
	length = fread(output, 1, sizeof(output) - 1, f);
	output[length] = 0;
	while (fgetc(f) != EOF)
		;
	status = pclose(f);
	if (status != 0 || (is_silent && length > 0))
		fail_msg("systemd-analyze %s: status %d: %s", arguments, WEXITSTATUS(status),
			 output);
}

static void test_units_are_valid(void **state)
{
	struct session *session = *state;

	copy_units(session);
	run_analyze(session, "verify --man=no ./upatchd.socket", true);
}

static void test_sandbox_is_no_weaker_than_documented(void **state)
{
	struct session *session = *state;
	char arguments[64];

	copy_units(session);
	snprintf(arguments, sizeof(arguments), "security --offline=yes --threshold=%d",
		 EXPOSURE_MAX);
	run_analyze(session, arguments, false);
}

/*
 * The kernel lets nobody suspend a target's seccomp filter who has one himself: each of these would
 * make the daemon refuse what upatchctl can do.
 */
static void test_no_option_of_the_unit_works_by_a_seccomp_filter(void **state)
{
	static const char *const filters[] = {
		"SystemCallFilter",	  "SystemCallArchitectures", "RestrictAddressFamilies",
		"RestrictNamespaces",	  "RestrictRealtime",	     "RestrictSUIDSGID",
		"MemoryDenyWriteExecute", "LockPersonality",	     "PrivateDevices",
		"ProtectClock",		  "ProtectHostname",	     "ProtectKernelLogs",
		"ProtectKernelModules",	  "ProtectKernelTunables",   "DynamicUser",
	};
	char *unit = read_file(unit_path());

	for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
		char line[64];

		snprintf(line, sizeof(line), "\n%s=", filters[i]);
		if (strstr(unit, line))
			fail_msg("upatchd.service has %s=", filters[i]);
	}
	free(unit);
}

static void test_daemon_is_ready_pets_the_watchdog_and_says_goodbye(void **state)
{
	struct session *session = *state;

	session_start(session);
	session_wait_notify(session, "WATCHDOG=1");
	session_stop(session);
}

static void test_socket_outlives_the_daemon(void **state)
{
	struct session *session = *state;

	session_start(session);
	(void)session_client(session);
	session_kill(session);
	session_start(session);
	(void)session_client(session);
	session_stop(session);
}

/* At boot the bus comes later than we do, and it may be restarted. */
static void test_bus_may_come_late_and_go(void **state)
{
	struct session *session = *state;

	session_end_bus(session);
	session_start(session);
	session_start_bus(session);
	session_wait_notify(session, "on the system bus");
	session_end_bus(session);
	session_start_bus(session);
	session_wait_notify(session, "on the system bus");
	session_stop(session);
}

int main(void)
{
#define session_test(fn) cmocka_unit_test_setup_teardown(fn, session_setup, session_teardown)
	const struct CMUnitTest tests[] = {
		session_test(test_units_are_valid),
		session_test(test_sandbox_is_no_weaker_than_documented),
		session_test(test_no_option_of_the_unit_works_by_a_seccomp_filter),
		session_test(test_daemon_is_ready_pets_the_watchdog_and_says_goodbye),
		session_test(test_socket_outlives_the_daemon),
		session_test(test_bus_may_come_late_and_go),
	};

	return cmocka_run_group_tests_name("systemd", tests, NULL, NULL);
}
