/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who is visited when, while a transition is open. Time is the test's: it passes when somebody sleeps.
 * /proc is a folder, threads are numbers, and the transition's own part is played here.
 */
#include "livepatch/wait.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/deadline.h"
#include "livepatch/transition.h"
#include "world.h"

enum {
	VISITS_MAX = 4096,
};

/* What happened, and what is to. */
static struct {
	uint64_t now;
	struct {
		uint64_t at; /* ms */
		pid_t tid;   /* 0: everybody was to be stopped */
	} visits[VISITS_MAX];
	size_t nr;
	pid_t leaving; /* switches at its next visit; -1: everybody does */
	uint64_t leaves_at;
	int visit_result;
	int complete_result;
	void (*tick)(void); /* whenever time passes */
	char dir[32];
} story;

int clock_gettime(clockid_t clock, struct timespec *ret)
{
	(void)clock;
	*ret = (struct timespec){ (time_t)(story.now / NSEC_PER_SEC),
				  (long)(story.now % NSEC_PER_SEC) };
	return 0;
}

int(nanosleep)(const struct timespec *time, struct timespec *left)
{
	(void)left;
	story.now += (uint64_t)time->tv_sec * NSEC_PER_SEC + (uint64_t)time->tv_nsec;
	/* What takes no time takes some. */
	story.now++;
	if (story.tick)
		story.tick();
	return 0;
}

static void note(pid_t tid)
{
	assert_true(story.nr < VISITS_MAX);
	story.visits[story.nr].at = (story.now + NSEC_PER_MSEC / 2) / NSEC_PER_MSEC;
	story.visits[story.nr++].tid = tid;
}

int transition_visit(struct transition *transition, const struct laggard *list, size_t nr)
{
	assert_true(nr > 0);
	for (size_t i = 0; i < nr; i++) {
		note(list[i].tid);
		if ((story.leaving == list[i].tid || story.leaving == -1) &&
		    story.now >= story.leaves_at)
			assert_int_equal(laggards_drop(transition->session, &transition->laggards,
						       0, list[i].key),
					 0);
	}
	return story.visit_result;
}

int transition_try_complete(struct transition *transition)
{
	(void)transition;
	note(0);
	return story.complete_result;
}

/* --- fixture ------------------------------------------------------------------------------------- */

struct fixture {
	struct world world;
	struct transition transition;
};

static char *path_of(pid_t tid, const char *file, char path[96])
{
	snprintf(path, 96, "%s/task%s%.0d%s%s", story.dir, tid ? "/" : "", tid, *file ? "/" : "",
		 file);
	return path;
}

static void write_syscall(pid_t tid, const char *text)
{
	char path[96];
	FILE *file = fopen(path_of(tid, "syscall", path), "w");

	assert_non_null(file);
	fprintf(file, "%s\n", text);
	assert_int_equal(fclose(file), 0);
}

static void set_running(pid_t tid)
{
	write_syscall(tid, "running");
}

static void set_asleep(pid_t tid, unsigned int sp, unsigned int pc)
{
	char text[96];

	snprintf(text, sizeof(text), "0 0x3 0x0 0x0 0x0 0x0 0x0 0x%x 0x%x", sp, pc);
	write_syscall(tid, text);
}

/* Laggards 101 and on. */
static void set_laggards(struct fixture *f, unsigned int nr)
{
	struct laggard *list = calloc(nr + 1, sizeof(*list));
	char path[96];

	assert_non_null(list);
	for (unsigned int i = 0; i < nr; i++) {
		list[i] = (struct laggard){ 0x7f0000000000 + i * 0x1000, (pid_t)(101 + i) };
		assert_int_equal(mkdir(path_of(list[i].tid, "", path), 0700), 0);
		set_running(list[i].tid);
	}
	assert_int_equal(
		laggards_replace(&f->world.session, &f->transition.laggards, 0, list, nr, 0), 0);
	free(list);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char path[96];

	assert_non_null(f);
	memset(&story, 0, sizeof(story));
	story.now = 1000 * NSEC_PER_SEC;
	story.visit_result = TRANSITION_PENDING;
	strcpy(story.dir, "/tmp/upatch-test.XXXXXX");
	assert_non_null(mkdtemp(story.dir));
	assert_int_equal(mkdir(path_of(0, "", path), 0700), 0);
	world_init(&f->world, 1);
	f->world.target.procfd = open(story.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->world.target.procfd >= 0);
	f->world.session.deadline = story.now + NSEC_PER_SEC;
	f->transition = (struct transition){
		.session = &f->world.session,
		.laggards = { .index = -1 },
	};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char path[96];

	for (pid_t tid = 101; rmdir(path_of(tid, "", path)) == 0 ||
			      (errno == ENOTEMPTY && unlink(path_of(tid, "syscall", path)) == 0 &&
			       rmdir(path_of(tid, "", path)) == 0);
	     tid++)
		;
	assert_int_equal(rmdir(path_of(0, "", path)), 0);
	assert_int_equal(rmdir(story.dir), 0);
	close(f->world.target.procfd);
	laggards_deinit(&f->transition.laggards);
	world_deinit(&f->world);
	free(f);
	return 0;
}

