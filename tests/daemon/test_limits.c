/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Clients that ask too much, read nothing, or speak nonsense: nobody else notices. */
#include "bus_session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <upatch/bus.h>

enum {
	NOBODY = 65534,
	CALLS_OF_CLIENT = 16, /* as daemon/bus.h says, and org.upatch.Manager1(5) */
	CALLS_OF_USER = 128,
	LINKS_OF_USER = 64,
	LINKS = 256,
};

static int connect_raw(const struct session *session)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	strcpy(addr.sun_path, session->socket);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static sd_bus *connect_client(const struct session *session)
{
	sd_bus *bus;
	char address[128];

	snprintf(address, sizeof(address), "unix:path=%s", session->socket);
	assert_true(sd_bus_new(&bus) >= 0);
	assert_true(sd_bus_set_address(bus, address) >= 0);
	assert_true(sd_bus_negotiate_fds(bus, 1) >= 0);
	assert_true(sd_bus_start(bus) >= 0);
	return bus;
}

/* Somebody else's call is answered, soon. */
static void assert_served(struct session *session)
{
	sd_bus *other = connect_client(session);
	sd_bus_error error = SD_BUS_ERROR_NULL;
	char *version = NULL;

	assert_true(sd_bus_set_method_call_timeout(other, 5 * 1000 * 1000) >= 0);
	if (sd_bus_get_property_string(other, UPATCH_BUS_NAME, UPATCH_BUS_PATH,
				       UPATCH_BUS_INTERFACE, "Version", &error, &version) < 0)
		fail_msg("others are not served: %s", error.message);
	free(version);
	sd_bus_close_unref(other);
}

/* Say who we are, as D-Bus wants it, and wait until that is settled. */
static void authenticate(int fd)
{
	static const char hello[] = "\0AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\n";
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };
	char answer[512] = "";
	size_t length = 0;

	assert_true(write(fd, hello, sizeof(hello) - 1) > 0);
	while (!strstr(answer, "AGREE_UNIX_FD")) {
		ssize_t r;

		assert_int_equal(poll(&pollfd, 1, SESSION_DEADLINE_MS), 1);
		r = recv(fd, answer + length, sizeof(answer) - 1 - length, 0);
		assert_true(r > 0);
		length += (size_t)r;
		answer[length] = 0;
	}
	assert_true(write(fd, "BEGIN\r\n", 7) == 7);
}

/* The other side hangs up, and says nothing any more. */
static void assert_hung_up(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };
	char buffer[4096];
	ssize_t length;

	do {
		assert_int_equal(poll(&pollfd, 1, SESSION_DEADLINE_MS), 1);
		length = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
	} while (length > 0);
	assert_true(length == 0 || errno == ECONNRESET);
}

static void assert_logged(const struct session *session, const char *text)
{
	FILE *f = fopen(session->log, "r");
	char line[1024];
	bool is_found = false;

	assert_non_null(f);
	while (!is_found && fgets(line, sizeof(line), f))
		is_found = strstr(line, text);
	fclose(f);
	if (!is_found) {
		session_show_log(session);
		fail_msg("the log does not say '%s'", text);
	}
}

/* --- nonsense -------------------------------------------------------------------------------- */

static void test_garbage_ends_its_own_connection_only(void **state)
{
	static const char garbage[] = "\0GET / HTTP/1.1\r\nHost: x\r\n\r\n";
	struct session *session = *state;
	int fd;

	session_start(session);
	fd = connect_raw(session);
	assert_true(write(fd, garbage, sizeof(garbage)) > 0);
	assert_served(session);
	close(fd);
	assert_served(session);
	session_stop(session);
}

/* Authenticated, and then a header whose length is beyond all limits. */
static void test_message_that_is_too_long_ends_its_connection(void **state)
{
	static const char header[16] = { 'l', 1, 0, 1, 0x7f, 0x7f, 0x7f, 0x7f,
					 1,   0, 0, 0, 0x7f, 0x7f, 0x7f, 0x7f };
	struct session *session = *state;
	int fd;

	session_start(session);
	fd = connect_raw(session);
	authenticate(fd);
	assert_served(session); /* what was said is read by now */
	assert_true(write(fd, header, sizeof(header)) > 0);
	assert_hung_up(fd);
	assert_served(session);
	close(fd);
	session_stop(session);
}

/* --- too much -------------------------------------------------------------------------------- */

