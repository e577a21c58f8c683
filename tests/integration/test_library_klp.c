/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "loader.h"

#include <stdlib.h>
#include <string.h>

/*
 * The twins of the kernel's livepatch selftests about modules that come and go, under the names that they have
 * there (test-callbacks.sh, test-sysfs.sh). T is the plugin, L the livepatch, with callbacks for the
 * program ("victim-loader") and for T. What callbacks say includes what they are told of the object.
 *
 * What happens in the target while no tool is there is told by the next one: "report" stands for that.
 */

/* klp's callbacks_demo, for the object that it is included in; @ret is what pre_patch returns. */
static const struct loader_patch patch_l = {
	.name = "L",
	.sources = { CALLBACKS("victim-loader", 0), CALLBACKS("libplug.so", 0) },
};

#define T_LOADS                                                                                    \
	"patch 'L' to loading object 'libplug.so'\n"                                               \
	"patch 'L': running pre-patch callback for object 'libplug.so'\n"                          \
	"patch 'L': running post-patch callback for object 'libplug.so'\n"
#define T_UNLOADS                                                                                  \
	"patch 'L': running pre-unpatch callback for object 'libplug.so'\n"                        \
	"patch 'L' on unloading object 'libplug.so'\n"                                             \
	"patch 'L': running post-unpatch callback for object 'libplug.so'\n"
#define ENABLES(callbacks_pre, callbacks_post)                                                     \
	"patch 'L': enabling patch\n"                                                              \
	"patch 'L': initializing patching transition\n" callbacks_pre                              \
	"patch 'L': starting patching transition\n"                                                \
	"patch 'L': completing patching transition\n" callbacks_post                               \
	"patch 'L': patching complete\n"
#define DISABLES(callbacks_pre, callbacks_post)                                                    \
	"patch 'L': initializing unpatching transition\n" callbacks_pre                            \
	"patch 'L': starting unpatching transition\n"                                              \
	"patch 'L': completing unpatching transition\n" callbacks_post                             \
	"patch 'L': unpatching complete\n"
#define RUNNING(kind, object) "patch 'L': running " kind " callback for object '" object "'\n"

/* What the log says from here on: milestones, and which callbacks run. */
static char transcript[8192];

static void take_line(void *userdata, enum upatch_log_level level, const char *line)
{
	const char *what = strstr(line, "patch 'L'");
	size_t len = strlen(transcript);

	(void)userdata;
	if (getenv("UPATCH_TEST_LOG"))
		print_message("# %s\n", line);
	if (!what || (level == UPATCH_LOG_DEBUG && !strstr(what, "running")))
		return;
	snprintf(transcript + len, sizeof(transcript) - len, "%s\n", what);
}

static int setup(void **state)
{
	struct fixture *f;

	(void)loader_setup(state);
	f = *state;
	upatch_ctx_set_log(f->ctx, UPATCH_LOG_DEBUG, take_line, f);
	transcript[0] = '\0';
	return 0;
}

static void assert_transcript(const char *expected)
{
	assert_string_equal(transcript, expected);
	transcript[0] = '\0';
}

/* What happened meanwhile. */
static void report(struct fixture *f)
{
	(void)loader_object_state(f, "L", "libplug.so");
}

static void test_callbacks_1_target_module_before_livepatch(void **state)
{
	struct fixture *f = *state;

	assert_answer(f, "open plug", "ok");
	assert_answer(f, "notes", "notes begin 11");
	loader_apply(f, &patch_l);
	assert_answer(f, "notes", "notes pre_patch 0 pre_patch 0 post_patch 0 post_patch 0");
	assert_transcript(ENABLES(
		RUNNING("pre-patch", "victim-loader") RUNNING("pre-patch", "libplug.so"),
		RUNNING("post-patch", "victim-loader") RUNNING("post-patch", "libplug.so")));
	fixture_revert(f, "L");
	assert_answer(f, "notes",
		      "notes pre_unpatch 0 pre_unpatch 0 post_unpatch 0 post_unpatch 0");
	assert_transcript(DISABLES(
		RUNNING("pre-unpatch", "victim-loader") RUNNING("pre-unpatch", "libplug.so"),
		RUNNING("post-unpatch", "victim-loader") RUNNING("post-unpatch", "libplug.so")));
	assert_answer(f, "close plug", "ok");
	assert_answer(f, "notes", "notes end 11");
}

static void test_callbacks_2_module_coming(void **state)
{
	struct fixture *f = *state;

	loader_apply(f, &patch_l);
	assert_answer(f, "notes", "notes pre_patch 0 post_patch 0");
	assert_transcript(ENABLES(RUNNING("pre-patch", "victim-loader"),
				  RUNNING("post-patch", "victim-loader")));
	assert_answer(f, "open plug", "ok");
	assert_answer(f, "notes", "notes pre_patch 1 post_patch 1 begin 11");
	report(f);
	assert_transcript(T_LOADS);
	fixture_revert(f, "L");
	assert_answer(f, "notes",
		      "notes pre_unpatch 0 pre_unpatch 0 post_unpatch 0 post_unpatch 0");
	assert_transcript(DISABLES(
		RUNNING("pre-unpatch", "victim-loader") RUNNING("pre-unpatch", "libplug.so"),
		RUNNING("post-unpatch", "victim-loader") RUNNING("post-unpatch", "libplug.so")));
	assert_answer(f, "close plug", "ok");
}

