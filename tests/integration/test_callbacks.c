/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * The callbacks of a patch over the program and its library. They write their names into a file,
 * "log" in the fixture's directory, and the test reads it.
 */

enum {
	WAIT_MS = 20000,
	POLL_MS = 2,
};

#define TIMEOUT_SHORT 300

/* What every source begins with; DIR is given on the command line. */
static const char prologue[] =
	"#include <errno.h>\n"
	"#include <fcntl.h>\n"
	"#include <string.h>\n"
	"#include <unistd.h>\n"
	"#include <upatch/livepatch.h>\n"
	"static inline void say(const char *what, const struct upatch_callback *cb)\n"
	"{\n"
	"	int fd = open(DIR \"/log\", O_WRONLY | O_CREAT | O_APPEND, 0600);\n"
	"	(void)!write(fd, what, strlen(what));\n"
	"	(void)!write(fd, cb->object, strlen(cb->object));\n"
	"	(void)!write(fd, cb->state ? \"?\" : \";\", 1);\n"
	"	close(fd);\n"
	"}\n";

#define PRE "static int pre(const struct upatch_callback *cb) { say(\"pre \", cb); "
#define ALL_BUT_PRE                                                                                \
	"static void post(const struct upatch_callback *cb) { say(\"post \", cb); }\n"             \
	"static void unpre(const struct upatch_callback *cb) { say(\"pre-un \", cb); }\n"          \
	"static void unpost(const struct upatch_callback *cb) { say(\"post-un \", cb); }\n"        \
	"UPATCH_PRE_PATCH(pre);\n"                                                                 \
	"UPATCH_POST_PATCH(post);\n"                                                               \
	"UPATCH_PRE_UNPATCH(unpre);\n"                                                             \
	"UPATCH_POST_UNPATCH(unpost);\n"
#define LIB_FUNC                                                                                   \
	"static int new_exported(int x) { return x + 7; }\n"                                       \
	"UPATCH_FUNC(lib_exported, new_exported);\n"

/* --- the patch ------------------------------------------------------------------------------- */

static void write_source(struct fixture *f, const char *name, const char *object, const char *body)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "%sUPATCH_OBJECT(\"%s\");\n%s", prologue, object, body);
	assert_int_equal(fclose(file), 0);
}

/* Name of a patch that supersedes all others. */
#define REPLACE "replace"

/* Build a patch of one source for the program and one for its library, either may be NULL. */
static int build_named(struct fixture *f, const char *name, const char *program,
		       const char *library, char output[128])
{
	char exe[4200], lib[4200], dir[128], main_c[128], lib_c[128];
	const char *objects[] = { exe, lib, NULL };
	const char *sources[3] = {};
	const char *cflags[] = { dir, NULL };
	const struct upatch_build_options opts = {
		.size = sizeof(opts),
		.output = output,
		.sources = sources,
		.objects = objects,
		.cflags = cflags,
		.replace = strcmp(name, REPLACE) == 0,
	};
	size_t nr = 0;

	snprintf(output, 128, "%s/%s.upatch", f->dir, name);
	snprintf(dir, sizeof(dir), "-DDIR=\"%s\"", f->dir);
	snprintf(exe, sizeof(exe), "victim=%s", f->exe);
	snprintf(lib, sizeof(lib), "libvictim.so=%s/libvictim.so", getenv("UPATCH_VICTIMS"));
	snprintf(main_c, sizeof(main_c), "%s/main.c", f->dir);
	snprintf(lib_c, sizeof(lib_c), "%s/lib.c", f->dir);
	if (program) {
		write_source(f, "main.c", "victim", program);
		sources[nr++] = main_c;
	}
	if (library) {
		write_source(f, "lib.c", "libvictim.so", library);
		sources[nr++] = lib_c;
	}
	return upatch_build(f->ctx, &opts);
}

static int build(struct fixture *f, const char *program, const char *library, char output[128])
{
	return build_named(f, "p", program, library, output);
}

