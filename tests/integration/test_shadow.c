/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sources.h"

/* Shadow variables and system states: patches that leave something to each other. */

/* Counts calls beside an object of the victim. */
#define SOURCE_COUNT                                                                               \
	"extern int hidden_counter UPATCH_PRIVATE(\"hidden_counter\", 0);\n"                       \
	"static int set_ten(void *obj, void *data, void *ctor_data)\n"                             \
	"{ *(int *)data = obj == &hidden_counter ? 10 : -1; return 0; }\n"                         \
	"static int new_add(int x)\n"                                                              \
	"{\n"                                                                                      \
	"	int *count = upatch_shadow_get_or_alloc(&hidden_counter, 1, sizeof(int),\n"              \
	"						set_ten, 0);\n"                                                                     \
	"	return ++*count;\n"                                                                      \
	"}\n"                                                                                      \
	"UPATCH_FUNC(add_hidden, new_add);\n"

/* Reads what that counted; frees it when asm_padded() is called, and says how often it could. */
#define SOURCE_READ                                                                                \
	"extern int hidden_counter UPATCH_PRIVATE(\"hidden_counter\", 0);\n"                       \
	"static int nr_freed;\n"                                                                   \
	"static void count_free(void *obj, void *data)\n"                                          \
	"{ nr_freed += obj == &hidden_counter && *(int *)data > 10; }\n"                           \
	"static int new_secret(int x)\n"                                                           \
	"{\n"                                                                                      \
	"	int *count = upatch_shadow_get(&hidden_counter, 1);\n"                                   \
	"	return count ? 100 + *count : -1;\n"                                                     \
	"}\n"                                                                                      \
	"static int new_padded(void)\n"                                                            \
	"{ upatch_shadow_free(&hidden_counter, 1, count_free); return nr_freed; }\n"               \
	"UPATCH_FUNC(secret, new_secret);\n"                                                       \
	"UPATCH_FUNC(asm_padded, new_padded);\n"

/* A state in that version; secret() counts in it. */
#define SOURCE_STATE(id, version)                                                                  \
	"UPATCH_STATE(" #id ", " #version ");\n"                                                   \
	"static int new_secret(int x)\n"                                                           \
	"{\n"                                                                                      \
	"	struct upatch_state *state = upatch_state_get(" #id ");\n"                         \
	"	if (!state || upatch_state_get(99) || upatch_state_get_prev(" #id "))\n"           \
	"		return -1;\n"                                                                           \
	"	state->data = (char *)state->data + 1;\n"                                                \
	"	return (int)state->version * 100 + (int)(long)state->data;\n"                            \
	"}\n"                                                                                      \
	"UPATCH_FUNC(secret, new_secret);\n"

/* A thread waits in a constructor, below the agent, in the place of block_here(). */
#define SOURCE_WAIT                                                                                \
	"#include <unistd.h>\n"                                                                    \
	"static int wait_here(void *obj, void *data, void *ctor_data)\n"                           \
	"{ char c; return read((int)(long)ctor_data, &c, 1) == 1 ? -1 : 0; }\n"                    \
	"static void new_block(int fd)\n"                                                          \
	"{ (void)upatch_shadow_alloc(0, 1, 8, wait_here, (void *)(long)fd); }\n"                   \
	"UPATCH_FUNC(block_here, new_block);\n"

/* The destructor is all that a thread has of the patch once it waits for the agent's lock. */
#define SOURCE_TAIL_CALL                                                                           \
	"static int nr_freed;\n"                                                                   \
	"static void count_free(void *obj, void *data) { nr_freed++; }\n"                          \
	"static int new_secret(int x)\n"                                                           \
	"{ return upatch_shadow_get_or_alloc(0, 2, 8, 0, 0) ? nr_freed : -1; }\n"                  \
	"static void new_rarely(int fd) { upatch_shadow_free_all(2, count_free); }\n"              \
	"UPATCH_FUNC(secret, new_secret);\n"                                                       \
	"UPATCH_FUNC(rarely_waits, new_rarely);\n"

