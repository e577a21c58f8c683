/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus_session.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <upatch/bus.h>

static uint64_t now_ms(void)
{
	struct timespec ts;

	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &ts), 0);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static const char *from_environment(const char *name)
{
	const char *value = getenv(name);

	if (!value)
		fail_msg("%s is not set: run this through meson", name);
	return value;
}

/* Wait for input; false when the deadline has passed. */
static bool wait_readable(int fd, uint64_t deadline)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };
	uint64_t now = now_ms();

	return now < deadline && poll(&pollfd, 1, (int)(deadline - now)) > 0;
}

/* --- sockets --------------------------------------------------------------------------------- */

static int make_socket(const char *path, int type)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_true(strlen(path) < sizeof(addr.sun_path));
	strcpy(addr.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(chmod(path, 0666), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, SOMAXCONN), 0);
	return fd;
}

static void path_in(const struct session *session, const char *name, char *buffer, size_t size)
{
	assert_true(snprintf(buffer, size, "%s/%s", session->dir, name) < (int)size);
}

/* --- the bus --------------------------------------------------------------------------------- */

/* As a system bus is: clients are known by their credentials, and may do what the policy says. */
static void write_bus_config(const struct session *session, const char *path)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fprintf(f,
		"<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\""
		" \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n"
		"<busconfig>\n<type>system</type>\n<listen>%s</listen>\n<auth>EXTERNAL</auth>\n"
		"<policy context=\"default\"><allow user=\"*\"/><deny own=\"*\"/>"
		"<deny send_type=\"method_call\"/><allow send_type=\"signal\"/>"
		"<allow send_requested_reply=\"true\" send_type=\"method_return\"/>"
		"<allow send_requested_reply=\"true\" send_type=\"error\"/>"
		"<allow receive_type=\"method_call\"/><allow receive_type=\"method_return\"/>"
		"<allow receive_type=\"error\"/><allow receive_type=\"signal\"/>"
		"<allow send_destination=\"org.freedesktop.DBus\"/></policy>\n"
		"<policy user=\"root\"><allow own=\"org.freedesktop.PolicyKit1\"/>"
		"<allow send_destination=\"org.freedesktop.PolicyKit1\"/></policy>\n"
		"<include>%s/systemd/org.upatch.Manager1.conf</include>\n</busconfig>\n",
		session->address, from_environment("UPATCH_SOURCE_ROOT"));
	assert_int_equal(fclose(f), 0);
}

void session_start_bus(struct session *session)
{
	char config[96], option[128], byte;
	int ready[2];

	path_in(session, "bus.conf", config, sizeof(config));
	write_bus_config(session, config);
	snprintf(option, sizeof(option), "--config-file=%s", config);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	session->bus = fork();
	assert_true(session->bus >= 0);
	if (session->bus == 0) {
		char print[32];

		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		snprintf(print, sizeof(print), "--print-address=%d", dup(ready[1]));
		execlp("dbus-daemon", "dbus-daemon", "--nofork", "--nopidfile", option, print,
		       NULL);
		_exit(127);
	}
	close(ready[1]);
	if (!wait_readable(ready[0], now_ms() + SESSION_DEADLINE_MS) ||
	    read(ready[0], &byte, 1) != 1)
		fail_msg("dbus-daemon does not start: is the package dbus-daemon installed?");
	close(ready[0]);
}

/* --- lifecycle ------------------------------------------------------------------------------- */

static void make_dir(const struct session *session, const char *name, char *buffer, size_t size)
{
	path_in(session, name, buffer, size);
	assert_int_equal(mkdir(buffer, 0755), 0);
}