static struct upatch_patch *patch(struct fixture *f, const char *program, const char *library)
{
	struct upatch_patch *patch = NULL;
	char path[128];

	if (build(f, program, library, path) != 0 || upatch_patch_open(f->ctx, path, &patch) != 0)
		fail_msg("%s\n%s", upatch_ctx_error(f->ctx)->message,
			 upatch_ctx_error(f->ctx)->detail);
	return patch;
}

/* Return: as upatch_target_apply(). */
static int apply(struct fixture *f, const char *program, const char *library,
		 unsigned int timeout_ms)
{
	struct upatch_options opts = { .size = sizeof(opts), .timeout_ms = timeout_ms };
	struct upatch_patch *p = patch(f, program, library);
	int r = upatch_target_apply(f->target, p, &opts, NULL);

	upatch_patch_close(p);
	return r;
}

/* --- the log ---------------------------------------------------------------------------------- */

static const char *peek_log(struct fixture *f)
{
	static char text[1024];
	char path[128];
	size_t n = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/log", f->dir);
	file = fopen(path, "r");
	if (file) {
		n = fread(text, 1, sizeof(text) - 1, file);
		fclose(file);
	}
	text[n] = '\0';
	return text;
}

/* What has been written since the last time. */
static const char *read_log(struct fixture *f)
{
	const char *text = peek_log(f);
	char path[128];

	snprintf(path, sizeof(path), "%s/log", f->dir);
	(void)unlink(path); /* or there is none */
	return text;
}

#define assert_log(f, expected) assert_string_equal(read_log(f), expected)

static void wait_for_log(struct fixture *f, const char *expected)
{
	for (int i = 0; strcmp(peek_log(f), expected) != 0; i++) {
		if (i == WAIT_MS / POLL_MS)
			fail_msg("'%s' instead of '%s'", peek_log(f), expected);
		(void)poll(NULL, 0, POLL_MS);
	}
}

static void assert_refused(struct fixture *f, int error, const char *message)
{
	fixture_assert_reason(f, UPATCH_E_CALLBACK);
	assert_int_equal(upatch_ctx_error(f->ctx)->error, error);
	if (!strstr(upatch_ctx_error(f->ctx)->message, message))
		fail_msg("'%s' does not say '%s'", upatch_ctx_error(f->ctx)->message, message);
}

/* The victim works, and works the old way. */
static void assert_old(struct fixture *f)
{
	const char *answer = fixture_ask(f, "lib");

	if (strncmp(answer, "lib 1 10 100 1000 2 1 5 ", 24) != 0)
		fail_msg("%s", answer);
}

static void assert_new(struct fixture *f)
{
	const char *answer = fixture_ask(f, "lib");

	if (strncmp(answer, "lib 7 10 100 1000 2 1 5 ", 24) != 0)
		fail_msg("%s", answer);
}

/* --- tests -------------------------------------------------------------------------------------- */

static void test_all_four_run_for_both_objects_in_order_of_declaration(void **state)
{
	struct fixture *f = *state;

	fixture_remember(f);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(apply(f, PRE "return 0; }\n" ALL_BUT_PRE,
				       PRE "return 0; }\n" ALL_BUT_PRE LIB_FUNC, 5000),
				 0);
		assert_log(f, "pre victim;pre libvictim.so;post victim;post libvictim.so;");
		assert_new(f);
		fixture_revert(f, "p");
		assert_log(f, "pre-un victim;pre-un libvictim.so;post-un victim;"
			      "post-un libvictim.so;");
		assert_old(f);
	}
	fixture_assert_unchanged(f);
}

static void test_pre_patch_that_fails_cancels_the_patch(void **state)
{
	struct fixture *f = *state;

	fixture_remember(f);
	assert_true(apply(f, PRE "return 0; }\n" ALL_BUT_PRE,
			  PRE "return -ENODEV; }\n" ALL_BUT_PRE LIB_FUNC, 5000) < 0);
	assert_refused(f, -ENODEV, "pre-patch callback failed for object 'libvictim.so'");
	/* what was done for the first object is undone; the second did nothing */
	assert_log(f, "pre victim;pre libvictim.so;post-un victim;");
	assert_old(f);
	fixture_assert_unchanged(f);
}