static uint64_t ms(size_t visit)
{
	return story.visits[visit].at - 1000 * 1000;
}

static size_t count_visits(pid_t tid)
{
	size_t nr = 0;

	for (size_t i = 0; i < story.nr; i++)
		nr += story.visits[i].tid == tid;
	return nr;
}

/* --- the end ------------------------------------------------------------------------------------- */

static void test_without_laggards_it_is_completed_at_once(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(transition_wait(&f->transition), TRANSITION_DONE);
	assert_int_equal(story.nr, 1);
	assert_int_equal(story.visits[0].tid, 0);
	assert_int_equal(ms(0), 0);
}

static void test_once_all_have_left_it_is_completed(void **state)
{
	struct fixture *f = *state;

	set_laggards(f, 3);
	story.leaving = -1;
	assert_int_equal(transition_wait(&f->transition), TRANSITION_DONE);
	assert_int_equal(story.nr, 4);
	assert_int_equal(story.visits[3].tid, 0);
}

static void test_who_has_left_is_not_visited_again(void **state)
{
	struct fixture *f = *state;

	set_laggards(f, 3);
	story.leaving = 102;
	assert_int_equal(transition_wait(&f->transition), TRANSITION_PENDING);
	assert_int_equal(count_visits(102), 1);
	assert_true(count_visits(101) > 1);
	assert_true(count_visits(103) > 1);
	assert_int_equal(count_visits(0), 0);
}

static void test_a_visit_that_completes_it_ends_the_wait(void **state)
{
	struct fixture *f = *state;

	set_laggards(f, 1);
	story.visit_result = TRANSITION_DONE;
	assert_int_equal(transition_wait(&f->transition), TRANSITION_DONE);
	assert_int_equal(story.nr, 1);
}

static void test_at_the_deadline_it_stays_open(void **state)
{
	struct fixture *f = *state;

	set_laggards(f, 1);
	assert_int_equal(transition_wait(&f->transition), TRANSITION_PENDING);
	assert_in_range(story.now - 1001 * NSEC_PER_SEC, 0, NSEC_PER_MSEC);
}

static void test_after_the_deadline_everybody_is_looked_at_once(void **state)
{
	struct fixture *f = *state;

	set_laggards(f, 2);
	f->world.session.deadline = 0;
	assert_int_equal(transition_wait(&f->transition), TRANSITION_PENDING);
	assert_int_equal(story.nr, 2);
	assert_int_equal(story.now, 1000 * NSEC_PER_SEC);
}

static void test_what_cannot_be_completed_yet_is_tried_again(void **state)
{
	struct fixture *f = *state;

	/* All have switched, but something is suspended. */
	story.complete_result = TRANSITION_PENDING;
	assert_int_equal(transition_wait(&f->transition), TRANSITION_PENDING);
	assert_true(count_visits(0) >= 10);
}

/* --- failures ------------------------------------------------------------------------------------ */

static void become_interruptible(void)
{
	if (story.now >= 1000 * NSEC_PER_SEC + 300 * NSEC_PER_MSEC)
		story.visit_result = TRANSITION_DONE;
}

static void test_who_cannot_be_stopped_now_may_be_later(void **state)
{
	struct fixture *f = *state;

	set_laggards(f, 1);
	story.visit_result = -ETIMEDOUT;
	story.tick = become_interruptible;
	assert_int_equal(transition_wait(&f->transition), TRANSITION_DONE);
	assert_in_range(ms(story.nr - 1), 300, 330);
}

static void test_at_the_deadline_that_is_a_failure(void **state)
{
	struct fixture *f = *state;

	set_laggards(f, 1);
	story.visit_result = -ETIMEDOUT;
	f->world.session.deadline = story.now;
	assert_int_equal(transition_wait(&f->transition), -ETIMEDOUT);
}