int session_setup(void **state)
{
	struct session *session = calloc(1, sizeof(*session));
	const char *tmp = getenv("TMPDIR");
	char path[96];

	assert_non_null(session);
	snprintf(session->dir, sizeof(session->dir), "%s/upatchd-XXXXXX",
		 tmp && strlen(tmp) < 40 ? tmp : "/tmp");
	assert_non_null(mkdtemp(session->dir));
	assert_int_equal(chmod(session->dir, 0755), 0);
	make_dir(session, "state", session->state, sizeof(session->state));
	make_dir(session, "config", session->config, sizeof(session->config));
	make_dir(session, "run", path, sizeof(path));
	path_in(session, "log", session->log, sizeof(session->log));
	path_in(session, "run/bus", session->socket, sizeof(session->socket));
	snprintf(session->address, sizeof(session->address), "unix:path=%s/system", session->dir);
	path_in(session, "notify", path, sizeof(path));
	session->listener = make_socket(session->socket, SOCK_STREAM);
	session->notify = make_socket(path, SOCK_DGRAM);
	session_start_bus(session);
	*state = session;
	return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void end_child(pid_t *pid)
{
	if (*pid > 0) {
		(void)kill(*pid, SIGKILL);
		(void)waitpid(*pid, NULL, 0);
	}
	*pid = 0;
}

int session_teardown(void **state)
{
	struct session *session = *state;
	int status = 0;
	bool has_died = session->daemon > 0 &&
			waitpid(session->daemon, &status, WNOHANG) == session->daemon;

	if (has_died)
		session_show_log(session);
	session->client = sd_bus_close_unref(session->client);
	if (!has_died)
		end_child(&session->daemon);
	end_child(&session->bus);
	for (size_t i = 0; i < session->nr_processes; i++)
		end_child(&session->processes[i]);
	close(session->listener);
	close(session->notify);
	assert_int_equal(nftw(session->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
	free(session);
	if (has_died)
		fail_msg("the daemon died by itself, wait status 0x%x", (unsigned int)status);
	return 0;
}

/* --- the daemon ------------------------------------------------------------------------------ */

void session_show_log(const struct session *session)
{
	FILE *f = fopen(session->log, "r");
	char line[512];

	while (f && fgets(line, sizeof(line), f))
		fprintf(stderr, "# %s", line);
	if (f)
		fclose(f);
}

bool session_has_logged(const struct session *session, const char *text)
{
	FILE *f = fopen(session->log, "r");
	bool is_there = false;
	char line[512];

	while (f && fgets(line, sizeof(line), f))
		is_there |= strstr(line, text) != NULL;
	if (f)
		fclose(f);
	return is_there;
}

static void set_number(const char *name, int64_t number)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", (long long)number);
	(void)setenv(name, text, 1);
}

static void exec_daemon(const struct session *session)
{
	int log = open(session->log, O_WRONLY | O_CREAT | O_APPEND, 0644);
	int null = open("/dev/null", O_RDONLY);
	char notify[96], state[128], config[128], run[128];
	sigset_t none;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	snprintf(notify, sizeof(notify), "%s/notify", session->dir);
	snprintf(state, sizeof(state), "--state-root=%s", session->state);
	snprintf(config, sizeof(config), "--config-root=%s", session->config);
	snprintf(run, sizeof(run), "--runtime-root=%s/run", session->dir);
	dup2(null, 0);
	dup2(log, 1);
	dup2(log, 2);
	dup2(session->listener, 3);
	(void)fcntl(3, F_SETFD, 0); /* it may have been there already */
	(void)setenv("NOTIFY_SOCKET", notify, 1);
	(void)setenv("LISTEN_FDS", "1", 1);
	set_number("LISTEN_PID", getpid());
	set_number("WATCHDOG_PID", getpid());
	set_number("WATCHDOG_USEC", SESSION_WATCHDOG_MS * 1000);
	(void)setenv("UPATCHD_BUS", session->address, 1);
	(void)setenv("UPATCHD_LOOKER", getenv("UPATCHCTL") ?: "", 1);
	execl(getenv("UPATCHD"), "upatchd", state, config, run, NULL);
	_exit(127);
}

void session_wait_notify(struct session *session, const char *text)
{
	uint64_t deadline = now_ms() + SESSION_DEADLINE_MS;
	char message[1024];
	ssize_t length;

	while (wait_readable(session->notify, deadline)) {
		length = recv(session->notify, message, sizeof(message) - 1, 0);
		assert_true(length >= 0);
		message[length] = 0;
		if (strstr(message, text))
			return;
	}
	session_show_log(session);
	fail_msg("the daemon has not said %s", text);
}

void session_start(struct session *session)
{
	(void)from_environment("UPATCHD"); /* asked for here, where it can fail the test */
	session->daemon = fork();
	assert_true(session->daemon >= 0);
	if (session->daemon == 0)
		exec_daemon(session);
	session_wait_notify(session, "READY=1");
}

void session_start_on_bus(struct session *session)
{
	session_start(session);
	session_wait_notify(session, "on the system bus");
}

void session_end_bus(struct session *session)
{
	char path[96];

	end_child(&session->bus);
	path_in(session, "system", path, sizeof(path));
	assert_int_equal(unlink(path), 0);
}

void session_kill(struct session *session)
{
	session->client = sd_bus_close_unref(session->client);
	assert_int_equal(kill(session->daemon, SIGKILL), 0);
	assert_int_equal(waitpid(session->daemon, NULL, 0), session->daemon);
	session->daemon = 0;
}

void session_stop(struct session *session)
{
	int status;

	session->client = sd_bus_close_unref(session->client);
	assert_int_equal(kill(session->daemon, SIGTERM), 0);
	session_wait_notify(session, "STOPPING=1");
	assert_int_equal(waitpid(session->daemon, &status, 0), session->daemon);
	session->daemon = 0;
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* --- processes ------------------------------------------------------------------------------- */

pid_t session_spawn_as(struct session *session, const char *program, uid_t uid)
{
	int ready[2], input[2];
	/* By descriptor, as the user may have no right to the folder that it is in. */
	int fd = open(program, O_PATH | O_CLOEXEC);
	char byte;
	pid_t pid;

	assert_true(fd >= 0);
	assert_true(session->nr_processes < SESSION_PROCESSES_MAX);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(pipe2(input, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(input[0], 0);
		/* Its standard input stays open and silent as long as it lives. */
		(void)fcntl(input[1], F_SETFD, 0);
		dup2(ready[1], 1);
		if (uid && (setgid(uid) < 0 || setuid(uid) < 0))
			_exit(126);
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (!uid)
			execl(program, program, NULL);
		(void)fexecve(fd, (char *[]){ (char *)program, NULL }, environ);
		_exit(127);
	}
	close(fd);
	close(input[0]);
	close(input[1]);
	close(ready[1]);
	session->processes[session->nr_processes++] = pid;
	if (!wait_readable(ready[0], now_ms() + SESSION_DEADLINE_MS) ||
	    read(ready[0], &byte, 1) != 1)
		fail_msg("%s does not start", program);
	close(ready[0]);
	return pid;
}

pid_t session_spawn(struct session *session, const char *program)
{
	return session_spawn_as(session, program, 0);
}

void session_end_process(struct session *session, pid_t pid)
{
	for (size_t i = 0; i < session->nr_processes; i++) {
		if (session->processes[i] != pid)
			continue;
		end_child(&session->processes[i]);
		session->processes[i] = session->processes[--session->nr_processes];
		return;
	}
	fail_msg("process %d is none of this session", (int)pid);
}

/* --- events ---------------------------------------------------------------------------------- */

/* systemd reads what it is told; when nobody does, telling it blocks. */
static void drain_notify(struct session *session)
{
	char message[1024];

	while (recv(session->notify, message, sizeof(message), MSG_DONTWAIT) >= 0)
		;
}

sd_bus *session_client(struct session *session)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	char address[128];

	drain_notify(session);
	if (session->client)
		return session->client;
	snprintf(address, sizeof(address), "unix:path=%s", session->socket);
	assert_true(sd_bus_new(&session->client) >= 0);
	assert_true(sd_bus_set_address(session->client, address) >= 0);
	assert_true(sd_bus_negotiate_fds(session->client, 1) >= 0);
	assert_true(sd_bus_start(session->client) >= 0);
	if (sd_bus_call_method(session->client, UPATCH_BUS_NAME, UPATCH_BUS_PATH,
			       UPATCH_BUS_INTERFACE, "Subscribe", &error, NULL, NULL) < 0)
		fail_msg("cannot subscribe: %s", error.message);
	return session->client;
}

void session_wait(struct session *session, session_condition_fn holds, void *userdata,
		  const char *what)
{
	sd_bus *client = session_client(session);
	uint64_t deadline = now_ms() + SESSION_DEADLINE_MS;
	int r;

	while (!holds(session, userdata)) {
		while ((r = sd_bus_process(client, NULL)) > 0)
			;
		assert_true(r >= 0);
		if (holds(session, userdata))
			return;
		if (now_ms() >= deadline) {
			session_show_log(session);
			fail_msg("waited in vain: %s", what);
		}
		/* Properties may lag behind a signal by the time that the daemon gathers them. */
		assert_true(sd_bus_wait(client, 200 * 1000) >= 0);
	}
}

static bool is_settled(struct session *session, void *userdata)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	int value = 0;

	if (sd_bus_get_property_trivial(session_client(session), UPATCH_BUS_NAME, UPATCH_BUS_PATH,
					UPATCH_BUS_INTERFACE, "Settled", &error, 'b', &value) < 0)
		fail_msg("cannot read Settled: %s", error.message);
	return value;
}

void session_wait_settled(struct session *session)
{
	session_wait(session, is_settled, NULL, "the daemon has nothing left to do");
}

uint32_t session_count(struct session *session, const char *state)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *reply = NULL;
	const char *name;
	uint32_t number;
	int r;

	if (sd_bus_get_property(session_client(session), UPATCH_BUS_NAME, UPATCH_BUS_PATH,
				UPATCH_BUS_INTERFACE, "Counts", &error, &reply, "a{su}") < 0) {
		session_show_log(session);
		fail_msg("cannot read Counts: %s", error.message);
	}
	assert_true(sd_bus_message_enter_container(reply, 'a', "{su}") > 0);
	while ((r = sd_bus_message_read(reply, "{su}", &name, &number)) > 0) {
		if (strcmp(name, state) != 0)
			continue;
		sd_bus_message_unref(reply);
		return number;
	}
	fail_msg("there is no count of '%s'", state);
	return 0;
}
