/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

/* A program in C++. The replacements are named as the compiler mangles the originals. */

static void test_a_virtual_method_is_replaced(void **state)
{
	struct fixture *f = *state;

	fixture_remember(f);
	fixture_apply(f, "p",
		      "static int new_area(void *self, int scale) { return 100 * scale; }\n"
		      "UPATCH_FUNC_NAMED(\"_ZN6square4areaEi\", 0, new_area);\n");
	assert_answer(f, "shapes", "shapes 200 42 -1");
	fixture_revert(f, "p");
	assert_answer(f, "shapes", "shapes 18 42 -1");
	fixture_assert_unchanged(f);
}

static void test_an_instance_of_a_template_is_replaced(void **state)
{
	struct fixture *f = *state;

	fixture_apply(f, "p",
		      "static int new_twice(int x) { return 3 * x; }\n"
		      "UPATCH_FUNC_NAMED(\"_Z5twiceIiET_S0_\", 0, new_twice);\n");
	assert_answer(f, "shapes", "shapes 18 63 -1");
	fixture_revert(f, "p");
	assert_answer(f, "shapes", "shapes 18 42 -1");
}

static void test_a_function_that_throws_is_replaced_by_one_that_does_not(void **state)
{
	struct fixture *f = *state;

	fixture_apply(f, "p",
		      "static int new_checked(int x) { return x < 0 ? 0 : x; }\n"
		      "UPATCH_FUNC_NAMED(\"_Z7checkedi\", 0, new_checked);\n");
	assert_answer(f, "shapes", "shapes 18 42 1");
	fixture_revert(f, "p");
	assert_answer(f, "shapes", "shapes 18 42 -1");
}

static int setup(void **state)
{
	*state = fixture_start("shapes");
	return 0;
}

#define cxx_test(fn) cmocka_unit_test_setup_teardown(fn, setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cxx_test(test_a_virtual_method_is_replaced),
		cxx_test(test_an_instance_of_a_template_is_replaced),
		cxx_test(test_a_function_that_throws_is_replaced_by_one_that_does_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
