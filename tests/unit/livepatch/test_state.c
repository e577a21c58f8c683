/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <upatch/abi.h>

#include <cmocka.h>

#include "base/diag.h"
#include "livepatch/state.h"
#include "patchfile/patchfile.h"

/* A patch that declares the states 7 and 8 in version 3, in its second payload. */
struct fixture {
	struct diag diag;
	struct upatch_meta_state declared[2];
	struct payload_section section;
	struct payload payloads[2];
	struct patchfile file;
};

static int setup(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	diag_init(&f.diag);
	f.declared[0] = (struct upatch_meta_state){ .id = 7, .version = 3 };
	f.declared[1] = (struct upatch_meta_state){ .id = 8, .version = 3 };
	f.section.name = ".upatch.states";
	f.section.size = sizeof(f.declared);
	f.section.bytes = (const uint8_t *)f.declared;
	f.payloads[0].object = f.payloads[1].object = "program";
	f.payloads[1].sections = &f.section;
	f.payloads[1].nr_sections = 1;
	f.file.payloads = f.payloads;
	f.file.nr_payloads = 2;
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	diag_deinit(&f->diag);
	return 0;
}

static void assert_refused(struct fixture *f, const struct state *states, size_t nr,
			   enum upatch_reason reason)
{
	assert_int_equal(state_compare(&f->diag, &f->file, states, nr), -EINVAL);
	assert_int_equal(f->diag.error.reason, reason);
	diag_clear(&f->diag);
}

static void test_the_same_or_a_later_version_is_compatible(void **state)
{
	const struct state states[] = { { 7, 3, "a" }, { 8, 1, "a" }, { 8, 0, "b" } };
	struct fixture *f = *state;

	assert_int_equal(state_compare(&f->diag, &f->file, states, 3), 0);
	f->file.replace = true;
	assert_int_equal(state_compare(&f->diag, &f->file, states, 3), 0);
}

static void test_an_older_version_is_not_compatible(void **state)
{
	const struct state states[] = { { 7, 3, "a" }, { 8, 4, "b" } };
	struct fixture *f = *state;

	assert_refused(f, states, 2, UPATCH_E_STATE);
	f->file.replace = true;
	assert_refused(f, states, 2, UPATCH_E_STATE);
}

static void test_only_a_patch_that_replaces_needs_all_states(void **state)
{
	const struct state states[] = { { 9, 0, "a" } };
	struct fixture *f = *state;

	assert_int_equal(state_compare(&f->diag, &f->file, states, 1), 0);
	f->file.replace = true;
	assert_refused(f, states, 1, UPATCH_E_STATE);
}

static void test_a_damaged_section_is_refused(void **state)
{
	struct fixture *f = *state;

	f->section.size = 25;
	assert_refused(f, NULL, 0, UPATCH_E_BAD_PATCHFILE);
	f->section.size = sizeof(f->declared);
	f->declared[1].id = 0;
	assert_refused(f, NULL, 0, UPATCH_E_BAD_PATCHFILE);
	f->section.bytes = NULL;
	assert_refused(f, NULL, 0, UPATCH_E_BAD_PATCHFILE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_the_same_or_a_later_version_is_compatible),
		TEST(test_an_older_version_is_not_compatible),
		TEST(test_only_a_patch_that_replaces_needs_all_states),
		TEST(test_a_damaged_section_is_refused),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