static void share_a_variable(struct fixture *f)
{
	fixture_remember(f);
	assert_answer(f, "call", "call 9 6 41 5");
	fixture_apply(f, "a", SOURCE_COUNT);
	assert_answer(f, "call", "call 11 6 41 5");
	assert_answer(f, "call", "call 12 6 41 5");
	fixture_apply(f, "b", SOURCE_READ);
	assert_answer(f, "call", "call 13 113 41 5");
	/* What A made does not go with it. */
	fixture_revert(f, "a");
	assert_answer(f, "call", "call 10 113 42 5");
	assert_answer(f, "asm", "asm 0 22 33 33 1");
	assert_answer(f, "call", "call 11 -1 43 5");
	assert_answer(f, "asm", "asm 0 22 33 33 1");
	fixture_revert(f, "b");
	assert_answer(f, "call", "call 12 6 44 5");
	fixture_assert_unchanged(f);
}

static void test_a_later_patch_reads_and_frees_what_an_earlier_one_made(void **state)
{
	share_a_variable(*state);
}

static void test_a_static_program_has_shadow_variables_too(void **state)
{
	struct fixture *f = fixture_start("static");

	share_a_variable(f);
	fixture_stop(f);
}

static bool has_mappings_of_ours(struct fixture *f)
{
	char path[64], line[4096];
	bool found = false;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)f->pid);
	maps = fopen(path, "r");
	assert_non_null(maps);
	/* The record's address ends in these digits, whatever the kernel can name. */
	while (fgets(line, sizeof(line), maps))
		found = found || strstr(line, "75a000-");
	fclose(maps);
	return found;
}

static void test_variables_outlive_the_last_patch_and_wait_for_the_next(void **state)
{
	struct fixture *f = *state;

	fixture_remember(f);
	fixture_apply(f, "a", SOURCE_COUNT);
	assert_answer(f, "call", "call 11 6 40 5");
	fixture_revert(f, "a");
	assert_answer(f, "call", "call 9 6 41 5");
	assert_true(has_mappings_of_ours(f));
	/* The second time the same patch finds it; a patch that needs no agent does not mind. */
	fixture_apply(f, "a", SOURCE_COUNT);
	assert_answer(f, "call", "call 12 6 41 5");
	fixture_revert(f, "a");
	fixture_apply(f, "p", SOURCE_SECRET(5));
	fixture_revert(f, "p");
	assert_true(has_mappings_of_ours(f));
	fixture_apply(f, "b", SOURCE_READ);
	assert_answer(f, "call", "call 10 112 42 5");
	assert_answer(f, "asm", "asm 0 22 33 33 1");
	fixture_revert(f, "b");
	assert_answer(f, "call", "call 11 6 43 5");
	fixture_assert_unchanged(f);
}

static bool is_listed(struct fixture *f, const char *name)
{
	struct upatch_status *status;
	bool found = false;

	assert_int_equal(upatch_target_status(f->target, &status), 0);
	for (size_t i = 0; i < status->nr_patches; i++)
		found = found || strcmp(status->patches[i].name, name) == 0;
	upatch_status_free(status);
	return found;
}

static void wait_for_threads_to_exit(struct fixture *f)
{
	char path[64];
	struct stat st;

	/* A directory's links: itself, its parent, its entries. */
	snprintf(path, sizeof(path), "/proc/%d/task", (int)f->pid);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(stat(path, &st), 0);
		if (st.st_nlink == 3)
			return;
		poll(NULL, 0, 5);
	}
	fail_msg("the victim's threads do not exit");
}

/* Have others sleep on the stacks of threads that exited: what those left there is below, and dead. */
static void cover_old_stacks(struct fixture *f)
{
	wait_for_threads_to_exit(f);
	assert_answer(f, "threads 2", "ok");
	fixture_wait_asleep(f, 3);
}