static sd_bus_message *new_call(sd_bus *bus, const char *member)
{
	sd_bus_message *message;

	assert_true(sd_bus_message_new_method_call(bus, &message, UPATCH_BUS_NAME, UPATCH_BUS_PATH,
						   UPATCH_BUS_INTERFACE, member) >= 0);
	return message;
}

static void send_apart(sd_bus *bus, sd_bus_message *message, sd_bus_message_handler_t handler,
		       void *userdata)
{
	assert_true(sd_bus_call_async(bus, NULL, message, handler, userdata, 60 * 1000 * 1000) >=
		    0);
	sd_bus_message_unref(message);
}

struct tally {
	unsigned int answered;
	unsigned int limited;
	char message[256];
};

static int count_answer(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct tally *tally = userdata;
	const sd_bus_error *failure = sd_bus_message_get_error(reply);

	tally->answered++;
	if (failure && strcmp(failure->name, "org.upatch.Error.Limit") == 0) {
		tally->limited++;
		snprintf(tally->message, sizeof(tally->message), "%s", failure->message);
	}
	return 0;
}

static void process_until(sd_bus *bus, const unsigned int *counter, unsigned int enough)
{
	while (*counter < enough) {
		int r = sd_bus_process(bus, NULL);

		assert_true(r >= 0);
		if (r == 0 && *counter < enough)
			assert_true(sd_bus_wait(bus, SESSION_DEADLINE_MS * 1000ull) > 0);
	}
}

/* One process has one call in work, so these wait for each other. */
static void test_calls_beyond_the_limit_are_refused_by_name(void **state)
{
	struct session *session = *state;
	struct tally tally = {};
	char culprit[64];
	sd_bus *bus;
	pid_t pid;

	session_start(session);
	pid = session_spawn(session, getenv("HOLDER"));
	bus = connect_client(session);
	assert_true(sd_bus_is_ready(bus) >= 0);
	while (sd_bus_is_ready(bus) == 0) {
		assert_true(sd_bus_process(bus, NULL) >= 0);
		assert_true(sd_bus_wait(bus, 100 * 1000) >= 0);
	}
	/* It finds them all at once. */
	assert_int_equal(kill(session->daemon, SIGSTOP), 0);
	for (int i = 0; i < 4 * CALLS_OF_CLIENT; i++) {
		sd_bus_message *call = new_call(bus, "Threads");

		assert_true(sd_bus_message_append(call, "ua{sv}", (uint32_t)pid, 0) >= 0);
		send_apart(bus, call, count_answer, &tally);
	}
	assert_int_equal(kill(session->daemon, SIGCONT), 0);
	process_until(bus, &tally.answered, 4 * CALLS_OF_CLIENT);
	assert_true(tally.limited > 0);
	assert_true(tally.limited <= 3 * CALLS_OF_CLIENT);
	snprintf(culprit, sizeof(culprit), "process %d of user 0 has %d calls in work",
		 (int)getpid(), CALLS_OF_CLIENT);
	assert_non_null(strstr(tally.message, culprit));
	assert_served(session);
	sd_bus_close_unref(bus);
	session_stop(session);
}

static size_t put_field(unsigned char *frame, size_t at, unsigned char code, char type,
			const char *value)
{
	uint32_t length = (uint32_t)strlen(value);

	while (at % 8)
		frame[at++] = 0;
	frame[at++] = code;
	frame[at++] = 1;
	frame[at++] = (unsigned char)type;
	frame[at++] = 0;
	memcpy(frame + at, &length, 4);
	memcpy(frame + at + 4, value, length + 1);
	return at + 4 + length + 1;
}

/* A call without arguments, as bytes: D-Bus Specification, "Message Format". */
static size_t make_frame(unsigned char *frame, uint32_t serial, const char *interface,
			 const char *member)
{
	uint32_t fields;
	size_t at = 16;

	memcpy(frame, (const unsigned char[]){ 'l', 1, 0, 1, 0, 0, 0, 0 }, 8);
	memcpy(frame + 8, &serial, 4);
	at = put_field(frame, at, 1, 'o', UPATCH_BUS_PATH);
	at = put_field(frame, at, 2, 's', interface);
	at = put_field(frame, at, 3, 's', member);
	fields = (uint32_t)at - 16;
	memcpy(frame + 12, &fields, 4);
	while (at % 8)
		frame[at++] = 0;
	return at;
}

enum {
	FLOODERS = 6,
	FLOOD_AHEAD = 400, /* calls that are not answered yet; more, and the daemon drops it */
};

