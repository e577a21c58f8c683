/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/deadline.h"

static void test_the_clock_does_not_run_backwards(void **state)
{
	uint64_t before = clock_now();

	for (int i = 0; i < 1000; i++) {
		uint64_t now = clock_now();

		assert_true(now >= before);
		before = now;
	}
}

static void test_a_deadline_of_nothing_is_over_at_once(void **state)
{
	uint64_t deadline = deadline_in(0);

	assert_true(deadline_is_over(deadline));
	assert_int_equal(deadline_left(deadline), 0);
}

static void test_a_deadline_ahead_is_not_over_and_tells_what_is_left(void **state)
{
	uint64_t deadline = deadline_in(3600 * NSEC_PER_SEC);
	uint64_t left = deadline_left(deadline);

	assert_false(deadline_is_over(deadline));
	assert_true(left > 3500 * NSEC_PER_SEC);
	assert_true(left <= 3600 * NSEC_PER_SEC);
}

static void test_a_short_deadline_passes(void **state)
{
	uint64_t deadline = deadline_in(NSEC_PER_MSEC);

	while (deadline_left(deadline))
		continue;
	assert_true(deadline_is_over(deadline));
}

static void test_forever_does_not_wrap_around(void **state)
{
	uint64_t deadline = deadline_in(UINT64_MAX);

	assert_int_equal(deadline, UINT64_MAX);
	assert_false(deadline_is_over(deadline));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_clock_does_not_run_backwards),
		cmocka_unit_test(test_a_deadline_of_nothing_is_over_at_once),
		cmocka_unit_test(test_a_deadline_ahead_is_not_over_and_tells_what_is_left),
		cmocka_unit_test(test_a_short_deadline_passes),
		cmocka_unit_test(test_forever_does_not_wrap_around),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
