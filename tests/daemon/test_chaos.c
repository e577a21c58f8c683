/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Processes begin, fork, become others and end; patches are enabled and disabled; the daemon and its
 * workers are killed; the disk runs full. In the end what is desired is what is, and nobody has come
 * to harm. It lasts 3 minutes; UPATCH_CHAOS_SECONDS and UPATCH_CHAOS_SEED change what their names say.
 */
#include "fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	SECONDS = 180,
	VICTIMS_MAX = 120,
	VICTIMS_MIN = 60,
};

struct chaos {
	struct fixture *f;
	char filler[128];
	unsigned int nr_daemon_kills;
	unsigned int nr_worker_kills;
	unsigned int nr_refusals;
	unsigned int nr_changes;
	unsigned int nr_processes;
};

static unsigned int setting(const char *name, unsigned int otherwise)
{
	const char *value = getenv(name);

	return value ? (unsigned int)strtoul(value, NULL, 10) : otherwise;
}

static unsigned int pick(unsigned int nr)
{
	return (unsigned int)rand() % nr;
}

/* --- victims ----------------------------------------------------------------------------------- */

/* One that lives and has nothing left to obey, or -1. */
static int pick_victim(struct fixture *f)
{
	for (unsigned int i = 0; i < 50; i++) {
		unsigned int slot = pick(f->nr_slots);

		if (f->slots[slot].pid && f->slots[slot].command == SLOT_RUN &&
		    f->slots[slot].beats > 0)
			return (int)slot;
	}
	return -1;
}

static void live(struct chaos *chaos)
{
	struct fixture *f = chaos->f;
	long nr = fixture_nr(f, "abc");
	int victim = pick_victim(f);
	unsigned int what = pick(4);

	if ((nr < VICTIMS_MIN || what == 0) && nr < VICTIMS_MAX && f->nr_slots < SLOTS - 1) {
		(void)fixture_spawn(f, (char)('a' + pick(3)));
		chaos->nr_processes++;
	} else if (victim < 0) {
		return;
	} else if (what == 1 && nr < VICTIMS_MAX && f->nr_slots < SLOTS - 1) {
		(void)fixture_fork(f, (unsigned int)victim);
		chaos->nr_processes++;
	} else if (what == 2) {
		fixture_command(f, (unsigned int)victim, SLOT_EXEC, 'a' + pick(3));
	} else if (nr > VICTIMS_MIN / 2) {
		fixture_command(f, (unsigned int)victim, SLOT_EXIT, 0);
	}
}

/* --- the daemon -------------------------------------------------------------------------------- */

/* What an unanswered request came to, the next daemon tells. */
static void restart(struct chaos *chaos)
{
	struct fixture *f = chaos->f;

	fixture_kill_daemon(f);
	fixture_start_daemon(f);
	chaos->nr_daemon_kills++;
	f->is_own_enabled = *fixture_ask(f, "enabled own") == '1';
	f->is_shared_enabled = *fixture_ask(f, "enabled shared") == '1';
}

static void kill_workers(struct chaos *chaos)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		if (*entry->d_name < '1' || *entry->d_name > '9' ||
		    fixture_parent_of(entry->d_name) != chaos->f->session->daemon || pick(2))
			continue;
		if (kill(atoi(entry->d_name), SIGKILL) == 0)
			chaos->nr_worker_kills++;
	}
	(void)closedir(dir);
}

/* What was acknowledged counts, what was refused does not. */
static void change(struct chaos *chaos)
{
	struct fixture *f = chaos->f;
	const char *name = pick(2) ? "own" : "shared";
	bool *is_enabled = *name == 'o' ? &f->is_own_enabled : &f->is_shared_enabled;
	const char *answer;
	bool enable = pick(2);

	if (enable)
		answer = fixture_ask(f, "enable %s", fixture_patch(f, name));
	else
		answer = fixture_ask(f, "disable %s", name);
	assert_non_null(answer);
	chaos->nr_changes++;
	if (strncmp(answer, "ok", 2) == 0) {
		*is_enabled = enable;
		return;
	}
	/* Nothing but a full disk, or that it is not enabled, is a reason. */
	if (strstr(answer, "No space left"))
		chaos->nr_refusals++;
	else if (!strstr(answer, "not-applied"))
		fail_msg("%s", answer);
}

static void interrupt_change(struct chaos *chaos)
{
	struct fixture *f = chaos->f;
	bool is_disabling = pick(2);

	fixture_send(f, "%s %s", is_disabling ? "disable" : "enable",
		     is_disabling ? "own" : fixture_patch(f, "shared"));
	for (unsigned int i = pick(3); i > 0; i--)
		fixture_breathe();
	restart(chaos);
}

static void fill_disk(struct chaos *chaos)
{
	static char zeros[4096];
	int fd = open(chaos->filler, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	while (write(fd, zeros, sizeof(zeros)) > 0)
		;
	(void)close(fd);
}

static void act(struct chaos *chaos)
{
	unsigned int what = pick(100);

	if (what < 80)
		live(chaos);
	else if (what < 88)
		change(chaos);
	else if (what < 92)
		kill_workers(chaos);
	else if (what < 94)
		restart(chaos);
	else if (what < 96)
		interrupt_change(chaos);
	else if (what < 98)
		fill_disk(chaos);
	else
		(void)unlink(chaos->filler);
	fixture_breathe();
}

/* --- the test ---------------------------------------------------------------------------------- */

static void assert_all_is_well(struct fixture *f)
{
	long wanted = (f->is_own_enabled ? fixture_nr(f, "a") : 0) +
		      (f->is_shared_enabled ? fixture_nr(f, "bc") : 0);

	fixture_await_answers(f);
	fixture_await_count(f, "patched", wanted);
	fixture_await_count(f, "total", wanted);
	assert_ask(f, "ok", "check");
	fixture_assert_alive(f);
}

static void test_chaos_ends_with_desired_equal_to_actual(void **state)
{
	struct fixture *f = *state;
	struct chaos chaos = { .f = f };
	unsigned int seed = setting("UPATCH_CHAOS_SEED", (unsigned int)time(NULL));
	time_t end = time(NULL) + setting("UPATCH_CHAOS_SECONDS", SECONDS);

	print_message("# seed %u\n", seed);
	srand(seed);
	assert_int_equal(mount("tmpfs", f->session->state, "tmpfs", 0, "size=128k"), 0);
	(void)snprintf(chaos.filler, sizeof(chaos.filler), "%s/filler", f->session->state);
	fixture_start_daemon(f);
	for (unsigned int i = 0; i < VICTIMS_MIN; i++)
		(void)fixture_spawn(f, (char)('a' + i % 3));
	while (time(NULL) < end)
		act(&chaos);
	(void)unlink(chaos.filler);
	assert_all_is_well(f);
	print_message(
		"# %u processes, %u changes, %u of them refused by a full disk, the daemon killed %u times, "
		"workers %u times\n",
		chaos.nr_processes, chaos.nr_changes, chaos.nr_refusals, chaos.nr_daemon_kills,
		chaos.nr_worker_kills);
	/* It was chaos. */
	assert_true(chaos.nr_daemon_kills > 0 && chaos.nr_worker_kills > 0 &&
		    chaos.nr_refusals > 0);
	fixture_kill_daemon(f);
}

static int teardown(void **state)
{
	const struct fixture *f = *state;

	(void)umount2(f->session->state, MNT_DETACH);
	return fixture_teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_chaos_ends_with_desired_equal_to_actual,
						fixture_setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