/* Asks without end, reads what it is answered, and never lets the daemon run out of questions. */
static void flood(int fd)
{
	static unsigned char frames[128 * FLOOD_AHEAD], answers[128 * FLOOD_AHEAD];
	size_t answer = 0; /* its length: all are of the same */
	size_t asked = 0, got = 0;
	uint32_t serial = 1;
	ssize_t r = 1;

	while (r > 0) {
		size_t ahead = answer ? asked - got / answer : asked;
		size_t length = 0;

		for (; ahead < (answer ? FLOOD_AHEAD : 1); ahead++, asked++)
			length += make_frame(frames + length, serial++, "org.freedesktop.DBus.Peer",
					     "Ping");
		if (length > 0 && send(fd, frames, length, MSG_NOSIGNAL) != (ssize_t)length)
			return;
		r = recv(fd, answers, sizeof(answers), 0);
		got += r > 0 ? (size_t)r : 0;
		answer = answer ?: got;
	}
}

static pid_t start_flooder(struct session *session)
{
	int fd = connect_raw(session);
	pid_t pid;

	authenticate(fd);
	assert_served(session); /* what was said is read by now */
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		flood(fd);
		_exit(1);
	}
	close(fd);
	return pid;
}

/* What only the manager can do is done while clients keep the daemon as busy as they can. */
static void test_flood_of_messages_does_not_stop_the_managers_work(void **state)
{
	struct session *session = *state;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	pid_t flooders[FLOODERS];
	sd_bus *client;
	pid_t pid;

	session_start(session);
	pid = session_spawn(session, getenv("HOLDER"));
	client = session_client(session);
	for (int i = 0; i < FLOODERS; i++)
		flooders[i] = start_flooder(session);
	assert_true(sd_bus_set_method_call_timeout(client, 10 * 1000 * 1000) >= 0);
	for (int i = 0; i < 3; i++) {
		if (sd_bus_call_method(client, UPATCH_BUS_NAME, UPATCH_BUS_PATH,
				       UPATCH_BUS_INTERFACE, "Wait", &error, NULL, "ua{sv}",
				       (uint32_t)pid, 0) < 0)
			fail_msg("the manager does not come to its work: %s", error.message);
	}
	for (int i = 0; i < FLOODERS; i++) {
		/* It has been at it all the time, and was not dropped. */
		assert_int_equal(waitpid(flooders[i], NULL, WNOHANG), 0);
		assert_int_equal(kill(flooders[i], SIGKILL), 0);
		assert_int_equal(waitpid(flooders[i], NULL, 0), flooders[i]);
	}
	session_stop(session);
}

/* A client that asks and asks, and does not read one answer. */
static void drop_by(struct session *session, const char *interface, const char *member)
{
	char culprit[64];
	ssize_t r = 0;
	int fd;

	session_start(session);
	fd = connect_raw(session);
	authenticate(fd);
	for (uint32_t serial = 1; r >= 0 && serial < 200000; serial++) {
		unsigned char frame[512];

		r = send(fd, frame, make_frame(frame, serial, interface, member), MSG_NOSIGNAL);
		if (serial % 500 == 0)
			assert_served(session);
	}
	assert_true(r < 0);
	assert_true(errno == EPIPE || errno == ECONNRESET);
	snprintf(culprit, sizeof(culprit), "process %d of user 0: dropped, it has not read",
		 (int)getpid());
	assert_logged(session, culprit);
	assert_served(session);
	close(fd);
	session_stop(session);
}

static void test_client_that_never_reads_is_dropped(void **state)
{
	drop_by(*state, UPATCH_BUS_INTERFACE, "HostStatus");
}

/* Answers that the D-Bus library gives by itself pile up like ours. */
static void test_client_that_never_reads_what_ping_gives_is_dropped(void **state)
{
	drop_by(*state, "org.freedesktop.DBus.Peer", "Ping");
}

