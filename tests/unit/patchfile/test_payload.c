/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <elf.h>
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

#include <cmocka.h>

#include "base/diag.h"
#include "patchfile/payload.h"

/* Object files as the author's header and the system's compiler make them. */

static struct diag diag;

#define HEAD                                                                                       \
	"#include <upatch/livepatch.h>\n"                                                          \
	"UPATCH_OBJECT(\"x\");\n"

static uint8_t *compile(const char *source, size_t *ret_size)
{
	char dir[] = "/tmp/upatch-test.XXXXXX", path[64], command[512];
	struct stat st;
	uint8_t *bytes;
	FILE *file;
	int fd;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/a.c", dir);
	file = fopen(path, "w");
	fputs(source, file);
	assert_int_equal(fclose(file), 0);
	snprintf(command, sizeof(command), "cc -O2 -fPIC -fno-common -c -I%s -o %s/a.o %s/a.c",
		 getenv("UPATCH_INCLUDEDIR"), dir, dir);
	assert_int_equal(system(command), 0);
	unlink(path);
	snprintf(path, sizeof(path), "%s/a.o", dir);
	fd = open(path, O_RDONLY);
	assert_int_equal(fstat(fd, &st), 0);
	bytes = malloc((size_t)st.st_size);
	assert_int_equal(read(fd, bytes, (size_t)st.st_size), st.st_size);
	close(fd);
	unlink(path);
	rmdir(dir);
	*ret_size = (size_t)st.st_size;
	return bytes;
}

static struct payload_storage *read_sound(const char *source)
{
	struct payload_storage *storage;
	size_t size;
	uint8_t *bytes = compile(source, &size);

	assert_int_equal(payload_parse(&diag, bytes, size, &storage), 0);
	free(bytes);
	return storage;
}

static void assert_refused(const char *source, enum upatch_reason reason)
{
	struct payload_storage *storage;
	size_t size;
	uint8_t *bytes = compile(source, &size);

	diag_clear(&diag);
	assert_true(payload_parse(&diag, bytes, size, &storage) < 0);
	assert_int_equal(diag.error.reason, reason);
	free(bytes);
}

static const struct payload_symbol *find_symbol(const struct payload *p, const char *name,
						enum payload_symbol_kind kind)
{
	for (size_t i = 0; i < p->nr_symbols; i++)
		if (p->symbols[i].kind == kind && strcmp(p->symbols[i].name, name) == 0)
			return &p->symbols[i];
	return NULL;
}

static const struct payload_func *find_func(const struct payload *p, const char *name)
{
	for (size_t i = 0; i < p->nr_funcs; i++)
		if (strcmp(p->funcs[i].name, name) == 0)
			return &p->funcs[i];
	fail_msg("no func '%s'", name);
	return NULL;
}

static void test_funcs_are_read_with_name_and_position(void **state)
{
	struct payload_storage *s = read_sound(
		HEAD "static int a(void) { return 1; }\nstatic int b(void) { return 2; }\n"
		     "UPATCH_FUNC(old_a, a);\nUPATCH_FUNC_POS(old_b, 3, b);\n"
		     "UPATCH_FUNC_NAMED(\"_ZN1xE.isra.0\", 0, b);\n");

	/* The compiler chooses their order. */
	assert_int_equal(s->payload.nr_funcs, 3);
	assert_int_equal(find_func(&s->payload, "old_a")->sympos, 0);
	assert_int_equal(find_func(&s->payload, "old_b")->sympos, 3);
	assert_string_equal(
		s->payload.symbols[find_func(&s->payload, "_ZN1xE.isra.0")->symbol].name, "b");
	payload_storage_free(s);
}

static void test_symbols_are_told_apart_by_who_finds_them(void **state)
{
	struct payload_storage *s = read_sound(
		HEAD "extern int hits UPATCH_PRIVATE(\"hits.2\", 4);\n"
		     "extern int original(void) UPATCH_ORIGINAL(\"f\", 0);\n"
		     "int other(void);\nint mine = 3;\n"
		     "static int r(void) { return hits + original() + other() + mine; }\n"
		     "UPATCH_FUNC(f, r);\n");
	const struct payload_symbol *private =
		find_symbol(&s->payload, "hits.2", PAYLOAD_SYMBOL_PRIVATE);

	assert_non_null(private);
	assert_int_equal(private->sympos, 4);
	assert_int_equal(private->value, 0);
	assert_non_null(find_symbol(&s->payload, "f", PAYLOAD_SYMBOL_ORIGINAL));
	assert_non_null(find_symbol(&s->payload, "other", PAYLOAD_SYMBOL_EXTERN));
	assert_non_null(find_symbol(&s->payload, "mine", PAYLOAD_SYMBOL_DEFINED));
	payload_storage_free(s);
}

static void test_unwind_information_is_kept_and_tables_are_not(void **state)
{
	struct payload_storage *s =
		read_sound(HEAD "static int r(void) { return 1; }\nUPATCH_FUNC(f, r);\n");
	bool has_eh_frame = false;

	for (size_t i = 0; i < s->payload.nr_sections; i++) {
		has_eh_frame |= strcmp(s->payload.sections[i].name, ".eh_frame") == 0;
		assert_int_not_equal(strncmp(s->payload.sections[i].name, ".upatch", 7), 0);
	}
	assert_true(has_eh_frame);
	payload_storage_free(s);
}

#define FUNC "static int r(void) { return 1; }\nUPATCH_FUNC(f, r);\n"

