/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What breaks around the daemon: workers that are stuck, files that are half there. */
#include "fixture.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static void write_config(struct fixture *f, const char *text)
{
	char path[128];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/upatchd.conf", f->session->config);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

/* Readers and workers, those that are at work and those that have nothing to do. */
static unsigned int signal_workers(struct fixture *f, int signal)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	unsigned int nr = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		if (*entry->d_name >= '1' && *entry->d_name <= '9' &&
		    fixture_parent_of(entry->d_name) == f->session->daemon)
			nr += kill(atoi(entry->d_name), signal) == 0;
	(void)closedir(dir);
	return nr;
}

static unsigned int count_files(const struct fixture *f)
{
	struct dirent *entry;
	unsigned int nr = 0;
	char path[64];
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)f->session->daemon);
	dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir)))
		nr += *entry->d_name != '.';
	(void)closedir(dir);
	return nr;
}

/* Its files, when it has no process left but the reader: who is idle goes by himself. */
static unsigned int count_files_at_rest(struct fixture *f)
{
	fixture_await_count(f, "settled", 1);
	while (signal_workers(f, 0) > 1)
		fixture_breathe();
	return count_files(f);
}

static void test_workers_that_die_leave_nothing_behind(void **state)
{
	struct fixture *f = *state;
	unsigned int before;

	(void)fixture_spawn(f, 'a');
	fixture_start_daemon(f);
	assert_ask(f, "ok own", "enable %s", fixture_patch(f, "own"));
	fixture_await_count(f, "patched", 1);
	before = count_files_at_rest(f);
	for (unsigned int i = 0; i < 50; i++) {
		assert_true(signal_workers(f, SIGKILL) > 0);
		assert_ask(f, "ok", "reload"); /* a reader is needed for it */
		fixture_await_count(f, "settled", 1);
	}
	assert_int_equal(count_files_at_rest(f), before);
	assert_ask(f, "ok", "check");
}

/* The parent is not looked at yet when it forks: that nothing is known against it says nothing. */
static void test_who_is_forked_before_the_parent_is_decided_on_is_found(void **state)
{
	struct fixture *f = *state;
	unsigned int slot = fixture_spawn(f, 'a');

	fixture_start_daemon(f);
	fixture_await_answers(f);
	fixture_await_count(f, "settled", 1);
	assert_int_equal(signal_workers(f, SIGSTOP), 1); /* the reader */
	assert_ask(f, "ok own", "enable %s", fixture_patch(f, "own"));
	for (unsigned int i = 0; i < 5; i++)
		(void)fixture_fork(f, slot);
	assert_true(fixture_count(f, "unread") > 0); /* it has heard of them */
	assert_int_equal(signal_workers(f, SIGCONT), 1);
	f->is_own_enabled = true;
	fixture_await_answers(f);
	fixture_await_count(f, "settled", 1);
	assert_int_equal(fixture_count(f, "patched"), 6);
	assert_ask(f, "ok", "check");
}

/* It is not taken for one that no patch concerns, and it is not forgotten. */
static void test_who_cannot_be_looked_at_is_named_and_tried_again(void **state)
{
	struct fixture *f = *state;

	fixture_start_daemon(f);
	assert_ask(f, "ok own", "enable %s", fixture_patch(f, "own"));
	fixture_await_count(f, "settled", 1);
	assert_int_equal(signal_workers(f, SIGSTOP), 1); /* the reader, who is stuck then */
	(void)fixture_spawn(f, 'a');
	fixture_await_any(f, "problems"); /* others begin on the host, too */
	assert_true(fixture_count(f, "unread") > 0);
	f->is_own_enabled = true;
	fixture_await_answers(f);
	fixture_await_count(f, "problems", 0);
	assert_ask(f, "ok", "check");
}

static void test_a_record_that_cannot_be_read_now_is_read_later(void **state)
{
	struct fixture *f = *state;
	unsigned int slot = fixture_spawn(f, 'a');
	pid_t pid = f->slots[slot].pid;
	char question[32];

	fixture_start_daemon(f);
	fixture_await_answers(f);
	assert_int_equal(ptrace(PTRACE_SEIZE, pid, 0, 0), 0);
	assert_ask(f, "ok own", "enable %s", fixture_patch(f, "own"));
	(void)snprintf(question, sizeof(question), "entry %d own", (int)pid);
	fixture_await_answer(f, "waiting traced -", question);
	assert_int_equal(ptrace(PTRACE_INTERRUPT, pid, 0, 0), 0);
	assert_int_equal(waitpid(pid, NULL, __WALL), pid);
	assert_int_equal(ptrace(PTRACE_DETACH, pid, 0, 0), 0);
	f->is_own_enabled = true;
	fixture_await_answers(f);
	fixture_await_answer(f, "patched none -", question);
}