static void test_first_failure_is_the_last_callback(void **state)
{
	struct fixture *f = *state;

	fixture_remember(f);
	assert_true(apply(f, PRE "return -EBUSY; }\n" ALL_BUT_PRE,
			  PRE "return 0; }\n" ALL_BUT_PRE LIB_FUNC, 5000) < 0);
	assert_refused(f, -EBUSY, "pre-patch callback failed for object 'victim'");
	assert_log(f, "pre victim;");
	fixture_assert_unchanged(f);
}

static void test_object_without_pre_patch_gets_its_post_unpatch(void **state)
{
	struct fixture *f = *state;

	fixture_remember(f);
	assert_true(apply(f,
			  "static void unpost(const struct upatch_callback *cb)"
			  "{ say(\"post-un \", cb); }\n"
			  "UPATCH_POST_UNPATCH(unpost);\n",
			  PRE "return -ENODEV; }\n" ALL_BUT_PRE LIB_FUNC, 5000) < 0);
	assert_log(f, "pre libvictim.so;post-un victim;");
	fixture_assert_unchanged(f);
}

/* klp: turned around, there is neither post_patch nor pre_unpatch. */
static void test_transition_that_is_reversed_is_followed_by_post_unpatch(void **state)
{
	struct fixture *f = *state;

	fixture_remember(f);
	/* main() never leaves itself */
	assert_int_equal(apply(f,
			       "static int new_main(void) { return 0; }\n"
			       "UPATCH_FUNC(main, new_main);\n" PRE "return 0; }\n" ALL_BUT_PRE,
			       NULL, TIMEOUT_SHORT),
			 UPATCH_PENDING);
	fixture_assert_reason(f, UPATCH_E_IN_FUNCTION);
	assert_log(f, "pre victim;");
	fixture_revert(f, "p");
	assert_log(f, "post-un victim;");
	fixture_assert_unchanged(f);
}

static void test_pre_patch_that_crashes_is_contained(void **state)
{
	struct fixture *f = *state;

	fixture_remember(f);
	for (int i = 0; i < 3; i++) {
		assert_true(apply(f, PRE "*(volatile int *)8 = 1; return 0; }\n" ALL_BUT_PRE,
				  LIB_FUNC, 5000) < 0);
		assert_refused(f, -EFAULT, "crashed with signal 11");
		assert_log(f, "pre victim;");
		assert_old(f);
	}
	fixture_assert_unchanged(f);
}

static void test_post_patch_that_crashes_changes_nothing(void **state)
{
	struct fixture *f = *state;

	fixture_remember(f);
	assert_int_equal(apply(f, NULL,
			       "static void post(const struct upatch_callback *cb)"
			       "{ say(\"post \", cb); __builtin_trap(); }\n"
			       "UPATCH_POST_PATCH(post);\n" LIB_FUNC,
			       5000),
			 0);
	assert_log(f, "post libvictim.so;");
	assert_new(f);
	fixture_revert(f, "p");
	assert_old(f);
	fixture_assert_unchanged(f);
}

static void test_pre_patch_that_hangs_is_left_at_the_time_out(void **state)
{
	struct fixture *f = *state;

	fixture_remember(f);
	assert_true(apply(f, PRE "for (;;) pause(); return 0; }\n" ALL_BUT_PRE, LIB_FUNC,
			  TIMEOUT_SHORT) < 0);
	assert_refused(f, -ETIMEDOUT, "did not return");
	assert_log(f, "pre victim;");
	assert_old(f);
	fixture_assert_unchanged(f);
}

