/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The agent's look-up against the dynamic linker's, in this process: each symbol of each object, in each version that the
 * object defines. Which symbols there are is read from the files.
 */
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/lookup.h"
#include "base/diag.h"
#include "elf/image.h"
#include "elf/symtab.h"

enum { VERSIONS_MAX = 64 };

struct fixture {
	void *handle;
	const struct link_map *map;
	struct image *image;
	const struct symbol *symbols;
	size_t nr_symbols;
	const char *versions[VERSIONS_MAX];
	size_t nr_versions;
	struct lookup_object object;
	unsigned int nr_found; /* of what was compared, how many were there */
};

static char **libraries; /* of libraries/meson.build: gnu, sysv, both, plain */

/* --- the objects --------------------------------------------------------------------------- */

static struct image *open_vdso(struct diag *d)
{
	const Elf64_Ehdr *header = (const void *)(uintptr_t)getauxval(AT_SYSINFO_EHDR);
	struct image *image;

	assert_non_null(header);
	assert_int_equal(
		image_open_bytes(d, header,
				 header->e_shoff + (size_t)header->e_shnum * header->e_shentsize,
				 "vdso", &image),
		0);
	return image;
}

static struct image *open_image(struct diag *d, const char *path)
{
	struct image *image;
	int fd = open(*path ? path : "/proc/self/exe", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(image_open_fd(d, fd, path, &image), 0);
	close(fd);
	return image;
}

static void add_version(struct fixture *f, const char *version)
{
	for (size_t i = 0; i < f->nr_versions; i++)
		if (strcmp(f->versions[i], version) == 0)
			return;
	assert_true(f->nr_versions < VERSIONS_MAX);
	f->versions[f->nr_versions++] = version;
}

/* @name: NULL for the program itself */
static void open_object(struct fixture *f, const char *name)
{
	const struct symtab *symtab;
	struct diag diag;

	diag_init(&diag);
	*f = (struct fixture){ .handle = dlopen(name, RTLD_NOW) };
	if (!f->handle)
		fail_msg("%s", dlerror());
	assert_int_equal(dlinfo(f->handle, RTLD_DI_LINKMAP, &f->map), 0);
	f->image = name && strstr(name, "vdso") ? open_vdso(&diag)
						: open_image(&diag, f->map->l_name);
	assert_int_equal(image_symtab(f->image, &diag, &symtab), 0);
	f->nr_symbols = symtab_symbols(symtab, &f->symbols);
	for (size_t i = 0; i < f->nr_symbols; i++)
		if (f->symbols[i].version)
			add_version(f, f->symbols[i].version);
	assert_true(lookup_open(f->map->l_addr, f->map->l_ld, &f->object));
	diag_deinit(&diag);
}

static void close_object(struct fixture *f)
{
	image_unref(f->image);
	dlclose(f->handle);
}

/* --- what the dynamic linker says ----------------------------------------------------------- */

/* False: it finds nothing, or something in another object that this one needs. */
static bool ask_linker(const struct fixture *f, const struct symbol *s, const char *version,
		       void **ret)
{
	struct link_map *in = NULL;
	Dl_info info;

	(void)dlerror();
	*ret = version ? dlvsym(f->handle, s->name, version) : dlsym(f->handle, s->name);
	if (dlerror())
		return false;
	/* A resolver may choose the vDSO's; what is absolute or thread-local is in no object. */
	return s->type == STT_GNU_IFUNC || !dladdr1(*ret, &info, (void **)&in, RTLD_DL_LINKMAP) ||
	       in == f->map;
}

static uint64_t tls_block(const struct fixture *f)
{
	void *block = NULL;

	assert_int_equal(dlinfo(f->handle, RTLD_DI_TLS_DATA, &block), 0);
	assert_non_null(block);
	return (uintptr_t)block;
}

/* Where it leads to, as dlsym() does. */
static uint64_t address_of(const struct fixture *f, const struct lookup_symbol *symbol)
{
	if (symbol->type == STT_TLS)
		return tls_block(f) + symbol->value;
	if (symbol->type == STT_GNU_IFUNC)
		return ((uint64_t(*)(void))(uintptr_t)symbol->value)();
	return symbol->value;
}

static void compare(struct fixture *f, const struct symbol *s, const char *version)
{
	struct lookup_symbol found;
	bool is_found = lookup_symbol(&f->object, s->name, version, &found);
	void *expected;
	bool is_expected = ask_linker(f, s, version, &expected);

	if (is_found != is_expected)
		fail_msg("%s: %s@%s: %s, the dynamic linker says %s", f->map->l_name, s->name,
			 version ? version : "", is_found ? "found" : "missing",
			 is_expected ? "found" : "missing");
	if (is_found && address_of(f, &found) != (uintptr_t)expected)
		fail_msg("%s: %s@%s: %#lx, the dynamic linker says %p", f->map->l_name, s->name,
			 version ? version : "", (unsigned long)address_of(f, &found), expected);
	f->nr_found += is_found;
}

static void compare_entry(const struct fixture *f, const struct symbol *s)
{
	struct lookup_symbol found;

	assert_true(lookup_symbol(&f->object, s->name, s->version, &found));
	assert_int_equal(found.type, s->type);
	assert_int_equal(found.bind, s->bind);
	assert_int_equal(found.size, s->size);
	if (found.value != s->value && found.value != s->value + f->map->l_addr)
		fail_msg("%s: %s@%s: %#lx is not what the file says", f->map->l_name, s->name,
			 s->version ? s->version : "", (unsigned long)found.value);
}

/* Each of its exports without and in all versions. Return: how many entries its table has. */
static unsigned int compare_all(struct fixture *f)
{
	unsigned int nr = 0;

	for (size_t i = 0; i < f->nr_symbols; i++) {
		const struct symbol *s = &f->symbols[i];

		if (!s->is_exported && !s->is_hidden_version)
			continue;
		nr++;
		compare_entry(f, s);
		compare(f, s, NULL);
		/* Linked code that wants a version gets what has none; dlvsym() does not. */
		if (!s->version)
			continue;
		for (size_t v = 0; v < f->nr_versions; v++)
			compare(f, s, f->versions[v]);
		compare(f, s, "NO_SUCH_VERSION");
	}
	compare(f, &(struct symbol){ .name = "no_such_symbol_anywhere" }, NULL);
	compare(f, &(struct symbol){ .name = "" }, NULL);
	printf("# %s: %u symbols, %zu versions, %u found\n",
	       *f->map->l_name ? f->map->l_name : "the program", nr, f->nr_versions, f->nr_found);
	return nr;
}

static unsigned int compare_object(const char *name)
{
	struct fixture f;
	unsigned int nr;

	open_object(&f, name);
	nr = compare_all(&f);
	close_object(&f);
	return nr;
}

/* --- tests ------------------------------------------------------------------------------------- */

static void test_libraries_of_the_system_are_read_as_the_linker_does(void **state)
{
	assert_true(compare_object("libc.so.6") > 2000);
	assert_true(compare_object("libm.so.6") > 500);
	assert_true(compare_object("libpthread.so.0") > 0);
}

static void test_the_vdso_is_read_as_the_linker_does(void **state)
{
	assert_true(compare_object("linux-vdso.so.1") > 3);
}

static void test_each_kind_of_table_is_read_as_the_linker_does(void **state)
{
	for (int i = 0; libraries[i]; i++)
		assert_true(compare_object(libraries[i]) >= 12);
}

/* The names of the four say which table each has. */
static void test_the_libraries_have_the_tables_that_they_should(void **state)
{
	static const char *const names[] = { "-gnu", "-sysv", "-both", "-plain" };
	struct fixture f;

	for (int i = 0; i < 4; i++) {
		open_object(&f, libraries[i]);
		assert_non_null(strstr(libraries[i], names[i]));
		assert_int_equal(f.object.gnu_hash != NULL, i != 1);
		assert_int_equal(f.object.hash != NULL, i == 1 || i == 2);
		assert_int_equal(f.nr_versions, i == 3 ? 0 : 3);
		close_object(&f);
	}
}

static int call(const struct fixture *f, const char *version)
{
	struct lookup_symbol found;

	assert_true(lookup_symbol(&f->object, "many", version, &found));
	assert_int_equal(found.type, STT_FUNC);
	return ((int (*)(void))(uintptr_t)found.value)();
}

static void test_a_version_is_found_by_name_and_the_default_one_without(void **state)
{
	struct lookup_symbol found;
	struct fixture f;

	for (int i = 0; i < 3; i++) {
		open_object(&f, libraries[i]);
		assert_int_equal(call(&f, "LIB_1"), 1);
		assert_int_equal(call(&f, "LIB_2"), 2);
		assert_int_equal(call(&f, "LIB_3"), 3);
		assert_int_equal(call(&f, NULL), 3);
		assert_false(lookup_symbol(&f.object, "many", "LIB_4", &found));
		assert_true(lookup_symbol(&f.object, "retired", "LIB_1", &found));
		assert_false(lookup_symbol(&f.object, "retired", NULL, &found));
		close_object(&f);
	}
}

/* As code that was linked when the library had versions: check_match() of glibc's dl-lookup.c. */
static void test_what_has_no_version_serves_whoever_wants_one(void **state)
{
	struct lookup_symbol found;
	struct fixture f;

	for (int i = 0; i < 4; i++) {
		open_object(&f, libraries[i]);
		assert_true(lookup_symbol(&f.object, "plain", NULL, &found));
		assert_true(lookup_symbol(&f.object, "plain", "LIB_2", &found));
		assert_ptr_equal((void *)(uintptr_t)found.value, dlsym(f.handle, "plain"));
		/* The library's own name is the name of no version. */
		assert_int_equal(lookup_symbol(&f.object, "later", strrchr(libraries[i], '/') + 1,
					       &found),
				 i == 3);
		close_object(&f);
	}
}

static void test_types_say_what_the_value_is(void **state)
{
	struct lookup_symbol found;
	struct fixture f;

	for (int i = 0; i < 4; i++) {
		open_object(&f, libraries[i]);
		int *of_this_thread = dlsym(f.handle, "of_each_thread"); /* makes the block */

		assert_true(lookup_symbol(&f.object, "of_each_thread", NULL, &found));
		assert_int_equal(found.type, STT_TLS);
		assert_int_equal(found.size, sizeof(int));
		assert_ptr_equal((void *)(uintptr_t)(tls_block(&f) + found.value), of_this_thread);
		assert_int_equal(*of_this_thread, 4);
		assert_true(lookup_symbol(&f.object, "chosen", NULL, &found));
		assert_int_equal(found.type, STT_GNU_IFUNC);
		assert_true(lookup_symbol(&f.object, "absolute", NULL, &found));
		assert_int_equal(found.value, 0x12345);
		assert_true(lookup_symbol(&f.object, "weak_data", NULL, &found));
		assert_int_equal(found.bind, STB_WEAK);
		assert_int_equal(*(int *)(uintptr_t)found.value, 5);
		close_object(&f);
	}
}

static void test_what_an_object_only_uses_it_does_not_have(void **state)
{
	struct lookup_symbol found;
	struct fixture f;

	open_object(&f, libraries[0]);
	assert_false(lookup_symbol(&f.object, "__tls_get_addr", NULL, &found));
	assert_false(lookup_symbol(&f.object, "__tls_get_addr", "GLIBC_2.3", &found));
	close_object(&f);
	open_object(&f, NULL);
	assert_false(lookup_symbol(&f.object, "dlvsym", NULL, &found));
	close_object(&f);
}

/* Its version is one that the program needs, not one that it defines. */
static void test_a_variable_that_was_copied_into_the_program_is_found(void **state)
{
	struct lookup_symbol found;
	struct fixture f;

	open_object(&f, NULL);
	assert_true(lookup_symbol(&f.object, "stdout", NULL, &found));
	assert_ptr_equal((void *)(uintptr_t)found.value, &stdout);
	assert_true(lookup_symbol(&f.object, "stdout", "GLIBC_2.2.5", &found));
	assert_ptr_equal((void *)(uintptr_t)found.value, &stdout);
	close_object(&f);
}

/* --- the dynamic section ---------------------------------------------------------------------- */

static bool is_address(int64_t tag)
{
	return tag == DT_SYMTAB || tag == DT_STRTAB || tag == DT_HASH || tag == DT_GNU_HASH ||
	       tag == DT_VERSYM || tag == DT_VERDEF;
}

enum { DYNAMIC_MAX = 128 };

/* As the file has it, whatever the linker of this process has made of it, with @bias added. */
static void copy_dynamic(const struct fixture *f, uint64_t bias, Elf64_Dyn copy[DYNAMIC_MAX])
{
	size_t i = 0;

	do {
		assert_true(i < DYNAMIC_MAX);
		copy[i] = f->map->l_ld[i];
		if (!is_address(copy[i].d_tag))
			continue;
		if (copy[i].d_un.d_ptr >= f->map->l_addr)
			copy[i].d_un.d_ptr -= f->map->l_addr;
		copy[i].d_un.d_ptr += bias;
	} while (copy[i++].d_tag != DT_NULL);
}

static void test_addresses_may_be_relocated_in_place_or_not(void **state)
{
	Elf64_Dyn dynamic[DYNAMIC_MAX];
	struct fixture f;

	open_object(&f, "libc.so.6");
	copy_dynamic(&f, 0, dynamic); /* musl */
	assert_true(lookup_open(f.map->l_addr, dynamic, &f.object));
	assert_true(compare_all(&f) > 2000);
	copy_dynamic(&f, f.map->l_addr, dynamic); /* glibc */
	assert_true(lookup_open(f.map->l_addr, dynamic, &f.object));
	assert_true(compare_all(&f) > 2000);
	close_object(&f);
}

static void test_without_a_bias_addresses_are_taken_as_they_are(void **state)
{
	Elf64_Dyn dynamic[DYNAMIC_MAX];
	struct lookup_symbol found;
	struct fixture f;

	open_object(&f, libraries[0]);
	copy_dynamic(&f, f.map->l_addr, dynamic);
	assert_true(lookup_open(0, dynamic, &f.object));
	assert_true(lookup_symbol(&f.object, "later", NULL, &found));
	assert_ptr_equal((void *)(uintptr_t)(f.map->l_addr + found.value),
			 dlsym(f.handle, "later"));
	close_object(&f);
}

static void drop(Elf64_Dyn *dynamic, int64_t tag)
{
	for (; dynamic->d_tag != DT_NULL; dynamic++)
		if (dynamic->d_tag == tag)
			dynamic->d_tag = DT_DEBUG;
}

static void test_an_object_without_symbol_tables_is_refused(void **state)
{
	static const int64_t tags[] = { DT_SYMTAB, DT_STRTAB, DT_STRSZ };
	const Elf64_Dyn empty = { .d_tag = DT_NULL };
	Elf64_Dyn dynamic[DYNAMIC_MAX];
	struct lookup_object object;
	struct fixture f;

	open_object(&f, libraries[0]);
	assert_false(lookup_open(f.map->l_addr, &empty, &object));
	assert_false(lookup_open(f.map->l_addr, NULL, &object));
	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
		copy_dynamic(&f, 0, dynamic);
		drop(dynamic, tags[i]);
		assert_false(lookup_open(f.map->l_addr, dynamic, &object));
	}
	close_object(&f);
}

