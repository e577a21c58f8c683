/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "loader.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Code of the program calls what a library of the same patch has, which is there or not. */

#define OWN_CALLS                                                                                  \
	"#include <upatch/livepatch.h>\n"                                                          \
	"UPATCH_OBJECT(\"victim-loader\");\n"                                                      \
	"int plug_value(int x);\n"                                                                 \
	"static int new_value(int x)\n"                                                            \
	"{\n"                                                                                      \
	"	int (*volatile by_address)(int) = plug_value;\n"                                         \
	"	return x < 0 ? 7 : plug_value(x) * 1000 + by_address(x);\n"                              \
	"}\n"                                                                                      \
	"UPATCH_FUNC(own_value, new_value);\n"

static const struct loader_patch both = {
	.name = "p",
	.sources = { OWN_CALLS, PLUG_VALUE(x + 100) },
};

/* What the victim says on its standard error is kept in a file. */
static int setup(void **state)
{
	int saved = dup(STDERR_FILENO), fd;

	fd = open("late.stderr", O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(saved >= 0 && fd >= 0);
	assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	(void)loader_setup(state);
	assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	close(saved);
	close(fd);
	return 0;
}

static int teardown(void **state)
{
	unlink("late.stderr");
	return fixture_teardown(state);
}

static void assert_traps(struct fixture *f)
{
	char text[256] = "";
	int status, fd;

	fprintf(f->to, "own 1\n");
	assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGILL);
	fd = open("late.stderr", O_RDONLY | O_CLOEXEC);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	assert_string_equal(text, "upatch: a replacement called 'plug_value' of 'libplug.so', "
				  "which is not loaded\n");
}

static void test_what_is_not_there_is_named_and_stops(void **state)
{
	struct fixture *f = *state;

	loader_apply(f, &both);
	assert_answer(f, "own -1", "7");
	assert_traps(f);
}

static void test_it_is_found_when_it_comes_and_lost_when_it_goes(void **state)
{
	struct fixture *f = *state;

	loader_apply(f, &both);
	for (int i = 0; i < 20; i++) {
		assert_answer(f, "open plug", "ok");
		assert_answer(f, "own 1", "101101");
		/* Something else takes its place. */
		if (i % 3 == 0)
			assert_answer(f, "open ifunc", "ok");
		assert_answer(f, "close plug", "ok");
		if (i % 3 == 0)
			assert_answer(f, "close ifunc", "ok");
	}
	/* As a dependency of another one, too. */
	assert_answer(f, "open user", "ok");
	assert_answer(f, "own 2", "102102");
	assert_answer(f, "close user", "ok");
	assert_traps(f);
}

static void test_what_is_there_may_go(void **state)
{
	struct fixture *f = *state;

	assert_answer(f, "open plug", "ok");
	loader_apply(f, &both);
	assert_answer(f, "own 1", "101101");
	fixture_revert(f, "p");
	assert_answer(f, "own 1", "4");
	loader_apply(f, &both);
	assert_answer(f, "close plug", "ok");
	assert_traps(f);
}

static void test_reverting_leaves_nothing(void **state)
{
	struct fixture *f = *state;

	fixture_remember(f);
	for (int i = 0; i < 3; i++) {
		loader_apply(f, &both);
		fixture_revert(f, "p");
	}
	fixture_assert_unchanged(f);
	assert_answer(f, "own 1", "4");
}

/* Nobody else of the patch has it: that is no reason to wait. */
static void test_what_nobody_has_is_refused_at_once(void **state)
{
	static const struct loader_patch unknown = {
		.name = "p",
		.sources = { "#include <upatch/livepatch.h>\n"
			     "UPATCH_OBJECT(\"victim-loader\");\n"
			     "int plug_valeu(int x);\n"
			     "static int new_value(int x) { return plug_valeu(x); }\n"
			     "UPATCH_FUNC(own_value, new_value);\n",
			     PLUG_VALUE(x + 100) },
	};
	struct fixture *f = *state;

	fixture_remember(f);
	assert_true(loader_try_apply(f, &unknown, NULL) < 0);
	fixture_assert_reason(f, UPATCH_E_UNRESOLVED);
	assert_non_null(strstr(upatch_ctx_error(f->ctx)->message, "plug_valeu"));
	fixture_assert_unchanged(f);
}

#define test(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_what_is_not_there_is_named_and_stops),
		test(test_it_is_found_when_it_comes_and_lost_when_it_goes),
		test(test_what_is_there_may_go),
		test(test_reverting_leaves_nothing),
		test(test_what_nobody_has_is_refused_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
