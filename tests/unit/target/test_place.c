/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "target/maps.h"
#include "target/place.h"

static const uint64_t page = 4096;
static const uint64_t reach = 0x7fff0000;

static uint64_t find(struct mapping *mappings, size_t nr, size_t object, uint64_t size,
		     uint64_t random)
{
	const struct maps maps = { .mappings = mappings, .nr = nr };
	const struct place_near near = { mappings[object].start, mappings[object].end, reach };
	uint64_t addr = 0;
	int r;

	r = place_find(&maps, &near, size, random, &addr);
	return r < 0 ? (uint64_t)r : addr;
}

static void assert_free_and_in_reach(const struct mapping *mappings, size_t nr, size_t object,
				     uint64_t addr, uint64_t size)
{
	for (size_t i = 0; i < nr; i++)
		assert_true(addr + size + page <= mappings[i].start ||
			    addr >= mappings[i].end + page);
	assert_true(mappings[object].end < addr + reach);
	assert_true(addr + size < mappings[object].start + reach);
	assert_int_equal(addr % page, 0);
}

static void test_the_gap_below_the_object_is_taken(void **state)
{
	struct mapping mappings[] = {
		{ .start = 0x7f0000000000, .end = 0x7f0000010000, .path = "/lib/a" },
		{ .start = 0x7f0000100000, .end = 0x7f0000200000, .path = "/lib/b" },
	};

	for (uint64_t random = 0; random < 1000; random += 7) {
		uint64_t addr = find(mappings, 2, 1, 4 * page, random);

		assert_free_and_in_reach(mappings, 2, 1, addr, 4 * page);
		assert_true(addr < mappings[1].start);
	}
}

static void test_the_random_number_chooses_the_place(void **state)
{
	struct mapping mappings[] = {
		{ .start = 0x7f0000000000, .end = 0x7f0000010000, .path = "/lib/a" },
	};

	assert_int_not_equal(find(mappings, 1, 0, page, 1), find(mappings, 1, 0, page, 2));
}

static void test_room_for_the_heap_to_grow_is_left(void **state)
{
	/* No room below. */
	struct mapping mappings[] = {
		{ .start = 0x100000, .end = 0x400000, .path = "" },
		{ .start = 0x400000, .end = 0x500000, .path = "/bin/a" },
		{ .start = 0x600000, .end = 0x700000, .path = "[heap]" },
	};
	uint64_t addr = find(mappings, 3, 1, 0x100000, 0);

	assert_true(addr >= 0x700000 + (1ull << 30));
	assert_free_and_in_reach(mappings, 3, 1, addr, 0x100000);
}

static void test_room_for_the_stack_to_grow_is_left(void **state)
{
	struct mapping mappings[] = {
		{ .start = 0x7ffff0000000, .end = 0x7ffff0100000, .path = "[stack]" },
	};

	assert_true(find(mappings, 1, 0, page, 0) + page <= 0x7ffff0000000 - (256ull << 20));
}

static void test_low_addresses_are_left_alone(void **state)
{
	/* A program at 4 MiB: what is below it is little, and not from page zero on. */
	struct mapping mappings[] = {
		{ .start = 0x400000, .end = 0x500000, .path = "/bin/a" },
	};

	for (uint64_t random = 0; random < 5000; random += 11)
		assert_true(find(mappings, 1, 0, page, random) >= 0x100000);
}

static void test_a_full_neighbourhood_is_refused(void **state)
{
	struct mapping mappings[] = {
		{ .start = 0x10000, .end = 0x7f0000000000, .path = "" },
		{ .start = 0x7f0000000000, .end = 0x7f0000100000, .path = "/lib/a" },
		{ .start = 0x7f0000100000, .end = 0x7fffffff0000, .path = "" },
	};

	assert_int_equal((int)find(mappings, 3, 1, page, 0), -ENOSPC);
}

static void test_a_gap_out_of_reach_is_not_taken(void **state)
{
	struct mapping mappings[] = {
		{ .start = 0x6f0000000000, .end = 0x7f0000000000, .path = "" },
		{ .start = 0x7f0000000000, .end = 0x7f0000100000, .path = "/lib/a" },
		{ .start = 0x7f0000100000, .end = 0x7f0080000000, .path = "" },
	};

	assert_int_equal((int)find(mappings, 3, 1, page, 0), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_gap_below_the_object_is_taken),
		cmocka_unit_test(test_the_random_number_chooses_the_place),
		cmocka_unit_test(test_room_for_the_heap_to_grow_is_left),
		cmocka_unit_test(test_room_for_the_stack_to_grow_is_left),
		cmocka_unit_test(test_low_addresses_are_left_alone),
		cmocka_unit_test(test_a_full_neighbourhood_is_refused),
		cmocka_unit_test(test_a_gap_out_of_reach_is_not_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