static void test_without_a_hash_table_nothing_is_found(void **state)
{
	Elf64_Dyn dynamic[DYNAMIC_MAX];
	struct lookup_symbol found;
	struct fixture f;

	open_object(&f, libraries[2]);
	copy_dynamic(&f, 0, dynamic);
	drop(dynamic, DT_GNU_HASH);
	assert_true(lookup_open(f.map->l_addr, dynamic, &f.object));
	assert_true(lookup_symbol(&f.object, "later", NULL, &found));
	drop(dynamic, DT_HASH);
	assert_true(lookup_open(f.map->l_addr, dynamic, &f.object));
	assert_false(lookup_symbol(&f.object, "later", NULL, &found));
	close_object(&f);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_libraries_of_the_system_are_read_as_the_linker_does),
		cmocka_unit_test(test_the_vdso_is_read_as_the_linker_does),
		cmocka_unit_test(test_the_libraries_have_the_tables_that_they_should),
		cmocka_unit_test(test_each_kind_of_table_is_read_as_the_linker_does),
		cmocka_unit_test(test_a_version_is_found_by_name_and_the_default_one_without),
		cmocka_unit_test(test_what_has_no_version_serves_whoever_wants_one),
		cmocka_unit_test(test_types_say_what_the_value_is),
		cmocka_unit_test(test_what_an_object_only_uses_it_does_not_have),
		cmocka_unit_test(test_a_variable_that_was_copied_into_the_program_is_found),
		cmocka_unit_test(test_addresses_may_be_relocated_in_place_or_not),
		cmocka_unit_test(test_without_a_bias_addresses_are_taken_as_they_are),
		cmocka_unit_test(test_an_object_without_symbol_tables_is_refused),
		cmocka_unit_test(test_without_a_hash_table_nothing_is_found),
	};

	if (argc != 5) {
		fprintf(stderr, "usage: %s GNU SYSV BOTH PLAIN\n", argv[0]);
		return 2;
	}
	libraries = argv + 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