static void test_callbacks_3_module_going(void **state)
{
	struct fixture *f = *state;

	assert_answer(f, "open plug", "ok");
	loader_apply(f, &patch_l);
	(void)fixture_ask(f, "notes");
	transcript[0] = '\0';
	assert_answer(f, "close plug", "ok");
	assert_answer(f, "notes", "notes end 11 pre_unpatch 2 post_unpatch 2");
	report(f);
	assert_transcript(T_UNLOADS);
	fixture_revert(f, "L");
	assert_answer(f, "notes", "notes pre_unpatch 0 post_unpatch 0");
	assert_transcript(DISABLES(RUNNING("pre-unpatch", "victim-loader"),
				   RUNNING("post-unpatch", "victim-loader")));
}

static void test_callbacks_4_coming_and_going(void **state)
{
	struct fixture *f = *state;

	loader_apply(f, &patch_l);
	transcript[0] = '\0';
	for (int i = 0; i < 3; i++) {
		(void)fixture_ask(f, "notes");
		assert_answer(f, "open plug", "ok");
		assert_answer(f, "close plug", "ok");
		assert_answer(f, "notes",
			      "notes pre_patch 1 post_patch 1 begin 11 end 11 pre_unpatch 2 "
			      "post_unpatch 2");
		report(f);
		assert_transcript(T_LOADS T_UNLOADS);
	}
	fixture_revert(f, "L");
	assert_answer(f, "notes", "notes pre_unpatch 0 post_unpatch 0");
	assert_transcript(DISABLES(RUNNING("pre-unpatch", "victim-loader"),
				   RUNNING("post-unpatch", "victim-loader")));
}

static void test_callbacks_5_target_not_present(void **state)
{
	struct fixture *f = *state;

	loader_apply(f, &patch_l);
	assert_string_equal(loader_object_state(f, "L", "libplug.so"), "waiting");
	fixture_revert(f, "L");
	assert_answer(f, "notes", "notes pre_patch 0 post_patch 0 pre_unpatch 0 post_unpatch 0");
	assert_transcript(ENABLES(RUNNING("pre-patch", "victim-loader"),
				  RUNNING("post-patch", "victim-loader"))
				  DISABLES(RUNNING("pre-unpatch", "victim-loader"),
					   RUNNING("post-unpatch", "victim-loader")));
}

static void test_callbacks_6_pre_patch_of_a_module_fails(void **state)
{
	static const struct loader_patch fails = {
		.name = "L",
		.sources = { CALLBACKS("victim-loader", 0), CALLBACKS("libplug.so", -19) },
	};
	struct fixture *f = *state;

	assert_answer(f, "open plug", "ok");
	(void)fixture_ask(f, "notes");
	fixture_remember(f);
	assert_int_equal(loader_try_apply(f, &fails, NULL), -19);
	fixture_assert_reason(f, UPATCH_E_CALLBACK);
	/* Of the object whose pre_patch failed none is run, of the one before post_unpatch. */
	assert_answer(f, "notes", "notes pre_patch 0 pre_patch 0 post_unpatch 0");
	assert_string_equal(fixture_state(f, "L"), "none");
	fixture_assert_unchanged(f);
	assert_answer(f, "call plug plug_value 1", "11");
}

/* Before anything is known of the library: what is undone then does not hide the cause. */
static void test_callbacks_6_pre_patch_of_the_program_fails(void **state)
{
	static const struct loader_patch fails = {
		.name = "L",
		.sources = { CALLBACKS("victim-loader", -19), CALLBACKS("libplug.so", 0) },
	};
	struct fixture *f = *state;

	assert_answer(f, "open plug", "ok");
	(void)fixture_ask(f, "notes");
	fixture_remember(f);
	assert_int_equal(loader_try_apply(f, &fails, NULL), -19);
	fixture_assert_reason(f, UPATCH_E_CALLBACK);
	assert_answer(f, "notes", "notes pre_patch 0");
	assert_string_equal(fixture_state(f, "L"), "none");
	fixture_assert_unchanged(f);
}

