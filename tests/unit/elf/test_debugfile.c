/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <lzma.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/diag.h"
#include "elf/image.h"
#include "elf/symtab.h"

/*
 * A library with a static function, "secret", and in the same folder:
 * stripped.so, its copy without that, which says that lib.debug has the symbols
 * lib.debug, which has them
 */
struct fixture {
	struct diag diag;
	char dir[64];
	uint64_t secret; /* where it is */
};

static void run(const struct fixture *f, const char *command)
{
	char line[1024];

	snprintf(line, sizeof(line), "cd %s && { %s; }", f->dir, command);
	assert_int_equal(system(line), 0);
}

static void write_file(const struct fixture *f, const char *name, const void *bytes, size_t size)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
}

/* Return: malloc'ed. */
static uint8_t *read_file(const struct fixture *f, const char *name, size_t *ret_size)
{
	uint8_t *bytes = malloc(1 << 20);
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	file = fopen(path, "r");
	assert_non_null(file);
	*ret_size = fread(bytes, 1, 1 << 20, file);
	fclose(file);
	return bytes;
}

static struct image *open_library(struct fixture *f, const char *name,
				  const struct symtab **ret_symtab)
{
	struct image *image;
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s%s%s", *name == '/' ? "" : f->dir, *name == '/' ? "" : "/",
		 name);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(image_open_fd(&f->diag, fd, name, &image), 0);
	assert_int_equal(image_symtab(image, &f->diag, ret_symtab), 0);
	close(fd);
	return image;
}

/* Where "secret" is; 0: not to be found. The exported function always is. */
static uint64_t find_secret(struct fixture *f, const char *library)
{
	const struct symtab *symtab;
	struct image *image = open_library(f, library, &symtab);
	struct symbol symbol = { 0 };

	assert_int_equal(symtab_find_export(symtab, "pub", NULL, &symbol), 0);
	if (symtab_find(symtab, NULL, library, "secret", 0, SYMBOL_FUNC, &symbol) < 0)
		symbol.value = 0;
	assert_int_equal(symtab_has_locals(symtab), symbol.value != 0);
	image_unref(image);
	return symbol.value;
}

