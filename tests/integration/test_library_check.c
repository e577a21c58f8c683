/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "loader.h"

#include <stdlib.h>
#include <string.h>

/* What check says of libraries that may come and go: where they are, and what will become of them. */

#define P "p"

static const struct loader_patch own_and_plug = {
	.name = P,
	.sources = { OWN_VALUE(x + 50), PLUG_VALUE(x + 100) },
};

/* Freed by upatch_check_free(). */
static struct upatch_check *check(struct fixture *f, const struct loader_patch *patch)
{
	struct upatch_check *ret;
	struct upatch_patch *file;

	assert_int_equal(upatch_patch_open(f->ctx, loader_build(f, patch), &file), 0);
	assert_int_equal(upatch_target_check(f->target, file, &ret), 0);
	upatch_patch_close(file);
	return ret;
}

static const struct upatch_check_object *object_of(const struct upatch_check *check,
						   const char *name)
{
	const struct upatch_check_object *found = NULL;

	for (size_t i = 0; i < check->nr_objects; i++) {
		if (strcmp(check->objects[i].name, name) != 0)
			continue;
		assert_null(found);
		found = &check->objects[i];
	}
	assert_non_null(found);
	return found;
}

static const struct upatch_check_func *func_of(const struct upatch_check *check, const char *name)
{
	const struct upatch_check_func *found = NULL;

	for (size_t i = 0; i < check->nr_funcs; i++) {
		if (strcmp(check->funcs[i].function, name) != 0)
			continue;
		assert_null(found);
		found = &check->funcs[i];
	}
	assert_non_null(found);
	return found;
}

static void test_a_library_that_is_not_loaded_is_waited_for(void **state)
{
	const struct upatch_check_func *func;
	struct fixture *f = *state;
	struct upatch_check *found;

	fixture_remember(f);
	found = check(f, &own_and_plug);
	assert_true(found->applicable);
	assert_int_equal(found->nr_objects, 2);
	assert_string_equal(object_of(found, "victim-loader")->state, "loaded");
	assert_string_equal(object_of(found, "libplug.so")->state, "waiting");
	assert_false(object_of(found, "libplug.so")->is_exclusive);
	assert_int_equal(object_of(found, "libplug.so")->error.reason, UPATCH_E_NONE);
	func = func_of(found, "plug_value");
	assert_string_equal(func->object, "libplug.so");
	assert_string_equal(func->state, "waiting");
	assert_int_equal(func->addr, 0);
	assert_string_equal(func_of(found, "own_value")->state, "loaded");
	assert_true(func_of(found, "own_value")->addr != 0);
	upatch_check_free(found);
	fixture_assert_unchanged(f);
	/* And so it is. */
	loader_apply(f, &own_and_plug);
	assert_string_equal(loader_object_state(f, P, "libplug.so"), "waiting");
	assert_answer(f, "open plug", "ok");
	assert_answer(f, "call plug plug_value 1", "101");
	fixture_revert(f, P);
}

static void test_whether_another_build_is_let_in_is_told(void **state)
{
	static const struct loader_patch required = {
		.name = P,
		.sources = { PLUG_VALUE(x + 100) },
		.required = "libplug.so",
	};
	struct fixture *f = *state;
	struct upatch_check *found = check(f, &required);

	assert_true(found->applicable);
	assert_string_equal(object_of(found, "libplug.so")->state, "waiting");
	assert_true(object_of(found, "libplug.so")->is_exclusive);
	upatch_check_free(found);
}

