/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

#include "target/maps.h"

static const char three_lines[] =
	"00400000-00452000 r-xp 00001000 08:02 173521      /usr/bin/dbus daemon\n"
	"7f0000000000-7f0000002000 rw-s 00000000 00:00 0 \n"
	"7ffc0000-7ffd0000 ---p 00000000 00:00 0                          [anon:upatch:meta]\n";

static void test_fields_of_a_line_are_read(void **state)
{
	struct maps maps;

	assert_int_equal(maps_parse(strdup(three_lines), &maps), 0);
	assert_int_equal(maps.mappings[0].start, 0x400000);
	assert_int_equal(maps.mappings[0].end, 0x452000);
	assert_int_equal(maps.mappings[0].offset, 0x1000);
	assert_int_equal(maps.mappings[0].dev, makedev(8, 2));
	assert_int_equal(maps.mappings[0].inode, 173521);
	assert_int_equal(maps.mappings[0].prot, PROT_READ | PROT_EXEC);
	assert_false(maps.mappings[0].is_shared);
	assert_string_equal(maps.mappings[0].path, "/usr/bin/dbus daemon");
	maps_deinit(&maps);
}

static void test_a_mapping_without_name_has_an_empty_path(void **state)
{
	struct maps maps;

	assert_int_equal(maps_parse(strdup(three_lines), &maps), 0);
	assert_string_equal(maps.mappings[1].path, "");
	assert_true(maps.mappings[1].is_shared);
	maps_deinit(&maps);
}

static void test_a_line_that_goes_backwards_is_left_out(void **state)
{
	struct maps maps;

	/* Two reads of the file, with a change in between. */
	assert_int_equal(maps_parse(strdup(three_lines), &maps), 0);
	assert_int_equal(maps.nr, 2);
	maps_deinit(&maps);
}

static void test_an_address_is_found_in_its_mapping_only(void **state)
{
	struct maps maps;

	assert_int_equal(maps_parse(strdup(three_lines), &maps), 0);
	assert_ptr_equal(maps_find(&maps, 0x400000), &maps.mappings[0]);
	assert_ptr_equal(maps_find(&maps, 0x451fff), &maps.mappings[0]);
	assert_null(maps_find(&maps, 0x452000));
	assert_null(maps_find(&maps, 0x3fffff));
	assert_ptr_equal(maps_find(&maps, 0x7f0000001000), &maps.mappings[1]);
	assert_null(maps_find(&maps, UINT64_MAX));
	maps_deinit(&maps);
}

static void test_damaged_lines_are_refused(void **state)
{
	static const char *const lines[] = {
		"00400000 00452000 r-xp 00001000 08:02 173521 /x\n",
		"00452000-00400000 r-xp 00001000 08:02 173521 /x\n",
		"00400000-00452000 r-x 00001000 08:02 173521 /x\n",
		"00400000-00452000 r-xp 00001000 0802 173521 /x\n",
		"00400000-00452000 r-xp\n",
		"\n",
	};
	struct maps maps;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		assert_int_equal(maps_parse(strdup(lines[i]), &maps), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields_of_a_line_are_read),
		cmocka_unit_test(test_a_mapping_without_name_has_an_empty_path),
		cmocka_unit_test(test_a_line_that_goes_backwards_is_left_out),
		cmocka_unit_test(test_an_address_is_found_in_its_mapping_only),
		cmocka_unit_test(test_damaged_lines_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
