/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/diag.h"
#include "patchfile/code.h"

static struct diag diag;

/* Two functions; the first has a split-off piece, and padding behind its first one. */
static const struct payload_piece pieces[] = {
	{ 0x1000, 5, (const uint8_t *)"first\x90\x90" },
	{ 0x3000, 4, (const uint8_t *)"cold" },
	{ 0x2000, 6, (const uint8_t *)"second" },
};

struct fixture {
	struct payload_func funcs[2];
	uint8_t *bytes;
	size_t size;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	diag_init(&diag);
	f->funcs[0] = (struct payload_func){
		.name = "f",
		.old_value = 0x1000,
		.old_size = 5,
		.pieces = pieces,
		.nr_pieces = 2,
		.padding = 2,
	};
	f->funcs[1] = (struct payload_func){
		.name = "g",
		.old_value = 0x2000,
		.old_size = 6,
		.pieces = pieces + 2,
		.nr_pieces = 1,
	};
	f->bytes = code_format(f->funcs, 2, &f->size);
	assert_non_null(f->bytes);
	for (int i = 0; i < 2; i++) {
		f->funcs[i].pieces = NULL;
		f->funcs[i].nr_pieces = f->funcs[i].padding = 0;
	}
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	diag_deinit(&diag);
	free(f->bytes);
	free(f);
	return 0;
}

static void assert_refused(struct fixture *f, size_t size, const char *function, const char *why)
{
	struct code code;

	diag_clear(&diag);
	assert_int_equal(code_parse(&diag, f->bytes, size, f->funcs, 2, &code), -EBADMSG);
	assert_int_equal(diag.error.reason, UPATCH_E_BAD_PATCHFILE);
	assert_string_equal(diag.error.function, function);
	if (!strstr(diag.error.message, why))
		fail_msg("'%s' does not say '%s'", diag.error.message, why);
}

static void test_code_survives_writing_and_reading(void **state)
{
	struct fixture *f = *state;
	struct code code;

	assert_int_equal(code_parse(&diag, f->bytes, f->size, f->funcs, 2, &code), 0);
	assert_int_equal(f->funcs[0].nr_pieces, 2);
	assert_int_equal(f->funcs[0].padding, 2);
	assert_int_equal(f->funcs[1].nr_pieces, 1);
	assert_int_equal(f->funcs[1].padding, 0);
	for (size_t i = 0; i < 3; i++) {
		const struct payload_piece *piece = i < 2 ? &f->funcs[0].pieces[i]
							  : f->funcs[1].pieces;

		assert_int_equal(piece->vaddr, pieces[i].vaddr);
		assert_int_equal(piece->size, pieces[i].size);
		assert_memory_equal(piece->bytes, pieces[i].bytes, pieces[i].size + (i ? 0 : 2));
	}
	code_deinit(&code);
}

static void test_what_is_cut_off_anywhere_is_refused(void **state)
{
	struct fixture *f = *state;
	size_t first = 8 + 16 + 5 + 2 + 16 + 4;

	for (size_t size = 0; size < f->size; size++)
		assert_refused(f, size, size < first ? "f" : "g", "is cut off");
}

static void test_what_is_left_over_is_refused(void **state)
{
	struct fixture *f = *state;

	f->bytes = realloc(f->bytes, f->size + 1);
	assert_non_null(f->bytes);
	f->bytes[f->size] = 0;
	assert_refused(f, f->size + 1, "g", "is followed by something else");
}

static void test_impossible_numbers_are_refused(void **state)
{
	static const uint64_t sizes[] = { 0, 1ull << 32, UINT64_MAX };
	static const uint32_t counts[] = { 0, UINT32_MAX };
	struct fixture *f = *state;
	uint32_t padding = UINT32_MAX;

	for (int i = 0; i < 3; i++) {
		memcpy(f->bytes + 16, &sizes[i], sizeof(sizes[i]));
		assert_refused(f, f->size, "f", "impossible size");
	}
	for (int i = 0; i < 2; i++) {
		memcpy(f->bytes, &counts[i], sizeof(counts[i]));
		assert_refused(f, f->size, "f", "impossible number");
	}
	memcpy(f->bytes, &(uint32_t){ 2 }, 4);
	memcpy(f->bytes + 4, &padding, sizeof(padding));
	assert_refused(f, f->size, "f", "impossible number");
}

static void test_code_of_another_function_is_refused(void **state)
{
	struct fixture *f = *state;

	f->funcs[1].old_value++;
	assert_refused(f, f->size, "g", "another function");
	f->funcs[1].old_value--;
	f->funcs[0].old_size++;
	assert_refused(f, f->size, "f", "another function");
}

#define test(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_code_survives_writing_and_reading),
		test(test_what_is_cut_off_anywhere_is_refused),
		test(test_what_is_left_over_is_refused),
		test(test_impossible_numbers_are_refused),
		test(test_code_of_another_function_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