static void test_what_a_payload_may_not_have_is_refused(void **state)
{
	assert_refused(HEAD "int x;\n", UPATCH_E_NO_FUNCS);
	assert_refused(HEAD FUNC "__thread int t;\n", UPATCH_E_TLS_SYMBOL);
	assert_refused(HEAD FUNC
		       "int n;\n__attribute__((constructor)) static void c(void) { n++; }\n",
		       UPATCH_E_BAD_PATCHFILE);
	assert_refused(HEAD FUNC "UPATCH_FUNC(f, r);\n", UPATCH_E_BAD_PATCHFILE);
	assert_refused(HEAD FUNC "UPATCH_FUNC_POS(f, 1, r);\n", UPATCH_E_BAD_PATCHFILE);
	assert_refused(HEAD "extern int o(void) UPATCH_ORIGINAL(\"g\", 0);\n"
			    "static int r(void) { return o(); }\nUPATCH_FUNC(f, r);\n",
		       UPATCH_E_BAD_PATCHFILE);
	assert_refused(HEAD "static int notcode = 3;\nUPATCH_FUNC(f, &notcode);\n",
		       UPATCH_E_BAD_PATCHFILE);
	assert_refused(HEAD FUNC
		       "__attribute__((section(\".both,\\\"awx\\\",@progbits#\"))) int x = 1;\n",
		       UPATCH_E_BAD_PATCHFILE);
	assert_refused(HEAD FUNC "_Alignas(65536) int x = 1;\n", UPATCH_E_BAD_PATCHFILE);
}

#define CALLBACK                                                                                   \
	"static int pre(const struct upatch_callback *cb) { return cb->state; }\n"                 \
	"UPATCH_PRE_PATCH(pre);\n"

static void test_callbacks_are_read_by_kind_with_or_without_funcs(void **state)
{
	struct payload_storage *s = read_sound(
		HEAD FUNC CALLBACK "static void un(const struct upatch_callback *cb) { }\n"
				   "UPATCH_POST_UNPATCH(un);\n");

	assert_string_equal(s->payload.symbols[s->payload.callbacks[0]].name, "pre");
	assert_int_equal(s->payload.callbacks[1], 0);
	assert_int_equal(s->payload.callbacks[2], 0);
	assert_string_equal(s->payload.symbols[s->payload.callbacks[3]].name, "un");
	payload_storage_free(s);
	s = read_sound(HEAD CALLBACK);
	assert_int_equal(s->payload.nr_funcs, 0);
	assert_string_equal(s->payload.symbols[s->payload.callbacks[0]].name, "pre");
	payload_storage_free(s);
}

#define CALLBACK_AGAIN                                                                             \
	"static int pre2(const struct upatch_callback *cb) { return !cb->state; }\n"               \
	"UPATCH_PRE_PATCH(pre2);\n"

#define ENTRY(contents)                                                                            \
	"static struct upatch_callback_entry e\n"                                                  \
	"	__attribute__((used, section(\".upatch.callbacks\"), aligned(8))) = { " contents   \
	" };\n"

static void test_callbacks_that_are_none_are_refused(void **state)
{
	assert_refused(HEAD FUNC CALLBACK CALLBACK_AGAIN, UPATCH_E_BAD_PATCHFILE);
	assert_refused(HEAD FUNC ENTRY("0, (const void *)r"), UPATCH_E_BAD_PATCHFILE);
	assert_refused(HEAD FUNC ENTRY("5, (const void *)r"), UPATCH_E_BAD_PATCHFILE);
	assert_refused(HEAD FUNC ENTRY("1, (const void *)0"), UPATCH_E_BAD_PATCHFILE);
	assert_refused(HEAD FUNC "static int notcode = 3;\n" ENTRY("1, &notcode"),
		       UPATCH_E_BAD_PATCHFILE);
	assert_refused(HEAD FUNC
		       "extern int elsewhere(void);\n" ENTRY("1, (const void *)elsewhere"),
		       UPATCH_E_BAD_PATCHFILE);
	assert_refused(HEAD FUNC
		       "static char e __attribute__((used, section(\".upatch.callbacks\"))) = 1;\n",
		       UPATCH_E_BAD_PATCHFILE);
}

static void test_a_payload_cut_off_or_damaged_anywhere_does_no_harm(void **state)
{
	struct payload_storage *storage;
	size_t size;
	uint8_t *bytes = compile(HEAD FUNC CALLBACK "int x = 7;\nint *p = &x;\n", &size);

	for (size_t cut = 0; cut < size; cut += 3)
		assert_true(payload_parse(NULL, bytes, cut, &storage) < 0);
	for (size_t i = 0; i < size; i++) {
		uint8_t saved = bytes[i];

		for (unsigned int bit = 0; bit < 8; bit += 3) {
			bytes[i] = (uint8_t)(saved ^ 1u << bit);
			if (payload_parse(NULL, bytes, size, &storage) == 0)
				payload_storage_free(storage);
		}
		bytes[i] = saved;
	}
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_funcs_are_read_with_name_and_position),
		cmocka_unit_test(test_symbols_are_told_apart_by_who_finds_them),
		cmocka_unit_test(test_unwind_information_is_kept_and_tables_are_not),
		cmocka_unit_test(test_what_a_payload_may_not_have_is_refused),
		cmocka_unit_test(test_callbacks_are_read_by_kind_with_or_without_funcs),
		cmocka_unit_test(test_callbacks_that_are_none_are_refused),
		cmocka_unit_test(test_a_payload_cut_off_or_damaged_anywhere_does_no_harm),
	};

	diag_init(&diag);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
