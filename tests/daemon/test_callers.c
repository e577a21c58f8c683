/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who may do what: root, owners of processes, whom polkit allows, and nobody else. */
#include "bus_session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <upatch/bus.h>

enum {
	NOBODY = 65534,
	IS_DONE = 0, /* exit statuses of what a child of ours asked */
	IS_DENIED = 10,
	IS_OTHER = 11,
};

typedef int (*question_fn)(sd_bus *bus, uint32_t pid, sd_bus_error *error);

static int ask_threads(sd_bus *bus, uint32_t pid, sd_bus_error *error)
{
	return sd_bus_call_method(bus, UPATCH_BUS_NAME, UPATCH_BUS_PATH, UPATCH_BUS_INTERFACE,
				  "Threads", error, NULL, "ua{sv}", pid, 0);
}

static int ask_revert(sd_bus *bus, uint32_t pid, sd_bus_error *error)
{
	return sd_bus_call_method(bus, UPATCH_BUS_NAME, UPATCH_BUS_PATH, UPATCH_BUS_INTERFACE,
				  "Revert", error, NULL, "usa{sv}", pid, "x", 0);
}

static int ask_disable(sd_bus *bus, uint32_t pid, sd_bus_error *error)
{
	return sd_bus_call_method(bus, UPATCH_BUS_NAME, UPATCH_BUS_PATH, UPATCH_BUS_INTERFACE,
				  "DisablePatch", error, NULL, "sa{sv}", "x", 0);
}

static int ask_host_status(sd_bus *bus, uint32_t pid, sd_bus_error *error)
{
	return sd_bus_call_method(bus, UPATCH_BUS_NAME, UPATCH_BUS_PATH, UPATCH_BUS_INTERFACE,
				  "HostStatus", error, NULL, NULL);
}

/* With a file that is none: who may not ask is not told, and the file is not touched. */
static int ask_check(sd_bus *bus, uint32_t pid, sd_bus_error *error)
{
	int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return sd_bus_call_method(bus, UPATCH_BUS_NAME, UPATCH_BUS_PATH, UPATCH_BUS_INTERFACE,
				  "Check", error, NULL, "uhsa{sv}", pid, fd, "x", 0);
}

static int ask(const char *address, int is_bus, question_fn question, uint32_t pid)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus *bus;
	int r;

	if (sd_bus_new(&bus) < 0 || sd_bus_set_address(bus, address) < 0 ||
	    sd_bus_set_bus_client(bus, is_bus) < 0 || sd_bus_start(bus) < 0)
		return IS_OTHER;
	r = question(bus, pid, &error);
	if (r < 0 && strcmp(error.name, "org.upatch.Error.Denied") == 0)
		r = IS_DENIED;
	else if (r < 0 && strcmp(error.name, "org.upatch.Error.NotApplied") == 0)
		r = IS_DONE; /* it was allowed, and there was nothing to do */
	else
		r = r < 0 ? IS_OTHER : IS_DONE;
	if (r == IS_OTHER)
		fprintf(stderr, "# %s: %s\n", error.name, error.message);
	sd_bus_close_unref(bus);
	return r;
}

enum way {
	BY_SOCKET,
	BY_BUS,
};

