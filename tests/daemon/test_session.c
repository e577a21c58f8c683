/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is desired is what is, at each step of the lives of 300 processes. */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control.h"

enum {
	OF_EACH = 100,
};

static void assert_desired_is_actual(struct fixture *f)
{
	long wanted = (f->is_own_enabled ? fixture_nr(f, "a") : 0) +
		      (f->is_shared_enabled ? fixture_nr(f, "bc") : 0);

	fixture_await_answers(f);
	fixture_await_count(f, "patched", wanted);
	fixture_await_count(f, "settled", 1);
	fixture_await_count(f, "total", wanted);
	fixture_await_count(f, "unread", 0);
	assert_ask(f, "ok", "check");
	fixture_assert_alive(f);
}

static void spawn_all(struct fixture *f, unsigned int of_each)
{
	for (unsigned int i = 0; i < of_each; i++)
		for (char program = 'a'; program <= 'c'; program++)
			(void)fixture_spawn(f, program);
}

static void test_desired_is_actual_through_the_lives_of_processes(void **state)
{
	struct fixture *f = *state;

	spawn_all(f, OF_EACH);
	fixture_start_daemon(f);
	assert_desired_is_actual(f);

	assert_ask(f, "ok own", "enable %s", fixture_patch(f, "own"));
	f->is_own_enabled = true;
	assert_desired_is_actual(f);
	assert_ask(f, "ok shared", "enable %s", fixture_patch(f, "shared"));
	f->is_shared_enabled = true;
	assert_desired_is_actual(f);

	spawn_all(f, 10); /* new ones, by fork and exec */
	assert_desired_is_actual(f);
	for (unsigned int i = 0; i < 30; i++)
		(void)fixture_fork(f, i);
	assert_desired_is_actual(f);
	for (unsigned int i = 30; i < 60; i++) /* a becomes b, b becomes c, c becomes a */
		fixture_command(f, i, SLOT_EXEC, (uint32_t) "bca"[f->slots[i].program - 'a']);
	assert_desired_is_actual(f);
	for (unsigned int i = 60; i < 120; i++)
		fixture_command(f, i, SLOT_EXIT, 0);
	assert_desired_is_actual(f);

	assert_ask(f, "ok own", "disable own");
	f->is_own_enabled = false;
	assert_desired_is_actual(f);
	assert_ask(f, "ok shared", "disable shared");
	f->is_shared_enabled = false;
	assert_desired_is_actual(f);
	fixture_await_count(f, "patches", 0);
}

static void test_a_killed_daemon_finds_its_view_again(void **state)
{
	struct fixture *f = *state;

	spawn_all(f, 5);
	fixture_start_daemon(f);
	assert_ask(f, "ok own", "enable %s", fixture_patch(f, "own"));
	fixture_kill_daemon(f); /* it was acknowledged: it counts */
	fixture_start_daemon(f);
	f->is_own_enabled = true;
	assert_desired_is_actual(f);

	assert_ask(f, "ok own", "disable own");
	fixture_kill_daemon(f);
	(void)fixture_spawn(f, 'a');
	fixture_start_daemon(f);
	f->is_own_enabled = false;
	assert_desired_is_actual(f);
}

static void test_who_is_excluded_is_left_alone_and_named(void **state)
{
	struct fixture *f = *state;
	unsigned int excluded, patched;

	patched = fixture_spawn(f, 'b');
	excluded = fixture_spawn(f, 'c');
	fixture_start_daemon(f);
	assert_ask(f, "ok shared", "enable %s exclude-name=program-c", fixture_patch(f, "shared"));
	fixture_await_count(f, "patched", 1);
	fixture_await_count(f, "skipped", 1);
	assert_ask(f, "skipped excluded -", "entry %d shared", (int)f->slots[excluded].pid);
	assert_ask(f, "patched none -", "entry %d shared", (int)f->slots[patched].pid);
	assert_ask(f, "ok", "check");
	assert_int_equal(f->slots[excluded].shared, 1);

	/* Enabled anew without it, in one step. */
	assert_ask(f, "ok shared", "enable %s", fixture_patch(f, "shared"));
	f->is_shared_enabled = true;
	assert_desired_is_actual(f);
}

static void test_what_is_applied_by_hand_is_shown_and_left_alone(void **state)
{
	struct fixture *f = *state;
	unsigned int slot = fixture_spawn(f, 'a');
	pid_t pid;

	fixture_start_daemon(f);
	fixture_await_answers(f);
	pid = f->slots[slot].pid;
	assert_ask(f, "done", "apply %d %s", (int)pid, fixture_patch(f, "own"));
	f->is_own_enabled = true;
	fixture_await_answers(f);
	fixture_await_count(f, "foreign", 1);
	assert_ask(f, "exists", "apply %d %s", (int)pid, fixture_patch(f, "own"));
	assert_ask(f, "done", "revert %d own", (int)pid);
	f->is_own_enabled = false;
	fixture_await_answers(f);
	fixture_await_count(f, "foreign", 0);
	assert_ask(f, "not-applied", "revert %d own", (int)pid);
	assert_ask(f, "no-transition", "force %d", (int)pid);
	assert_ask(f, "no-process", "gc %d", 4194304);
}

