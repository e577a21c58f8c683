/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the agent finds room near a library: its source, built for the host, in an address space of the test's. */
#include "agent/room.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"

#include <cmocka.h>

#define START 0x7f0000000000ull
#define END (START + 0x20000000) /* a large one: it counts, too */
#define SIZE 0x3000
#define REACH 0x80000000ull

/* What is taken: below and above the library, up to there. */
static struct {
	uint64_t below;
	uint64_t above;
	long error;
	long nsec;
	unsigned int nr_tries;
} space;

long sys_clock_gettime(long clock, struct sys_timespec *ret)
{
	(void)clock;
	*ret = (struct sys_timespec){ 1, space.nsec };
	return 0;
}

long poke_reserve(const struct poke *poke, uint64_t addr, uint64_t size)
{
	(void)poke;
	space.nr_tries++;
	assert_int_equal(addr % UPATCH_PAGE_SIZE, 0);
	assert_int_equal(size, SIZE);
	/* One branch connects any two points of both. */
	assert_true(addr + size > addr);
	assert_true(addr < START ? END - addr < REACH : addr + size - START < REACH);
	assert_true(addr + size <= START || addr >= END);
	if (addr + size > space.below && addr < space.above)
		return -EEXIST;
	return space.error;
}

static int setup(void **state)
{
	(void)state;
	memset(&space, 0, sizeof(space));
	space.below = START;
	space.above = END;
	return 0;
}

static long take(uint64_t *ret)
{
	return room_take(NULL, START, END, SIZE, ret);
}

static void test_room_is_found_below_and_not_side_by_side(void **state)
{
	uint64_t addr = 0;

	(void)state;
	assert_int_equal(take(&addr), 0);
	assert_true(addr + SIZE <= START - 64 * 1024);
	assert_int_equal(space.nr_tries, 1);
}

static void test_it_is_not_always_the_same(void **state)
{
	uint64_t first = 0, second = 0;

	(void)state;
	assert_int_equal(take(&first), 0);
	space.nsec = 123456789;
	assert_int_equal(take(&second), 0);
	assert_int_not_equal(first, second);
}

static void test_with_none_below_there_is_some_above(void **state)
{
	uint64_t addr = 0;

	(void)state;
	space.below = 0;
	assert_int_equal(take(&addr), 0);
	assert_true(addr >= END + 64 * 1024);
}

static void test_far_room_is_found_as_long_as_it_is_in_reach(void **state)
{
	uint64_t addr = 0;

	(void)state;
	for (long nsec = 0; nsec < 1000000000; nsec += 99999989) {
		space.nsec = nsec;
		space.below = START - 0x40000000;
		space.above = UINT64_MAX;
		assert_int_equal(take(&addr), 0);
		assert_true(addr + SIZE <= space.below);
		space.below = 0;
		space.above = END + 0x40000000;
		assert_int_equal(take(&addr), 0);
		assert_true(addr >= space.above);
	}
}

static void test_without_room_it_ends(void **state)
{
	uint64_t addr = 0;

	(void)state;
	space.below = 0;
	space.above = UINT64_MAX;
	assert_int_equal(take(&addr), -ENOSPC);
	assert_int_equal(addr, 0);
	assert_true(space.nr_tries < 1000);
}

static void test_what_is_refused_for_another_reason_is_not_tried_again(void **state)
{
	uint64_t addr = 0;

	(void)state;
	space.error = -ENOMEM;
	assert_int_equal(take(&addr), -ENOMEM);
	assert_int_equal(space.nr_tries, 1);
	assert_int_equal(addr, 0);
}

#define STORY(fn) cmocka_unit_test_setup(fn, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORY(test_room_is_found_below_and_not_side_by_side),
		STORY(test_it_is_not_always_the_same),
		STORY(test_with_none_below_there_is_some_above),
		STORY(test_far_room_is_found_as_long_as_it_is_in_reach),
		STORY(test_without_room_it_ends),
		STORY(test_what_is_refused_for_another_reason_is_not_tried_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