/* What it changes of the program, it may change; it runs in the program's own context. */
static void test_callbacks_alone_are_a_patch(void **state)
{
	struct fixture *f = *state;

	assert_answer(f, "lib", "lib 1 10 100 1000 2 1 5 2");
	fixture_remember(f);
	assert_int_equal(
		apply(f, NULL,
		      "extern int lib_by_hidden(int);\n"
		      "static int pre(const struct upatch_callback *cb)\n"
		      "{ say(lib_by_hidden(5) == 15 ? \"yes \" : \"no \", cb); return 0; }\n"
		      "UPATCH_PRE_PATCH(pre);\n",
		      5000),
		0);
	assert_log(f, "yes libvictim.so;");
	assert_old(f);
	fixture_revert(f, "p");
	assert_old(f);
	fixture_assert_unchanged(f);
}

static void test_callbacks_of_a_replaced_patch_do_not_run(void **state)
{
	struct fixture *f = *state;
	struct upatch_patch *replacing;
	char path[128];

	fixture_remember(f);
	assert_int_equal(apply(f, PRE "return 0; }\n" ALL_BUT_PRE, LIB_FUNC, 5000), 0);
	assert_log(f, "pre victim;post victim;");
	assert_int_equal(
		build_named(f, REPLACE, NULL, PRE "return 0; }\n" ALL_BUT_PRE LIB_FUNC, path), 0);
	assert_int_equal(upatch_patch_open(f->ctx, path, &replacing), 0);
	assert_int_equal(upatch_target_apply(f->target, replacing, NULL, NULL), 0);
	upatch_patch_close(replacing);
	assert_log(f, "pre libvictim.so;post libvictim.so;");
	assert_new(f);
	fixture_revert(f, REPLACE);
	assert_log(f, "pre-un libvictim.so;post-un libvictim.so;");
	fixture_drop_kept(f, "p");
	assert_log(f, "");
	assert_old(f);
	fixture_assert_unchanged(f);
}

static void test_errno_of_the_program_stays(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(apply(f, NULL,
			       PRE "errno = 99; return 0; }\n"
				   "static int new_exported(int x)"
				   "{ return errno == 99 ? 99 : x + 7; }\n"
				   "UPATCH_FUNC(lib_exported, new_exported);\n"
				   "UPATCH_PRE_PATCH(pre);\n",
			       5000),
			 0);
	assert_new(f);
}

static void test_two_callbacks_of_a_kind_are_refused_when_the_patch_is_built(void **state)
{
	struct fixture *f = *state;
	char path[128];

	assert_true(build(f,
			  PRE
			  "return 0; }\nUPATCH_PRE_PATCH(pre);\n"
			  "static int again(const struct upatch_callback *cb) { return pre(cb); }\n"
			  "UPATCH_PRE_PATCH(again);\n",
			  LIB_FUNC, path) < 0);
	fixture_assert_reason(f, UPATCH_E_BAD_PATCHFILE);
	assert_non_null(strstr(upatch_ctx_error(f->ctx)->message, "two callbacks of one kind"));
}

/* --- killed in the middle ------------------------------------------------------------------ */

static const char *state_of(struct fixture *f)
{
	static char state[32];
	struct upatch_status *status;

	assert_int_equal(upatch_target_status(f->target, &status), 0);
	assert_true(status->nr_patches <= 1);
	snprintf(state, sizeof(state), "%s",
		 status->nr_patches ? status->patches[0].state : "none");
	upatch_status_free(status);
	return state;
}

#define AT_GATE                                                                                    \
	"char c; int fd = open(DIR \"/gate\", O_RDONLY);\n"                                        \
	"(void)!read(fd, &c, 1); close(fd);\n"

/* Have a child apply a patch a callback of which waits at a gate, and kill the child there. */
static void die_in_callback(struct fixture *f, struct upatch_patch *p, const char *log,
			    char gate[128])
{
	pid_t tool;
	int status;

	snprintf(gate, 128, "%s/gate", f->dir);
	assert_int_equal(mkfifo(gate, 0600), 0);
	tool = fork();
	assert_true(tool >= 0);
	if (tool == 0)
		_exit(upatch_target_apply(f->target, p, NULL, NULL) != 0);
	wait_for_log(f, log);
	kill(tool, SIGKILL);
	assert_int_equal(waitpid(tool, &status, 0), tool);
	assert_true(WIFSIGNALED(status));
	assert_log(f, log);
	upatch_patch_close(p);
}

