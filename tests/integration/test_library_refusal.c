/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "loader.h"

#include <stdlib.h>
#include <string.h>

/* Libraries that must not be loaded, targets that cannot be followed, and what is said of both. */

#define PLUG "#include <upatch/livepatch.h>\nUPATCH_OBJECT(\"libplug.so\");\n"

static void assert_refused(struct fixture *f, const char *why)
{
	const char *answer = fixture_ask(f, "open plug");

	if (strncmp(answer, "error ", 6) != 0 || !strstr(answer, why))
		fail_msg("'%s' does not say '%s'", answer, why);
	/* Neither constructor nor destructor has run, and it can be tried again. */
	assert_answer(f, "notes", "notes");
}

static void test_an_unknown_symbol(void **state)
{
	static const struct loader_patch unknown = {
		.name = "p",
		.sources = { PLUG "extern int no_such_function(int);\n"
				  "static int new_value(int x) { return no_such_function(x); }\n"
				  "UPATCH_FUNC(plug_value, new_value);\n" },
	};
	static const struct loader_patch good = { .name = "q", .sources = { PLUG_VALUE(x + 200) } };
	struct fixture *f = *state;

	fixture_remember(f);
	loader_apply(f, &good);
	loader_apply(f, &unknown);
	for (int i = 0; i < 3; i++)
		assert_refused(f,
			       "upatch: patch 'p' refuses it: the replacement refers to an unknown "
			       "symbol: no_such_function");
	assert_string_equal(loader_object_state(f, "p", "libplug.so"), "refused");
	/* The other patch's part has been undone. */
	assert_string_equal(loader_object_state(f, "q", "libplug.so"), "waiting");
	/* What is in it as a dependency is refused with all the rest. */
	assert_non_null(strstr(fixture_ask(f, "open user"), "no_such_function"));
	assert_answer(f, "own 1", "4");
	fixture_revert(f, "p");
	assert_answer(f, "open plug", "ok");
	assert_answer(f, "notes", "notes begin 201");
	assert_answer(f, "close plug", "ok");
	fixture_revert(f, "q");
	fixture_assert_unchanged(f);
}

static void test_an_unknown_symbol_of_a_library_that_is_there(void **state)
{
	static const struct loader_patch unknown = {
		.name = "p",
		.sources = { PLUG "extern int no_such_function(int);\n"
				  "static int new_value(int x) { return no_such_function(x); }\n"
				  "UPATCH_FUNC(plug_value, new_value);\n" },
	};
	struct fixture *f = *state;

	assert_answer(f, "open plug", "ok");
	fixture_remember(f);
	assert_true(loader_try_apply(f, &unknown, NULL) < 0);
	fixture_assert_reason(f, UPATCH_E_UNRESOLVED);
	assert_string_equal(upatch_ctx_error(f->ctx)->object, "libplug.so");
	assert_non_null(strstr(upatch_ctx_error(f->ctx)->message, "no_such_function"));
	assert_string_equal(fixture_state(f, "p"), "none");
	fixture_assert_unchanged(f);
	assert_answer(f, "call plug plug_value 1", "11");
}

static void use_build(const char *subdir)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s%s", getenv("PLUGIN_DIR_BUILT"), subdir);
	setenv("PLUGIN_DIR", path, 1);
}

/* The victim finds the other build of the plugin; patches are for the first one. */
static int setup_other(void **state)
{
	setenv("PLUGIN_DIR_BUILT", getenv("PLUGIN_DIR"), 1);
	use_build("/plugins");
	(void)loader_setup(state);
	use_build("");
	return 0;
}

static void test_another_build_is_not_needed(void **state)
{
	static const struct loader_patch plug = { .name = "p", .sources = { PLUG_VALUE(x + 100) } };
	struct fixture *f = *state;

	loader_apply(f, &plug);
	assert_answer(f, "open plug", "ok");
	assert_answer(f, "notes", "notes begin 78");
	assert_string_equal(loader_object_state(f, "p", "libplug.so"), "not-needed");
	assert_answer(f, "close plug", "ok");
	fixture_revert(f, "p");
}

static void test_another_build_is_refused_where_this_one_is_required(void **state)
{
	static const struct loader_patch plug = {
		.name = "p",
		.sources = { PLUG_VALUE(x + 100) },
		.required = "libplug.so",
	};
	struct fixture *f = *state;

	loader_apply(f, &plug);
	assert_refused(f, "upatch: patch 'p' refuses it: the patch requires another build of it");
	assert_string_equal(loader_object_state(f, "p", "libplug.so"), "refused");
	fixture_revert(f, "p");
	assert_answer(f, "open plug", "ok");
}

static void test_more_copies_than_can_be_patched(void **state)
{
	static const struct loader_patch plug = { .name = "p", .sources = { PLUG_VALUE(x + 100) } };
	struct fixture *f = *state;

	loader_apply(f, &plug);
	for (int i = 0; i < 4; i++)
		assert_answer(f, "mopen plug", "ok");
	assert_int_equal(loader_count(f, "p", "libplug.so"), 4);
	assert_non_null(strstr(fixture_ask(f, "mopen plug"), "it is loaded too many times"));
	assert_answer(f, "close plug", "ok");
	assert_answer(f, "mopen plug", "ok");
	assert_answer(f, "call plug plug_value 1", "101");
}

static void test_a_thread_local_variable_of_a_library_that_comes(void **state)
{
	struct fixture *f = *state;

	static const struct loader_patch tls = {
		.name = "p",
		.sources = { PLUG "extern __thread int plug_tls;\n"
				  "static int new_value(int x) { return x + plug_tls * 1000; }\n"
				  "UPATCH_FUNC(plug_value, new_value);\n" },
	};

	loader_apply(f, &tls);
	assert_answer(f, "open plug", "ok");
	assert_answer(f, "call plug plug_value 1", "5001");
	assert_answer(f, "close plug", "ok");
	fixture_revert(f, "p");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		loader_test(test_an_unknown_symbol),
		loader_test(test_an_unknown_symbol_of_a_library_that_is_there),
		cmocka_unit_test_setup_teardown(test_another_build_is_not_needed, setup_other,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(
			test_another_build_is_refused_where_this_one_is_required, setup_other,
			fixture_teardown),
		loader_test(test_more_copies_than_can_be_patched),
		loader_test(test_a_thread_local_variable_of_a_library_that_comes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
