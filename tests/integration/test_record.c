/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <upatch/abi.h>

#include "sources.h"

/* A victim that has scribbled over its record: every verb refuses, and touches nothing. */

static void assert_every_verb_refuses(struct fixture *f, enum upatch_reason reason)
{
	struct upatch_patch *patch = fixture_patch(f, "q", SOURCE_ADD);
	struct upatch_status *status = NULL;

	fixture_remember(f);
	assert_true(upatch_target_status(f->target, &status) < 0);
	assert_null(status);
	fixture_assert_reason(f, reason);
	assert_true(upatch_target_apply(f->target, patch, NULL, NULL) < 0);
	fixture_assert_reason(f, reason);
	assert_true(upatch_target_revert(f->target, "p", NULL, NULL) < 0);
	fixture_assert_reason(f, reason);
	fixture_assert_unchanged(f);
	/* The victim itself goes on with what is patched. */
	assert_answer(f, "call", "call 9 1 41 5");
	upatch_patch_close(patch);
}

static void test_a_record_with_a_bad_magic_is_refused(void **state)
{
	struct fixture *f = *state;

	fixture_apply(f, "p", SOURCE_SECRET(1));
	fixture_write(f, fixture_record_addr(f), "garbage", 7);
	assert_every_verb_refuses(f, UPATCH_E_RECORD_CORRUPT);
}

static void test_a_record_of_another_version_is_refused(void **state)
{
	struct fixture *f = *state;
	uint32_t version = 99;

	fixture_apply(f, "p", SOURCE_SECRET(1));
	fixture_write(f, fixture_record_addr(f) + offsetof(struct upatch_record, version), &version,
		      sizeof(version));
	assert_every_verb_refuses(f, UPATCH_E_RECORD_VERSION);
}

static void test_a_patch_entry_with_a_bad_length_is_refused(void **state)
{
	struct fixture *f = *state;
	uint32_t size = 0x7fffffff;

	fixture_apply(f, "p", SOURCE_SECRET(1));
	fixture_write(f,
		      fixture_record_addr(f) + offsetof(struct upatch_record, patches[0].meta_size),
		      &size, sizeof(size));
	assert_every_verb_refuses(f, UPATCH_E_RECORD_CORRUPT);
}

static void test_a_meta_that_points_outside_of_itself_is_refused(void **state)
{
	struct fixture *f = *state;
	uint32_t offset = 0x1000000;
	uint64_t meta;

	fixture_apply(f, "p", SOURCE_SECRET(1));
	fixture_read(f,
		     fixture_record_addr(f) + offsetof(struct upatch_record, patches[0].meta_addr),
		     &meta, sizeof(meta));
	fixture_write(f, meta + offsetof(struct upatch_meta, funcs_offset), &offset,
		      sizeof(offset));
	assert_every_verb_refuses(f, UPATCH_E_RECORD_CORRUPT);
}

static void test_a_spoilt_table_of_an_open_transition_is_refused(void **state)
{
	struct fixture *f = *state;
	uint64_t nowhere = 0x1000;

	assert_answer(f, "block", "ok");
	fixture_wait_asleep(f, 2);
	fixture_apply_pending(f, "p", SOURCE_BLOCK_AND_SECRET(1), 0);
	/* To an address where a table may be: else the victim's own calls would read it. */
	fixture_write(f, fixture_record_addr(f) + UPATCH_LAGGARDS_OFFSET, &nowhere,
		      sizeof(nowhere));
	assert_int_equal(upatch_target_wait(f->target, NULL, NULL), -EBADMSG);
	fixture_assert_reason(f, UPATCH_E_RECORD_CORRUPT);
	assert_int_equal(upatch_target_force(f->target, NULL, NULL), -EBADMSG);
	fixture_assert_reason(f, UPATCH_E_RECORD_CORRUPT);
	assert_answer(f, "twin", "twin 101 201");
}

static void test_a_region_that_is_not_ours_is_never_unmapped(void **state)
{
	struct fixture *f = *state;
	struct upatch_region region;
	uint64_t record;

	/* The victim says that libc's neighbourhood is a payload of ours. */
	fixture_apply(f, "p", SOURCE_SECRET(1));
	record = fixture_record_addr(f);
	for (size_t i = 0; i < UPATCH_REGIONS_MAX; i++) {
		uint64_t addr =
			record + offsetof(struct upatch_record, regions[0]) + i * sizeof(region);

		fixture_read(f, addr, &region, sizeof(region));
		if (region.kind != UPATCH_REGION_PAYLOAD || region.state != UPATCH_REGION_MAPPED)
			continue;
		region.addr &=
			~0xffffffull; /* somewhere in the victim's own mappings, or nowhere */
		region.size = 0x10000000;
		region.text_size = region.ro_size = 0x1000;
		fixture_write(f, addr, &region, sizeof(region));
	}
	(void)upatch_target_revert(f->target, "p", NULL, NULL); /* done or refused, no harm */
	assert_answer(f, "twin", "twin 101 201");
	assert_answer(f, "threads 3", "ok");
}

#define victim_test(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		victim_test(test_a_record_with_a_bad_magic_is_refused),
		victim_test(test_a_record_of_another_version_is_refused),
		victim_test(test_a_patch_entry_with_a_bad_length_is_refused),
		victim_test(test_a_meta_that_points_outside_of_itself_is_refused),
		victim_test(test_a_spoilt_table_of_an_open_transition_is_refused),
		victim_test(test_a_region_that_is_not_ours_is_never_unmapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