static void test_who_holds_a_transition_is_named_until_it_is_done(void **state)
{
	struct fixture *f = *state;
	unsigned int slot = fixture_spawn_holding(f, 'a');
	pid_t pid = f->slots[slot].pid;
	char question[32];

	fixture_start_daemon(f);
	assert_ask(f, "ok hold", "enable %s", fixture_patch(f, "hold"));
	fixture_await_count(f, "transition", 1);
	(void)snprintf(question, sizeof(question), "entry %d hold", (int)pid);
	fixture_await_answer(f, "transition in-function hold_answer", question);
	assert_ask(f, "ok", "check");

	/* A daemon that finds it open carries on. */
	fixture_kill_daemon(f);
	fixture_start_daemon(f);
	fixture_await_count(f, "transition", 1);
	f->slots[slot].arg = 1;
	fixture_await_count(f, "patched", 1);
	assert_ask(f, "patched none -", "entry %d hold", (int)pid);
}

static void await_objects(struct fixture *f, unsigned int slot, const char *objects)
{
	char question[32];

	(void)snprintf(question, sizeof(question), "objects %d both", (int)f->slots[slot].pid);
	fixture_await_answer(f, objects, question);
}

/* The victim answers with each beat: a number of beats is a deadline. */
static void await_shared(struct fixture *f, unsigned int slot, uint32_t answer)
{
	uint64_t beats = f->slots[slot].beats;

	while (f->slots[slot].shared != answer && f->slots[slot].beats < beats + 1000)
		fixture_breathe();
	assert_int_equal(f->slots[slot].shared, answer);
}

static void obey(struct fixture *f, unsigned int slot, enum slot_command command)
{
	fixture_command(f, slot, command, 0);
	while (f->slots[slot].command != SLOT_RUN)
		fixture_breathe();
}

static void test_a_library_that_is_not_there_is_shown_as_waited_for(void **state)
{
	struct fixture *f = *state;
	unsigned int slot = fixture_spawn(f, 'd');

	fixture_start_daemon(f);
	assert_ask(f, "ok both", "enable %s", fixture_patch(f, "both"));
	fixture_await_count(f, "patched", 1);
	await_objects(f, slot, "program-d=patched libshared.so=waiting");
	obey(f, slot, SLOT_LOAD);
	await_objects(f, slot, "program-d=patched libshared.so=patched");
	await_shared(f, slot, 2);
	assert_int_equal(f->slots[slot].own, 2);
	assert_ask(f, "ok", "check");
	fixture_assert_alive(f);
}

static void test_a_library_that_comes_later_is_noticed(void **state)
{
	struct fixture *f = *state;
	unsigned int slot = fixture_spawn(f, 'd');
	pid_t pid = f->slots[slot].pid;

	fixture_start_daemon(f);
	assert_ask(f, "ok shared", "enable %s", fixture_patch(f, "shared"));
	fixture_await_count(f, "settled", 1);
	assert_ask(f, "none none -", "entry %d shared", (int)pid);
	obey(f, slot, SLOT_LOAD);
	fixture_await_count(f, "patched", 1);
	assert_ask(f, "patched none -", "entry %d shared", (int)pid);

	/* Gone, there is nothing left of it but what waits for it. */
	obey(f, slot, SLOT_UNLOAD);
	assert_ask(f, "ok", "reload");
	fixture_await_count(f, "waiting", 1);
	assert_ask(f, "ok", "check");
	obey(f, slot, SLOT_LOAD);
	fixture_await_count(f, "patched", 1);
	await_shared(f, slot, 2);
	assert_ask(f, "ok shared", "disable shared");
	fixture_await_count(f, "total", 0);
	await_shared(f, slot, 1);
	fixture_assert_alive(f);
}

