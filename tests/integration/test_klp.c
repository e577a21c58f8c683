/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

/*
 * The twins of the kernel's livepatch selftests that concern what is loaded already, under the names that
 * they have there: whole transcripts are compared, milestones and callbacks in one. What is different
 * on purpose is said where it is.
 */

/* --- patches ----------------------------------------------------------------------------------- */

/* What callbacks write goes where our milestones go. */
static const char say_source[] = "#include <errno.h>\n"
				 "#include <fcntl.h>\n"
				 "#include <stdlib.h>\n"
				 "#include <string.h>\n"
				 "#include <unistd.h>\n"
				 "static void say(const char *what, const char *more)\n"
				 "{\n"
				 "	int fd = open(TRANSCRIPT, O_WRONLY | O_APPEND);\n"
				 "	(void)!write(fd, what, strlen(what));\n"
				 "	(void)!write(fd, more, strlen(more));\n"
				 "	(void)!write(fd, \"\\n\", 1);\n"
				 "	close(fd);\n"
				 "}\n";

#define SECRET(value)                                                                              \
	"static int new_secret(int x) { return " #value "; }\n"                                    \
	"UPATCH_FUNC(secret, new_secret);\n"
#define UNLIKELY(value)                                                                            \
	"static int new_unlikely(int x) { return " #value "; }\n"                                  \
	"UPATCH_FUNC(unlikely, new_unlikely);\n"
#define BLOCK                                                                                      \
	"static void new_block(int fd) { (void)fd; }\n"                                            \
	"UPATCH_FUNC(block_here, new_block);\n"

/* klp's callbacks_demo; @ret is what its pre_patch returns. */
#define CALLBACKS(ret)                                                                             \
	"static int pre(const struct upatch_callback *cb)\n"                                       \
	"{ say(\"pre_patch_callback: \", cb->object); return " #ret "; }\n"                        \
	"static void post(const struct upatch_callback *cb)\n"                                     \
	"{ say(\"post_patch_callback: \", cb->object); }\n"                                        \
	"static void unpre(const struct upatch_callback *cb)\n"                                    \
	"{ say(\"pre_unpatch_callback: \", cb->object); }\n"                                       \
	"static void unpost(const struct upatch_callback *cb)\n"                                   \
	"{ say(\"post_unpatch_callback: \", cb->object); }\n"                                      \
	"UPATCH_PRE_PATCH(pre);\n"                                                                 \
	"UPATCH_POST_PATCH(post);\n"                                                               \
	"UPATCH_PRE_UNPATCH(unpre);\n"                                                             \
	"UPATCH_POST_UNPATCH(unpost);\n"

/* klp's state: allocates in pre_patch, fixes in post_patch, restores and frees. */
#define STATE(version)                                                                             \
	"UPATCH_STATE(1, " #version ");\n"                                                         \
	"static int pre(const struct upatch_callback *cb)\n"                                       \
	"{\n"                                                                                      \
	"	struct upatch_state *prev = upatch_state_get_prev(1);\n"                                 \
	"	if (prev) {\n"                                                                           \
	"		say(\"allocate: space already allocated\", \"\");\n"                                    \
	"		return 0;\n"                                                                            \
	"	}\n"                                                                                     \
	"	upatch_state_get(1)->data = malloc(8);\n"                                                \
	"	say(\"allocate: allocating space\", \"\");\n"                                            \
	"	return 0;\n"                                                                             \
	"}\n"                                                                                      \
	"static void post(const struct upatch_callback *cb)\n"                                     \
	"{ say(\"fix: \", upatch_state_get_prev(1) ? \"taking over\" : \"changed\"); }\n"          \
	"static void unpre(const struct upatch_callback *cb) { say(\"restore: \", \"back\"); }\n"  \
	"static void unpost(const struct upatch_callback *cb) { say(\"free: \", \"freeing\"); }\n" \
	"UPATCH_PRE_PATCH(pre);\n"                                                                 \
	"UPATCH_POST_PATCH(post);\n"                                                               \
	"UPATCH_PRE_UNPATCH(unpre);\n"                                                             \
	"UPATCH_POST_UNPATCH(unpost);\n"

static void transcript_path(const struct fixture *f, char path[128])
{
	snprintf(path, 128, "%s/transcript", f->dir);
}

/* One line of ours, without the target that it is about. */
static void take_milestone(void *userdata, enum upatch_log_level level, const char *line)
{
	const struct fixture *f = userdata;
	const char *what = strstr(line, "patch '");
	char path[128];
	FILE *file;

	if (level != UPATCH_LOG_INFO || !what)
		return;
	transcript_path(f, path);
	file = fopen(path, "a");
	assert_non_null(file);
	fprintf(file, "%s\n", what + strlen("patch "));
	assert_int_equal(fclose(file), 0);
}

