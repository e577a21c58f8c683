/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "loader.h"

#include <stdlib.h>
#include <string.h>

/* Libraries that come and go while patches are enabled. */

static const struct loader_patch plug_100 = { .name = "p", .sources = { PLUG_VALUE(x + 100) } };

static void test_a_library_that_comes_is_patched_before_its_constructors(void **state)
{
	struct fixture *f = *state;

	fixture_remember(f);
	loader_apply(f, &plug_100);
	assert_string_equal(loader_object_state(f, "p", "libplug.so"), "waiting");
	assert_answer(f, "open plug", "ok");
	assert_answer(f, "notes", "notes begin 101");
	assert_answer(f, "call plug plug_value 5", "105");
	assert_string_equal(loader_object_state(f, "p", "libplug.so"), "patched");
	assert_answer(f, "close plug", "ok");
	assert_answer(f, "notes", "notes end 101");
	assert_string_equal(loader_object_state(f, "p", "libplug.so"), "waiting");
	fixture_revert(f, "p");
	fixture_assert_unchanged(f);
	assert_answer(f, "open plug", "ok");
	assert_answer(f, "notes", "notes begin 11");
}

static void test_it_may_come_again_and_again(void **state)
{
	struct fixture *f = *state;

	loader_apply(f, &plug_100);
	for (int i = 0; i < 200; i++) {
		assert_answer(f, "open plug", "ok");
		assert_answer(f, "call plug plug_value 5", "105");
		/* Something else takes the place that it had. */
		if (i % 3 == 0)
			assert_answer(f, "open user", "ok");
		assert_answer(f, "close plug", "ok");
		if (i % 3 == 0) {
			assert_answer(f, "call user user_value 1", "101000");
			assert_answer(f, "close user", "ok");
		}
		assert_answer(f, "notes", "notes begin 101 end 101");
	}
	assert_string_equal(loader_object_state(f, "p", "libplug.so"), "waiting");
	fixture_revert(f, "p");
}

static void test_a_library_that_is_there_is_patched_and_may_go(void **state)
{
	struct fixture *f = *state;

	assert_answer(f, "open plug", "ok");
	loader_apply(f, &plug_100);
	assert_answer(f, "call plug plug_value 5", "105");
	assert_string_equal(loader_object_state(f, "p", "libplug.so"), "patched");
	assert_answer(f, "close plug", "ok");
	assert_answer(f, "notes", "notes begin 11 end 101");
	assert_answer(f, "open plug", "ok");
	assert_answer(f, "notes", "notes begin 101");
	fixture_revert(f, "p");
	assert_answer(f, "call plug plug_value 5", "15");
	assert_answer(f, "close plug", "ok");
	assert_answer(f, "notes", "notes end 11");
}

static void test_two_patches_stack_on_a_library_that_comes(void **state)
{
	struct fixture *f = *state;

	loader_apply(f, &plug_100);
	loader_apply(f, &(struct loader_patch){ .name = "q", .sources = { PLUG_VALUE(x + 200) } });
	assert_answer(f, "open plug", "ok");
	assert_answer(f, "call plug plug_value 5", "205");
	fixture_revert(f, "p");
	assert_answer(f, "call plug plug_value 5", "205");
	loader_apply(f, &(struct loader_patch){ .name = "r", .sources = { PLUG_VALUE(x + 300) } });
	assert_answer(f, "call plug plug_value 5", "305");
	assert_answer(f, "close plug", "ok");
	assert_answer(f, "open plug", "ok");
	assert_answer(f, "call plug plug_value 5", "305");
	fixture_revert(f, "r");
	assert_answer(f, "call plug plug_value 5", "205");
	assert_answer(f, "close plug", "ok");
	fixture_revert(f, "q");
	assert_answer(f, "notes", "notes begin 201 end 301 begin 301 end 201");
}

