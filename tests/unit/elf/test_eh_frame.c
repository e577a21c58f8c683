/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/diag.h"
#include "elf/eh_frame.h"
#include "elf/image.h"

/* The linker made a search table for the test's own executable: ours must be the same. */
static void test_the_table_is_the_one_that_the_linker_makes(void **state)
{
	int fd = open("/proc/self/exe", O_RDONLY);
	struct image_range hdr;
	const uint8_t *theirs;
	struct image *image;
	struct diag diag;
	uint32_t entries;
	int32_t to_frame;
	uint64_t frame;
	uint8_t *ours;
	size_t size = 0;

	diag_init(&diag);
	assert_int_equal(image_open_fd(&diag, fd, "self", &image), 0);
	assert_true(image_eh_frame_hdr(image, &hdr));
	theirs = image_bytes(image, hdr.vaddr, hdr.size);
	memcpy(&to_frame, theirs + 4, sizeof(to_frame));
	memcpy(&entries, theirs + 8, sizeof(entries));
	frame = hdr.vaddr + 4 + (uint64_t)(int64_t)to_frame;
	/* Up to its terminating zero word; the section's size is in no program header. */
	for (;;) {
		uint32_t length;

		memcpy(&length, image_bytes(image, frame + size, 4), sizeof(length));
		if (!length)
			break;
		size += length + 4;
	}
	const uint8_t *eh_frame = image_bytes(image, frame, size);

	assert_int_equal(eh_frame_hdr_size(&diag, eh_frame, size), 12 + 8 * (int64_t)entries);
	ours = malloc(12 + 8 * (size_t)entries);
	assert_int_equal(eh_frame_hdr_build(&diag, eh_frame, size, frame, hdr.vaddr, ours,
					    12 + 8 * (size_t)entries),
			 12 + 8 * (int64_t)entries);
	assert_memory_equal(ours, theirs, 12 + 8 * (size_t)entries);
	free(ours);
	image_unref(image);
}

static const uint8_t cie[] = {
	0x14, 0,    0,	  0, 0,	   0,	 0, 0, 1,    'z', 'R', 0,
	1,    0x78, 0x10, 1, 0x1b, 0x0c, 7, 8, 0x90, 1,	  0,   0,
};

/* A CIE and an FDE of 16 bytes at 0x100 behind it. */
static size_t make_records(uint8_t *buf)
{
	static const uint8_t fde[] = { 0x10, 0, 0,    0, 0x1c, 0, 0, 0, 0, 1,
				       0,    0, 0x10, 0, 0,    0, 0, 0, 0, 0 };

	memcpy(buf, cie, sizeof(cie));
	memcpy(buf + sizeof(cie), fde, sizeof(fde));
	return sizeof(cie) + sizeof(fde);
}

static void test_a_record_tells_the_range_it_describes(void **state)
{
	struct eh_frame_range *ranges;
	uint8_t buf[64];
	size_t size = make_records(buf);

	assert_int_equal(eh_frame_ranges(buf, size, 0x1000, &ranges), 1);
	assert_int_equal(ranges[0].start, 0x1000 + sizeof(cie) + 8 + 0x100);
	assert_int_equal(ranges[0].size, 16);
	free(ranges);
}

/* As C++ code and signal frames have it: a personality routine, an LSDA, and 64-bit addresses. */
static void test_other_augmentations_are_read_over(void **state)
{
	static const uint8_t records[] = {
		/* CIE: "zPLRS", factors, return address, 4 bytes: personality, LSDA, absolute */
		0x1c, 0, 0, 0, 0, 0, 0, 0, 1, 'z', 'P', 'L', 'R', 'S', 0, 1, 0x78, 0x10, 7, 0x1b, 1,
		2, 3, 4, 0x1b, 0, 0, 0, 0, 0, 0, 0,
		/* FDE: 0x30 bytes at 0x1234 */
		0x14, 0, 0, 0, 0x24, 0, 0, 0, 0x34, 0x12, 0, 0, 0, 0, 0, 0, 0x30, 0, 0, 0, 0, 0, 0,
		0
	};
	struct eh_frame_range *ranges;

	assert_int_equal(eh_frame_ranges(records, sizeof(records), 0x1000, &ranges), 1);
	assert_int_equal(ranges[0].start, 0x1234);
	assert_int_equal(ranges[0].size, 0x30);
	free(ranges);
}

/* A CIE with so many augmentations, and the FDE. Return: how many of it were found, or -errno. */
static int64_t count_behind(size_t augmentations)
{
	struct eh_frame_range *ranges;
	uint8_t buf[256] = {}, *p = buf + 8;
	uint32_t length, back;
	int64_t nr;

	*p++ = 1; /* version */
	*p++ = 'z';
	memset(p, 'S', augmentations);
	p += augmentations;
	memcpy(p, "R\0\1\x78\x10\1\x1b", 7); /* and what belongs to it */
	p += 7;
	length = (uint32_t)(p - buf) - 4;
	memcpy(buf, &length, sizeof(length));
	length = 16;
	memcpy(p, &length, sizeof(length));
	back = (uint32_t)(p - buf) + 4;
	memcpy(p + 4, &back, sizeof(back));
	p[8] = 1; /* where, and how many bytes */
	p[12] = 16;
	nr = eh_frame_ranges(buf, (size_t)(p - buf) + 20, 0x1000, &ranges);
	if (nr >= 0)
		free(ranges);
	return nr;
}

/* They are read for each FDE: a long list, in a file that somebody made for it, would take for ever. */
static void test_a_long_list_of_augmentations_is_refused(void **state)
{
	assert_int_equal(count_behind(0), 1);
	assert_int_equal(count_behind(8), 1);
	assert_int_equal(count_behind(100), -EINVAL);
}

static void test_malformed_records_are_refused(void **state)
{
	struct eh_frame_range *ranges;
	uint8_t buf[64];
	size_t size = make_records(buf);

	for (size_t cut = 1; cut < size; cut++)
		if (cut != sizeof(cie))
			assert_int_equal(eh_frame_ranges(buf, cut, 0, &ranges), -EINVAL);
	/* An FDE whose CIE would be before the section. */
	buf[sizeof(cie) + 4] = 0xff;
	assert_int_equal(eh_frame_ranges(buf, size, 0, &ranges), -EINVAL);
	/* An encoding that nobody emits here. */
	make_records(buf);
	buf[16] = 0x1a;
	assert_int_equal(eh_frame_ranges(buf, size, 0, &ranges), -EINVAL);
}

static void test_a_table_out_of_reach_is_refused(void **state)
{
	struct diag diag;
	uint8_t buf[64], hdr[64];
	size_t size = make_records(buf);

	diag_init(&diag);
	assert_true(eh_frame_hdr_build(&diag, buf, size, 0x1000, 0x200000000, hdr, sizeof(hdr)) <
		    0);
	assert_int_equal(diag.error.reason, UPATCH_E_BAD_PATCHFILE);
	diag_clear(&diag);
	assert_true(eh_frame_hdr_build(&diag, buf, size, 0x1000, 0x2000, hdr, 19) < 0);
	diag_deinit(&diag);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_table_is_the_one_that_the_linker_makes),
		cmocka_unit_test(test_a_record_tells_the_range_it_describes),
		cmocka_unit_test(test_other_augmentations_are_read_over),
		cmocka_unit_test(test_a_long_list_of_augmentations_is_refused),
		cmocka_unit_test(test_malformed_records_are_refused),
		cmocka_unit_test(test_a_table_out_of_reach_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