static int setup(void **state)
{
	static const char source[] = ".file \"a.c\"\n.text\n"
				     ".type secret,@function\nsecret: nop\n.size secret,1\n"
				     ".globl pub\n.type pub,@function\npub: ret\n.size pub,1\n";
	struct fixture *f = calloc(1, sizeof(*f));

	diag_init(&f->diag);
	strcpy(f->dir, "/tmp/upatch-test.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	write_file(f, "a.s", source, strlen(source));
	run(f, "cc -shared -nostdlib -Wl,--build-id -o lib.so a.s");
	run(f, "objcopy --only-keep-debug lib.so lib.debug");
	run(f, "objcopy --strip-all --add-gnu-debuglink=lib.debug lib.so stripped.so");
	f->secret = find_secret(f, "lib.so");
	assert_int_not_equal(f->secret, 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	run(f, "rm -rf \"$PWD\"");
	diag_deinit(&f->diag);
	free(f);
	return 0;
}

/* Replaces the section; a copy without a link to lib.debug, so that nothing else helps. */
static void put_section(struct fixture *f, const char *section, const void *bytes, size_t size)
{
	char command[256];

	write_file(f, "section", bytes, size);
	snprintf(command, sizeof(command),
		 "objcopy --strip-all -R .gnu_debuglink lib.so bare.so && "
		 "objcopy --add-section %s=section bare.so stripped.so",
		 section);
	run(f, command);
}

/* --- separate files ---------------------------------------------------------------------------- */

static void test_a_debug_file_beside_the_library_is_used(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(find_secret(f, "stripped.so"), f->secret);
}

static void test_a_debug_file_in_a_folder_below_is_used(void **state)
{
	struct fixture *f = *state;

	run(f, "mkdir .debug && mv lib.debug .debug");
	assert_int_equal(find_secret(f, "stripped.so"), f->secret);
}

static void test_without_a_debug_file_there_are_exports_only(void **state)
{
	struct fixture *f = *state;

	run(f, "rm lib.debug");
	assert_int_equal(find_secret(f, "stripped.so"), 0);
}

static void test_a_debug_file_that_was_changed_is_not_used(void **state)
{
	struct fixture *f = *state;

	run(f, "echo >>lib.debug");
	assert_int_equal(find_secret(f, "stripped.so"), 0);
}

static void test_a_debug_file_of_another_build_is_not_used(void **state)
{
	struct fixture *f = *state;

	/* With the checksum that the library says. */
	run(f, "cc -shared -nostdlib -Wl,--build-id=0x1234 -o other.so a.s");
	run(f, "objcopy --only-keep-debug other.so lib.debug");
	run(f, "objcopy --strip-all --add-gnu-debuglink=lib.debug lib.so stripped.so");
	assert_int_equal(find_secret(f, "stripped.so"), 0);
}

static void test_nobody_can_hold_us_up_with_a_fifo(void **state)
{
	struct fixture *f = *state;

	run(f, "rm lib.debug && mkfifo lib.debug");
	alarm(10);
	assert_int_equal(find_secret(f, "stripped.so"), 0);
	alarm(0);
}

/* As .gnu_debuglink: the name, zeros up to 4 bytes, the checksum of lib.debug. */
static size_t make_link(const struct fixture *f, const char *name, uint8_t *buf)
{
	size_t at = (strlen(name) + 4) / 4 * 4, size;
	uint8_t *bytes = read_file(f, "lib.debug", &size);
	uint32_t crc = lzma_crc32(bytes, size, 0);

	memset(buf, 0, at);
	memcpy(buf, name, strlen(name));
	memcpy(buf + at, &crc, sizeof(crc));
	free(bytes);
	return at + sizeof(crc);
}

static void test_a_link_is_a_name_and_no_path(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[64];

	put_section(f, ".gnu_debuglink", buf, make_link(f, "lib.debug", buf));
	assert_int_equal(find_secret(f, "stripped.so"), f->secret);
	put_section(f, ".gnu_debuglink", buf, make_link(f, "./lib.debug", buf));
	assert_int_equal(find_secret(f, "stripped.so"), 0);
}

static void test_a_link_that_is_cut_off_is_none(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[64];
	size_t size = make_link(f, "lib.debug", buf);

	for (size_t cut = 1; cut < size; cut++) {
		put_section(f, ".gnu_debuglink", buf, cut);
		assert_int_equal(find_secret(f, "stripped.so"), 0);
	}
}

static int find_libc(struct dl_phdr_info *info, size_t size, void *userdata)
{
	if (!strstr(info->dlpi_name, "libc.so"))
		return 0;
	snprintf(userdata, 256, "%s", info->dlpi_name);
	return 1;
}

static void test_a_build_id_leads_to_the_debug_file(void **state)
{
	struct fixture *f = *state;
	char path[256], hex[2 * BUILD_ID_MAX + 1], debug[256];
	const struct symtab *symtab;
	struct image *image;

	assert_int_equal(dl_iterate_phdr(find_libc, path), 1);
	image = open_library(f, path, &symtab);
	build_id_format(image_build_id(image), hex);
	snprintf(debug, sizeof(debug), "/usr/lib/debug/.build-id/%.2s/%s.debug", hex, hex + 2);
	if (access(debug, R_OK) < 0) {
		image_unref(image);
		print_message("skipped: the C library's debug symbols are not installed\n");
		skip();
	}
	assert_true(symtab_has_locals(symtab));
	image_unref(image);
}

/* --- packed into the file ---------------------------------------------------------------------- */

/* As xz does. Return: the packed size. */
static size_t pack(const uint8_t *bytes, size_t size, uint8_t *buf, size_t capacity)
{
	size_t used = 0;

	assert_int_equal(lzma_easy_buffer_encode(0, LZMA_CHECK_CRC64, NULL, bytes, size, buf, &used,
						 capacity),
			 LZMA_OK);
	return used;
}

static void test_symbols_that_are_packed_into_the_file_are_used(void **state)
{
	struct fixture *f = *state;
	size_t size;
	uint8_t *bytes = read_file(f, "lib.debug", &size);
	uint8_t *packed = malloc(1 << 20);

	size = pack(bytes, size, packed, 1 << 20);
	put_section(f, ".gnu_debugdata", packed, size);
	assert_int_equal(find_secret(f, "stripped.so"), f->secret);
	packed[size / 2] ^= 1;
	put_section(f, ".gnu_debugdata", packed, size);
	assert_int_equal(find_secret(f, "stripped.so"), 0);
	put_section(f, ".gnu_debugdata", packed, 1);
	assert_int_equal(find_secret(f, "stripped.so"), 0);
	free(packed);
	free(bytes);
}

static void test_what_unpacks_to_no_end_is_not_used(void **state)
{
	struct fixture *f = *state;
	size_t size = 257ul << 20, capacity = 1 << 20, debug_size;
	uint8_t *debug = read_file(f, "lib.debug", &debug_size);
	uint8_t *bytes = calloc(1, size), *packed = malloc(capacity);

	/* Good symbols, but for what follows them. */
	memcpy(bytes, debug, debug_size);
	put_section(f, ".gnu_debugdata", packed, pack(bytes, size, packed, capacity));
	assert_int_equal(find_secret(f, "stripped.so"), 0);
	free(packed);
	free(bytes);
	free(debug);
}

#define debugfile_test(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		debugfile_test(test_a_debug_file_beside_the_library_is_used),
		debugfile_test(test_a_debug_file_in_a_folder_below_is_used),
		debugfile_test(test_without_a_debug_file_there_are_exports_only),
		debugfile_test(test_a_debug_file_that_was_changed_is_not_used),
		debugfile_test(test_a_debug_file_of_another_build_is_not_used),
		debugfile_test(test_nobody_can_hold_us_up_with_a_fifo),
		debugfile_test(test_a_link_is_a_name_and_no_path),
		debugfile_test(test_a_link_that_is_cut_off_is_none),
		debugfile_test(test_a_build_id_leads_to_the_debug_file),
		debugfile_test(test_symbols_that_are_packed_into_the_file_are_used),
		debugfile_test(test_what_unpacks_to_no_end_is_not_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
