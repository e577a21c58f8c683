/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <upatch/error.h>

#include <cmocka.h>

#include "desired.h"
#include "failure.h"

/* In the place of libc's: folders cannot be flushed while this is set. */
static bool is_failing;

int fsync(int fd)
{
	struct stat st;

	if (is_failing && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fsync, fd);
}

struct scene {
	char dir[64];
	struct store store;
};

static int setup(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	(void)snprintf(s->dir, sizeof(s->dir), "/tmp/upatch-store-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	assert_int_equal(store_init(&s->store, s->dir, NULL), 0);
	*state = s;
	return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static int teardown(void **state)
{
	struct scene *s = *state;

	store_deinit(&s->store);
	(void)nftw(s->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	free(s);
	return 0;
}

static const char *path_in(struct scene *s, const char *name)
{
	static char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", s->dir, name);
	return path;
}

static void write_patches(struct scene *s, unsigned int nr)
{
	struct desired desired = {};
	char name[32];

	for (unsigned int i = 0; i < nr; i++) {
		struct desired_patch patch = { .is_enabled = i % 2, .since = 5, .order = i + 1 };

		(void)snprintf(name, sizeof(name), " fix=%u%%\n", i); /* any name survives */
		patch.name = strdup(name);
		patch.file = strdup("fix@1.upatch");
		assert_int_equal(rule_add(&patch.rule, "exclude-name", " a b ", NULL), 0);
		assert_int_equal(desired_put(&desired, &patch), 0);
	}
	assert_int_equal(store_write_journal(&s->store, &desired, NULL), 0);
	desired_deinit(&desired);
}

static void assert_patches(struct scene *s, unsigned int nr, int outcome)
{
	struct failure f = {};
	struct desired desired;

	assert_int_equal(store_read_journal(&s->store, &desired, &f), outcome);
	assert_int_equal(desired.nr, nr);
	for (unsigned int i = 0; i < nr; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), " fix=%u%%\n", i);
		assert_string_equal(desired.patches[i].name, name);
		assert_int_equal(desired.patches[i].is_enabled, i % 2);
		assert_int_equal(desired.patches[i].order, i + 1);
		assert_string_equal(desired.patches[i].rule.conditions[0].value, " a b ");
		assert_true(desired.patches[i].rule.conditions[0].is_exclusion);
	}
	if (outcome == STORE_READ_OLD)
		assert_int_equal(f.error.reason, UPATCH_E_CONFIG);
	failure_clear(&f);
	desired_deinit(&desired);
}

static void test_a_first_start_has_nothing(void **state)
{
	assert_patches(*state, 0, STORE_READ);
}

static void test_what_was_written_is_read(void **state)
{
	write_patches(*state, 3);
	assert_patches(*state, 3, STORE_READ);
}

/* Cut off at each byte, and each byte changed: never a part of it, never anything else. */
static void test_a_damaged_journal_is_told_from_a_whole_one(void **state)
{
	struct scene *s = *state;
	char bytes[4096], spoilt[4096];
	ssize_t size;
	int fd;

	write_patches(s, 2);
	fd = open(path_in(s, "journal"), O_RDONLY | O_CLOEXEC);
	size = read(fd, bytes, sizeof(bytes));
	assert_true(size > 0);
	(void)close(fd);
	for (ssize_t i = 0; i < size - 1; i++) {
		struct failure f = {};
		struct desired desired;

		assert_true(desired_parse(bytes, (size_t)i, "journal", &desired, &f) < 0);
		assert_int_equal(f.error.reason, UPATCH_E_CONFIG);
		memcpy(spoilt, bytes, (size_t)size);
		spoilt[i] ^= 1;
		if (desired_parse(spoilt, (size_t)size, "journal", &desired, &f) >= 0)
			fail_msg("a change of byte %zd is not noticed", i);
		failure_clear(&f);
	}
}

static void test_the_journal_before_takes_the_place_of_a_damaged_one(void **state)
{
	struct scene *s = *state;

	write_patches(s, 1);
	write_patches(s, 2);
	assert_int_equal(truncate(path_in(s, "journal"), 40), 0);
	assert_patches(s, 1, STORE_READ_OLD);
}

/* The user may have gone since, or be known to a service that has not begun: his ID is what counts. */
static void test_a_user_that_nobody_knows_is_read_as_written(void **state)
{
	struct scene *s = *state;
	struct desired desired = {};
	struct desired_patch patch = { .name = strdup("fix"), .file = strdup("fix@1.upatch") };

	assert_int_equal(rule_add(&patch.rule, "user", "4242", NULL), 0);
	free(patch.rule.conditions[0].value);
	patch.rule.conditions[0].value = strdup("no such user");
	assert_int_equal(desired_put(&desired, &patch), 0);
	assert_int_equal(store_write_journal(&s->store, &desired, NULL), 0);
	desired_deinit(&desired);
	assert_int_equal(store_read_journal(&s->store, &desired, NULL), STORE_READ);
	assert_int_equal(desired.patches[0].rule.nr, 1);
	assert_int_equal(desired.patches[0].rule.conditions[0].uid, 4242);
	assert_string_equal(desired.patches[0].rule.conditions[0].value, "no such user");
	desired_deinit(&desired);
}

static void test_a_write_that_is_refused_has_not_happened(void **state)
{
	struct scene *s = *state;
	struct desired desired = {};
	struct failure f = {};

	is_failing = true;
	assert_int_equal(store_write_journal(&s->store, &desired, &f), -EIO);
	assert_int_equal(f.error.reason, UPATCH_E_IO);
	assert_true(access(path_in(s, "journal"), F_OK) < 0);
	is_failing = false;
	write_patches(s, 2);
	is_failing = true;
	assert_int_equal(store_write_journal(&s->store, &desired, &f), -EIO);
	is_failing = false;
	assert_patches(s, 2, STORE_READ);
	failure_clear(&f);
}

static void test_without_any_whole_journal_it_fails_and_names_it(void **state)
{
	struct scene *s = *state;
	struct desired desired;
	struct failure f = {};

	write_patches(s, 1);
	assert_int_equal(truncate(path_in(s, "journal"), 40), 0);
	assert_true(store_read_journal(&s->store, &desired, &f) < 0);
	assert_non_null(strstr(f.error.message, path_in(s, "journal")));
	failure_clear(&f);
}

static int any_file(struct scene *s)
{
	int fd = open(path_in(s, "some"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, "bytes", 5), 5);
	return fd;
}

static void test_a_patch_file_is_kept_and_garbage_goes(void **state)
{
	struct scene *s = *state;
	struct desired desired = {};
	struct desired_patch patch = { .name = strdup("fix"), .is_enabled = true };
	char *staged, *file;
	struct stat st;
	int fd = any_file(s);

	assert_int_equal(store_stage(&s->store, fd, "some", &staged, NULL), 0);
	assert_int_equal(store_keep(&s->store, staged, "fix", 4, &file, NULL), 0);
	assert_string_equal(file, "fix@4.upatch");
	free(staged);
	assert_int_equal(store_stage(&s->store, fd, "some", &staged, NULL),
			 0); /* and then a crash */
	patch.file = file;
	assert_int_equal(desired_put(&desired, &patch), 0);
	store_tidy(&s->store, &desired);
	assert_int_equal(stat(path_in(s, "patches/fix@4.upatch"), &st), 0);
	assert_int_equal(st.st_size, 5);
	assert_int_equal(stat(staged, &st), -1);
	free(staged);
	desired_deinit(&desired);
	(void)close(fd);
}

static void test_a_name_that_leaves_the_folder_is_refused(void **state)
{
	struct scene *s = *state;
	struct failure f = {};
	char *staged, *file;
	int fd = any_file(s);

	assert_int_equal(store_stage(&s->store, fd, "some", &staged, NULL), 0);
	assert_int_equal(store_keep(&s->store, staged, "../fix", 4, &file, &f), -EINVAL);
	assert_int_equal(f.error.reason, UPATCH_E_BAD_PATCHFILE);
	assert_int_equal(store_keep(&s->store, staged, "", 4, &file, &f), -EINVAL);
	failure_clear(&f);
	free(staged);
	(void)close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
		TEST(a_first_start_has_nothing),
		TEST(what_was_written_is_read),
		TEST(a_damaged_journal_is_told_from_a_whole_one),
		TEST(the_journal_before_takes_the_place_of_a_damaged_one),
		TEST(a_user_that_nobody_knows_is_read_as_written),
		TEST(a_write_that_is_refused_has_not_happened),
		TEST(without_any_whole_journal_it_fails_and_names_it),
		TEST(a_patch_file_is_kept_and_garbage_goes),
		TEST(a_name_that_leaves_the_folder_is_refused),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
