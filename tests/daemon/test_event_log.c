/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an admin finds in the journal: a socket of ours stands in for it, in a mount namespace. */
#include "fixture.h"

#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int journal = -1;

static int listen_as_journal(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX,
				    .sun_path = "/run/systemd/journal/socket" };

	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	assert_int_equal(mount("tmpfs", "/run", "tmpfs", 0, NULL), 0);
	assert_int_equal(mkdir("/run/systemd", 0755), 0);
	assert_int_equal(mkdir("/run/systemd/journal", 0755), 0);
	journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(journal >= 0);
	assert_int_equal(bind(journal, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return 0;
}

/* The next entry with this in it; each field is a line, as it has no line breaks. */
static void await_entry(const char *text, char entry[static 4096])
{
	struct pollfd pollfd = { .fd = journal, .events = POLLIN };
	ssize_t length;

	do {
		if (poll(&pollfd, 1, SESSION_DEADLINE_MS) <= 0)
			fail_msg("no entry with %s", text);
		length = recv(journal, entry, 4095, 0);
		assert_true(length >= 0);
		entry[length] = 0;
	} while (!strstr(entry, text));
}

static void assert_field(const char *entry, const char *field)
{
	const char *at = strstr(entry, field);

	if (!at || (at > entry && at[-1] != '\n') || at[strlen(field)] != '\n')
		fail_msg("no field '%s' in:\n%s", field, entry);
}

static void test_what_happens_is_in_the_journal_with_fields(void **state)
{
	struct fixture *f = *state;
	unsigned int slot = fixture_spawn_holding(f, 'a');
	char entry[4096], pid[32];

	(void)snprintf(pid, sizeof(pid), "UPATCH_PID=%d", (int)f->slots[slot].pid);
	fixture_start_daemon(f);
	assert_ask(f, "ok hold", "enable %s", fixture_patch(f, "hold"));
	await_entry("MESSAGE_ID=c5f0d4a7b0e24d5e8f6d0a1c3b9e7202", entry);
	assert_field(entry, "UPATCH_PATCH=hold");
	assert_field(entry, "SYSLOG_IDENTIFIER=upatchd");

	await_entry("UPATCH_STATE=transition", entry);
	assert_field(entry, "MESSAGE_ID=c5f0d4a7b0e24d5e8f6d0a1c3b9e7201");
	assert_field(entry, "UPATCH_PATCH=hold");
	assert_field(entry, "UPATCH_COMM=program-a");
	assert_field(entry, "UPATCH_REASON=in-function");
	assert_field(entry, "UPATCH_FUNCTION=hold_answer");
	assert_field(entry, pid);

	f->slots[slot].arg = 1;
	await_entry("UPATCH_STATE=patched", entry);
	assert_field(entry, pid);
	fixture_kill_daemon(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_happens_is_in_the_journal_with_fields,
						fixture_setup, fixture_teardown),
	};

	return cmocka_run_group_tests_name("event-log", tests, listen_as_journal, NULL);
}