static void test_other_failures_are_told_at_once(void **state)
{
	struct fixture *f = *state;

	set_laggards(f, 1);
	story.visit_result = -ESRCH;
	assert_int_equal(transition_wait(&f->transition), -ESRCH);
	assert_int_equal(story.nr, 1);
	story.visit_result = TRANSITION_PENDING;
	story.leaving = -1;
	story.complete_result = -EPERM;
	assert_int_equal(transition_wait(&f->transition), -EPERM);
}

/* --- when ---------------------------------------------------------------------------------------- */

static void test_one_that_runs_is_visited_after_ever_longer_waits(void **state)
{
	static const uint64_t expected[] = { 0, 1, 3, 7, 15, 31, 51, 71 };
	struct fixture *f = *state;

	set_laggards(f, 1);
	assert_int_equal(transition_wait(&f->transition), TRANSITION_PENDING);
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		assert_int_equal(ms(i), expected[i]);
}

static void test_of_many_each_is_visited_more_rarely(void **state)
{
	struct fixture *f = *state;

	/* Half a millisecond's work each: a hundred cost all of 50 ms. */
	set_laggards(f, 100);
	assert_int_equal(transition_wait(&f->transition), TRANSITION_PENDING);
	assert_in_range(count_visits(101), 1000 / 50, 1000 / 50 + 7);
}

static void test_one_that_sleeps_on_is_left_alone_for_a_while(void **state)
{
	struct fixture *f = *state;

	set_laggards(f, 1);
	set_asleep(101, 0x1000, 0x2000);
	assert_int_equal(transition_wait(&f->transition), TRANSITION_PENDING);
	assert_in_range(story.nr, 1000 / 20, 1000 / 20 + 7);
}

static void move_on(void)
{
	uint64_t since = story.now - 1000 * NSEC_PER_SEC;

	if (since >= 511 * NSEC_PER_MSEC)
		set_asleep(101, 0x1008, 0x2008);
	else if (since >= 253 * NSEC_PER_MSEC)
		set_asleep(101, 0x1008, 0x2000);
}

static bool was_visited_at(uint64_t at)
{
	for (size_t i = 0; i < story.nr; i++)
		if (ms(i) >= at && ms(i) <= at + 1)
			return true;
	return false;
}

static void test_one_that_has_moved_is_visited_at_once(void **state)
{
	struct fixture *f = *state;

	set_laggards(f, 1);
	set_asleep(101, 0x1000, 0x2000);
	story.tick = move_on;
	assert_int_equal(transition_wait(&f->transition), TRANSITION_PENDING);
	/* By its stack, and by where it is; and then again soon. */
	assert_true(was_visited_at(253));
	assert_true(was_visited_at(254));
	assert_true(was_visited_at(511));
}

static void wake_up(void)
{
	if (story.now >= 1000 * NSEC_PER_SEC + 253 * NSEC_PER_MSEC)
		set_running(101);
}

static void test_one_that_wakes_up_is_visited_at_once(void **state)
{
	struct fixture *f = *state;

	set_laggards(f, 1);
	set_asleep(101, 0x1000, 0x2000);
	story.tick = wake_up;
	assert_int_equal(transition_wait(&f->transition), TRANSITION_PENDING);
	assert_true(was_visited_at(253));
}

#define STORY(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORY(test_without_laggards_it_is_completed_at_once),
		STORY(test_once_all_have_left_it_is_completed),
		STORY(test_who_has_left_is_not_visited_again),
		STORY(test_a_visit_that_completes_it_ends_the_wait),
		STORY(test_at_the_deadline_it_stays_open),
		STORY(test_after_the_deadline_everybody_is_looked_at_once),
		STORY(test_what_cannot_be_completed_yet_is_tried_again),
		STORY(test_who_cannot_be_stopped_now_may_be_later),
		STORY(test_at_the_deadline_that_is_a_failure),
		STORY(test_other_failures_are_told_at_once),
		STORY(test_one_that_runs_is_visited_after_ever_longer_waits),
		STORY(test_of_many_each_is_visited_more_rarely),
		STORY(test_one_that_sleeps_on_is_left_alone_for_a_while),
		STORY(test_one_that_has_moved_is_visited_at_once),
		STORY(test_one_that_wakes_up_is_visited_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