static void test_a_thread_in_the_agent_can_be_walked_and_holds_its_patch(void **state)
{
	const struct upatch_options opts = { .size = sizeof(opts), .timeout_ms = 300 };
	struct fixture *f = *state;

	/* The stacks of threads that have exited stay mapped. */
	assert_answer(f, "block", "ok");
	assert_answer(f, "block", "ok");
	fixture_wait_asleep(f, 3);
	assert_answer(f, "release", "ok");
	assert_answer(f, "release", "ok");
	wait_for_threads_to_exit(f);
	fixture_apply(f, "w", SOURCE_WAIT);
	/* One in the constructor, one that waits for the lock. */
	assert_answer(f, "block", "ok");
	fixture_wait_asleep(f, 2);
	assert_answer(f, "block", "ok");
	fixture_wait_asleep(f, 3);
	/* Neither is in the way of another patch, as their stacks are known to the end. */
	fixture_apply(f, "p", SOURCE_SECRET(5));
	assert_answer(f, "call", "call 9 5 41 5");
	fixture_revert(f, "p");
	assert_int_not_equal(upatch_target_revert(f->target, "w", &opts, NULL), 0);
	fixture_assert_reason(f, UPATCH_E_IN_FUNCTION);
	assert_answer(f, "release", "ok");
	assert_answer(f, "release", "ok");
	cover_old_stacks(f);
	fixture_revert(f, "w");
	assert_answer(f, "call", "call 10 6 42 5");
	assert_false(has_mappings_of_ours(f));
}

static void test_a_destructor_on_its_way_to_be_called_keeps_its_patch(void **state)
{
	struct fixture *f = *state;

	fixture_apply(f, "t", SOURCE_TAIL_CALL);
	assert_answer(f, "call", "call 9 0 41 5");
	fixture_apply(f, "w", SOURCE_WAIT);
	assert_answer(f, "block", "ok");
	fixture_wait_asleep(f, 2);
	assert_answer(f, "block rarely", "ok");
	fixture_wait_asleep(f, 3);
	assert_int_equal(upatch_target_revert(f->target, "t", NULL, NULL), 0);
	assert_true(is_listed(f, "t"));
	assert_answer(f, "release", "ok");
	cover_old_stacks(f);
	fixture_drop_kept(f, "t");
	assert_false(is_listed(f, "t"));
	fixture_revert(f, "w");
	assert_answer(f, "call", "call 10 6 42 5");
	assert_false(has_mappings_of_ours(f));
}

static void test_a_patch_has_its_own_state(void **state)
{
	struct fixture *f = *state;

	fixture_remember(f);
	fixture_apply(f, "s1", SOURCE_STATE(7, 1));
	assert_answer(f, "call", "call 9 101 41 5");
	assert_answer(f, "call", "call 10 102 42 5");
	fixture_apply(f, "s2", SOURCE_STATE(7, 2));
	assert_answer(f, "call", "call 11 201 43 5");
	fixture_revert(f, "s2");
	assert_answer(f, "call", "call 12 103 44 5");
	fixture_revert(f, "s1");
	assert_answer(f, "call", "call 13 6 45 5");
	fixture_assert_unchanged(f);
}