/* The agent places its part; where the function is is known before. */
static void test_a_library_that_may_go_is_listed_as_loaded(void **state)
{
	static const struct loader_patch first = { .name = "q", .sources = { PLUG_VALUE(x + 7) } };
	struct upatch_check *found;
	struct fixture *f = *state;
	uint64_t addr;

	assert_answer(f, "open plug", "ok");
	fixture_remember(f);
	found = check(f, &own_and_plug);
	assert_true(found->applicable);
	assert_string_equal(object_of(found, "libplug.so")->state, "loaded");
	addr = func_of(found, "plug_value")->addr;
	assert_true(addr != 0);
	assert_false(func_of(found, "plug_value")->is_patched);
	upatch_check_free(found);
	fixture_assert_unchanged(f);

	loader_apply(f, &first);
	found = check(f, &own_and_plug);
	assert_true(found->applicable);
	assert_int_equal(func_of(found, "plug_value")->addr, addr);
	assert_true(func_of(found, "plug_value")->is_patched);
	assert_false(func_of(found, "own_value")->is_patched);
	upatch_check_free(found);
	fixture_revert(f, "q");
}

/* Somebody else has written to it. */
static void test_a_changed_entry_of_a_library_that_may_go_is_found(void **state)
{
	static const uint8_t breakpoint = 0xcc;
	struct upatch_check *found;
	struct fixture *f = *state;
	uint8_t original;
	uint64_t addr;

	assert_answer(f, "open plug", "ok");
	found = check(f, &own_and_plug);
	addr = func_of(found, "plug_value")->addr;
	upatch_check_free(found);
	fixture_read(f, addr, &original, sizeof(original));
	fixture_write(f, addr, &breakpoint, sizeof(breakpoint));
	found = check(f, &own_and_plug);
	assert_false(found->applicable);
	assert_int_equal(func_of(found, "plug_value")->error.reason, UPATCH_E_BYTES_DIFFER);
	assert_int_equal(func_of(found, "own_value")->error.reason, UPATCH_E_NONE);
	upatch_check_free(found);
	assert_true(loader_try_apply(f, &own_and_plug, NULL) < 0);
	fixture_assert_reason(f, UPATCH_E_BYTES_DIFFER);
	fixture_write(f, addr, &original, sizeof(original));
	loader_apply(f, &own_and_plug);
	fixture_revert(f, P);
}

static void test_an_unknown_symbol_of_a_library_that_may_go_is_found(void **state)
{
	static const struct loader_patch unknown = {
		.name = P,
		.sources = { "#include <upatch/livepatch.h>\n"
			     "UPATCH_OBJECT(\"libplug.so\");\n"
			     "extern int no_such_function(int);\n"
			     "static int new_value(int x) { return no_such_function(x); }\n"
			     "UPATCH_FUNC(plug_value, new_value);\n" },
	};
	struct fixture *f = *state;
	struct upatch_check *found;

	assert_answer(f, "open plug", "ok");
	found = check(f, &unknown);
	assert_false(found->applicable);
	assert_int_equal(found->error.reason, UPATCH_E_UNRESOLVED);
	assert_int_equal(object_of(found, "libplug.so")->error.reason, UPATCH_E_UNRESOLVED);
	assert_non_null(strstr(object_of(found, "libplug.so")->error.message, "no_such_function"));
	upatch_check_free(found);
}

/* The size of a variable that another object has. */
static void test_what_cannot_be_put_off_is_found(void **state)
{
	static const struct loader_patch size = {
		.name = P,
		.sources = { "#include <upatch/livepatch.h>\n"
			     "UPATCH_OBJECT(\"libplug.so\");\n"
			     "extern const unsigned long size_of_it;\n"
			     "__asm__(\".pushsection .rodata,\\\"a\\\"\\n\"\n"
			     "	\".globl size_of_it\\nsize_of_it: .quad environ@SIZE\\n\"\n"
			     "	\".popsection\");\n"
			     "static int new_value(int x) { return x + (int)size_of_it; }\n"
			     "UPATCH_FUNC(plug_value, new_value);\n" },
	};
	struct fixture *f = *state;
	struct upatch_check *found = check(f, &size);

	assert_false(found->applicable);
	assert_int_equal(found->error.reason, UPATCH_E_RELOC_TYPE);
	assert_int_equal(object_of(found, "libplug.so")->error.reason, UPATCH_E_RELOC_TYPE);
	upatch_check_free(found);
	assert_true(loader_try_apply(f, &size, NULL) < 0);
	fixture_assert_reason(f, UPATCH_E_RELOC_TYPE);
}