static void test_callbacks_7_coming_and_pre_patch_fails(void **state)
{
	static const struct loader_patch fails = {
		.name = "L",
		.sources = { CALLBACKS("victim-loader", 0), CALLBACKS("libplug.so", -19) },
	};
	struct fixture *f = *state;
	const char *answer;

	loader_apply(f, &fails);
	(void)fixture_ask(f, "notes");
	transcript[0] = '\0';
	answer = fixture_ask(f, "open plug");
	assert_non_null(strstr(answer, "error "));
	assert_non_null(strstr(answer, "upatch: patch 'L' refuses it: pre-patch callback failed"));
	/* Its constructor has not run, nor its destructor. */
	assert_answer(f, "notes", "notes pre_patch 1");
	assert_string_equal(loader_object_state(f, "L", "libplug.so"), "refused");
	assert_transcript("patch 'L' to loading object 'libplug.so'\n" RUNNING(
		"pre-patch",
		"libplug.so") "patch 'L' failed for object 'libplug.so', refusing to load it: "
			      "pre-patch callback failed\n");
	fixture_revert(f, "L");
	assert_answer(f, "open plug", "ok");
	assert_answer(f, "notes", "notes pre_unpatch 0 post_unpatch 0 begin 11");
}

static void test_callbacks_8_multiple_target_modules(void **state)
{
	static const struct loader_patch three = {
		.name = "L",
		.sources = { CALLBACKS("victim-loader", 0), CALLBACKS("libuser.so", 0),
			     CALLBACKS("libplug.so", 0) },
	};
	struct fixture *f = *state;

	loader_apply(f, &three);
	assert_answer(f, "open plug", "ok");
	assert_answer(f, "notes",
		      "notes pre_patch 0 post_patch 0 pre_patch 1 post_patch 1 begin 11");
	assert_answer(f, "open user", "ok");
	assert_answer(f, "notes", "notes pre_patch 1 post_patch 1");
	assert_answer(f, "close plug", "ok");
	assert_answer(f, "notes", "notes");
	assert_answer(f, "close user", "ok");
	/* They went together. */
	assert_answer(f, "notes",
		      "notes end 11 pre_unpatch 2 post_unpatch 2 pre_unpatch 2 post_unpatch 2");
	fixture_revert(f, "L");
	assert_answer(f, "notes", "notes pre_unpatch 0 post_unpatch 0");
}

/* The replacement of a function that a thread sits in. */
#define BUSY                                                                                       \
	"static void new_block(int fd) { (void)fd; }\n"                                            \
	"UPATCH_FUNC(block_here, new_block);\n"

static void test_callbacks_9_busy_target(void **state)
{
	static const struct upatch_options no_wait = { .flags = UPATCH_NO_WAIT };
	static const struct loader_patch busy = {
		.name = "L",
		.sources = { CALLBACKS("victim-loader", 0) BUSY, CALLBACKS("libplug.so", 0) },
	};
	struct fixture *f = *state;

	assert_answer(f, "block", "ok");
	fixture_wait_asleep(f, 2);
	assert_int_equal(loader_try_apply(f, &busy, &no_wait), UPATCH_PENDING);
	assert_answer(f, "notes", "notes pre_patch 0");
	/* Neither post_patch nor pre_unpatch while the transition is open. */
	assert_answer(f, "open plug", "ok");
	assert_answer(f, "notes", "notes pre_patch 1 begin 11");
	assert_answer(f, "close plug", "ok");
	assert_answer(f, "notes", "notes end 11 post_unpatch 2");
	report(f);
	transcript[0] = '\0';
	fixture_revert(f, "L");
	assert_answer(f, "notes", "notes post_unpatch 0");
	assert_transcript(
		"patch 'L': reversing transition from patching to unpatching\n"
		"patch 'L': starting unpatching transition\n"
		"patch 'L': completing unpatching transition\n" RUNNING(
			"post-unpatch", "victim-loader") "patch 'L': unpatching complete\n");
	assert_answer(f, "release", "ok");
}

static void test_sysfs_2_object_patched(void **state)
{
	struct fixture *f = *state;

	loader_apply(f, &patch_l);
	assert_string_equal(loader_object_state(f, "L", "victim-loader"), "patched");
	assert_string_equal(loader_object_state(f, "L", "libplug.so"), "waiting");
	assert_answer(f, "open plug", "ok");
	assert_string_equal(loader_object_state(f, "L", "libplug.so"), "patched");
	assert_answer(f, "close plug", "ok");
	assert_string_equal(loader_object_state(f, "L", "libplug.so"), "waiting");
	fixture_revert(f, "L");
}

#define test(fn) cmocka_unit_test_setup_teardown(fn, setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_callbacks_1_target_module_before_livepatch),
		test(test_callbacks_2_module_coming),
		test(test_callbacks_3_module_going),
		test(test_callbacks_4_coming_and_going),
		test(test_callbacks_5_target_not_present),
		test(test_callbacks_6_pre_patch_of_a_module_fails),
		test(test_callbacks_6_pre_patch_of_the_program_fails),
		test(test_callbacks_7_coming_and_pre_patch_fails),
		test(test_callbacks_8_multiple_target_modules),
		test(test_callbacks_9_busy_target),
		test(test_sysfs_2_object_patched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