/* As nobody: connections until one is refused; root is served all the while. */
static void test_connections_of_one_user_are_limited(void **state)
{
	struct session *session = *state;
	int status;
	pid_t pid;

	session_start(session);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		int fds[LINKS_OF_USER + 1];
		struct pollfd last = { .events = POLLIN };

		if (setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
			_exit(1);
		for (int i = 0; i <= LINKS_OF_USER; i++)
			fds[i] = connect_raw(session);
		last.fd = fds[LINKS_OF_USER];
		/* The last is hung up on; the first is still there. */
		if (poll(&last, 1, SESSION_DEADLINE_MS) != 1 ||
		    recv(last.fd, &status, 1, MSG_DONTWAIT) > 0)
			_exit(2);
		_exit(recv(fds[0], &status, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN ? 0 : 3);
	}
	assert_served(session);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_logged(session, "connection refused");
	assert_served(session);
	session_stop(session);
}

/* Users who together have all connections that users may have; root has others. */
static void test_connections_of_many_users_leave_some_to_root(void **state)
{
	struct session *session = *state;
	pid_t users[LINKS / LINKS_OF_USER];
	int ready[2];
	char byte;

	session_start(session);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
		users[i] = fork();
		assert_true(users[i] >= 0);
		if (users[i] == 0) {
			(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (setgid(NOBODY) < 0 || setuid(NOBODY - (uid_t)i) < 0)
				_exit(1);
			for (int j = 0; j < LINKS_OF_USER; j++)
				authenticate(connect_raw(session));
			(void)write(ready[1], "r", 1); /* the test sees when it is missing */
			pause();
			_exit(0);
		}
		assert_int_equal(read(ready[0], &byte, 1), 1);
	}
	for (int i = 0; i < 8; i++)
		assert_served(session);
	for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
		assert_int_equal(kill(users[i], SIGKILL), 0);
		assert_int_equal(waitpid(users[i], NULL, 0), users[i]);
	}
	close(ready[0]);
	close(ready[1]);
	session_stop(session);
}

enum {
	CLIENTS_OF_USER = CALLS_OF_USER / CALLS_OF_CLIENT + 4,
};

static void connect_all(const struct session *session, sd_bus **clients)
{
	for (size_t i = 0; i < CLIENTS_OF_USER; i++) {
		clients[i] = connect_client(session);
		while (sd_bus_is_ready(clients[i]) == 0) {
			assert_true(sd_bus_process(clients[i], NULL) >= 0);
			assert_true(sd_bus_wait(clients[i], 100 * 1000) >= 0);
		}
	}
}

/* Return: 0 when so many calls more than are allowed were refused, and the user is named. */
static int ask_too_much(const struct session *session, pid_t target, int told, int tell)
{
	sd_bus *clients[CLIENTS_OF_USER];
	struct tally tally = {};
	char byte;

	connect_all(session, clients);
	if (write(tell, "c", 1) != 1 || read(told, &byte, 1) != 1)
		return 1;
	for (int i = 0; i < CLIENTS_OF_USER * CALLS_OF_CLIENT; i++) {
		sd_bus_message *call = new_call(clients[i / CALLS_OF_CLIENT], "Threads");

		assert_true(sd_bus_message_append(call, "ua{sv}", (uint32_t)target, 0) >= 0);
		send_apart(clients[i / CALLS_OF_CLIENT], call, count_answer, &tally);
	}
	for (size_t i = 0; i < CLIENTS_OF_USER; i++)
		assert_true(sd_bus_flush(clients[i]) >= 0);
	if (write(tell, "s", 1) != 1)
		return 2;
	for (unsigned int i = 0; i < CLIENTS_OF_USER; i++)
		process_until(clients[i], &tally.answered, (i + 1) * CALLS_OF_CLIENT);
	if (!strstr(tally.message, "user 65534 has 128 calls in work"))
		return 3;
	return tally.limited > 0 && tally.limited <= (CLIENTS_OF_USER - 8) * CALLS_OF_CLIENT ? 0
											     : 4;
}

/* By as many clients as he likes. */
static void test_calls_of_one_user_are_limited(void **state)
{
	struct session *session = *state;
	int to[2], from[2];
	int status;
	pid_t target, user;
	char byte;

	session_start(session);
	target = session_spawn_as(session, getenv("HOLDER"), NOBODY);
	assert_int_equal(pipe2(to, O_CLOEXEC), 0);
	assert_int_equal(pipe2(from, O_CLOEXEC), 0);
	user = fork();
	assert_true(user >= 0);
	if (user == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
			_exit(10);
		_exit(ask_too_much(session, target, to[0], from[1]));
	}
	/* The daemon finds all calls at once. */
	assert_int_equal(read(from[0], &byte, 1), 1);
	assert_int_equal(kill(session->daemon, SIGSTOP), 0);
	assert_int_equal(write(to[1], "s", 1), 1);
	assert_int_equal(read(from[0], &byte, 1), 1);
	assert_int_equal(kill(session->daemon, SIGCONT), 0);
	assert_served(session);
	assert_int_equal(waitpid(user, &status, 0), user);
	assert_int_equal(status, 0);
	for (int i = 0; i < 2; i++) {
		close(to[i]);
		close(from[i]);
	}
	session_stop(session);
}

