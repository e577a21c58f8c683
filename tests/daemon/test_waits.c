/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who waits for threads, for long, keeps nobody else from a worker: not even from the only one. */
#include "world.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <upatch/bus.h>

enum {
	NOBODY = 65534,
	LONG_MS = 60000, /* longer than the test takes */
};

static int setup(void **state)
{
	struct world *w = world_new();
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/upatchd.conf", w->session->config);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs("[Daemon]\nWorkers=1\n", f) >= 0);
	assert_int_equal(fclose(f), 0);
	session_start(w->session);
	*state = w;
	return 0;
}

static pid_t spawn_held(struct world *w)
{
	pid_t pid = session_spawn_as(w->session, getenv("HOLDER"), NOBODY);

	world_hold(w, pid);
	return pid;
}

/* As nobody, in a process of its own, which ends with 0 when the patch is applied. */
static pid_t apply_as_nobody(struct world *w, pid_t target)
{
	char address[128], path[PATH_MAX + 16];
	pid_t pid;
	int fd;

	snprintf(path, sizeof(path), "%s/fix.upatch", w->cli->dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	snprintf(address, sizeof(address), "unix:path=%s", w->session->socket);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		sd_bus_error error = SD_BUS_ERROR_NULL;
		sd_bus *bus;

		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (setgid(NOBODY) < 0 || setuid(NOBODY) < 0 || sd_bus_new(&bus) < 0 ||
		    sd_bus_set_address(bus, address) < 0 || sd_bus_negotiate_fds(bus, 1) < 0 ||
		    sd_bus_start(bus) < 0 ||
		    sd_bus_set_method_call_timeout(bus, 2 * LONG_MS * 1000ull) < 0)
			_exit(2);
		if (sd_bus_call_method(bus, UPATCH_BUS_NAME, UPATCH_BUS_PATH, UPATCH_BUS_INTERFACE,
				       "Apply", &error, NULL, "uhsa{sv}", (uint32_t)target, fd,
				       "fix.upatch", 1, "timeout-ms", "u", (uint32_t)LONG_MS) < 0) {
			fprintf(stderr, "# Apply: %s\n", error.message);
			_exit(3);
		}
		_exit(0);
	}
	close(fd);
	return pid;
}

static bool is_in_transition(struct session *session, void *userdata)
{
	struct world *w = ((void **)userdata)[0];
	const pid_t *pid = ((void **)userdata)[1];
	char text[16];

	snprintf(text, sizeof(text), "%d", (int)*pid);
	run(w->cli, "status", "--json", "-p", text);
	return strstr(w->cli->out, "\"enabling\"");
}

static bool is_one_patched(struct session *session, void *userdata)
{
	return session_count(session, "patched") == 1;
}

static void test_long_wait_leaves_the_only_worker_to_others(void **state)
{
	struct world *w = *state;
	pid_t held, free_one, asker;
	char text[16];
	int status;

	world_build(w, "fix");
	held = spawn_held(w);
	free_one = session_spawn(w->session, getenv("HOLDER"));
	asker = apply_as_nobody(w, held);
	session_wait(w->session, is_in_transition, (void *[]){ w, &held }, "apply has begun");

	/* Root's call, and what the manager does by itself, have their turns. */
	snprintf(text, sizeof(text), "%d", (int)free_one);
	by_daemon(w, "wait", "-p", text);
	assert_exit(w->cli, UPATCH_EXIT_DONE);
	by_daemon(w, "enable", "fix.upatch");
	assert_exit(w->cli, UPATCH_EXIT_DONE);
	session_wait(w->session, is_one_patched, NULL, "the manager patches the other process");
	assert_int_equal(waitpid(asker, &status, WNOHANG), 0);

	/* Nobody has meddled with what waits, and it comes to its end. */
	world_release(w, held);
	assert_int_equal(waitpid(asker, &status, 0), asker);
	assert_int_equal(status, 0);
}

/* The time that a caller gives is what it waits, whatever it is cut into. */
static void test_wait_ends_when_its_time_is_over(void **state)
{
	struct world *w = *state;
	pid_t held;
	char text[16];

	world_build(w, "fix");
	held = spawn_held(w);
	snprintf(text, sizeof(text), "%d", (int)held);
	by_daemon(w, "apply", "--wait=1", "-p", text, "fix.upatch");
	assert_exit(w->cli, UPATCH_EXIT_PENDING);
	assert_json_reason(w->cli, "in-function");
	assert_string_equal(json_string_at(w->cli->json, "results.0.patch"), "fix");
	assert_true(json_object_get_double(json_at(w->cli->json, "results.0.wall_ms")) >= 1000);
	world_release(w, held);
	by_daemon(w, "wait", "-p", text);
	assert_exit(w->cli, UPATCH_EXIT_DONE);
}

/* Another tool, which does not ask the daemon, takes the patch back: that is not "done". */
static void test_patch_taken_back_meanwhile_is_told(void **state)
{
	struct world *w = *state;
	pid_t held, asker;
	char text[16];
	int status;

	world_build(w, "fix");
	held = spawn_held(w);
	asker = apply_as_nobody(w, held);
	session_wait(w->session, is_in_transition, (void *[]){ w, &held }, "apply has begun");
	snprintf(text, sizeof(text), "%d", (int)held);
	do {
		/* The daemon traces it most of the time. */
		run(w->cli, "revert", "--json", "-p", text, "fix");
	} while (strcmp(json_string_at(w->cli->json, "results.0.state"), "refused") == 0 &&
		 waitpid(asker, &status, WNOHANG) == 0);
	assert_string_not_equal(json_string_at(w->cli->json, "results.0.state"), "nothing");
	assert_int_equal(waitpid(asker, &status, 0), asker);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 3);
}

int main(void)
{
#define world_test(fn) cmocka_unit_test_setup_teardown(fn, setup, world_teardown)
	const struct CMUnitTest tests[] = {
		world_test(test_long_wait_leaves_the_only_worker_to_others),
		world_test(test_wait_ends_when_its_time_is_over),
		world_test(test_patch_taken_back_meanwhile_is_told),
	};

	return cmocka_run_group_tests_name("waits", tests, NULL, NULL);
}
