/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/diag.h"
#include "patchfile/container.h"

static const struct container_section sections[] = {
	{ "first", (const uint8_t *)"hello", 5 },
	{ "second", (const uint8_t *)"", 0 },
	{ "third", (const uint8_t *)"a longer text", 13 },
};

struct fixture {
	struct diag diag;
	uint8_t *bytes;
	size_t size;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	diag_init(&f->diag);
	assert_int_equal(container_format(sections, 3, EM_X86_64, &f->bytes, &f->size), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	diag_deinit(&f->diag);
	free(f->bytes);
	free(f);
	return 0;
}

static void assert_refused(struct fixture *f, size_t size, enum upatch_reason reason)
{
	struct container container;

	assert_true(container_parse(&f->diag, "x", f->bytes, size, &container) < 0);
	assert_int_equal(f->diag.error.reason, reason);
	diag_clear(&f->diag);
}

static void test_what_is_written_is_read_back(void **state)
{
	struct fixture *f = *state;
	struct container container;

	assert_int_equal(container_parse(&f->diag, "x", f->bytes, f->size, &container), 0);
	for (size_t i = 0; i < 3; i++) {
		const struct container_section *s = container_find(&container, sections[i].name);

		assert_non_null(s);
		assert_int_equal(s->size, sections[i].size);
		assert_memory_equal(s->bytes, sections[i].bytes, s->size);
	}
	assert_null(container_find(&container, "fourth"));
	container_deinit(&container);
}

static void test_a_cut_off_container_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_refused(f, 0, UPATCH_E_NOT_ELF);
	for (size_t size = SELFMAG; size < f->size; size++)
		assert_refused(f, size, UPATCH_E_BAD_PATCHFILE);
}

static void test_sections_outside_of_the_file_are_refused(void **state)
{
	struct fixture *f = *state;
	Elf64_Ehdr *ehdr = (void *)f->bytes;
	Elf64_Shdr *shdrs = (void *)(f->bytes + ehdr->e_shoff);

	shdrs[1].sh_size = UINT64_MAX;
	assert_refused(f, f->size, UPATCH_E_BAD_PATCHFILE);
	shdrs[1].sh_size = 5;
	shdrs[1].sh_name = 0x7fffffff;
	assert_refused(f, f->size, UPATCH_E_BAD_PATCHFILE);
	ehdr->e_shstrndx = 0xfff0;
	assert_refused(f, f->size, UPATCH_E_BAD_PATCHFILE);
}

#define container_test(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		container_test(test_what_is_written_is_read_back),
		container_test(test_a_cut_off_container_is_refused),
		container_test(test_sections_outside_of_the_file_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