static void test_what_a_library_gets_calls_the_agent(void **state)
{
	struct fixture *f = *state;

	/* Called, and by its address; the value is what the last call left there. */
	loader_apply(
		f,
		&(struct loader_patch){
			.name = "p",
			.sources = {
				"#include <upatch/livepatch.h>\n"
				"UPATCH_OBJECT(\"libplug.so\");\n"
				"static void *(*volatile get)(void *, unsigned long) = upatch_shadow_get;\n"
				"static int new_value(int x)\n"
				"{\n"
				"	static char key;\n"
				"	int *last = upatch_shadow_get_or_alloc(&key, 7, sizeof(*last), 0, 0);\n"
				"	int was = last ? *last : -1;\n"
				"\n"
				"	if (get(&key, 7) != last)\n"
				"		return -2;\n"
				"	if (last)\n"
				"		*last = x;\n"
				"	return was;\n"
				"}\n"
				"UPATCH_FUNC(plug_value, new_value);\n" } });
	assert_answer(f, "open plug", "ok");
	assert_answer(f, "call plug plug_value 5", "1"); /* from a constructor */
	assert_answer(f, "call plug plug_value 6", "5");
	assert_answer(f, "call plug plug_value 7", "6");
	assert_answer(f, "close plug", "ok");
	fixture_revert(f, "p");
}

static void test_dependencies_flags_and_nesting(void **state)
{
	static const char *const ways[] = { "open user", "open user lazy", "open user global",
					    "open user lazy global" };
	struct fixture *f = *state;

	loader_apply(f, &plug_100);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		assert_answer(f, ways[i], "ok");
		assert_answer(f, "call user user_value 1", "101000");
		assert_answer(f, "close user", "ok");
		assert_answer(f, "notes", "notes begin 101 end 101");
	}
	assert_answer(f, "open nest", "ok");
	assert_answer(f, "notes", "notes begin 101 nested 101");
	assert_answer(f, "close nest", "ok");
	assert_answer(f, "notes", "notes end 101");
	/* It never goes, and its patch can. */
	assert_answer(f, "open plug nodelete", "ok");
	assert_answer(f, "close plug", "ok");
	assert_string_equal(loader_object_state(f, "p", "libplug.so"), "patched");
	fixture_revert(f, "p");
	assert_answer(f, "open plug", "ok");
	assert_answer(f, "call plug plug_value 1", "11");
}

static void test_copies_in_two_namespaces(void **state)
{
	struct fixture *f = *state;

	loader_apply(f, &plug_100);
	assert_answer(f, "open plug", "ok");
	assert_answer(f, "mopen plug", "ok");
	assert_answer(f, "call plug plug_value 1", "101");
	assert_int_equal(loader_count(f, "p", "libplug.so"), 2);
	assert_answer(f, "close plug", "ok");
	assert_int_equal(loader_count(f, "p", "libplug.so"), 1);
	assert_answer(f, "call plug plug_value 1", "101");
	assert_answer(f, "close plug", "ok");
	fixture_revert(f, "p");
}

static void test_a_child_has_what_waits(void **state)
{
	struct fixture *f = *state;

	loader_apply(f, &plug_100);
	assert_answer(f, "fork plug plug_value 1", "101 0");
	assert_answer(f, "open plug", "ok");
	assert_answer(f, "fork plug plug_value 1", "101 0");
	fixture_revert(f, "p");
	assert_answer(f, "fork plug plug_value 1", "11 0");
}

static void test_an_ifunc_resolver_runs_before_its_library_is_patched(void **state)
{
	struct fixture *f = *state;

	loader_apply(f, &(struct loader_patch){
				.name = "p",
				.sources = { "#include <upatch/livepatch.h>\n"
					     "UPATCH_OBJECT(\"libifunc.so\");\n"
					     "static int new_choice(void) { return 1; }\n"
					     "UPATCH_FUNC(ifunc_choice, new_choice);\n" } });
	assert_answer(f, "open ifunc", "ok");
	/* The resolver saw the original, all others the replacement. */
	assert_answer(f, "call ifunc ifunc_use 1", "111");
	assert_answer(f, "close ifunc", "ok");
	fixture_revert(f, "p");
}

static void test_storm_of_loads(void **state)
{
	struct fixture *f = *state;

	loader_apply(f, &plug_100);
	assert_answer(f, "storm 8 2000", "storm 101");
	fixture_revert(f, "p");
	assert_answer(f, "storm 8 200", "storm 11");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		loader_test(test_a_library_that_comes_is_patched_before_its_constructors),
		loader_test(test_it_may_come_again_and_again),
		loader_test(test_a_library_that_is_there_is_patched_and_may_go),
		loader_test(test_two_patches_stack_on_a_library_that_comes),
		loader_test(test_what_a_library_gets_calls_the_agent),
		loader_test(test_dependencies_flags_and_nesting),
		loader_test(test_copies_in_two_namespaces),
		loader_test(test_a_child_has_what_waits),
		loader_test(test_an_ifunc_resolver_runs_before_its_library_is_patched),
		loader_test(test_storm_of_loads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