/* --- a system bus that is late ----------------------------------------------------------------- */

struct late_bus {
	unsigned int signals;
	bool has_name;
};

/* What dbus-daemon does for a client, as far as the daemon asks for it. */
static int serve_late_bus(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct late_bus *late = userdata;
	const char *member = sd_bus_message_get_member(message);
	uint8_t type = 0;

	assert_true(sd_bus_message_get_type(message, &type) >= 0);
	if (type == SD_BUS_MESSAGE_SIGNAL)
		late->signals += strcmp(member, "PatchesChanged") == 0;
	if (type != SD_BUS_MESSAGE_METHOD_CALL)
		return 0;
	late->has_name |= strcmp(member, "RequestName") == 0;
	if (strcmp(member, "Hello") == 0)
		return sd_bus_reply_method_return(message, "s", ":1.1");
	return sd_bus_reply_method_return(message, "u", 1);
}

static int listen_as_bus(const struct session *session)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	strcpy(addr.sun_path, session->address + strlen("unix:path="));
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static sd_bus *answer_as_bus(int listener, struct late_bus *late)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	sd_id128_t id;
	sd_bus *bus;

	assert_true(fd >= 0);
	assert_true(sd_id128_randomize(&id) >= 0);
	assert_true(sd_bus_new(&bus) >= 0);
	assert_true(sd_bus_set_fd(bus, fd, fd) >= 0);
	assert_true(sd_bus_set_server(bus, 1, id) >= 0);
	assert_true(sd_bus_negotiate_fds(bus, 1) >= 0);
	assert_true(sd_bus_start(bus) >= 0);
	assert_true(sd_bus_add_filter(bus, NULL, serve_late_bus, late) >= 0);
	return bus;
}

static void reload(struct session *session)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;

	if (sd_bus_call_method(session_client(session), UPATCH_BUS_NAME, UPATCH_BUS_PATH,
			       UPATCH_BUS_INTERFACE, "Reload", &error, NULL, NULL) < 0)
		fail_msg("Reload: %s", error.message);
}

/* Signals that nobody can hear yet are not kept for it. */
static void test_signals_do_not_pile_up_for_a_bus_that_is_not_there(void **state)
{
	struct session *session = *state;
	struct late_bus late = {};
	sd_bus *bus;
	int fd;

	session_end_bus(session);
	fd = listen_as_bus(session);
	session_start(session);
	for (int i = 0; i < 20; i++)
		reload(session);
	bus = answer_as_bus(fd, &late);
	for (int i = 0; !late.has_name && i < 100; i++) {
		while (sd_bus_process(bus, NULL) > 0)
			;
		assert_true(sd_bus_wait(bus, 100 * 1000) >= 0);
	}
	assert_true(late.has_name);
	/* Who is there hears what happens now. */
	for (int i = 0; late.signals == 0 && i < 100; i++) {
		reload(session);
		while (sd_bus_process(bus, NULL) > 0)
			;
		assert_true(sd_bus_wait(bus, 100 * 1000) >= 0);
	}
	assert_true(late.signals > 0);
	assert_true(late.signals < 20);
	sd_bus_close_unref(bus);
	close(fd);
	session_stop(session);
}

int main(void)
{
#define session_test(fn) cmocka_unit_test_setup_teardown(fn, session_setup, session_teardown)
	const struct CMUnitTest tests[] = {
		session_test(test_garbage_ends_its_own_connection_only),
		session_test(test_message_that_is_too_long_ends_its_connection),
		session_test(test_calls_beyond_the_limit_are_refused_by_name),
		session_test(test_flood_of_messages_does_not_stop_the_managers_work),
		session_test(test_client_that_never_reads_is_dropped),
		session_test(test_client_that_never_reads_what_ping_gives_is_dropped),
		session_test(test_connections_of_one_user_are_limited),
		session_test(test_connections_of_many_users_leave_some_to_root),
		session_test(test_calls_of_one_user_are_limited),
		session_test(test_signals_do_not_pile_up_for_a_bus_that_is_not_there),
	};

	return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
