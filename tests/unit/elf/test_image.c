/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/diag.h"
#include "elf/image.h"
#include "elf/symtab.h"

/* The test's own executable is the ELF file at hand. */
struct fixture {
	struct diag diag;
	uint8_t *bytes;
	size_t size;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fd = open("/proc/self/exe", O_RDONLY);
	struct stat st;

	diag_init(&f->diag);
	assert_int_equal(fstat(fd, &st), 0);
	f->size = (size_t)st.st_size;
	f->bytes = malloc(f->size);
	assert_int_equal(read(fd, f->bytes, f->size), f->size);
	close(fd);
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

static Elf64_Ehdr *ehdr_of(struct fixture *f)
{
	return (Elf64_Ehdr *)(void *)f->bytes;
}

static void assert_refused(struct fixture *f, size_t size, enum upatch_reason reason)
{
	struct image *image = NULL;

	assert_true(image_open_bytes(&f->diag, f->bytes, size, "x", &image) < 0);
	assert_null(image);
	assert_int_equal(f->diag.error.reason, reason);
	diag_clear(&f->diag);
}

static void test_an_executable_is_described(void **state)
{
	struct fixture *f = *state;
	const struct image_segment *segments;
	struct image_range range;
	struct image *image;

	assert_int_equal(image_open_bytes(&f->diag, f->bytes, f->size, "self", &image), 0);
	assert_string_equal(image_name(image), "self");
	assert_int_equal(image_machine(image), EM_X86_64);
	assert_true(image_has_interp(image));
	assert_true(image_segments(image, &segments) >= 2);
	assert_true(image_eh_frame_hdr(image, &range));
	assert_non_null(image_bytes(image, range.vaddr, range.size));
	assert_true(image_dynamic(image, &range));
	assert_true(image_build_id(image)->size > 0);
	image_unref(image);
}

static void test_what_is_no_elf_file_is_refused(void **state)
{
	struct fixture *f = *state;

	f->bytes[0] = '#';
	assert_refused(f, f->size, UPATCH_E_NOT_ELF);
	assert_refused(f, 0, UPATCH_E_NOT_ELF);
}

static void test_a_32_bit_file_is_refused(void **state)
{
	struct fixture *f = *state;

	f->bytes[EI_CLASS] = ELFCLASS32;
	assert_refused(f, f->size, UPATCH_E_ARCHITECTURE);
}

static void test_a_big_endian_file_is_refused(void **state)
{
	struct fixture *f = *state;

	f->bytes[EI_DATA] = ELFDATA2MSB;
	assert_refused(f, f->size, UPATCH_E_ARCHITECTURE);
}

static void test_an_object_file_is_refused(void **state)
{
	struct fixture *f = *state;

	ehdr_of(f)->e_type = ET_REL;
	assert_refused(f, f->size, UPATCH_E_BAD_ELF);
}

static void test_program_headers_outside_of_the_file_are_refused(void **state)
{
	struct fixture *f = *state;

	ehdr_of(f)->e_phoff = UINT64_MAX - 8;
	assert_refused(f, f->size, UPATCH_E_BAD_ELF);
}

/* The first program header of a type; there is one. */
static Elf64_Phdr *phdr_of(struct fixture *f, uint32_t type)
{
	Elf64_Phdr *phdr = (Elf64_Phdr *)(void *)(f->bytes + ehdr_of(f)->e_phoff);

	while (phdr->p_type != type)
		phdr++;
	return phdr;
}

static void test_program_headers_without_number_are_refused(void **state)
{
	struct fixture *f = *state;

	ehdr_of(f)->e_phnum = 0;
	assert_refused(f, f->size, UPATCH_E_BAD_ELF);
	ehdr_of(f)->e_phnum = PN_XNUM;
	assert_refused(f, f->size, UPATCH_E_BAD_ELF);
}

static void test_a_segment_outside_of_the_file_is_refused(void **state)
{
	struct fixture *f = *state;

	phdr_of(f, PT_LOAD)->p_offset = f->size;
	assert_refused(f, f->size, UPATCH_E_BAD_ELF);
	phdr_of(f, PT_LOAD)->p_offset = UINT64_MAX;
	assert_refused(f, f->size, UPATCH_E_BAD_ELF);
}

static void test_a_segment_around_the_end_of_memory_is_refused(void **state)
{
	struct fixture *f = *state;

	phdr_of(f, PT_LOAD)->p_vaddr = UINT64_MAX - 0xfff;
	phdr_of(f, PT_LOAD)->p_memsz = 0x2000;
	assert_refused(f, f->size, UPATCH_E_BAD_ELF);
}

static void test_a_file_with_nothing_to_load_is_refused(void **state)
{
	struct fixture *f = *state;
	Elf64_Phdr *phdr = (Elf64_Phdr *)(void *)(f->bytes + ehdr_of(f)->e_phoff);

	for (unsigned int i = 0; i < ehdr_of(f)->e_phnum; i++)
		if (phdr[i].p_type == PT_LOAD)
			phdr[i].p_type = PT_NULL;
	assert_refused(f, f->size, UPATCH_E_BAD_ELF);
}

static void test_an_odd_alignment_of_thread_local_storage_is_refused(void **state)
{
	struct fixture *f = *state;
	Elf64_Phdr *phdr = phdr_of(f, PT_GNU_STACK);

	phdr->p_type = PT_TLS;
	phdr->p_align = 24;
	assert_refused(f, f->size, UPATCH_E_BAD_ELF);
}

static void test_what_is_no_regular_file_is_refused(void **state)
{
	struct fixture *f = *state;
	struct image *image = NULL;
	int fd = open("/", O_RDONLY | O_DIRECTORY);

	assert_true(image_open_fd(&f->diag, fd, "/", &image) < 0);
	assert_int_equal(f->diag.error.reason, UPATCH_E_NOT_ELF);
	assert_null(image);
	close(fd);
}

static void test_a_file_that_would_eat_all_memory_is_refused(void **state)
{
	struct fixture *f = *state;
	struct image *image = NULL;
	int fd = memfd_create("huge", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, (2l << 30) + 1), 0);
	assert_true(image_open_fd(&f->diag, fd, "huge", &image) < 0);
	assert_int_equal(f->diag.error.reason, UPATCH_E_UNSUPPORTED);
	assert_null(image);
	close(fd);
}

