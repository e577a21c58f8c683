/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/diag.h"
#include "elf/image.h"
#include "elf/image_cache.h"

/* A copy of the test's own executable, under no name. */
static int copy_self(void)
{
	char path[] = "/tmp/upatch-test.XXXXXX";
	int to = mkstemp(path), from = open("/proc/self/exe", O_RDONLY);
	struct stat st;

	assert_true(to >= 0 && from >= 0);
	unlink(path);
	assert_int_equal(fstat(from, &st), 0);
	assert_int_equal(sendfile(to, from, NULL, (size_t)st.st_size), st.st_size);
	close(from);
	return to;
}

static struct image *get(struct image_cache *cache, struct diag *d, int fd)
{
	struct image *image;

	assert_int_equal(image_cache_get(cache, d, fd, "x", &image), 0);
	return image;
}

static void test_one_file_is_read_once(void **state)
{
	struct image_cache *cache;
	struct image *a, *b;
	struct diag diag;
	int fd = copy_self();

	diag_init(&diag);
	assert_int_equal(image_cache_new(4, &cache), 0);
	a = get(cache, &diag, fd);
	b = get(cache, &diag, fd);
	assert_ptr_equal(a, b);
	image_unref(a);
	image_unref(b);
	image_cache_free(cache);
	close(fd);
}

static void test_a_file_that_changed_is_read_again(void **state)
{
	struct image_cache *cache;
	struct image *a, *b;
	struct diag diag;
	int fd = copy_self();

	diag_init(&diag);
	assert_int_equal(image_cache_new(4, &cache), 0);
	a = get(cache, &diag, fd);
	assert_int_equal(lseek(fd, 0, SEEK_END) > 0, 1);
	assert_int_equal(write(fd, "more", 4), 4);
	b = get(cache, &diag, fd);
	assert_ptr_not_equal(a, b);
	image_unref(a);
	image_unref(b);
	image_cache_free(cache);
	close(fd);
}

/* Another file may get the inode of one that was deleted, and times are what somebody says they are. */
static void test_a_change_that_the_time_of_modification_hides_is_seen(void **state)
{
	int fd = copy_self(), tries = 0;
	struct image_cache *cache;
	struct stat before, after;
	struct image *a, *b;
	struct diag diag;

	diag_init(&diag);
	assert_int_equal(image_cache_new(4, &cache), 0);
	a = get(cache, &diag, fd);
	assert_int_equal(fstat(fd, &before), 0);
	/* The clock of files ticks some hundred times a second. */
	do {
		const struct timespec times[] = { before.st_atim, before.st_mtim };

		assert_true(tries++ < 10000000);
		assert_int_equal(pwrite(fd, "x", 1, before.st_size - 1), 1);
		assert_int_equal(futimens(fd, times), 0);
		assert_int_equal(fstat(fd, &after), 0);
	} while (after.st_ctim.tv_sec == before.st_ctim.tv_sec &&
		 after.st_ctim.tv_nsec == before.st_ctim.tv_nsec);
	assert_int_equal(after.st_size, before.st_size);
	assert_memory_equal(&after.st_mtim, &before.st_mtim, sizeof(after.st_mtim));
	b = get(cache, &diag, fd);
	assert_ptr_not_equal(a, b);
	image_unref(a);
	image_unref(b);
	image_cache_free(cache);
	close(fd);
}

static void test_what_was_used_longest_ago_goes_first(void **state)
{
	int fds[3] = { copy_self(), copy_self(), copy_self() };
	struct image_cache *cache;
	struct image *kept, *image;
	struct diag diag;

	diag_init(&diag);
	assert_int_equal(image_cache_new(2, &cache), 0);
	kept = get(cache, &diag, fds[0]);
	image_unref(get(cache, &diag, fds[1]));
	image_unref(get(cache, &diag, fds[0]));
	image_unref(get(cache, &diag, fds[2])); /* in place of fds[1] */
	image = get(cache, &diag, fds[0]);
	assert_ptr_equal(image, kept);
	image_unref(image);
	/* In use, it outlives the cache. */
	image_cache_free(cache);
	assert_string_equal(image_name(kept), "x");
	image_unref(kept);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_file_is_read_once),
		cmocka_unit_test(test_a_file_that_changed_is_read_again),
		cmocka_unit_test(test_a_change_that_the_time_of_modification_hides_is_seen),
		cmocka_unit_test(test_what_was_used_longest_ago_goes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
