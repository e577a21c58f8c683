/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

/* A shared library in a running program, and all kinds of its symbols. */

#define INCLUDES "#include <upatch/livepatch.h>\nUPATCH_OBJECT(\"libvictim.so\");\n"
#define UNTOUCHED(calls) "lib 1 10 100 1000 2 1 5 " #calls

/* Return: 0 with the path of the patch file, or the failure of upatch_build(). */
static int build(struct fixture *f, const char *source, char *output, size_t size)
{
	char path[128], object[4200];
	const char *sources[] = { path, NULL };
	const char *objects[] = { object, NULL };
	struct upatch_build_options opts = {
		.size = sizeof(opts),
		.output = output,
		.sources = sources,
		.objects = objects,
	};
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/p.c", f->dir);
	(void)snprintf(output, size, "%s/p.upatch", f->dir);
	(void)snprintf(object, sizeof(object), "libvictim.so=%s/libvictim.so",
		       getenv("UPATCH_VICTIMS"));
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, INCLUDES "%s", source);
	assert_int_equal(fclose(file), 0);
	return upatch_build(f->ctx, &opts);
}

static void apply(struct fixture *f, const char *source)
{
	struct upatch_patch *patch;
	char path[128];
	int r;

	r = build(f, source, path, sizeof(path));
	if (r == 0)
		r = upatch_patch_open(f->ctx, path, &patch);
	if (r == 0) {
		r = upatch_target_apply(f->target, patch, NULL, NULL);
		upatch_patch_close(patch);
	}
	if (r != 0)
		fail_msg("%s", upatch_ctx_error(f->ctx)->message);
}

static void test_an_exported_function_is_replaced_and_comes_back(void **state)
{
	struct fixture *f = *state;

	assert_answer(f, "lib", UNTOUCHED(2));
	fixture_remember(f);
	apply(f, "static int new_exported(int x) { return x + 7; }\n"
		 "UPATCH_FUNC(lib_exported, new_exported);\n");
	assert_answer(f, "lib", "lib 7 10 100 1000 2 1 5 2");
	fixture_revert(f, "p");
	assert_answer(f, "lib", UNTOUCHED(3));
	fixture_assert_unchanged(f);
}

static void test_hidden_and_static_functions_are_replaced(void **state)
{
	struct fixture *f = *state;

	apply(f, "extern int offset UPATCH_PRIVATE(\"offset\", 0);\n"
		 "static int new_hidden(int x) { return x + 20; }\n"
		 "static int new_static(int x) { return x + 2 * offset; }\n"
		 "UPATCH_FUNC(lib_hidden, new_hidden);\n"
		 "UPATCH_FUNC(lib_static, new_static);\n");
	assert_answer(f, "lib", "lib 1 20 200 1000 2 1 5 2");
	fixture_revert(f, "p");
	assert_answer(f, "lib", UNTOUCHED(3));
}

static void test_a_replacement_uses_the_library_s_thread_local_variables(void **state)
{
	struct fixture *f = *state;

	apply(f, "extern __thread int lib_calls;\n"
		 "static int new_exported(int x) { return lib_calls += 40; }\n"
		 "UPATCH_FUNC(lib_exported, new_exported);\n");
	assert_answer(f, "lib", "lib 41 10 100 1000 2 1 5 41");
	fixture_revert(f, "p");
	assert_answer(f, "lib", UNTOUCHED(42));
}

static void test_an_ifunc_is_refused(void **state)
{
	struct fixture *f = *state;
	char path[128];

	fixture_remember(f);
	assert_true(build(f,
			  "static int new_ifunc(int x) { return 3; }\n"
			  "UPATCH_FUNC(lib_ifunc, new_ifunc);\n",
			  path, sizeof(path)) < 0);
	fixture_assert_reason(f, UPATCH_E_IS_IFUNC);
	fixture_assert_unchanged(f);
}

static void test_what_an_ifunc_s_resolver_chose_is_replaced(void **state)
{
	struct fixture *f = *state;

	apply(f, "static int new_chosen(int x) { return x + 2000; }\n"
		 "UPATCH_FUNC(lib_ifunc_chosen, new_chosen);\n");
	assert_answer(f, "lib", "lib 1 10 100 2000 2 1 5 2");
	fixture_revert(f, "p");
	assert_answer(f, "lib", UNTOUCHED(3));
}

static void test_a_replacement_calls_an_ifunc_and_a_default_version(void **state)
{
	struct fixture *f = *state;

	apply(f, "extern int lib_ifunc(int x);\n"
		 "extern int lib_versioned(void);\n"
		 "static int new_exported(int x) { return lib_ifunc(30) + lib_versioned(); }\n"
		 "UPATCH_FUNC(lib_exported, new_exported);\n");
	assert_answer(f, "lib", "lib 1032 10 100 1000 2 1 5 1");
	fixture_revert(f, "p");
	assert_answer(f, "lib", UNTOUCHED(2));
}

static void test_an_entry_across_two_pages_is_replaced_and_comes_back(void **state)
{
	struct fixture *f = *state;

	assert_answer(f, "lib", UNTOUCHED(2));
	fixture_remember(f);
	apply(f, "extern int old(int) UPATCH_ORIGINAL(\"lib_straddling\", 0);\n"
		 "static int new_straddling(int x) { return old(x) + 50; }\n"
		 "UPATCH_FUNC(lib_straddling, new_straddling);\n");
	assert_answer(f, "lib", "lib 1 10 100 1000 2 1 55 3");
	fixture_revert(f, "p");
	assert_answer(f, "lib", UNTOUCHED(4));
	fixture_assert_unchanged(f);
}

static int setup(void **state)
{
	*state = fixture_start("library");
	return 0;
}

#define library_test(fn) cmocka_unit_test_setup_teardown(fn, setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		library_test(test_an_exported_function_is_replaced_and_comes_back),
		library_test(test_hidden_and_static_functions_are_replaced),
		library_test(test_a_replacement_uses_the_library_s_thread_local_variables),
		library_test(test_an_ifunc_is_refused),
		library_test(test_what_an_ifunc_s_resolver_chose_is_replaced),
		library_test(test_a_replacement_calls_an_ifunc_and_a_default_version),
		library_test(test_an_entry_across_two_pages_is_replaced_and_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