static void test_a_build_id_is_found_without_its_program_header(void **state)
{
	struct fixture *f = *state;
	Elf64_Phdr *phdr = (Elf64_Phdr *)(void *)(f->bytes + ehdr_of(f)->e_phoff);
	struct image *image, *without;

	assert_int_equal(image_open_bytes(&f->diag, f->bytes, f->size, "self", &image), 0);
	for (unsigned int i = 0; i < ehdr_of(f)->e_phnum; i++)
		if (phdr[i].p_type == PT_NOTE)
			phdr[i].p_type = PT_NULL;
	assert_int_equal(image_open_bytes(&f->diag, f->bytes, f->size, "self", &without), 0);
	assert_true(build_id_is_equal(image_build_id(image), image_build_id(without)));
	image_unref(image);
	image_unref(without);
}

static void test_a_file_cut_off_anywhere_does_no_harm(void **state)
{
	struct fixture *f = *state;

	for (size_t size = 0; size < f->size; size += size < 4096 ? 8 : 509) {
		const struct symtab *symtab;
		struct image_fde_table table;
		struct image_range range;
		struct image *image;

		if (image_open_bytes(&f->diag, f->bytes, size, "cut", &image) == 0) {
			(void)image_symtab(image, &f->diag, &symtab);
			(void)image_code_at(image, image_entry(image), &range);
			(void)image_fde_table(image, &table);
			(void)image_soname(image);
			image_unref(image);
		}
		diag_clear(&f->diag);
	}
}

