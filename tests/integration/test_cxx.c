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

/* --- unwinding through the code of a patch, by the target's own unwinder ----------------- */

#define RELAY                                                                                      \
	"extern void throw_number(void) UPATCH_PRIVATE(\"_Z12throw_numberv\", 0);\n"               \
	"static int new_relay(void) { throw_number(); return 1; }\n"                               \
	"UPATCH_FUNC_NAMED(\"_Z12relay_numberv\", 0, new_relay);\n"

static void test_an_exception_passes_through_a_replacement(void **state)
{
	struct fixture *f = *state;

	fixture_remember(f);
	fixture_apply(f, "p", RELAY);
	for (int i = 0; i < 3; i++)
		assert_answer(f, "number", "number 7");
	fixture_revert(f, "p");
	assert_answer(f, "number", "number 7");
	fixture_assert_unchanged(f);
}

static void test_a_replacement_throws_an_exception_of_its_own(void **state)
{
	struct fixture *f = *state;

	/* As the compiler does it: throw 42. */
	fixture_apply(f, "p",
		      "void *__cxa_allocate_exception(unsigned long);\n"
		      "void __cxa_throw(void *, void *, void *) __attribute__((noreturn));\n"
		      "extern char _ZTIi[];\n"
		      "static int new_relay(void)\n"
		      "{\n"
		      "	int *e = __cxa_allocate_exception(sizeof(int));\n"
		      "	*e = 42;\n"
		      "	__cxa_throw(e, _ZTIi, (void *)0);\n"
		      "}\n"
		      "UPATCH_FUNC_NAMED(\"_Z12relay_numberv\", 0, new_relay);\n");
	assert_answer(f, "number", "number 42");
	fixture_revert(f, "p");
	assert_answer(f, "number", "number 7");
}

static void test_exceptions_pass_whichever_patch_goes_first(void **state)
{
	struct fixture *f = *state;

	fixture_apply(f, "p", RELAY);
	assert_answer(f, "number", "number 7");
	fixture_apply(f, "q",
		      "extern int old_relay(void) UPATCH_ORIGINAL(\"_Z12relay_numberv\", 0);\n"
		      "static int new_relay(void) { return old_relay() + 1; }\n"
		      "UPATCH_FUNC_NAMED(\"_Z12relay_numberv\", 0, new_relay);\n");
	assert_answer(f, "shapes", "shapes 18 42 -1");
	fixture_revert(f, "p");
	assert_answer(f, "shapes", "shapes 18 42 -1");
	fixture_revert(f, "q");
	fixture_apply(f, "p", RELAY);
	assert_answer(f, "number", "number 7");
	fixture_revert(f, "p");
}

static void test_a_reversed_patch_leaves_nothing_registered(void **state)
{
	struct upatch_options opts = { .size = sizeof(opts), .timeout_ms = 50 };
	struct fixture *f = *state;
	struct upatch_patch *patch;

	fixture_remember(f);
	/* main() never leaves itself */
	patch = fixture_patch(f, "p",
			      "static int new_main(void) { return 0; }\n"
			      "UPATCH_FUNC_NAMED(\"main\", 0, new_main);\n");
	assert_int_equal(upatch_target_apply(f->target, patch, &opts, NULL), UPATCH_PENDING);
	upatch_patch_close(patch);
	assert_answer(f, "number", "number 7");
	fixture_revert(f, "p");
	assert_answer(f, "number", "number 7");
	fixture_assert_unchanged(f);
}

/* With tables of its own, for what it catches. */
static void test_a_replacement_in_cxx_catches_and_throws(void **state)
{
	struct fixture *f = *state;
	static const char source[] =
		"extern void throw_number() UPATCH_PRIVATE(\"_Z12throw_numberv\", 0);\n"
		"static int new_relay()\n"
		"{\n"
		"	try { throw_number(); } catch (int n) { throw n * 10; }\n"
		"	return 0;\n"
		"}\n"
		"UPATCH_FUNC_NAMED(\"_Z12relay_numberv\", 0, new_relay);\n"
		"static int pre(const struct upatch_callback *) { return 0; }\n"
		"UPATCH_PRE_PATCH(pre);\n";
	const char *path = fixture_build_source(f->ctx, &(struct fixture_source){
								.dir = f->dir,
								.name = "p",
								.suffix = "cc",
								.object = "victim",
								.object_path = f->exe,
								.source = source,
							});
	struct upatch_patch *patch;

	assert_non_null(path);
	assert_int_equal(upatch_patch_open(f->ctx, path, &patch), 0);
	assert_int_equal(upatch_target_apply(f->target, patch, NULL, NULL), 0);
	upatch_patch_close(patch);
	assert_answer(f, "number", "number 70");
	/* Memory of the freed exception says where it was caught: the patch may be kept. */
	assert_int_equal(upatch_target_revert(f->target, "p", NULL, NULL), 0);
	assert_answer(f, "number", "number 7");
}

static void test_a_thread_is_cancelled_inside_a_replacement(void **state)
{
	struct fixture *f = *state;

	fixture_apply(f, "p",
		      "extern void wait_forever(void) UPATCH_PRIVATE(\"_Z12wait_foreverv\", 0);\n"
		      "static void new_linger(void) { wait_forever(); __asm__(\"\"); }\n"
		      "UPATCH_FUNC_NAMED(\"_Z6lingerv\", 0, new_linger);\n");
	assert_answer(f, "cancel", "cancel 1");
	/* Its stack is still there for the next thread, and the words on it: the patch may be kept. */
	assert_int_equal(upatch_target_revert(f->target, "p", NULL, NULL), 0);
	assert_answer(f, "cancel", "cancel 1");
}

static void test_a_backtrace_sees_through_a_replacement(void **state)
{
	struct fixture *f = *state;

	assert_answer(f, "depth", "depth 1");
	fixture_apply(f, "p",
		      "extern int sees(unsigned long) UPATCH_PRIVATE(\"_Z4seesm\", 0);\n"
		      "static int new_passage(unsigned long x) { return 10 + sees(x); }\n"
		      "UPATCH_FUNC_NAMED(\"_Z7passagem\", 0, new_passage);\n");
	assert_answer(f, "depth", "depth 11");
	fixture_revert(f, "p");
	assert_answer(f, "depth", "depth 1");
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
		cxx_test(test_an_exception_passes_through_a_replacement),
		cxx_test(test_a_replacement_throws_an_exception_of_its_own),
		cxx_test(test_exceptions_pass_whichever_patch_goes_first),
		cxx_test(test_a_reversed_patch_leaves_nothing_registered),
		cxx_test(test_a_replacement_in_cxx_catches_and_throws),
		cxx_test(test_a_thread_is_cancelled_inside_a_replacement),
		cxx_test(test_a_backtrace_sees_through_a_replacement),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
