/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "build/fixup.h"

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
#include <sys/stat.h>
#include <unistd.h>

#include "base/diag.h"
#include "build/code.h"
#include "elf/image.h"
#include "elf/symtab.h"
#include "patchfile/code.h"
#include "patchfile/payload.h"

#include <cmocka.h>

/* Objects and payloads as the system's compiler makes them. */

#define LIBRARY                                                                                    \
	"#define FN __attribute__((noipa))\n"                                                      \
	"static int twin_state = 1;\n"                                                             \
	"FN static int first(int x) { return x * 3 + twin_state++; }\n"                            \
	"FN static int second(int x) { return x * 5 + first(x); }\n"                               \
	"FN int kept(int x) { return second(x) - 7; }\n"                                           \
	"FN int exported(int x) { return kept(x) + 9; }\n"                                         \
	"__thread int per_thread = 4;\n"

#define HEAD                                                                                       \
	"#include <upatch/livepatch.h>\n"                                                          \
	"UPATCH_OBJECT(\"libx.so\");\n"

struct file {
	struct image *image;
	uint8_t *bytes;
	size_t size;
};

struct fixture {
	struct diag diag;
	struct file library;
	struct file payload;
	struct payload_storage *storage;
};

static void compile(struct fixture *f, const char *source, const char *flags, struct file *ret)
{
	char dir[] = "/tmp/upatch-test.XXXXXX", path[64], command[512];
	struct stat st;
	FILE *file;
	int fd;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/a.c", dir);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(source, file);
	assert_int_equal(fclose(file), 0);
	snprintf(command, sizeof(command),
		 "cc -O2 -fPIC -fno-common -fcf-protection=none -I%s %s -o %s/a.o %s/a.c",
		 getenv("UPATCH_INCLUDEDIR"), flags, dir, dir);
	assert_int_equal(system(command), 0);
	unlink(path);
	snprintf(path, sizeof(path), "%s/a.o", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	*ret = (struct file){ .bytes = malloc((size_t)st.st_size), .size = (size_t)st.st_size };
	assert_non_null(ret->bytes);
	assert_int_equal(read(fd, ret->bytes, ret->size), st.st_size);
	if (strstr(flags, "--build-id"))
		assert_int_equal(image_open_fd(&f->diag, fd, "libx.so", &ret->image), 0);
	close(fd);
	unlink(path);
	rmdir(dir);
}

static void file_deinit(struct file *file)
{
	image_unref(file->image);
	free(file->bytes);
	*file = (struct file){};
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	diag_init(&f->diag);
	compile(f, LIBRARY, "-shared -Wl,--build-id", &f->library);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	payload_storage_free(f->storage);
	file_deinit(&f->payload);
	file_deinit(&f->library);
	diag_deinit(&f->diag);
	free(f);
	return 0;
}

static int try_fixup(struct fixture *f, const char *source)
{
	file_deinit(&f->payload);
	compile(f, source, "-c", &f->payload);
	return fixup_payload(&f->diag, f->library.image, "libx.so", f->payload.bytes,
			     f->payload.size);
}

static const struct payload *read_payload(struct fixture *f)
{
	payload_storage_free(f->storage);
	f->storage = NULL;
	assert_int_equal(payload_parse(&f->diag, f->payload.bytes, f->payload.size, &f->storage),
			 0);
	return &f->storage->payload;
}

static const struct payload *fixup(struct fixture *f, const char *source)
{
	assert_int_equal(try_fixup(f, source), 0);
	return read_payload(f);
}

static struct symbol find(struct fixture *f, const char *name)
{
	const struct symtab *symtab;
	struct symbol symbol;

	assert_int_equal(image_symtab(f->library.image, &f->diag, &symtab), 0);
	assert_int_equal(symtab_find(symtab, &f->diag, "libx.so", name, 0, SYMBOL_ANY, &symbol), 0);
	return symbol;
}

static const struct payload_symbol *symbol_of(const struct payload *p, const char *name)
{
	for (size_t i = 0; i < p->nr_symbols; i++)
		if (strcmp(p->symbols[i].name, name) == 0)
			return &p->symbols[i];
	fail_msg("no symbol '%s'", name);
	return NULL;
}

static void assert_refused(struct fixture *f, const char *source, enum upatch_reason reason)
{
	diag_clear(&f->diag);
	assert_true(try_fixup(f, source) < 0);
	assert_int_equal(f->diag.error.reason, reason);
}

/* --- functions ----------------------------------------------------------------------------------- */

#define THREE                                                                                      \
	HEAD "static int a(int x) { return x + 1; }\n"                                             \
	     "static int b(int x) { return x + 2; }\n"                                             \
	     "static int c(int x) { return x + 3; }\n"                                             \
	     "UPATCH_FUNC(exported, c);\nUPATCH_FUNC(first, a);\nUPATCH_FUNC(second, b);\n"

static void test_each_function_gets_the_address_of_its_own(void **state)
{
	struct fixture *f = *state;
	const struct payload *p = fixup(f, THREE);

	assert_int_equal(p->nr_funcs, 3);
	for (size_t i = 0; i < 3; i++) {
		struct symbol symbol = find(f, p->funcs[i].name);

		assert_int_equal(p->funcs[i].old_value, symbol.value);
		assert_int_equal(p->funcs[i].old_size, symbol.size);
	}
}

static void test_the_code_collected_is_the_functions(void **state)
{
	struct fixture *f = *state;
	const struct payload *p = fixup(f, THREE);
	struct payload_func *funcs = (struct payload_func *)p->funcs; /* our own copy */
	struct code storage;
	uint8_t *code;
	size_t size;

	assert_int_equal(code_collect(&f->diag, f->library.image, f->payload.bytes, f->payload.size,
				      &code, &size),
			 0);
	assert_int_equal(code_parse(&f->diag, code, size, funcs, p->nr_funcs, &storage), 0);
	for (size_t i = 0; i < 3; i++) {
		const struct payload_piece *body = &funcs[i].pieces[0];

		assert_true(funcs[i].nr_pieces >= 1);
		assert_int_equal(body->vaddr, funcs[i].old_value);
		assert_int_equal(body->size, funcs[i].old_size);
		/* Mapped one to one at the start of a small library. */
		assert_memory_equal(body->bytes, f->library.bytes + body->vaddr, body->size);
	}
	code_deinit(&storage);
	free(code);
}

static void test_a_function_that_is_not_there_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_refused(f, HEAD "static int a(int x) { return x; }\nUPATCH_FUNC(no_such, a);\n",
		       UPATCH_E_NO_FUNCTION);
	assert_refused(f, HEAD "static int a(int x) { return x; }\nUPATCH_FUNC_POS(first, 2, a);\n",
		       UPATCH_E_SYMPOS);
}