static int ask_as(struct session *session, uid_t uid, enum way way, question_fn question, pid_t pid)
{
	char address[128];
	pid_t child;
	int status;

	snprintf(address, sizeof(address), "unix:path=%s", session->socket);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		if (uid && (setgid(uid) < 0 || setuid(uid) < 0))
			_exit(IS_OTHER);
		_exit(ask(way == BY_BUS ? session->address : address, way == BY_BUS, question,
			  (uint32_t)pid));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void check_callers(struct session *session, enum way way)
{
	pid_t roots, nobodys;

	session_start_on_bus(session);
	roots = session_spawn(session, getenv("HOLDER"));
	nobodys = session_spawn_as(session, getenv("HOLDER"), NOBODY);

	assert_int_equal(ask_as(session, 0, way, ask_threads, roots), IS_DONE);
	assert_int_equal(ask_as(session, 0, way, ask_threads, nobodys), IS_DONE);
	assert_int_equal(ask_as(session, NOBODY, way, ask_threads, nobodys), IS_DONE);
	assert_int_equal(ask_as(session, NOBODY, way, ask_revert, nobodys), IS_DONE);
	assert_int_equal(ask_as(session, NOBODY, way, ask_threads, roots), IS_DENIED);
	assert_int_equal(ask_as(session, NOBODY, way, ask_revert, roots), IS_DENIED);
	assert_int_equal(ask_as(session, NOBODY, way, ask_check, roots), IS_DENIED);
	assert_int_equal(ask_as(session, NOBODY, way, ask_disable, 0), IS_DENIED);
	assert_int_equal(ask_as(session, NOBODY, way, ask_host_status, 0), IS_DONE);
	assert_int_equal(ask_as(session, 0, way, ask_disable, 0), IS_DONE);
	session_stop(session);
}

static void test_socket_judges_callers_by_their_credentials(void **state)
{
	check_callers(*state, BY_SOCKET);
}

static void test_system_bus_judges_callers_by_their_credentials(void **state)
{
	check_callers(*state, BY_BUS);
}

/* Such as ssh-agent: of the same user, and yet not his to look into. */
static void test_owner_may_not_touch_a_process_that_is_not_dumpable(void **state)
{
	struct session *session = *state;
	int ready[2];
	char byte;
	pid_t pid;

	session_start(session);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (setgid(NOBODY) < 0 || setuid(NOBODY) < 0 ||
		    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
		    prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || write(ready[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			(void)pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(ask_as(session, NOBODY, BY_SOCKET, ask_threads, pid), IS_DENIED);
	assert_int_equal(ask_as(session, 0, BY_SOCKET, ask_threads, pid), IS_DONE);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(ready[0]);
	close(ready[1]);
	session_stop(session);
}

/* The worker looks again: what was the caller's may have become another's since he was judged. */
static void test_worker_judges_the_process_that_it_has(void **state)
{
	struct session *session = *state;
	pid_t pid = session_spawn(session, getenv("HOLDER"));
	char command[512], output[4096];
	size_t length;
	FILE *f;

	snprintf(command, sizeof(command), "UPATCHCTL_TARGET_OWNER=%d '%s' --json threads -p %d",
		 NOBODY, getenv("UPATCHCTL"), (int)pid);
	f = popen(command, "re");
	assert_non_null(f);
	length = fread(output, 1, sizeof(output) - 1, f);
	output[length] = 0;
	assert_int_not_equal(pclose(f), 0);
	assert_non_null(strstr(output, "denied"));
}

/* --- polkit ---------------------------------------------------------------------------------- */

static int on_check(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	const int *is_allowed = userdata;
	const char *kind, *action;
	int r;

	r = sd_bus_message_enter_container(message, 'r', "sa{sv}");
	if (r >= 0)
		r = sd_bus_message_read(message, "s", &kind);
	if (r >= 0)
		r = sd_bus_message_skip(message, "a{sv}");
	if (r >= 0)
		r = sd_bus_message_exit_container(message);
	if (r >= 0)
		r = sd_bus_message_read(message, "s", &action);
	if (r < 0)
		return r;
	return sd_bus_reply_method_return(message, "(bba{ss})",
					  *is_allowed && strcmp(kind, "system-bus-name") == 0 &&
						  strcmp(action, "org.upatch.manage") == 0,
					  0, 0);
}

static const sd_bus_vtable polkit_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("CheckAuthorization", "(sa{sv})sa{ss}us", "(bba{ss})", on_check,
		      SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_VTABLE_END,
};

static pid_t start_polkit(struct session *session, int is_allowed)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		sd_bus *bus;

		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (sd_bus_new(&bus) < 0 || sd_bus_set_address(bus, session->address) < 0 ||
		    sd_bus_set_bus_client(bus, 1) < 0 || sd_bus_start(bus) < 0 ||
		    sd_bus_add_object_vtable(bus, NULL, "/org/freedesktop/PolicyKit1/Authority",
					     "org.freedesktop.PolicyKit1.Authority", polkit_vtable,
					     &is_allowed) < 0 ||
		    sd_bus_request_name(bus, "org.freedesktop.PolicyKit1", 0) < 0 ||
		    write(ready[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			if (sd_bus_process(bus, NULL) == 0)
				(void)sd_bus_wait(bus, UINT64_MAX);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static void test_polkit_is_asked_where_it_is_installed(void **state)
{
	struct session *session = *state;
	pid_t polkit;

	session_start_on_bus(session);
	polkit = start_polkit(session, 1);
	assert_int_equal(ask_as(session, NOBODY, BY_BUS, ask_disable, 0), IS_DONE);
	kill(polkit, SIGKILL);
	waitpid(polkit, NULL, 0);
	polkit = start_polkit(session, 0);
	assert_int_equal(ask_as(session, NOBODY, BY_BUS, ask_disable, 0), IS_DENIED);
	/* It is not asked about processes: these have owners. */
	assert_int_equal(ask_as(session, NOBODY, BY_BUS, ask_threads, getpid()), IS_DENIED);
	kill(polkit, SIGKILL);
	waitpid(polkit, NULL, 0);
	session_stop(session);
}

/* --- files ----------------------------------------------------------------------------------- */

/* A caller who may not read a file must not have root read it for him. */
static void test_patch_must_be_a_file_that_the_caller_can_read(void **state)
{
	struct session *session = *state;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	char path[128];
	int fd;

	session_start(session);
	snprintf(path, sizeof(path), "%s/secret", session->dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_true(sd_bus_call_method(session_client(session), UPATCH_BUS_NAME, UPATCH_BUS_PATH,
				       UPATCH_BUS_INTERFACE, "Check", &error, NULL, "uhsa{sv}",
				       (uint32_t)getpid(), fd, "secret", 0) < 0);
	assert_string_equal(error.name, "org.upatch.Error.Io");
	assert_non_null(strstr(error.message, "not open for reading"));
	sd_bus_error_free(&error);
	close(fd);

	fd = open(session->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_true(sd_bus_call_method(session_client(session), UPATCH_BUS_NAME, UPATCH_BUS_PATH,
				       UPATCH_BUS_INTERFACE, "EnablePatch", &error, NULL,
				       "hsa(ss)a{sv}", fd, "directory", 0, 0) < 0);
	assert_string_equal(error.name, "org.upatch.Error.Io");
	assert_non_null(strstr(error.message, "not a regular file"));
	sd_bus_error_free(&error);
	close(fd);
	session_stop(session);
}

int main(void)
{
#define session_test(fn) cmocka_unit_test_setup_teardown(fn, session_setup, session_teardown)
	const struct CMUnitTest tests[] = {
		session_test(test_socket_judges_callers_by_their_credentials),
		session_test(test_system_bus_judges_callers_by_their_credentials),
		session_test(test_owner_may_not_touch_a_process_that_is_not_dumpable),
		session_test(test_worker_judges_the_process_that_it_has),
		session_test(test_polkit_is_asked_where_it_is_installed),
		session_test(test_patch_must_be_a_file_that_the_caller_can_read),
	};

	return cmocka_run_group_tests_name("callers", tests, NULL, NULL);
}