/* --- the reader, step by step ------------------------------------------------------------------- */

static pid_t find_reader(struct fixture *f)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	pid_t pid = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		if (*entry->d_name >= '1' && *entry->d_name <= '9' &&
		    fixture_parent_of(entry->d_name) == f->session->daemon)
			pid = atoi(entry->d_name);
	(void)closedir(dir);
	assert_true(pid > 0);
	return pid;
}

static void hold_reader(pid_t reader)
{
	assert_int_equal(ptrace(PTRACE_SEIZE, reader, 0, PTRACE_O_TRACESYSGOOD), 0);
	assert_int_equal(ptrace(PTRACE_INTERRUPT, reader, 0, 0), 0);
	assert_int_equal(waitpid(reader, NULL, __WALL), reader);
}

/* Is it about to call this, with a path that begins like that? */
static bool is_at(pid_t reader, unsigned long nr, const char *path)
{
	struct user_regs_struct regs;
	char found[64] = "";

	assert_int_equal(ptrace(PTRACE_GETREGS, reader, 0, &regs), 0);
	if (regs.orig_rax != nr)
		return false;
	for (size_t i = 0; i < sizeof(found) - 8; i += 8) {
		long word = ptrace(PTRACE_PEEKDATA, reader, regs.rsi + i, 0);

		memcpy(found + i, &word, sizeof(word));
	}
	return strncmp(found, path, strlen(path)) == 0;
}

static void run_reader_to(pid_t reader, unsigned long nr, const char *path)
{
	int status;

	do {
		assert_int_equal(ptrace(PTRACE_SYSCALL, reader, 0, 0), 0);
		assert_int_equal(waitpid(reader, &status, __WALL), reader);
		assert_true(WIFSTOPPED(status));
	} while (WSTOPSIG(status) != (SIGTRAP | 0x80) || !is_at(reader, nr, path));
}

/* While somebody is looked at for the first time, and his mappings have been read. */
static void test_a_library_that_comes_during_the_first_look_is_not_missed(void **state)
{
	struct fixture *f = *state;
	unsigned int slot;
	pid_t reader;
	char path[32];

	fixture_start_daemon(f);
	assert_ask(f, "ok shared", "enable %s", fixture_patch(f, "shared"));
	(void)count_files_at_rest(f);
	reader = find_reader(f);
	hold_reader(reader);
	/* Nobody is known well enough for his children to be known, too. */
	assert_ask(f, "ok", "reload");
	slot = fixture_spawn(f, 'd');
	while (!f->slots[slot].beats)
		fixture_breathe();
	(void)snprintf(path, sizeof(path), "/proc/%d", (int)f->slots[slot].pid);
	run_reader_to(reader, SYS_openat, path);
	run_reader_to(reader, SYS_newfstatat, "map_files/");
	fixture_command(f, slot, SLOT_LOAD, 0);
	while (f->slots[slot].shared != 1)
		fixture_breathe();
	assert_true(fixture_count(f, "unread") > 0); /* and it has heard of the library */
	assert_int_equal(ptrace(PTRACE_DETACH, reader, 0, 0), 0);
	for (unsigned int i = 0; f->slots[slot].shared != 2; i++) {
		assert_true(i < 4000);
		fixture_breathe();
	}
	assert_ask(f, "ok", "check");
}

static void test_stuck_workers_are_replaced_at_their_deadline(void **state)
{
	struct fixture *f = *state;
	unsigned int nr_stopped;

	write_config(f, "[Daemon]\nDeadlineSec=1\n");
	for (unsigned int i = 0; i < 40; i++)
		(void)fixture_spawn(f, 'a');
	fixture_start_daemon(f);
	fixture_await_count(f, "unread", 0);
	fixture_send(f, "enable %s", fixture_patch(f, "own"));
	fixture_await_any(f, "patched");
	nr_stopped = signal_workers(f, SIGSTOP);
	f->is_own_enabled = true;
	fixture_await_answers(f);
	fixture_await_count(f, "patched", fixture_nr(f, "a"));
	assert_true(nr_stopped > 0);
	assert_ask(f, "ok", "check");
	fixture_assert_alive(f);
}

/* The file of a patch in the store, as path. */
static void find_stored(struct fixture *f, const char *name, char path[static 512])
{
	char folder[128];
	struct dirent *entry;
	DIR *dir;

	(void)snprintf(folder, sizeof(folder), "%s/patches", f->session->state);
	*path = 0;
	dir = opendir(folder);
	assert_non_null(dir);
	while ((entry = readdir(dir)))
		if (strncmp(entry->d_name, name, strlen(name)) == 0)
			(void)snprintf(path, 512, "%s/%s", folder, entry->d_name);
	(void)closedir(dir);
	assert_true(*path);
}

