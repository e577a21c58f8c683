/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "loader.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Processes in which libraries cannot be followed, or only with care. */

/* Neither its memory file nor mprotect(2) lets it write code: that is found out beforehand. */
static void test_a_process_that_may_not_write_code(void **state)
{
	struct fixture *f = *state;

	assert_answer(f, "harden", "ok");
	loader_assert_not_followed(f, "code");
	loader_apply(f, &loader_both);
	assert_answer(f, "own 1", "1001");
	assert_answer(f, "open plug", "ok");
	assert_answer(f, "notes", "notes begin 11");
	fixture_revert(f, "p");
	assert_answer(f, "own 1", "4");
}

/* It changes protections instead, of its record, too, which is found all the same. */
static void test_a_process_that_may_not_open_its_memory(void **state)
{
	struct fixture *f = *state;

	assert_answer(f, "nobody", "ok");
	loader_assert_follows(f);
	loader_apply(f, &loader_both);
	assert_answer(f, "open plug", "ok");
	assert_answer(f, "own 1", "1001");
	assert_string_equal(fixture_state(f, "p"), "enabled");
	fixture_revert(f, "p");
	assert_answer(f, "own 1", "4");
	assert_answer(f, "call plug plug_value 5", "15");
}

static int setup_static(void **state)
{
	*state = fixture_start("static");
	return 0;
}

static void test_a_program_without_a_dynamic_linker(void **state)
{
	loader_assert_not_followed(*state, "no dynamic linker");
	assert_answer(*state, "twin", "twin 101 201");
}

/* --- auditing ---------------------------------------------------------------------------------- */

static int setup_audit(void **state)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/libaudit.so", getenv("PLUGIN_DIR"));
	setenv("LD_AUDIT", path, 1);
	(void)loader_setup(state);
	unsetenv("LD_AUDIT");
	return 0;
}

static void test_with_an_auditing_library(void **state)
{
	loader_assert_follows(*state);
}

/* --- start-up ---------------------------------------------------------------------------------- */

static int setup_constructor(void **state)
{
	struct fixture *f;
	char path[4096], line[32] = "";

	snprintf(path, sizeof(path), "%s/libslow.so", getenv("PLUGIN_DIR"));
	setenv("LD_PRELOAD", path, 1);
	f = fixture_launch("loader");
	unsetenv("LD_PRELOAD");
	assert_non_null(fgets(line, sizeof(line), f->from));
	assert_string_equal(line, "starting\n");
	assert_int_equal(upatch_target_open(f->ctx, f->pid, &f->target), 0);
	*state = f;
	return 0;
}

static void test_before_main(void **state)
{
	struct fixture *f = *state;

	loader_apply(f, &loader_both);
	assert_answer(f, "\nown 1", "1001");
	assert_answer(f, "open plug", "ok");
	assert_answer(f, "notes", "notes begin 101");
	assert_answer(f, "close plug", "ok");
	fixture_revert(f, "p");
	assert_answer(f, "own 1", "4");
}

/* The dynamic linker waits for somebody to write to a library that is to be preloaded. */
static int setup_mapping(void **state)
{
	struct fixture *f;
	char path[] = "/tmp/upatch-fifo.XXXXXX";

	assert_non_null(mkdtemp(path));
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	setenv("LD_PRELOAD", path, 1);
	f = fixture_launch("loader");
	setenv("FIFO", path, 1);
	unsetenv("LD_PRELOAD");
	fixture_wait_asleep(f, 1);
	assert_int_equal(upatch_target_open(f->ctx, f->pid, &f->target), 0);
	*state = f;
	return 0;
}

static void test_while_its_first_objects_are_mapped(void **state)
{
	struct fixture *f = *state;
	const char *fifo = getenv("FIFO");
	int fd;

	assert_true(loader_try_apply(f, &loader_plug, NULL) < 0);
	fixture_assert_reason(f, UPATCH_E_LOADING);
	/* Not a library, which the dynamic linker says and goes on. */
	fd = open(fifo, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	close(fd);
	unlink(fifo);
	assert_answer(f, "own 1", "4");
	loader_assert_follows(f);
}

/* --- C++ --------------------------------------------------------------------------------------- */

static void test_an_exception_passes_through_a_part(void **state)
{
	static const struct loader_patch through = {
		.name = "p",
		.sources = { "#include <upatch/livepatch.h>\n"
			     "UPATCH_OBJECT(\"libthrow.so\");\n"
			     "int throw_it(int x);\n"
			     "static int new_through(int x) { return throw_it(x + 100) + 1; }\n"
			     "UPATCH_FUNC(throw_through, new_through);\n" },
	};
	struct fixture *f = *state;

	loader_apply(f, &through);
	for (int i = 0; i < 3; i++) {
		assert_answer(f, "open throw", "ok");
		assert_answer(f, "call throw throw_value 1", "108");
		assert_answer(f, "close throw", "ok");
	}
	fixture_revert(f, "p");
	assert_answer(f, "open throw", "ok");
	assert_answer(f, "call throw throw_value 1", "8");
}

#define test(fn, setup) cmocka_unit_test_setup_teardown(fn, setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		loader_test(test_a_process_that_may_not_write_code),
		loader_test(test_a_process_that_may_not_open_its_memory),
		test(test_a_program_without_a_dynamic_linker, setup_static),
		test(test_with_an_auditing_library, setup_audit),
		test(test_before_main, setup_constructor),
		test(test_while_its_first_objects_are_mapped, setup_mapping),
		loader_test(test_an_exception_passes_through_a_part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
