/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "loader.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Eight threads load and unload four copies of a library, 100000 times, while a patch for it is applied
 * and reverted: nobody crashes, nothing is left, and once apply has returned, nobody runs the
 * old version.
 */

enum {
	THREADS = 8,
	TIMES = 12500,
	STORMS_MAX = 10,
	NEW = 1,
	OLD = 2,
};

static const struct loader_patch plug_100 = { .name = "p", .sources = { PLUG_VALUE(x + 100) } };

static void copy_plugins(const char *dir)
{
	for (int i = 0; i < 4; i++) {
		char command[512];

		snprintf(command, sizeof(command), "cp %s/libplug.so %s/plug%d.so",
			 getenv("PLUGIN_DIR"), dir, i);
		assert_int_equal(system(command), 0);
	}
}

static int setup(void **state)
{
	static char dir[] = "/tmp/upatch-judge.XXXXXX";
	char path[128];
	int fd;

	strcpy(dir + strlen(dir) - 6, "XXXXXX");
	assert_non_null(mkdtemp(dir));
	copy_plugins(dir);
	snprintf(path, sizeof(path), "%s/word", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0 && ftruncate(fd, 4096) == 0);
	close(fd);
	setenv("JUDGE_DIR", dir, 1);
	setenv("JUDGE", path, 1);
	return loader_setup(state);
}

static int teardown(void **state)
{
	char command[256];

	snprintf(command, sizeof(command), "rm -r %s", getenv("JUDGE_DIR"));
	assert_int_equal(system(command), 0);
	return fixture_teardown(state);
}

static bool has_answered(struct fixture *f)
{
	struct pollfd pollfd = { .fd = fileno(f->from), .events = POLLIN };

	return poll(&pollfd, 1, 0) == 1;
}

/* A word on some stack may look like a reference: the threads overwrite it as they go on. */
static void revert(struct fixture *f, int cycle)
{
	for (int tries = 0; tries == 0 || strcmp(fixture_state(f, "p"), "none") != 0; tries++) {
		int r = upatch_target_revert(f->target, "p", NULL, NULL);

		if (r != 0 || tries > 1000)
			fail_msg("revert %d: %d [%s] %s", cycle, r,
				 upatch_reason_name(upatch_ctx_error(f->ctx)->reason),
				 upatch_ctx_error(f->ctx)->message);
	}
}

/* Until there was something to judge, or the storm is over. */
static void wait_for_calls(struct fixture *f, const volatile unsigned long *word)
{
	unsigned long before = word[1];

	for (int i = 0; i < 5000 && word[1] - before < 300 && !has_answered(f); i++)
		poll(NULL, 0, 1);
}

/* One change of the patch and back; the word says at each instant what a call may answer. */
static void cycle(struct fixture *f, struct upatch_patch *patch, volatile unsigned long *word,
		  int cycle)
{
	unsigned long nr = (unsigned long)cycle << 8;
	int r;

	*word = nr;
	r = upatch_target_apply(f->target, patch, NULL, NULL);
	if (r != 0)
		fail_msg("apply %d: %d [%s] %s", cycle, r,
			 upatch_reason_name(upatch_ctx_error(f->ctx)->reason),
			 upatch_ctx_error(f->ctx)->message);
	*word = nr | NEW;
	wait_for_calls(f, word);
	*word = nr | 4;
	revert(f, cycle);
	*word = nr | 4 | OLD;
	wait_for_calls(f, word);
}

struct tally {
	int cycles;
	unsigned long judged;
};

/* One storm of loads, all of which are counted; the patch comes and goes until it is over. */
static void storm(struct fixture *f, struct upatch_patch *patch, volatile unsigned long *word,
		  struct tally *tally)
{
	unsigned long calls, judged, wrong;
	char line[128];

	*word = OLD;
	fprintf(f->to, "judge %d %d\n", THREADS, TIMES);
	while (!has_answered(f))
		cycle(f, patch, word, ++tally->cycles);
	assert_non_null(fgets(line, sizeof(line), f->from));
	print_message("# %d cycles: %s", tally->cycles, line);
	assert_int_equal(
		sscanf(line, "judge %lu calls %lu judged %lu wrong", &calls, &judged, &wrong), 3);
	assert_int_equal(calls, THREADS * TIMES);
	assert_int_equal(wrong, 0);
	tally->judged += judged;
}

/*
 * How many cycles fit into a storm is the scheduler's choice: each waits for eight busy threads on however
 * few cores there are. Another storm follows until there were enough.
 */
static void test_patches_come_and_go_under_a_storm_of_loads(void **state)
{
	int fd = open(getenv("JUDGE"), O_RDWR | O_CLOEXEC);
	volatile unsigned long *word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct fixture *f = *state;
	struct upatch_patch *patch;
	struct tally tally = { 0 };
	char line[128];

	assert_true(word != MAP_FAILED);
	assert_int_equal(upatch_patch_open(f->ctx, loader_build(f, &plug_100), &patch), 0);
	snprintf(line, sizeof(line), "judge %d 10", THREADS);
	(void)fixture_ask(f, line);
	fixture_remember(f);
	for (int storms = 0; storms < STORMS_MAX && (tally.cycles < 6 || tally.judged < 2000);
	     storms++)
		storm(f, patch, word, &tally);
	assert_true(tally.judged >= 2000);
	assert_true(tally.cycles >= 6);
	assert_string_equal(fixture_state(f, "p"), "none");
	fixture_assert_unchanged(f);
	upatch_patch_close(patch);
	munmap((void *)word, 4096);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_patches_come_and_go_under_a_storm_of_loads,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
