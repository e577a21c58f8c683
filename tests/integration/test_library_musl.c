/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "loader.h"

#include <stdlib.h>
#include <string.h>

#define PLUG "#include <upatch/livepatch.h>\nUPATCH_OBJECT(\"libplug.so\");\n"

/* Libraries that a process with musl loads: it never unmaps them, and none can be refused. */

static const struct loader_patch plug_100 = { .name = "p", .sources = { PLUG_VALUE(x + 100) } };

/* Debian's musl comes without unwind information: a thread in it holds a transition until it is forced. */
static void force(struct fixture *f, int result)
{
	assert_int_equal(result, UPATCH_PENDING);
	fixture_assert_reason(f, UPATCH_E_UNRELIABLE);
	assert_int_equal(upatch_target_force(f->target, NULL, NULL), 0);
}

static const struct upatch_options at_once = { .size = sizeof(at_once), .timeout_ms = 1 };

static void revert(struct fixture *f)
{
	force(f, upatch_target_revert(f->target, "p", &at_once, NULL));
}

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
	revert(f);
	assert_answer(f, "call plug plug_value 5", "15");
}

static void test_a_library_that_is_there_is_patched(void **state)
{
	struct fixture *f = *state;

	assert_answer(f, "open plug", "ok");
	force(f, loader_try_apply(f, &plug_100, &at_once));
	assert_answer(f, "call plug plug_value 5", "105");
	assert_answer(f, "close plug", "ok");
	assert_answer(f, "open plug", "ok");
	assert_answer(f, "call plug plug_value 5", "105");
	assert_answer(f, "notes", "notes begin 11");
	assert_string_equal(loader_object_state(f, "p", "libplug.so"), "patched");
}

static void test_the_program_and_a_library_that_waits(void **state)
{
	static const struct loader_patch both = {
		.name = "p",
		.sources = { OWN_VALUE(x + 1000), PLUG_VALUE(x + 100) },
	};
	struct fixture *f = *state;

	fixture_remember(f);
	force(f, loader_try_apply(f, &both, &at_once));
	assert_answer(f, "own 1", "1001");
	/* What fails to load leaves everything as it was. */
	assert_non_null(strstr(fixture_ask(f, "open none"), "libnone.so"));
	assert_answer(f, "open plug", "ok");
	assert_answer(f, "notes", "notes begin 101");
	revert(f);
	assert_answer(f, "own 1", "4");
}

static void test_what_cannot_be_patched_is_loaded_and_told_of(void **state)
{
	static const struct loader_patch unknown = {
		.name = "p",
		.sources = { PLUG "extern int no_such_function(int);\n"
				  "static int new_value(int x) { return no_such_function(x); }\n"
				  "UPATCH_FUNC(plug_value, new_value);\n" },
	};
	struct fixture *f = *state;

	loader_apply(f, &unknown);
	assert_answer(f, "open plug", "ok");
	assert_answer(f, "notes", "notes begin 11");
	assert_answer(f, "call plug plug_value 5", "15");
	assert_string_equal(loader_object_state(f, "p", "libplug.so"), "refused");
	fixture_revert(f, "p");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		loader_test(test_a_library_that_comes_is_patched_before_its_constructors),
		loader_test(test_a_library_that_is_there_is_patched),
		loader_test(test_the_program_and_a_library_that_waits),
		loader_test(test_what_cannot_be_patched_is_loaded_and_told_of),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