static void test_without_the_connector_it_looks_in_intervals_and_says_so(void **state)
{
	struct fixture *f = *state;
	char path[128];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/upatchd.conf", f->session->config);
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "[Daemon]\nWatch=rescan\nRescanSec=1\n[Exclude]\nName=program-c\n");
	assert_int_equal(fclose(file), 0);
	fixture_start_daemon(f);
	assert_non_null(strstr(fixture_ask(f, "status"), "watcher rescan"));
	assert_int_equal(fixture_count(f, "problems"), 1);
	assert_ask(f, "ok shared", "enable %s", fixture_patch(f, "shared"));
	fixture_await_count(f, "settled", 1);
	(void)fixture_spawn(f, 'b');
	(void)fixture_spawn(f, 'c');
	fixture_await_count(f, "patched", 1);
	fixture_await_count(f, "skipped", 1);

	/* Broken, it is named, and what was in force stays so. */
	file = fopen(path, "a");
	assert_non_null(file);
	fprintf(file, "Colour=red\n");
	assert_int_equal(fclose(file), 0);
	assert_non_null(
		strstr(fixture_ask(f, "reload"), "upatchd.conf:6: 'Colour' is no setting of ["));
	assert_int_equal(fixture_count(f, "skipped"), 1);

	/* At a start nobody is touched, for who is excluded is not known. */
	fixture_kill_daemon(f);
	fixture_start_daemon(f);
	(void)fixture_spawn(f, 'b');
	fixture_await_count(f, "waiting", 3);
	assert_int_equal(fixture_count(f, "patched"), 0);
}

static void test_what_a_file_asks_for_is_so_as_long_as_it_is_there(void **state)
{
	struct fixture *f = *state;
	char path[128];
	FILE *file;

	(void)fixture_spawn(f, 'a');
	(void)snprintf(path, sizeof(path), "%s/upatchd.conf", f->session->config);
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "[Patch]\nFile=%s\n", fixture_patch(f, "own"));
	assert_int_equal(fclose(file), 0);
	fixture_start_daemon(f);
	f->is_own_enabled = true;
	assert_desired_is_actual(f);
	assert_non_null(strstr(fixture_ask(f, "disable own"), "refused usage"));

	/* It goes while nobody looks. */
	fixture_kill_daemon(f);
	assert_int_equal(unlink(path), 0);
	fixture_start_daemon(f);
	f->is_own_enabled = false;
	assert_desired_is_actual(f);
	fixture_await_count(f, "patches", 0);
}

/* The victim answers with each beat: a number of beats is a deadline. */
static void await_own(struct fixture *f, unsigned int slot, uint32_t answer)
{
	uint64_t beats = f->slots[slot].beats;

	while (f->slots[slot].own != answer && f->slots[slot].beats < beats + 1000)
		fixture_breathe();
	assert_int_equal(f->slots[slot].own, answer);
}

static void test_a_corrected_build_of_the_same_version_takes_its_place(void **state)
{
	struct fixture *f = *state;
	unsigned int slot = fixture_spawn(f, 'a');

	fixture_start_daemon(f);
	assert_ask(f, "ok own", "enable %s", fixture_patch(f, "own"));
	fixture_await_count(f, "patched", 1);
	await_own(f, slot, 2);
	assert_ask(f, "ok own", "enable %s", fixture_patch_corrected(f));
	await_own(f, slot, 3);
	fixture_await_count(f, "settled", 1);
	assert_int_equal(fixture_count(f, "patched"), 1);
	assert_ask(f, "ok", "check");
	fixture_assert_alive(f);
}

/* Two ways to lose a file: while the daemon runs, and while it does not. */
static void test_what_a_file_asked_for_stays_while_it_cannot_be_read(void **state)
{
	struct fixture *f = *state;
	char path[128], line[512];
	unsigned int slot = fixture_spawn(f, 'a');
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/upatchd.conf", f->session->config);
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "[Patch]\nFile=%s\n", fixture_patch(f, "own"));
	assert_int_equal(fclose(file), 0);
	fixture_start_daemon(f);
	await_own(f, slot, 2);
	fixture_await_count(f, "settled", 1);
	(void)snprintf(line, sizeof(line), "mv %s/own.upatch %s/away", f->dir, f->dir);
	assert_int_equal(system(line), 0);
	assert_ask(f, "ok", "reload");
	fixture_await_count(f, "settled", 1);
	assert_int_equal(fixture_count(f, "problems"), 1);
	assert_ask(f, "foreign none -", "entry %d own", (int)f->slots[slot].pid);
	fixture_kill_daemon(f);
	fixture_start_daemon(f);
	fixture_await_count(f, "settled", 1);
	assert_ask(f, "foreign none -", "entry %d own", (int)f->slots[slot].pid);
	fixture_assert_alive(f);
	assert_int_equal(f->slots[slot].own, 2);

	/* When it is back, it counts; when nobody asks for it any more, it goes. */
	(void)snprintf(line, sizeof(line), "mv %s/away %s/own.upatch", f->dir, f->dir);
	assert_int_equal(system(line), 0);
	assert_ask(f, "ok", "reload");
	fixture_await_count(f, "patched", 1);
	assert_int_equal(unlink(path), 0);
	assert_ask(f, "ok", "reload");
	await_own(f, slot, 1);
	fixture_await_count(f, "patches", 0);
}

