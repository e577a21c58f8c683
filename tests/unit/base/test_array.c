/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/array.h"
#include "base/cleanup.h"

static void test_an_empty_array_grows_to_hold_its_first_element(void **state)
{
	_cleanup_free_ int *numbers = NULL;
	size_t alloc = 0;

	assert_true(array_grow(numbers, 0, alloc));
	assert_non_null(numbers);
	assert_true(alloc >= 1);
	assert_int_equal(numbers[0], 0);
}

static void test_elements_survive_growing(void **state)
{
	_cleanup_free_ uint64_t *numbers = NULL;
	size_t nr = 0, alloc = 0;

	for (uint64_t i = 0; i < 1000; i++) {
		assert_true(array_grow(numbers, nr, alloc));
		numbers[nr++] = i * i;
	}
	for (uint64_t i = 0; i < 1000; i++)
		assert_int_equal(numbers[i], i * i);
}

static void test_an_element_that_is_used_again_is_zeroed(void **state)
{
	_cleanup_free_ int *numbers = NULL;
	size_t alloc = 0;

	assert_true(array_grow(numbers, 0, alloc));
	numbers[0] = 7;
	assert_true(array_grow(numbers, 0, alloc));
	assert_int_equal(numbers[0], 0);
}

static void test_growing_far_reaches_the_element_asked_for(void **state)
{
	_cleanup_free_ char *bytes = NULL;
	size_t alloc = 0;

	assert_true(array_grow(bytes, 5000, alloc));
	assert_true(alloc > 5000);
	assert_int_equal(bytes[5000], 0);
}

static void test_a_size_that_overflows_is_refused_and_changes_nothing(void **state)
{
	_cleanup_free_ uint64_t *numbers = NULL;
	size_t alloc = 0;

	assert_true(array_grow(numbers, 0, alloc));
	numbers[0] = 42;

	uint64_t *before = numbers;
	size_t alloc_before = alloc;
	volatile size_t index = SIZE_MAX / 8; /* the compiler is not to see it */

	assert_false(array_grow(numbers, index, alloc));
	assert_ptr_equal(numbers, before);
	assert_int_equal(alloc, alloc_before);
	assert_int_equal(numbers[0], 42);
}

static void test_aligning_keeps_what_is_aligned(void **state)
{
	assert_int_equal(ALIGN_UP(0, 16), 0);
	assert_int_equal(ALIGN_UP(16, 16), 16);
	assert_int_equal(ALIGN_UP(17, 16), 32);
	assert_int_equal(ALIGN_DOWN(31, 16), 16);
	assert_int_equal(ALIGN_DOWN(32, 16), 32);
}

static void test_aligning_an_address_keeps_its_upper_half(void **state)
{
	uint64_t addr = 0x7fff12345678ull;

	assert_int_equal(ALIGN_DOWN(addr, 4096), 0x7fff12345000ull);
	assert_int_equal(ALIGN_UP(addr, 4096), 0x7fff12346000ull);
}

static int next(int *number)
{
	return ++*number;
}

static void test_the_lesser_and_the_greater_are_evaluated_once(void **state)
{
	int a = 0, b = 10;

	assert_int_equal(MIN(next(&a), next(&b)), 1);
	assert_int_equal(MAX(next(&a), next(&b)), 12);
	assert_int_equal(a, 2);
	assert_int_equal(b, 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_empty_array_grows_to_hold_its_first_element),
		cmocka_unit_test(test_elements_survive_growing),
		cmocka_unit_test(test_an_element_that_is_used_again_is_zeroed),
		cmocka_unit_test(test_growing_far_reaches_the_element_asked_for),
		cmocka_unit_test(test_a_size_that_overflows_is_refused_and_changes_nothing),
		cmocka_unit_test(test_the_lesser_and_the_greater_are_evaluated_once),
		cmocka_unit_test(test_aligning_keeps_what_is_aligned),
		cmocka_unit_test(test_aligning_an_address_keeps_its_upper_half),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