static void forget_transcript(const struct fixture *f)
{
	char path[128];

	transcript_path(f, path);
	fclose(fopen(path, "w"));
}

static void assert_transcript(const struct fixture *f, const char *expected)
{
	static char text[8192];
	char path[128];
	FILE *file;

	transcript_path(f, path);
	file = fopen(path, "r");
	assert_non_null(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	assert_string_equal(text, expected);
	forget_transcript(f);
}

static int setup(void **state)
{
	struct fixture *f = fixture_start("pie");

	upatch_ctx_set_log(f->ctx, UPATCH_LOG_INFO, take_milestone, f);
	forget_transcript(f);
	*state = f;
	return 0;
}

static struct upatch_patch *load(struct fixture *f, const char *name, const char *body,
				 enum fixture_build_flags flags)
{
	static char source[16384];
	struct upatch_patch *patch;
	const char *built;
	char path[128];

	transcript_path(f, path);
	snprintf(source, sizeof(source), "#define TRANSCRIPT \"%s\"\n%s%s", path, say_source, body);
	built = fixture_build_as(f, name, source, flags);
	if (!built)
		fail_msg("%s", upatch_ctx_error(f->ctx)->detail);
	assert_int_equal(upatch_patch_open(f->ctx, built, &patch), 0);
	return patch;
}

static int try_enable(struct fixture *f, const char *name, const char *body,
		      enum fixture_build_flags flags)
{
	struct upatch_patch *patch = load(f, name, body, flags);
	int r = upatch_target_apply(f->target, patch, &(struct upatch_options){ .timeout_ms = 20 },
				    NULL);

	upatch_patch_close(patch);
	return r;
}

static void enable(struct fixture *f, const char *name, const char *body,
		   enum fixture_build_flags flags)
{
	if (try_enable(f, name, body, flags) != UPATCH_DONE)
		fail_msg("%s: %s", name, upatch_ctx_error(f->ctx)->message);
}

static void disable(struct fixture *f, const char *name)
{
	if (upatch_target_revert(f->target, name, NULL, NULL) != UPATCH_DONE)
		fail_msg("%s: %s", name, upatch_ctx_error(f->ctx)->message);
}

#define ENABLING(name)                                                                             \
	"'" name "': enabling patch\n"                                                             \
	"'" name "': initializing patching transition\n"
#define SWITCHING(name, verb)                                                                      \
	"'" name "': starting " verb " transition\n"                                               \
	"'" name "': completing " verb " transition\n"
#define ENABLED(name) ENABLING(name) SWITCHING(name, "patching") "'" name "': patching complete\n"
#define DISABLING(name) "'" name "': initializing unpatching transition\n"
#define DISABLED(name)                                                                             \
	DISABLING(name) SWITCHING(name, "unpatching") "'" name "': unpatching complete\n"

/* --- test-livepatch.sh ------------------------------------------------------------------------- */

static void test_basic_function_patching(void **state)
{
	struct fixture *f = *state;

	enable(f, "livepatch", SECRET(7), 0);
	assert_answer(f, "secret", "secret 7");
	disable(f, "livepatch");
	assert_answer(f, "secret", "secret 6");
	assert_transcript(f, ENABLED("livepatch") DISABLED("livepatch"));
}

static void test_multiple_livepatches(void **state)
{
	struct fixture *f = *state;

	enable(f, "livepatch", SECRET(7), 0);
	enable(f, "replace", UNLIKELY(8), 0);
	assert_answer(f, "call", "call 9 7 41 8");
	disable(f, "replace");
	assert_answer(f, "call", "call 10 7 42 5");
	disable(f, "livepatch");
	assert_answer(f, "call", "call 11 6 43 5");
	assert_transcript(f, ENABLED("livepatch") ENABLED("replace") DISABLED("replace")
				     DISABLED("livepatch"));
}

static void test_atomic_replace_livepatch(void **state)
{
	struct fixture *f = *state;

	enable(f, "livepatch", SECRET(7), 0);
	enable(f, "replace", UNLIKELY(8), FIXTURE_REPLACE);
	assert_answer(f, "call", "call 9 6 41 8");
	/* Gone by itself: unlike a module, a payload waits for nobody to remove it. */
	assert_string_equal(fixture_state(f, "livepatch"), "none");
	disable(f, "replace");
	assert_answer(f, "call", "call 10 6 42 5");
	assert_transcript(f, ENABLED("livepatch") ENABLED("replace") DISABLED("replace"));
}

/* The seed of klp's "any order": 1, 2, 3; without 2 it is 3, without 3 it is 1. */
static void test_disable_order(void **state)
{
	struct fixture *f = *state;

	enable(f, "1", SECRET(1), 0);
	enable(f, "2", SECRET(2), 0);
	enable(f, "3", SECRET(3), 0);
	disable(f, "2");
	assert_answer(f, "secret", "secret 3");
	disable(f, "3");
	assert_answer(f, "secret", "secret 1");
	disable(f, "1");
	assert_answer(f, "secret", "secret 6");
	assert_transcript(f, ENABLED("1") ENABLED("2") ENABLED("3") DISABLED("2") DISABLED("3")
				     DISABLED("1"));
}

/* --- test-callbacks.sh ------------------------------------------------------------------------- */

#define CALLBACKS_ENABLED(name)                                                                    \
	ENABLING(name)                                                                             \
	"pre_patch_callback: victim\n" SWITCHING(name, "patching") "post_patch_callback: victim\n" \
								   "'" name                        \
								   "': patching complete\n"
#define CALLBACKS_DISABLED(name)                                                                   \
	DISABLING(name)                                                                            \
	"pre_unpatch_callback: victim\n" SWITCHING(name,                                           \
						   "unpatching") "post_unpatch_callback: victim\n" \
								 "'" name                          \
								 "': unpatching complete\n"

static void test_target_before_livepatch(void **state)
{
	struct fixture *f = *state;

	enable(f, "demo", CALLBACKS(0) SECRET(7), 0);
	disable(f, "demo");
	assert_transcript(f, CALLBACKS_ENABLED("demo") CALLBACKS_DISABLED("demo"));
}

static void test_prepatch_callback_enodev(void **state)
{
	struct fixture *f = *state;

	fixture_remember(f);
	assert_true(try_enable(f, "demo", CALLBACKS(-ENODEV) SECRET(7), 0) < 0);
	assert_int_equal(upatch_ctx_error(f->ctx)->error, -19);
	fixture_assert_reason(f, UPATCH_E_CALLBACK);
	assert_non_null(strstr(upatch_ctx_error(f->ctx)->message,
			       "pre-patch callback failed for object 'victim'"));
	assert_answer(f, "secret", "secret 6");
	assert_transcript(
		f, ENABLING("demo") "pre_patch_callback: victim\n"
				    "'demo': failed to enable patch\n"
				    "'demo': canceling patching transition, going to unpatch\n"
				    "'demo': completing unpatching transition\n"
				    "'demo': unpatching complete\n");
	assert_string_equal(fixture_state(f, "demo"), "none");
	fixture_assert_unchanged(f);
}

/* callbacks 9, without the module that comes and goes meanwhile. */
static void test_busy_target(void **state)
{
	struct fixture *f = *state;

	assert_answer(f, "block", "ok");
	fixture_wait_asleep(f, 2);
	assert_int_equal(try_enable(f, "demo", CALLBACKS(0) BLOCK, 0), UPATCH_PENDING);
	assert_string_equal(fixture_state(f, "demo"), "enabling");
	disable(f, "demo");
	assert_transcript(
		f,
		ENABLING(
			"demo") "pre_patch_callback: victim\n"
				"'demo': starting patching transition\n"
				"'demo': reversing transition from patching to unpatching\n" SWITCHING(
					"demo", "unpatching") "post_unpatch_callback: victim\n"
							      "'demo': unpatching complete\n");
	assert_answer(f, "release", "ok");
}

static void test_multiple_livepatches_with_callbacks(void **state)
{
	struct fixture *f = *state;

	enable(f, "demo", CALLBACKS(0) SECRET(7), 0);
	enable(f, "demo2", CALLBACKS(0) UNLIKELY(8), 0);
	disable(f, "demo2");
	disable(f, "demo");
	assert_transcript(f, CALLBACKS_ENABLED("demo") CALLBACKS_ENABLED("demo2")
				     CALLBACKS_DISABLED("demo2") CALLBACKS_DISABLED("demo"));
}

static void test_atomic_replace_with_callbacks(void **state)
{
	struct fixture *f = *state;

	enable(f, "demo", CALLBACKS(0) SECRET(7), 0);
	enable(f, "demo2", CALLBACKS(0) UNLIKELY(8), FIXTURE_REPLACE);
	disable(f, "demo2");
	/* Of the one that was replaced none is run. */
	assert_transcript(f, CALLBACKS_ENABLED("demo") CALLBACKS_ENABLED("demo2")
				     CALLBACKS_DISABLED("demo2"));
}

/* --- test-state.sh ----------------------------------------------------------------------------- */

#define STATE_ENABLING(name, allocates, fixes)                                                     \
	ENABLING(name)                                                                             \
	"allocate: " allocates "\n" SWITCHING(name, "patching") "fix: " fixes "\n'" name           \
								"': patching complete\n"
#define STATE_ENABLED(name) STATE_ENABLING(name, "allocating space", "changed")
#define STATE_TAKEN_OVER(name) STATE_ENABLING(name, "space already allocated", "taking over")
#define STATE_DISABLED(name)                                                                       \
	DISABLING(name)                                                                            \
	"restore: back\n" SWITCHING(name, "unpatching") "free: freeing\n"                          \
							"'" name "': unpatching complete\n"

static void test_system_state_modification(void **state)
{
	struct fixture *f = *state;

	enable(f, "state", STATE(1) SECRET(7), 0);
	disable(f, "state");
	assert_transcript(f, STATE_ENABLED("state") STATE_DISABLED("state"));
}

static void test_taking_over_system_state(void **state)
{
	struct fixture *f = *state;

	enable(f, "state", STATE(1) SECRET(7), 0);
	enable(f, "state2", STATE(2) SECRET(8), FIXTURE_REPLACE);
	assert_string_equal(fixture_state(f, "state"), "none");
	disable(f, "state2");
	assert_transcript(f, STATE_ENABLED("state") STATE_TAKEN_OVER("state2")
				     STATE_DISABLED("state2"));
}

static void test_compatible_cumulative_livepatches(void **state)
{
	struct fixture *f = *state;

	enable(f, "state2", STATE(2) SECRET(8), FIXTURE_REPLACE);
	enable(f, "state3", STATE(2) SECRET(9), FIXTURE_REPLACE);
	assert_string_equal(fixture_state(f, "state2"), "none");
	enable(f, "state2", STATE(2) SECRET(8), FIXTURE_REPLACE);
	assert_string_equal(fixture_state(f, "state3"), "none");
	disable(f, "state2");
	assert_transcript(f, STATE_ENABLED("state2") STATE_TAKEN_OVER("state3")
				     STATE_TAKEN_OVER("state2") STATE_DISABLED("state2"));
}

static void test_incompatible_cumulative_livepatches(void **state)
{
	struct fixture *f = *state;

	enable(f, "state2", STATE(2) SECRET(8), FIXTURE_REPLACE);
	assert_true(try_enable(f, "state", STATE(1) SECRET(7), FIXTURE_REPLACE) < 0);
	fixture_assert_reason(f, UPATCH_E_STATE);
	assert_int_equal(upatch_ctx_error(f->ctx)->error, -22);
	assert_answer(f, "secret", "secret 8");
	disable(f, "state2");
	assert_transcript(f, STATE_ENABLED("state2") STATE_DISABLED("state2"));
}

/* --- test-sysfs.sh ------------------------------------------------------------------------------- */

/* "enabled", "transition" and "patched", as the status has them. */
static void test_attributes(void **state)
{
	struct fixture *f = *state;
	struct upatch_status *status;

	assert_answer(f, "block", "ok");
	fixture_wait_asleep(f, 2);
	assert_int_equal(try_enable(f, "p", BLOCK SECRET(7), 0), UPATCH_PENDING);
	assert_int_equal(upatch_target_status(f->target, &status), 0);
	assert_int_equal(status->nr_patches, 1);
	assert_string_equal(status->patches[0].state, "enabling");
	assert_int_equal(status->patches[0].nr_blocked, 1);
	upatch_status_free(status);
	assert_answer(f, "release", "ok");
	assert_int_equal(upatch_target_wait(f->target, NULL, NULL), UPATCH_DONE);
	assert_int_equal(upatch_target_status(f->target, &status), 0);
	assert_string_equal(status->patches[0].state, "enabled");
	assert_int_equal(status->patches[0].nr_blocked, 0);
	assert_int_equal(status->patches[0].nr_objects, 1);
	for (size_t i = 0; i < status->patches[0].objects[0].nr_funcs; i++)
		assert_true(status->patches[0].objects[0].funcs[i].is_winner);
	upatch_status_free(status);
}

#define klp_test(fn) cmocka_unit_test_setup_teardown(fn, setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		klp_test(test_basic_function_patching),
		klp_test(test_multiple_livepatches),
		klp_test(test_atomic_replace_livepatch),
		klp_test(test_disable_order),
		klp_test(test_target_before_livepatch),
		klp_test(test_prepatch_callback_enodev),
		klp_test(test_busy_target),
		klp_test(test_multiple_livepatches_with_callbacks),
		klp_test(test_atomic_replace_with_callbacks),
		klp_test(test_system_state_modification),
		klp_test(test_taking_over_system_state),
		klp_test(test_compatible_cumulative_livepatches),
		klp_test(test_incompatible_cumulative_livepatches),
		klp_test(test_attributes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