/* --- symbols ------------------------------------------------------------------------------------- */

static void test_private_symbols_get_address_size_and_type(void **state)
{
	struct fixture *f = *state;
	const struct payload *p =
		fixup(f, HEAD "extern int twin UPATCH_PRIVATE(\"twin_state\", 0);\n"
			      "extern __thread int mine UPATCH_PRIVATE(\"per_thread\", 0);\n"
			      "extern int helper(int) UPATCH_PRIVATE(\"second\", 0);\n"
			      "static int a(int x) { return helper(x) + twin + mine; }\n"
			      "UPATCH_FUNC(first, a);\n");
	static const char *const names[] = { "twin_state", "per_thread", "second" };

	for (size_t i = 0; i < 3; i++) {
		const struct payload_symbol *symbol = symbol_of(p, names[i]);
		struct symbol expected = find(f, names[i]);

		assert_int_equal(symbol->kind, PAYLOAD_SYMBOL_PRIVATE);
		assert_int_equal(symbol->value, expected.value);
		assert_int_equal(symbol->size, expected.size);
		assert_int_equal(symbol->type, expected.type);
	}
}

static void test_a_private_symbol_that_is_not_there_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_refused(f,
		       HEAD "extern int x UPATCH_PRIVATE(\"no_such\", 0);\n"
			    "static int a(int y) { return x + y; }\nUPATCH_FUNC(first, a);\n",
		       UPATCH_E_NO_FUNCTION);
}

static void test_what_a_program_does_not_export_becomes_private(void **state)
{
	struct fixture *f = *state;

	file_deinit(&f->library);
	compile(f, LIBRARY "int main(int argc, char **argv) { return exported(argc); }\n",
		"-pie -Wl,--export-dynamic-symbol=exported -Wl,--build-id", &f->library);

	const struct payload *p = fixup(
		f, HEAD "extern int kept(int);\nextern int exported(int);\nextern int puts(void);\n"
			"static int a(int x) { return kept(x) + exported(x) + puts(); }\n"
			"UPATCH_FUNC(first, a);\n");

	assert_int_equal(symbol_of(p, "kept")->kind, PAYLOAD_SYMBOL_PRIVATE);
	assert_int_equal(symbol_of(p, "kept")->value, find(f, "kept").value);
	/* What it exports may be found elsewhere first; what it lacks is another's. */
	assert_int_equal(symbol_of(p, "exported")->kind, PAYLOAD_SYMBOL_EXTERN);
	assert_int_equal(symbol_of(p, "puts")->kind, PAYLOAD_SYMBOL_EXTERN);
}