static void test_an_older_version_of_a_state_is_refused(void **state)
{
	struct fixture *f = *state;
	struct upatch_patch *patch;
	struct upatch_check *check;

	fixture_apply(f, "s2", SOURCE_STATE(7, 2));
	assert_answer(f, "call", "call 9 201 41 5");
	fixture_remember(f);
	fixture_apply_refused(f, "s1", SOURCE_STATE(7, 1), 1000, UPATCH_E_STATE);
	assert_string_equal(
		upatch_ctx_error(f->ctx)->message,
		"patch is not compatible with the already installed livepatches: it has "
		"version 1 of state 7, 's2' has version 2");
	patch = fixture_patch(f, "s1", SOURCE_STATE(7, 1));
	assert_int_equal(upatch_target_check(f->target, patch, &check), 0);
	assert_false(check->applicable);
	assert_int_equal(check->error.reason, UPATCH_E_STATE);
	upatch_check_free(check);
	upatch_patch_close(patch);
	fixture_assert_unchanged(f);
	assert_answer(f, "call", "call 10 202 42 5");
	/* The same version, other states and no state at all are fine. */
	fixture_apply(f, "same", SOURCE_STATE(7, 2));
	fixture_apply(f, "other", SOURCE_STATE(8, 1));
	fixture_apply(f, "none", SOURCE_SECRET(5));
	assert_answer(f, "call", "call 11 5 43 5");
	fixture_revert(f, "s2");
	fixture_apply_refused(f, "s1", SOURCE_STATE(7, 1), 1000, UPATCH_E_STATE);
	fixture_revert(f, "same");
	fixture_apply(f, "s1", SOURCE_STATE(7, 1));
	assert_answer(f, "call", "call 12 101 44 5");
}

static void test_the_previous_state_is_there_while_the_transition_is_open(void **state)
{
	const struct upatch_options opts = { .size = sizeof(opts), .timeout_ms = 100 };
	struct fixture *f = *state;
	struct upatch_patch *patch;

	fixture_apply(f, "s1", SOURCE_STATE(7, 1));
	assert_answer(f, "block", "ok");
	fixture_wait_asleep(f, 2);
	patch = fixture_patch(f, "s2",
			      "UPATCH_STATE(7, 2);\n"
			      "static int new_secret(int x)\n"
			      "{\n"
			      "	struct upatch_state *previous = upatch_state_get_prev(7);\n"
			      "	return previous ? 1000 * (int)previous->version : -1;\n"
			      "}\n"
			      "UPATCH_FUNC(secret, new_secret);\n" SOURCE_BLOCK);
	assert_int_equal(upatch_target_apply(f->target, patch, &opts, NULL), UPATCH_PENDING);
	/* The main thread has switched. */
	assert_answer(f, "call", "call 9 1000 41 5");
	assert_answer(f, "release", "ok");
	assert_int_equal(upatch_target_wait(f->target, NULL, NULL), UPATCH_DONE);
	assert_answer(f, "call", "call 10 -1 42 5");
	upatch_patch_close(patch);
}

static void test_a_child_reverts_on_its_own(void **state)
{
	struct fixture *f = *state;
	struct upatch_target *child;
	int pid;

	fixture_apply(f, "a", SOURCE_COUNT);
	assert_answer(f, "call", "call 11 6 40 5");
	assert_int_equal(sscanf(fixture_ask(f, "fork"), "fork %d", &pid), 1);
	assert_int_equal(upatch_target_open(f->ctx, pid, &child), 0);
	assert_int_equal(upatch_target_revert(child, "a", NULL, NULL), 0);
	upatch_target_close(child);
	kill(pid, SIGKILL);
	assert_answer(f, "call", "call 12 6 40 5");
}

static void test_a_state_without_an_id_is_refused(void **state)
{
	struct fixture *f = *state;

	fixture_remember(f);
	fixture_apply_refused(f, "zero", SOURCE_STATE(0, 1), 1000, UPATCH_E_BAD_PATCHFILE);
	fixture_assert_unchanged(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
		TEST(test_a_later_patch_reads_and_frees_what_an_earlier_one_made),
		TEST(test_a_static_program_has_shadow_variables_too),
		TEST(test_variables_outlive_the_last_patch_and_wait_for_the_next),
		TEST(test_a_thread_in_the_agent_can_be_walked_and_holds_its_patch),
		TEST(test_a_destructor_on_its_way_to_be_called_keeps_its_patch),
		TEST(test_a_patch_has_its_own_state),
		TEST(test_an_older_version_of_a_state_is_refused),
		TEST(test_the_previous_state_is_there_while_the_transition_is_open),
		TEST(test_a_child_reverts_on_its_own),
		TEST(test_a_state_without_an_id_is_refused),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
