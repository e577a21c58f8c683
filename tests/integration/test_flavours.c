/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include <string.h>

#include "sources.h"

/* The same patch in every kind of executable. */

/* Without thread-local variables of the general dynamic model, which static programs cannot call. */
#define SOURCE_PLAIN                                                                               \
	"#include <stdio.h>\n"                                                                     \
	"extern int hidden_counter UPATCH_PRIVATE(\"hidden_counter\", 0);\n"                       \
	"extern int old_add(int) UPATCH_ORIGINAL(\"add_hidden\", 0);\n"                            \
	"static int calls = 5;\n"                                                                  \
	"static int new_add(int x)\n"                                                              \
	"{\n"                                                                                      \
	"	return 1000 * calls++ + old_add(x) + hidden_counter;\n"                                  \
	"}\n"                                                                                      \
	"UPATCH_FUNC(add_hidden, new_add);\n"

static void assert_patched_and_reverted(const char *flavour)
{
	struct fixture *f = fixture_start(flavour);

	fixture_remember(f);
	assert_answer(f, "call", "call 9 6 41 5");
	fixture_apply(f, "p", SOURCE_PLAIN);
	assert_answer(f, "call", "call 5019 6 42 5");
	assert_answer(f, "call", "call 6021 6 43 5");
	fixture_revert(f, "p");
	assert_answer(f, "call", "call 12 6 44 5");
	fixture_assert_unchanged(f);
	fixture_stop(f);
}

static void test_position_independent(void **state)
{
	assert_patched_and_reverted("pie");
}

static void test_at_a_fixed_address(void **state)
{
	assert_patched_and_reverted("nopie");
}

static void test_static(void **state)
{
	assert_patched_and_reverted("static");
}

static void test_static_and_position_independent(void **state)
{
	assert_patched_and_reverted("static-pie");
}

static void test_with_endbr64_at_every_entry(void **state)
{
	assert_patched_and_reverted("cet");
}

static void test_with_nops_at_every_entry(void **state)
{
	assert_patched_and_reverted("patchable");
}

#define SOURCE_RARE                                                                                \
	"static int r(int fd) { return 1; }\n"                                                     \
	"UPATCH_FUNC(rarely_waits, r);\n"

static void assert_split_off_part_counts(const char *flavour)
{
	struct fixture *f = fixture_start(flavour);
	const struct upatch_error *e;

	assert_answer(f, "block rarely", "ok");
	fixture_wait_asleep(f, 2);
	fixture_remember(f);
	fixture_apply_pending(f, "p", SOURCE_RARE, 100);
	e = upatch_ctx_error(f->ctx);
	assert_string_equal(e->function, "rarely_waits");
	fixture_revert(f, "p");
	fixture_assert_unchanged(f);
	assert_answer(f, "release", "ok");
	assert_answer(f, "release", "ok");
	fixture_apply(f, "p", SOURCE_RARE);
	fixture_stop(f);
}

static void test_a_thread_in_a_split_off_part_is_in_the_function(void **state)
{
	assert_split_off_part_counts("exporting");
}

static void test_a_thread_in_a_split_off_part_of_a_stripped_file_is_found(void **state)
{
	assert_split_off_part_counts("stripped");
}

static void test_a_stripped_program_is_patched_by_addresses_of_the_full_one(void **state)
{
	struct fixture *f = fixture_start("stripped");
	struct upatch_patch *patch;
	const char *path;

	/* The builder gets the file with all symbols; the victim runs the other one. */
	strcpy(strrchr(f->exe, '-'), "-exporting");
	path = fixture_build(f, "p", SOURCE_ADD SOURCE_SECRET(3));
	assert_non_null(path);
	assert_int_equal(upatch_patch_open(f->ctx, path, &patch), 0);
	assert_int_equal(upatch_target_apply(f->target, patch, NULL, NULL), 0);
	assert_answer(f, "call", "call 2009 3 41 5");
	fixture_revert(f, "p");
	assert_answer(f, "call", "call 10 6 42 5");
	upatch_patch_close(patch);
	fixture_stop(f);
}

static void test_thread_local_variables_in_a_dynamic_program(void **state)
{
	struct fixture *f = fixture_start("nopie");

	fixture_apply(f, "p",
		      "extern __thread int tls_counter;\n"
		      "static int r(int x) { return tls_counter += 500; }\n"
		      "UPATCH_FUNC(secret, r);\n");
	assert_answer(f, "call", "call 9 541 541 5");
	fixture_stop(f);
}

static void test_an_ifunc_of_the_c_library_is_called(void **state)
{
	struct fixture *f = fixture_start("pie");

	/* memchr is an indirect function: its resolver runs in the victim. */
	fixture_apply(f, "p",
		      "#include <string.h>\n"
		      "static int r(int x)\n"
		      "{\n"
		      "	const char *volatile s = \"hello\";\n"
		      "	return (int)((const char *)memchr(s, 'l', 5) - s);\n"
		      "}\n"
		      "UPATCH_FUNC(secret, r);\n");
	assert_answer(f, "call", "call 9 2 41 5");
	fixture_revert(f, "p");
	assert_answer(f, "call", "call 10 6 42 5");
	fixture_stop(f);
}

static void test_a_symbol_version_is_honoured(void **state)
{
	struct fixture *f = fixture_start("pie");

	fixture_apply(f, "p",
		      "#include <stddef.h>\n"
		      "void *old_memcpy(void *, const void *, size_t);\n"
		      "__asm__(\".symver old_memcpy, memcpy@GLIBC_2.2.5\");\n"
		      "static int r(int x)\n"
		      "{\n"
		      "	int y = 0;\n"
		      "	old_memcpy(&y, &x, sizeof(y));\n"
		      "	return y + 70;\n"
		      "}\n"
		      "UPATCH_FUNC(secret, r);\n");
	assert_answer(f, "call", "call 9 72 41 5");
	fixture_stop(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_position_independent),
		cmocka_unit_test(test_at_a_fixed_address),
		cmocka_unit_test(test_static),
		cmocka_unit_test(test_static_and_position_independent),
		cmocka_unit_test(test_with_endbr64_at_every_entry),
		cmocka_unit_test(test_with_nops_at_every_entry),
		cmocka_unit_test(test_a_thread_in_a_split_off_part_is_in_the_function),
		cmocka_unit_test(test_a_thread_in_a_split_off_part_of_a_stripped_file_is_found),
		cmocka_unit_test(test_a_stripped_program_is_patched_by_addresses_of_the_full_one),
		cmocka_unit_test(test_thread_local_variables_in_a_dynamic_program),
		cmocka_unit_test(test_an_ifunc_of_the_c_library_is_called),
		cmocka_unit_test(test_a_symbol_version_is_honoured),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