/* --- not followed ------------------------------------------------------------------------------ */

static void test_where_libraries_are_not_followed_the_absent_one_does_without(void **state)
{
	const struct upatch_check_object *plug;
	struct fixture *f = *state;
	struct upatch_check *found;

	assert_answer(f, "filter strict", "ok");
	found = check(f, &own_and_plug);
	assert_true(found->applicable);
	plug = object_of(found, "libplug.so");
	assert_string_equal(plug->state, "absent");
	assert_int_equal(plug->error.reason, UPATCH_E_NOT_FOLLOWED);
	assert_non_null(strstr(plug->error.message, "strict mode"));
	assert_string_equal(func_of(found, "plug_value")->state, "absent");
	assert_int_equal(func_of(found, "plug_value")->error.reason, UPATCH_E_NONE);
	upatch_check_free(found);
	loader_apply(f, &own_and_plug);
	assert_answer(f, "own 1", "51");
	assert_answer(f, "open plug", "ok");
	assert_answer(f, "call plug plug_value 1", "11");
	fixture_revert(f, P);
}

static void test_what_has_nothing_else_to_patch_is_refused_and_listed(void **state)
{
	static const struct loader_patch plug = { .name = P, .sources = { PLUG_VALUE(x + 100) } };
	struct fixture *f = *state;
	struct upatch_check *found;

	assert_answer(f, "filter strict", "ok");
	found = check(f, &plug);
	assert_false(found->applicable);
	assert_int_equal(found->error.reason, UPATCH_E_NOT_FOLLOWED);
	assert_string_equal(found->error.object, "libplug.so");
	assert_string_equal(object_of(found, "libplug.so")->state, "absent");
	assert_int_equal(object_of(found, "libplug.so")->error.reason, UPATCH_E_NOT_FOLLOWED);
	assert_string_equal(func_of(found, "plug_value")->state, "absent");
	upatch_check_free(found);
}

/* One object is not for this process: the others are looked at all the same. */
static void test_a_refusal_does_not_end_the_list(void **state)
{
	struct upatch_check *found;
	struct fixture *loader = *state, *pie = fixture_start("pie");
	struct upatch_patch *file;

	assert_int_equal(upatch_patch_open(pie->ctx, loader_build(loader, &own_and_plug), &file),
			 0);
	assert_int_equal(upatch_target_check(pie->target, file, &found), 0);
	upatch_patch_close(file);
	assert_false(found->applicable);
	assert_int_equal(found->error.reason, UPATCH_E_NO_OBJECT);
	assert_string_equal(found->error.object, "victim-loader");
	assert_string_equal(object_of(found, "victim-loader")->state, "absent");
	assert_int_equal(object_of(found, "victim-loader")->error.reason, UPATCH_E_NO_OBJECT);
	assert_string_equal(object_of(found, "libplug.so")->state, "waiting");
	assert_int_equal(found->nr_funcs, 2);
	upatch_check_free(found);
	fixture_stop(pie);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		loader_test(test_a_library_that_is_not_loaded_is_waited_for),
		loader_test(test_whether_another_build_is_let_in_is_told),
		loader_test(test_a_library_that_may_go_is_listed_as_loaded),
		loader_test(test_a_changed_entry_of_a_library_that_may_go_is_found),
		loader_test(test_an_unknown_symbol_of_a_library_that_may_go_is_found),
		loader_test(test_what_cannot_be_put_off_is_found),
		loader_test(test_where_libraries_are_not_followed_the_absent_one_does_without),
		loader_test(test_what_has_nothing_else_to_patch_is_refused_and_listed),
		loader_test(test_a_refusal_does_not_end_the_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