/* What a drop-in file's patch has become is nothing that anybody was told of: until the reload. */
static void test_a_file_that_changed_behind_the_daemon_waits_for_a_reload(void **state)
{
	struct fixture *f = *state;
	char path[128], line[512];
	unsigned int slot;
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/upatchd.conf", f->session->config);
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "[Patch]\nFile=%s\n", fixture_patch(f, "own"));
	assert_int_equal(fclose(file), 0);
	fixture_start_daemon(f);
	fixture_await_count(f, "settled", 1);
	(void)snprintf(line, sizeof(line), "mv %s %s/own.upatch", fixture_patch_corrected(f),
		       f->dir);
	assert_int_equal(system(line), 0);
	slot = fixture_spawn(f, 'a');
	fixture_await_count(f, "restart", 1);
	assert_ask(f, "restart config -", "entry %d own", (int)f->slots[slot].pid);
	assert_int_equal(f->slots[slot].own, 1);
	assert_ask(f, "ok", "reload");
	await_own(f, slot, 3);
	fixture_assert_alive(f);
}

static void test_of_two_that_replace_all_the_later_section_wins(void **state)
{
	struct fixture *f = *state;
	char path[128];
	unsigned int slot = fixture_spawn(f, 'a');
	uint64_t beats;
	double operations;
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/upatchd.conf", f->session->config);
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "[Patch]\nFile=%s\n", fixture_patch_variant(f, "z-first", 4, "--replace"));
	fprintf(file, "[Patch]\nFile=%s\n", fixture_patch_variant(f, "a-second", 5, "--replace"));
	assert_int_equal(fclose(file), 0);
	fixture_start_daemon(f);
	await_own(f, slot, 5);
	fixture_await_count(f, "settled", 1);
	operations = control_number(f->session, "operations");
	assert_true(operations <= 2);
	beats = f->slots[slot].beats;
	while (f->slots[slot].beats < beats + 5)
		fixture_breathe();
	assert_true(control_number(f->session, "operations") <= operations);
	assert_int_equal(f->slots[slot].own, 5);
	assert_int_equal(fixture_count(f, "patched"), 1);
}

static void test_what_no_try_will_change_is_shown_with_its_reason(void **state)
{
	struct fixture *f = *state;
	unsigned int slot = fixture_spawn(f, 'a');

	fixture_start_daemon(f);
	assert_ask(f, "ok broken", "enable %s", fixture_patch(f, "broken"));
	fixture_await_count(f, "restart", 1);
	fixture_await_count(f, "settled", 1);
	assert_ask(f, "restart unresolved -", "entry %d broken", (int)f->slots[slot].pid);
	assert_ask(f, "ok", "check");
	assert_int_equal(f->slots[slot].own, 1);
	assert_ask(f, "ok broken", "disable broken");
	fixture_await_count(f, "total", 0);
	fixture_assert_alive(f);
}

static void test_bad_requests_change_nothing(void **state)
{
	struct fixture *f = *state;
	char source[128];

	fixture_start_daemon(f);
	(void)fixture_patch(f, "own"); /* its source is beside it */
	(void)snprintf(source, sizeof(source), "%s/own.c", f->dir);
	assert_non_null(strstr(fixture_ask(f, "enable %s", source), "refused not-elf"));
	assert_non_null(strstr(fixture_ask(f, "disable own"), "refused not-applied"));
	assert_non_null(strstr(fixture_ask(f, "enable %s colour=red", fixture_patch(f, "own")),
			       "refused usage"));
	assert_int_equal(fixture_count(f, "patches"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, fixture_setup, fixture_teardown)
		TEST(desired_is_actual_through_the_lives_of_processes),
		TEST(a_killed_daemon_finds_its_view_again),
		TEST(who_is_excluded_is_left_alone_and_named),
		TEST(what_is_applied_by_hand_is_shown_and_left_alone),
		TEST(who_holds_a_transition_is_named_until_it_is_done),
		TEST(a_library_that_is_not_there_is_shown_as_waited_for),
		TEST(a_library_that_comes_later_is_noticed),
		TEST(without_the_connector_it_looks_in_intervals_and_says_so),
		TEST(what_a_file_asks_for_is_so_as_long_as_it_is_there),
		TEST(a_corrected_build_of_the_same_version_takes_its_place),
		TEST(a_file_that_changed_behind_the_daemon_waits_for_a_reload),
		TEST(what_a_file_asked_for_stays_while_it_cannot_be_read),
		TEST(of_two_that_replace_all_the_later_section_wins),
		TEST(what_no_try_will_change_is_shown_with_its_reason),
		TEST(bad_requests_change_nothing),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