static struct upatch_patch *patch_with_gate(struct fixture *f)
{
	return patch(f, PRE AT_GATE "return 0; }\n" ALL_BUT_PRE, LIB_FUNC);
}

static void open_gate(const char *gate)
{
	int fd = open(gate, O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "x", 1), 1);
	close(fd);
}

static void test_killed_tool_leaves_a_callback_that_comes_back(void **state)
{
	struct fixture *f = *state;
	char gate[128];

	fixture_remember(f);
	die_in_callback(f, patch_with_gate(f), "pre victim;", gate);
	open_gate(gate);
	assert_old(f);
	assert_string_equal(state_of(f), "interrupted");
	/* The next run cleans up, and then does what it was asked to. */
	assert_int_equal(apply(f, PRE "return 0; }\n" ALL_BUT_PRE, LIB_FUNC, 5000), 0);
	assert_log(f, "pre victim;post victim;");
	assert_new(f);
	fixture_revert(f, "p");
	assert_old(f);
	fixture_assert_unchanged(f);
}

static void test_next_run_does_not_unmap_a_callback_that_still_runs(void **state)
{
	struct fixture *f = *state;
	char gate[128];

	fixture_remember(f);
	die_in_callback(f, patch_with_gate(f), "pre victim;", gate);
	assert_int_equal(upatch_target_revert(f->target, "p", NULL, NULL), 0);
	assert_string_equal(state_of(f), "kept");
	open_gate(gate);
	assert_old(f);
	fixture_drop_kept(f, "p");
	assert_string_equal(state_of(f), "none");
	assert_log(f, "");
	assert_old(f);
	fixture_assert_unchanged(f);
}

static void test_next_run_completes_what_follows_a_switch(void **state)
{
	struct fixture *f = *state;
	char gate[128];

	fixture_remember(f);
	die_in_callback(f,
			patch(f,
			      "static void post(const struct upatch_callback *cb)"
			      "{ say(\"post \", cb); " AT_GATE "}\n"
			      "UPATCH_POST_PATCH(post);\n",
			      PRE "return cb->state; }\n" ALL_BUT_PRE LIB_FUNC),
			"pre libvictim.so;post victim;", gate);
	open_gate(gate);
	assert_new(f);
	assert_string_equal(state_of(f), "enabled");
	fixture_revert(f, "p");
	assert_log(f, "post libvictim.so;pre-un libvictim.so;post-un libvictim.so;");
	assert_old(f);
	fixture_assert_unchanged(f);
}

static int setup(void **state)
{
	*state = fixture_start("library");
	return 0;
}

#define callback_test(fn) cmocka_unit_test_setup_teardown(fn, setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		callback_test(test_all_four_run_for_both_objects_in_order_of_declaration),
		callback_test(test_pre_patch_that_fails_cancels_the_patch),
		callback_test(test_first_failure_is_the_last_callback),
		callback_test(test_object_without_pre_patch_gets_its_post_unpatch),
		callback_test(test_transition_that_is_reversed_is_followed_by_post_unpatch),
		callback_test(test_pre_patch_that_crashes_is_contained),
		callback_test(test_post_patch_that_crashes_changes_nothing),
		callback_test(test_pre_patch_that_hangs_is_left_at_the_time_out),
		callback_test(test_callbacks_alone_are_a_patch),
		callback_test(test_callbacks_of_a_replaced_patch_do_not_run),
		callback_test(test_errno_of_the_program_stays),
		callback_test(test_two_callbacks_of_a_kind_are_refused_when_the_patch_is_built),
		callback_test(test_killed_tool_leaves_a_callback_that_comes_back),
		callback_test(test_next_run_completes_what_follows_a_switch),
		callback_test(test_next_run_does_not_unmap_a_callback_that_still_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