static void test_a_local_symbol_is_not_found_by_its_name_alone(void **state)
{
	struct fixture *f = *state;
	const struct payload *p = fixup(f, HEAD "extern int second(int);\n"
						"static int a(int x) { return second(x); }\n"
						"UPATCH_FUNC(first, a);\n");

	assert_int_equal(symbol_of(p, "second")->kind, PAYLOAD_SYMBOL_EXTERN);
}

/* --- siblings ------------------------------------------------------------------------------------ */

static void test_what_another_object_of_the_patch_exports_is_noted(void **state)
{
	struct fixture *f = *state;
	struct fixup_sibling siblings[2];
	const struct payload *p;
	struct file other;

	assert_int_equal(try_fixup(f, HEAD "extern int theirs(int);\nextern int exported(int);\n"
					   "extern int nobodys(int);\n"
					   "static int a(int x)\n"
					   "{ return theirs(x) + exported(x) + nobodys(x); }\n"
					   "UPATCH_FUNC(first, a);\n"),
			 0);
	compile(f, "int theirs(int x) { return x; }\nint exported(int x) { return x; }\n",
		"-shared -Wl,--build-id", &other);
	siblings[0] = (struct fixup_sibling){ f->library.image, f->payload.bytes, f->payload.size };
	siblings[1] = (struct fixup_sibling){ other.image, NULL, 0 };
	assert_int_equal(fixup_siblings(&f->diag, siblings, 2, 0), 0);
	p = read_payload(f);
	assert_int_equal(symbol_of(p, "theirs")->kind, PAYLOAD_SYMBOL_EXTERN);
	assert_int_equal(symbol_of(p, "theirs")->sibling, 2);
	/* Its own comes first. */
	assert_int_equal(symbol_of(p, "exported")->sibling, 0);
	assert_int_equal(symbol_of(p, "nobodys")->sibling, 0);
	file_deinit(&other);
}

/* --- whose it is --------------------------------------------------------------------------------- */

static void test_the_object_is_named_by_the_source(void **state)
{
	struct fixture *f = *state;
	char *name = NULL;

	compile(f, THREE, "-c", &f->payload);
	assert_int_equal(fixup_object_name(&f->diag, f->payload.bytes, f->payload.size, &name), 0);
	assert_string_equal(name, "libx.so");
	free(name);
}

static void test_a_source_that_names_none_is_refused(void **state)
{
	struct fixture *f = *state;
	char *name = NULL;

	compile(f, "int x;\n", "-c", &f->payload);
	assert_true(fixup_object_name(&f->diag, f->payload.bytes, f->payload.size, &name) < 0);
	assert_int_equal(f->diag.error.reason, UPATCH_E_NO_FUNCS);
	assert_null(name);
}

#define NAMED(bytes)                                                                               \
	"static const char name[] __attribute__((used, section(\"" PAYLOAD_OBJECT                  \
	"\"))) = { " bytes " };\n"

static void test_a_name_that_does_not_end_is_refused(void **state)
{
	static const char *const sources[] = { NAMED("'a', 'b'"), NAMED("0"), NAMED("0, 'a', 0") };
	struct fixture *f = *state;
	char *name = NULL;

	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		file_deinit(&f->payload);
		compile(f, sources[i], "-c", &f->payload);
		diag_clear(&f->diag);
		assert_true(fixup_object_name(&f->diag, f->payload.bytes, f->payload.size, &name) <
			    0);
		assert_int_equal(f->diag.error.reason, UPATCH_E_NO_FUNCS);
		assert_null(name);
	}
}

static void test_an_object_for_another_machine_is_refused(void **state)
{
	const Elf64_Half machine = EM_AARCH64;
	struct fixture *f = *state;

	image_unref(f->library.image);
	f->library.image = NULL;
	memcpy(f->library.bytes + offsetof(Elf64_Ehdr, e_machine), &machine, sizeof(machine));
	assert_int_equal(image_open_bytes(&f->diag, f->library.bytes, f->library.size, "libx.so",
					  &f->library.image),
			 0);
	assert_refused(f, THREE, UPATCH_E_ARCHITECTURE);
}

#define STORY(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORY(test_each_function_gets_the_address_of_its_own),
		STORY(test_the_code_collected_is_the_functions),
		STORY(test_a_function_that_is_not_there_is_refused),
		STORY(test_private_symbols_get_address_size_and_type),
		STORY(test_a_private_symbol_that_is_not_there_is_refused),
		STORY(test_what_a_program_does_not_export_becomes_private),
		STORY(test_a_local_symbol_is_not_found_by_its_name_alone),
		STORY(test_what_another_object_of_the_patch_exports_is_noted),
		STORY(test_the_object_is_named_by_the_source),
		STORY(test_a_source_that_names_none_is_refused),
		STORY(test_a_name_that_does_not_end_is_refused),
		STORY(test_an_object_for_another_machine_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