static void test_a_half_written_patch_is_named_and_the_others_go_on(void **state)
{
	struct fixture *f = *state;
	char path[512];

	fixture_start_daemon(f);
	assert_ask(f, "ok own", "enable %s", fixture_patch(f, "own"));
	assert_ask(f, "ok shared", "enable %s", fixture_patch(f, "shared"));
	fixture_kill_daemon(f);
	find_stored(f, "own", path);
	assert_int_equal(truncate(path, 100), 0);
	(void)fixture_spawn(f, 'a');
	(void)fixture_spawn(f, 'b');
	fixture_start_daemon(f);
	f->is_shared_enabled = true;
	fixture_await_answers(f);
	fixture_await_count(f, "patched", 1);
	assert_int_equal(fixture_count(f, "problems"), 1);
	assert_ask(f, "ok", "check");

	/* Enabled anew it is whole again. */
	assert_ask(f, "ok own", "enable %s", fixture_patch(f, "own"));
	f->is_own_enabled = true;
	fixture_await_answers(f);
	assert_int_equal(fixture_count(f, "problems"), 0);
}

/* What is dropped into the store and in no journal is nobody's wish. */
static void test_a_stranger_in_the_store_is_removed(void **state)
{
	struct fixture *f = *state;
	char path[128];
	FILE *file;

	fixture_start_daemon(f);
	assert_ask(f, "ok shared", "enable %s", fixture_patch(f, "shared"));
	fixture_kill_daemon(f);
	(void)snprintf(path, sizeof(path), "%s/patches/stranger.upatch", f->session->state);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs("\177ELF", file) >= 0);
	assert_int_equal(fclose(file), 0);
	fixture_start_daemon(f);
	assert_int_equal(fixture_count(f, "patches"), 1);
	assert_true(access(path, F_OK) < 0);
}

/* The journal before it is in force, and nothing is changed before an admin has looked. */
static void test_a_half_written_journal_is_named_and_the_one_before_counts(void **state)
{
	struct fixture *f = *state;
	char path[128];

	fixture_start_daemon(f);
	assert_ask(f, "ok own", "enable %s", fixture_patch(f, "own"));
	assert_ask(f, "ok shared", "enable %s", fixture_patch(f, "shared"));
	fixture_kill_daemon(f);
	(void)snprintf(path, sizeof(path), "%s/journal", f->session->state);
	assert_int_equal(truncate(path, 20), 0);
	(void)fixture_spawn(f, 'a');
	fixture_start_daemon(f);
	f->is_own_enabled = true;
	fixture_await_answers(f);
	assert_int_equal(fixture_count(f, "problems"), 1);
	assert_non_null(strstr(fixture_ask(f, "disable own"), "refused config"));
	assert_non_null(strstr(fixture_ask(f, "disable own"), "journal"));
}

/* Nor does the daemon write over it by itself: a section that goes is acted upon, and not recorded. */
static void test_a_damaged_journal_stays_for_the_admin_to_see(void **state)
{
	struct fixture *f = *state;
	unsigned int slot = fixture_spawn(f, 'a');
	char config[128], journal[128], text[256];
	struct stat st;

	(void)snprintf(config, sizeof(config), "%s/upatchd.conf", f->session->config);
	(void)snprintf(journal, sizeof(journal), "%s/journal", f->session->state);
	(void)snprintf(text, sizeof(text), "[Patch]\nFile=%s\n", fixture_patch(f, "own"));
	write_config(f, text);
	fixture_start_daemon(f);
	f->is_own_enabled = true;
	fixture_await_answers(f);
	fixture_kill_daemon(f);
	assert_int_equal(truncate(journal, 20), 0);
	fixture_start_daemon(f);
	fixture_await_count(f, "patched", 1);
	assert_int_equal(unlink(config), 0);
	assert_non_null(strstr(fixture_ask(f, "reload"), "refused config"));
	f->is_own_enabled = false;
	fixture_await_answers(f);
	fixture_await_count(f, "settled", 1);
	assert_int_equal(stat(journal, &st), 0);
	assert_int_equal(st.st_size, 20);
	assert_int_equal(f->slots[slot].own, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, fixture_setup, fixture_teardown)
		TEST(stuck_workers_are_replaced_at_their_deadline),
		TEST(who_is_forked_before_the_parent_is_decided_on_is_found),
		TEST(who_cannot_be_looked_at_is_named_and_tried_again),
		TEST(a_record_that_cannot_be_read_now_is_read_later),
		TEST(a_library_that_comes_during_the_first_look_is_not_missed),
		TEST(workers_that_die_leave_nothing_behind),
		TEST(a_half_written_patch_is_named_and_the_others_go_on),
		TEST(a_stranger_in_the_store_is_removed),
		TEST(a_half_written_journal_is_named_and_the_one_before_counts),
		TEST(a_damaged_journal_stays_for_the_admin_to_see),
#undef TEST
	};

	return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
