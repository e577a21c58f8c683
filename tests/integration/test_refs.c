/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <upatch/abi.h>

#include "sources.h"

/* The search for what refers to code that is to go, in programs that have much memory. */

enum {
	GIB = 1 << 30,
};

/* A part of a payload's code, where a reference counts. */
static uint64_t payload_code(struct fixture *f)
{
	const uint64_t regions =
		fixture_record_addr(f) + offsetof(struct upatch_record, regions[0]);
	struct upatch_region region;

	for (size_t i = 0; i < UPATCH_REGIONS_MAX; i++) {
		fixture_read(f, regions + i * sizeof(region), &region, sizeof(region));
		if (region.kind == UPATCH_REGION_PAYLOAD && region.state == UPATCH_REGION_MAPPED)
			return region.addr + UPATCH_TEXT_LEAD;
	}
	fail_msg("there is no payload");
	return 0;
}

/* How much of shared memory there is, not how much is mapped. */
static uint64_t size_of_shared(struct fixture *f, uint64_t addr)
{
	char path[128];
	struct stat st;

	(void)snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, (int)f->pid,
		       addr, addr + GIB);
	assert_int_equal(stat(path, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static void test_a_search_makes_no_shared_memory(void **state)
{
	const uint64_t nothing = 0;
	struct fixture *f = *state;
	uint64_t addr = 0, code;

	assert_int_equal(sscanf(fixture_ask(f, "shared"), "shared 0x%" SCNx64, &addr), 1);
	fixture_apply(f, "p", SOURCE_SECRET(1));
	code = payload_code(f);
	fixture_write(f, addr + GIB / 2, &code, sizeof(code));
	assert_int_equal(upatch_target_revert(f->target, "p", NULL, NULL), 0);
	assert_string_equal(fixture_state(f, "p"), "kept");
	fixture_write(f, addr + GIB / 2, &nothing, sizeof(nothing));
	/* Behind another hole, and up to the end of the mapping. */
	fixture_write(f, addr + GIB - sizeof(code), &code, sizeof(code));
	assert_int_equal(upatch_target_revert(f->target, "p", NULL, NULL), 0);
	assert_string_equal(fixture_state(f, "p"), "kept");
	fixture_write(f, addr + GIB - sizeof(code), &nothing, sizeof(nothing));
	fixture_drop_kept(f, "p");
	assert_string_equal(fixture_state(f, "p"), "none");
	assert_answer(f, "secret", "secret 6");
	/* The two places, be the pages huge ones. */
	assert_in_range(size_of_shared(f, addr), 2 * 4096, 2 * (2 << 20));
}

static void test_one_mapping_too_large_to_be_searched_keeps_the_patch(void **state)
{
	struct fixture *f = *state;

	assert_answer(f, "sparse", "ok");
	fixture_apply(f, "p", SOURCE_SECRET(1));
	assert_int_equal(upatch_target_revert(f->target, "p", NULL, NULL), 0);
	assert_string_equal(fixture_state(f, "p"), "kept");
	assert_answer(f, "secret", "secret 6");
}

#define victim_test(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		victim_test(test_a_search_makes_no_shared_memory),
		victim_test(test_one_mapping_too_large_to_be_searched_keeps_the_patch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
