/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/diag.h"
#include "elf/image.h"
#include "elf/symtab.h"

/* A small library, compiled here from two files that share names. */
struct fixture {
	struct diag diag;
	char dir[64];
	struct image *image;
	const struct symtab *symtab;
};

static void write_source(const struct fixture *f, const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static void run(const struct fixture *f, const char *command)
{
	char line[1024];

	snprintf(line, sizeof(line), "cd %s && %s", f->dir, command);
	assert_int_equal(system(line), 0);
}

static void open_library(struct fixture *f, const char *name)
{
	char path[128];
	int fd;

	image_unref(f->image);
	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(image_open_fd(&f->diag, fd, name, &f->image), 0);
	assert_int_equal(image_symtab(f->image, &f->diag, &f->symtab), 0);
	close(fd);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	diag_init(&f->diag);
	strcpy(f->dir, "/tmp/upatch-test.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	write_source(f, "a.s",
		     ".file \"a.c\"\n.text\n"
		     ".type twin,@function\ntwin: nop\n.size twin,1\n"
		     ".type twin.cold,@function\ntwin.cold: nop;nop\n.size twin.cold,2\n"
		     ".globl pub\n.type pub,@function\npub: ret\n.size pub,1\n"
		     ".globl hid\n.hidden hid\n.type hid,@function\nhid: ret\n.size hid,1\n");
	write_source(f, "b.s",
		     ".file \"b.c\"\n.text\n"
		     ".type twin,@function\ntwin: nop\n.size twin,1\n"
		     ".type twin.cold,@function\ntwin.cold: nop;nop;nop\n.size twin.cold,3\n"
		     ".type twin.part.0,@function\ntwin.part.0: nop\n.size twin.part.0,1\n"
		     ".type twinned,@function\ntwinned: nop\n.size twinned,1\n"
		     ".data\n.type pub_data,@object\npub_data: .quad 1\n.size pub_data,8\n");
	run(f, "cc -shared -nostdlib -o lib.so a.s b.s && strip -o stripped.so lib.so");
	/* One name in two versions, and a call of somebody else's function. */
	write_source(f, "v.s",
		     ".text\n.symver old,ver@V1\n.symver new,ver@@V2\n"
		     ".globl old\n.type old,@function\nold: ret\n.size old,1\n"
		     ".globl new\n.type new,@function\nnew: call foreign@PLT\n.size new,5\n");
	write_source(f, "v.map", "V1 { local: old; new; };\nV2 { } V1;\n");
	run(f, "cc -shared -nostdlib -Wl,--version-script=v.map -o versions.so v.s");
	open_library(f, "lib.so");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	run(f, "rm -f *.s *.so v.map");
	rmdir(f->dir);
	image_unref(f->image);
	diag_deinit(&f->diag);
	free(f);
	return 0;
}

static int find(struct fixture *f, const char *name, unsigned int sympos, struct symbol *ret)
{
	diag_clear(&f->diag);
	return symtab_find(f->symtab, &f->diag, "lib", name, sympos, SYMBOL_FUNC, ret);
}

static void test_positions_count_symbols_of_a_name(void **state)
{
	struct fixture *f = *state;
	struct symbol one, two;

	assert_int_equal(find(f, "twin", 1, &one), 0);
	assert_int_equal(find(f, "twin", 2, &two), 0);
	assert_true(one.value < two.value);
	assert_true(find(f, "twin", 3, &one) < 0);
	assert_int_equal(f->diag.error.reason, UPATCH_E_SYMPOS);
	assert_true(find(f, "twin", 0, &one) < 0);
	assert_int_equal(f->diag.error.reason, UPATCH_E_AMBIGUOUS);
	assert_true(find(f, "none", 0, &one) < 0);
	assert_int_equal(f->diag.error.reason, UPATCH_E_NO_FUNCTION);
	assert_string_equal(f->diag.error.object, "lib");
	assert_string_equal(f->diag.error.function, "none");
}

static void test_a_unique_name_has_position_0_and_1(void **state)
{
	struct fixture *f = *state;
	struct symbol zero, one;

	/* It is in both symbol tables, and counts once. */
	assert_int_equal(find(f, "pub", 0, &zero), 0);
	assert_int_equal(find(f, "pub", 1, &one), 0);
	assert_int_equal(zero.value, one.value);
	assert_true(find(f, "pub", 2, &one) < 0);
}

static void test_a_refusal_says_how_many_there_are_and_where(void **state)
{
	struct fixture *f = *state;
	struct symbol one, two;
	char where[64];

	assert_int_equal(find(f, "twin", 1, &one), 0);
	assert_int_equal(find(f, "twin", 2, &two), 0);
	snprintf(where, sizeof(where), "at 0x%llx, 0x%llx", (unsigned long long)one.value,
		 (unsigned long long)two.value);
	assert_true(find(f, "twin", 0, &one) < 0);
	assert_non_null(strstr(f->diag.error.message, "2 symbols"));
	assert_non_null(strstr(f->diag.error.message, where));
	assert_true(find(f, "twin", 7, &one) < 0);
	assert_non_null(strstr(f->diag.error.message, "position 7"));
	assert_non_null(strstr(f->diag.error.message, where));
}

static void test_a_refusal_does_not_list_hundreds(void **state)
{
	struct fixture *f = *state;
	struct symbol s;

	/* The assembler takes no name twice: each comes from a file of its own. */
	write_source(f, "a.s", ".text\n.type many,@function\nmany: nop\n.size many,1\n");
	run(f, "cc -c -o a.o a.s && for i in 1 2 3 4 5 6 7 8 9 10; do cp a.o $i.o; done && "
	       "cc -shared -nostdlib -o lib.so [1-9]*.o; rm *.o");
	open_library(f, "lib.so");
	assert_true(find(f, "many", 0, &s) < 0);
	assert_non_null(strstr(f->diag.error.message, "10 symbols"));
	assert_non_null(strstr(f->diag.error.message, " and 2 more"));
}

static int add_size(const struct symbol *piece, void *userdata)
{
	*(uint64_t *)userdata += piece->size;
	return 0;
}

static void test_pieces_are_those_of_the_same_file(void **state)
{
	struct fixture *f = *state;
	struct symbol twin;
	uint64_t size = 0;

	assert_int_equal(find(f, "twin", 1, &twin), 0);
	assert_int_equal(symtab_pieces(f->symtab, &twin, add_size, &size), 0);
	assert_int_equal(size, 2);
	size = 0;
	assert_int_equal(find(f, "twin", 2, &twin), 0);
	assert_int_equal(symtab_pieces(f->symtab, &twin, add_size, &size), 0);
	assert_int_equal(size, 3 + 1);
}

static void test_data_is_no_function(void **state)
{
	struct fixture *f = *state;
	struct symbol s;

	assert_true(find(f, "pub_data", 0, &s) < 0);
	assert_int_equal(symtab_find(f->symtab, NULL, "lib", "pub_data", 0, SYMBOL_OBJECT, &s), 0);
	assert_int_equal(s.type, STT_OBJECT);
}

static void test_only_what_is_exported_is_found_as_such(void **state)
{
	struct fixture *f = *state;
	struct symbol s;

	assert_int_equal(symtab_find_export(f->symtab, "pub", NULL, &s), 0);
	assert_int_equal(symtab_find_export(f->symtab, "hid", NULL, &s), -ENOENT);
	assert_int_equal(symtab_find_export(f->symtab, "twin", NULL, &s), -ENOENT);
	assert_int_equal(find(f, "hid", 0, &s), 0);
}

static void test_an_address_is_in_the_function_that_covers_it(void **state)
{
	struct fixture *f = *state;
	struct symbol cold, s;

	assert_int_equal(find(f, "twin.cold", 2, &cold), 0);
	assert_int_equal(symtab_at(f->symtab, cold.value + 2, &s), 0);
	assert_string_equal(s.name, "twin.cold");
	assert_int_equal(symtab_next(f->symtab, cold.value + 2, &s), 0);
	assert_string_equal(s.name, "twin.part.0");
	assert_int_equal(symtab_at(f->symtab, 0, &s), -ENOENT);
	assert_int_equal(symtab_next(f->symtab, UINT64_MAX, &s), -ENOENT);
}

static void test_a_stripped_file_has_its_exports_left(void **state)
{
	struct fixture *f = *state;
	struct symbol s;

	assert_true(symtab_has_locals(f->symtab));
	open_library(f, "stripped.so");
	assert_false(symtab_has_locals(f->symtab));
	assert_int_equal(find(f, "pub", 0, &s), 0);
	assert_true(find(f, "twin", 1, &s) < 0);
}

static void test_names_come_without_their_versions(void **state)
{
	struct fixture *f = *state;
	const struct symbol *symbols;
	struct symbol old, new, s;

	open_library(f, "versions.so");
	for (size_t i = symtab_symbols(f->symtab, &symbols); i > 0; i--)
		assert_null(strchr(symbols[i - 1].name, '@'));
	assert_int_equal(symtab_find_export(f->symtab, "ver", "V1", &old), 0);
	assert_int_equal(symtab_find_export(f->symtab, "ver", "V2", &new), 0);
	assert_int_equal(old.size, 1);
	assert_int_equal(new.size, 5);
	assert_int_equal(symtab_find_export(f->symtab, "ver", NULL, &s), 0);
	assert_int_equal(s.value, new.value);
	/* Each is in both symbol tables, and counts once. */
	assert_int_equal(find(f, "ver", 2, &s), 0);
	assert_true(find(f, "ver", 3, &s) < 0);
}

static void test_an_object_without_versions_serves_every_version(void **state)
{
	struct fixture *f = *state;
	struct symbol s;

	/* As a preloaded allocator does: malloc() of it is malloc@GLIBC_2.2.5, too. */
	assert_int_equal(symtab_find_export(f->symtab, "pub", "GLIBC_2.2.5", &s), 0);
	open_library(f, "versions.so");
	assert_int_equal(symtab_find_export(f->symtab, "ver", "GLIBC_2.2.5", &s), -ENOENT);
}

static void test_what_is_only_called_is_not_defined(void **state)
{
	struct fixture *f = *state;
	struct symbol s;

	open_library(f, "versions.so");
	assert_int_equal(symtab_find(f->symtab, NULL, "lib", "foreign", 0, SYMBOL_ANY, &s),
			 -ENOENT);
	assert_int_equal(symtab_find_export(f->symtab, "foreign", NULL, &s), -ENOENT);
}

static int find_libc(struct dl_phdr_info *info, size_t size, void *userdata)
{
	if (!strstr(info->dlpi_name, "libc.so"))
		return 0;
	snprintf(userdata, 256, "%s", info->dlpi_name);
	return 1;
}

static void test_versions_of_the_c_library_are_told_apart(void **state)
{
	struct fixture *f = *state;
	struct symbol old, new, s;
	char path[256] = "";
	int fd;

	assert_int_equal(dl_iterate_phdr(find_libc, path), 1);
	image_unref(f->image);
	fd = open(path, O_RDONLY);
	assert_int_equal(image_open_fd(&f->diag, fd, path, &f->image), 0);
	close(fd);
	assert_int_equal(image_symtab(f->image, &f->diag, &f->symtab), 0);
	assert_int_equal(symtab_find_export(f->symtab, "memcpy", "GLIBC_2.2.5", &old), 0);
	assert_int_equal(symtab_find_export(f->symtab, "memcpy", NULL, &new), 0);
	assert_int_not_equal(old.value, new.value);
	assert_string_equal(new.version, "GLIBC_2.14");
	assert_true(old.is_hidden_version);
	assert_false(new.is_hidden_version);
	assert_int_equal(symtab_find_export(f->symtab, "memcpy", "GLIBC_9.9", &s), -ENOENT);
}

#define symtab_test(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		symtab_test(test_positions_count_symbols_of_a_name),
		symtab_test(test_a_unique_name_has_position_0_and_1),
		symtab_test(test_a_refusal_says_how_many_there_are_and_where),
		symtab_test(test_a_refusal_does_not_list_hundreds),
		symtab_test(test_pieces_are_those_of_the_same_file),
		symtab_test(test_data_is_no_function),
		symtab_test(test_only_what_is_exported_is_found_as_such),
		symtab_test(test_an_address_is_in_the_function_that_covers_it),
		symtab_test(test_a_stripped_file_has_its_exports_left),
		symtab_test(test_names_come_without_their_versions),
		symtab_test(test_an_object_without_versions_serves_every_version),
		symtab_test(test_what_is_only_called_is_not_defined),
		symtab_test(test_versions_of_the_c_library_are_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