static void test_bytes_are_only_those_of_the_file(void **state)
{
	struct fixture *f = *state;
	const struct image_segment *segments;
	struct image *image;
	size_t nr;

	assert_int_equal(image_open_bytes(&f->diag, f->bytes, f->size, "self", &image), 0);
	nr = image_segments(image, &segments);
	for (size_t i = 0; i < nr; i++) {
		uint64_t end = segments[i].vaddr + segments[i].filesz;

		assert_non_null(image_bytes(image, segments[i].vaddr, segments[i].filesz));
		assert_non_null(image_bytes(image, end - 1, 1));
		assert_null(image_bytes(image, end - 1, 2));
		assert_null(image_bytes(image, segments[i].vaddr, SIZE_MAX));
	}
	assert_null(image_bytes(image, UINT64_MAX, 1));
	image_unref(image);
}

static size_t vdso_size(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long start, end;
	char line[256];
	size_t size = 0;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		if (strstr(line, "[vdso]") && sscanf(line, "%lx-%lx", &start, &end) == 2)
			size = end - start;
	fclose(maps);
	return size;
}

static void test_the_vdso_is_an_image(void **state)
{
	struct fixture *f = *state;
	const void *vdso = (const void *)getauxval(AT_SYSINFO_EHDR);
	const struct symtab *symtab;
	struct symbol symbol;
	struct image *image;

	if (!vdso) {
		print_message("skipped: this kernel gives no vDSO\n");
		skip();
	}
	assert_int_equal(image_open_bytes(&f->diag, vdso, vdso_size(), "[vdso]", &image), 0);
	assert_string_equal(image_soname(image), "linux-vdso.so.1");
	assert_int_equal(image_symtab(image, &f->diag, &symtab), 0);
	assert_int_equal(symtab_find_export(symtab, "__vdso_clock_gettime", "LINUX_2.6", &symbol),
			 0);
	image_unref(image);
}

static void test_unwind_information_tells_where_a_function_is(void **state)
{
	struct fixture *f = *state;
	struct image_range range;
	struct image *image;

	assert_int_equal(image_open_bytes(&f->diag, f->bytes, f->size, "self", &image), 0);
	assert_true(image_code_at(image, image_entry(image) + 1, &range));
	assert_true(range.vaddr <= image_entry(image));
	assert_true(range.vaddr + range.size > image_entry(image) + 1);
	assert_false(image_code_at(image, 0, &range));
	image_unref(image);
}

static void test_build_ids_are_read_and_written(void **state)
{
	char hex[2 * BUILD_ID_MAX + 1];
	struct build_id id, other;

	assert_int_equal(build_id_parse("00fFa9", &id), 0);
	assert_int_equal(id.size, 3);
	assert_string_equal(build_id_format(&id, hex), "00ffa9");
	assert_int_equal(build_id_parse("00ffa9", &other), 0);
	assert_true(build_id_is_equal(&id, &other));
	other.bytes[2]++;
	assert_false(build_id_is_equal(&id, &other));
	assert_int_equal(build_id_parse("", &id), -EINVAL);
	assert_int_equal(build_id_parse("abc", &id), -EINVAL);
	assert_int_equal(build_id_parse("zz", &id), -EINVAL);
	/* Two objects without one are not the same. */
	assert_false(build_id_is_equal(&(struct build_id){}, &(struct build_id){}));
}

#define image_test(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		image_test(test_an_executable_is_described),
		image_test(test_what_is_no_elf_file_is_refused),
		image_test(test_a_32_bit_file_is_refused),
		image_test(test_a_big_endian_file_is_refused),
		image_test(test_an_object_file_is_refused),
		image_test(test_program_headers_outside_of_the_file_are_refused),
		image_test(test_program_headers_without_number_are_refused),
		image_test(test_a_segment_outside_of_the_file_is_refused),
		image_test(test_a_segment_around_the_end_of_memory_is_refused),
		image_test(test_a_file_with_nothing_to_load_is_refused),
		image_test(test_an_odd_alignment_of_thread_local_storage_is_refused),
		image_test(test_what_is_no_regular_file_is_refused),
		image_test(test_a_file_that_would_eat_all_memory_is_refused),
		image_test(test_a_build_id_is_found_without_its_program_header),
		image_test(test_a_file_cut_off_anywhere_does_no_harm),
		image_test(test_bytes_are_only_those_of_the_file),
		image_test(test_the_vdso_is_an_image),
		image_test(test_unwind_information_tells_where_a_function_is),
		cmocka_unit_test(test_build_ids_are_read_and_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
