/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who is found, wherever he is and whatever the kernel could not tell. */
#include "fixture.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	BEGINNINGS = 150,
	LOST = 40000, /* processes: more events than the daemon's buffer holds */
};

static void assert_own_is_patched(struct fixture *f)
{
	f->is_own_enabled = true;
	fixture_await_answers(f);
	fixture_await_count(f, "patched", fixture_nr(f, "a"));
	assert_ask(f, "ok", "check");
	fixture_assert_alive(f);
}

static void test_a_process_on_a_deleted_file_is_patched(void **state)
{
	struct fixture *f = *state;

	(void)fixture_spawn_deleted(f, 'a');
	fixture_start_daemon(f);
	assert_ask(f, "ok own", "enable %s", fixture_patch(f, "own"));
	assert_own_is_patched(f);
	(void)fixture_spawn_deleted(f, 'a');
	assert_own_is_patched(f);
}

static void test_a_process_in_a_container_is_patched(void **state)
{
	struct fixture *f = *state;
	unsigned int slot = fixture_spawn_contained(f, 'b');

	fixture_start_daemon(f);
	assert_ask(f, "ok shared", "enable %s", fixture_patch(f, "shared"));
	f->is_shared_enabled = true;
	fixture_await_answers(f);
	fixture_await_count(f, "patched", 1);
	assert_ask(f, "patched none -", "entry %d shared", (int)f->slots[slot].pid);

	/* The next daemon finds it by its record. */
	fixture_kill_daemon(f);
	fixture_start_daemon(f);
	fixture_await_count(f, "patched", 1);
	assert_ask(f, "ok shared", "disable shared");
	f->is_shared_enabled = false;
	fixture_await_answers(f);
	fixture_assert_alive(f);
}

static char state_of(pid_t pid)
{
	char path[64], text[512], state = 0;
	const char *end;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	assert_non_null(file);
	if (fgets(text, sizeof(text), file) && (end = strrchr(text, ')')))
		(void)sscanf(end + 1, " %c", &state);
	(void)fclose(file);
	return state;
}

/* It is known before, it is found when the daemon begins, and it is forgotten with its last thread. */
static void test_a_process_without_its_main_thread_is_patched(void **state)
{
	struct fixture *f = *state;
	unsigned int slot = fixture_spawn(f, 'a');
	pid_t pid = f->slots[slot].pid;

	fixture_start_daemon(f);
	fixture_await_answers(f);
	fixture_await_count(f, "settled", 1);
	fixture_command(f, slot, SLOT_ORPHAN, 0);
	while (state_of(pid) != 'Z')
		fixture_breathe();
	fixture_assert_alive(f);
	assert_ask(f, "ok own", "enable %s", fixture_patch(f, "own"));
	assert_own_is_patched(f);
	assert_ask(f, "patched none -", "entry %d own", (int)pid);

	fixture_kill_daemon(f);
	fixture_start_daemon(f);
	assert_own_is_patched(f);
	assert_ask(f, "patched none -", "entry %d own", (int)pid);
	fixture_command(f, slot, SLOT_EXIT, 0);
	fixture_await_count(f, "total", 0);
}

/* It is known, and nothing looks at it again before its last thread exits. */
static void test_a_process_is_gone_with_its_last_thread(void **state)
{
	struct fixture *f = *state;
	unsigned int slot = fixture_spawn(f, 'a');
	pid_t pid = f->slots[slot].pid;

	fixture_start_daemon(f);
	assert_ask(f, "ok own", "enable %s", fixture_patch(f, "own"));
	assert_own_is_patched(f);
	fixture_command(f, slot, SLOT_ORPHAN, 0);
	while (state_of(pid) != 'Z')
		fixture_breathe();
	fixture_assert_alive(f);
	assert_own_is_patched(f);
	assert_ask(f, "patched none -", "entry %d own", (int)pid);
	fixture_command(f, slot, SLOT_EXIT, 0);
	fixture_await_count(f, "total", 0);
}

/* It is looked at because of its parent, and while it is it becomes somebody else. */
static void test_who_begins_while_he_is_looked_at_is_patched(void **state)
{
	struct fixture *f = *state;
	unsigned int slot = fixture_spawn(f, 'a');

	fixture_start_daemon(f);
	assert_ask(f, "ok own", "enable %s", fixture_patch(f, "own"));
	assert_own_is_patched(f);
	for (unsigned int i = 0; i < BEGINNINGS; i++)
		(void)fixture_fork_and_exec(f, slot);
	assert_own_is_patched(f);
}

/* The daemon stands still while so much happens that the kernel drops what it would tell. */
static void test_lost_events_are_made_up_for_by_a_look_at_all(void **state)
{
	struct fixture *f = *state;

	fixture_start_daemon(f);
	assert_ask(f, "ok own", "enable %s", fixture_patch(f, "own"));
	fixture_await_count(f, "settled", 1);
	assert_int_equal(kill(f->session->daemon, SIGSTOP), 0);
	for (unsigned int i = 0; i < LOST; i++) {
		pid_t pid = vfork();

		assert_true(pid >= 0);
		if (pid == 0)
			_exit(0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
	}
	(void)fixture_spawn(f, 'a');
	assert_int_equal(kill(f->session->daemon, SIGCONT), 0);
	assert_own_is_patched(f);
	assert_true(session_has_logged(f->session, "events were lost"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, fixture_setup, fixture_teardown)
		TEST(a_process_on_a_deleted_file_is_patched),
		TEST(a_process_in_a_container_is_patched),
		TEST(a_process_without_its_main_thread_is_patched),
		TEST(a_process_is_gone_with_its_last_thread),
		TEST(who_begins_while_he_is_looked_at_is_patched),
		TEST(lost_events_are_made_up_for_by_a_look_at_all),
#undef TEST
	};

	return cmocka_run_group_tests_name("matching", tests, NULL, NULL);
}
