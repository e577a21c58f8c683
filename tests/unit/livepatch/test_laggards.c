/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "arch/arch.h"
#include "base/array.h"
#include "base/diag.h"
#include "livepatch/laggards.h"
#include "livepatch/session.h"
#include "target/target.h"

/* The tables in a target's record; the target is this process, its record a buffer. */

enum {
	TPS = 1000,
	TP_DISTANCE = 0x801000, /* stacks of 8 MiB, and their guards */
};

static const uint64_t tp_first = 0x7f1200a006c0;

struct fixture {
	struct diag diag;
	struct target target;
	struct upatch_record head;
	struct session session;
	uint8_t *bytes; /* of the record */
	struct laggards laggards;
};

static struct upatch_switch *word_of(struct fixture *f)
{
	return (void *)(f->bytes + UPATCH_SWITCH_OFFSET);
}

static struct upatch_laggards *table_of(struct fixture *f, int index)
{
	return (void *)(f->bytes + UPATCH_LAGGARDS_OFFSET + index * UPATCH_LAGGARDS_SIZE);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	diag_init(&f->diag);
	f->bytes = aligned_alloc(UPATCH_PAGE_SIZE, UPATCH_RECORD_SIZE);
	assert_non_null(f->bytes);
	memset(f->bytes, 0, UPATCH_RECORD_SIZE);
	f->target = (struct target){
		.diag = &f->diag,
		.pid = getpid(),
		.tid = getpid(),
		.memfd = open("/proc/self/mem", O_RDWR | O_CLOEXEC),
	};
	assert_true(f->target.memfd >= 0);
	f->session = (struct session){
		.target = &f->target,
		.diag = &f->diag,
		.record = {
			.target = &f->target,
			.addr = (uintptr_t)f->bytes,
			.head = &f->head,
		},
	};
	assert_int_equal(laggards_read(&f->session, &f->laggards), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	laggards_deinit(&f->laggards);
	diag_deinit(&f->diag);
	close(f->target.memfd);
	free(f->bytes);
	free(f);
	return 0;
}

static uint64_t tp_of(unsigned int i)
{
	return tp_first + (uint64_t)i * TP_DISTANCE;
}

/* Every second thread lags behind. */
static void replace(struct fixture *f, unsigned int nr, uint64_t invert)
{
	struct laggard *list = calloc(nr + 1, sizeof(*list));

	assert_non_null(list);
	for (unsigned int i = 0; i < nr; i++)
		list[i] = (struct laggard){ tp_of(2 * i), (pid_t)(100 + i) };
	assert_int_equal(laggards_replace(&f->session, &f->laggards, 0, list, nr, invert), 0);
	free(list);
}

static void assert_lists_every_second(const struct laggards *laggards, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		assert_true(laggards_has(laggards, tp_of(2 * i)));
		assert_false(laggards_has(laggards, tp_of(2 * i + 1)));
	}
}

static void test_no_table_counts_at_first(void **state)
{
	struct fixture *f = *state;

	assert_null(f->laggards.table);
	assert_false(laggards_has(&f->laggards, tp_first));
	assert_false(laggards_has(&f->laggards, 0));
}

static void test_what_is_stored_is_read_again(void **state)
{
	struct fixture *f = *state;
	struct laggards again;
	struct laggard *list;
	size_t nr;

	replace(f, TPS, 0);
	assert_lists_every_second(&f->laggards, TPS);
	assert_int_equal(laggards_read(&f->session, &again), 0);
	assert_int_equal(again.index, f->laggards.index);
	assert_int_equal(again.table->invert, 0);
	assert_lists_every_second(&again, TPS);
	assert_int_equal(laggards_list(&f->session, &again, &list, &nr), 0);
	assert_int_equal(nr, TPS);
	for (size_t i = 0; i < nr; i++)
		assert_int_equal(list[i].key, tp_of(2 * (unsigned int)(list[i].tid - 100)));
	free(list);
	laggards_deinit(&again);
}

static void test_the_other_table_takes_over(void **state)
{
	struct fixture *f = *state;
	uint64_t first;

	replace(f, 3, 0);
	first = word_of(f)->active;
	replace(f, 2, 1);
	assert_int_not_equal(word_of(f)->active, first);
	assert_int_equal(f->laggards.table->invert, 1);
	/* The one that counted is as it was, for whoever looks at it still. */
	assert_int_equal(table_of(f, 0)->invert, 0);
	replace(f, 3, 0);
	assert_int_equal(word_of(f)->active, first);
}

static void test_a_dropped_one_is_gone_and_hides_nobody(void **state)
{
	struct fixture *f = *state;
	struct laggards again;

	replace(f, TPS, 0);
	for (unsigned int i = 0; i < TPS; i += 2)
		assert_int_equal(laggards_drop(&f->session, &f->laggards, 0, tp_of(2 * i)), 0);
	assert_int_equal(laggards_read(&f->session, &again), 0);
	for (unsigned int i = 0; i < TPS; i++) {
		assert_int_equal(laggards_has(&again, tp_of(2 * i)), i % 2);
		assert_int_equal(laggards_has(&f->laggards, tp_of(2 * i)), i % 2);
	}
	laggards_deinit(&again);
}

static void test_threads_that_share_a_thread_pointer_are_one(void **state)
{
	const struct laggard list[] = { { tp_first, 7 }, { tp_first, 8 }, { 0, 9 } };
	struct fixture *f = *state;
	struct laggard *left;
	size_t nr;

	assert_int_equal(laggards_replace(&f->session, &f->laggards, 0, list, ARRAY_SIZE(list), 0),
			 0);
	assert_true(laggards_has(&f->laggards, 0));
	assert_int_equal(laggards_list(&f->session, &f->laggards, &left, &nr), 0);
	assert_int_equal(nr, 2);
	/* Of which of them it is, is not known. */
	assert_int_equal(left[0].tid, 0);
	assert_int_equal(left[1].tid, 0);
	free(left);
	assert_int_equal(laggards_drop(&f->session, &f->laggards, 0, 0), 0);
	assert_int_equal(laggards_drop(&f->session, &f->laggards, 0, tp_first), 0);
	assert_int_equal(laggards_list(&f->session, &f->laggards, &left, &nr), 0);
	assert_int_equal(nr, 0);
	free(left);
}

static void test_more_than_fit_are_too_many(void **state)
{
	struct laggard *list = calloc(UPATCH_LAGGARD_BUCKETS, sizeof(*list));
	struct fixture *f = *state;

	assert_non_null(list);
	for (unsigned int i = 0; i < UPATCH_LAGGARD_BUCKETS; i++)
		list[i] = (struct laggard){ tp_of(i), (pid_t)i + 1 };
	assert_int_equal(laggards_replace(&f->session, &f->laggards, 0, list,
					  UPATCH_LAGGARD_BUCKETS, 0),
			 LAGGARDS_TOO_MANY);
	assert_int_equal(word_of(f)->active, 0);
	assert_int_equal(laggards_replace(&f->session, &f->laggards, 0, list,
					  UPATCH_LAGGARD_BUCKETS / 2, 0),
			 0);
	free(list);
}

static void test_forgetting_leaves_no_table_that_counts(void **state)
{
	struct fixture *f = *state;

	replace(f, 3, 0);
	assert_int_equal(laggards_forget(&f->session, &f->laggards, 0), 0);
	assert_int_equal(word_of(f)->active, 0);
	assert_null(f->laggards.table);
}

static void assert_corrupt(struct fixture *f)
{
	struct laggards again;

	assert_true(laggards_read(&f->session, &again) < 0);
	assert_int_equal(f->diag.error.reason, UPATCH_E_RECORD_CORRUPT);
	diag_clear(&f->diag);
}

static void test_a_table_that_the_target_spoilt_is_refused(void **state)
{
	struct fixture *f = *state;
	uint64_t active;

	replace(f, 3, 0);
	active = word_of(f)->active;
	word_of(f)->active = active + 8;
	assert_corrupt(f);
	word_of(f)->active = active;
	table_of(f, 0)->mask = UPATCH_LAGGARD_BUCKETS;
	assert_corrupt(f);
	table_of(f, 0)->mask = 12;
	assert_corrupt(f);
	table_of(f, 0)->mask = 15;
	table_of(f, 0)->invert = 2;
	assert_corrupt(f);
}

static void test_a_table_without_an_end_is_searched_once(void **state)
{
	struct fixture *f = *state;
	struct laggards again;

	replace(f, 3, 0);
	for (unsigned int i = 0; i <= table_of(f, 0)->mask; i++)
		table_of(f, 0)->keys[i] = 0x1234;
	assert_int_equal(laggards_read(&f->session, &again), 0);
	assert_false(laggards_has(&again, tp_first));
	laggards_deinit(&again);
}

#define STORY(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORY(test_no_table_counts_at_first),
		STORY(test_what_is_stored_is_read_again),
		STORY(test_the_other_table_takes_over),
		STORY(test_a_dropped_one_is_gone_and_hides_nobody),
		STORY(test_threads_that_share_a_thread_pointer_are_one),
		STORY(test_more_than_fit_are_too_many),
		STORY(test_forgetting_leaves_no_table_that_counts),
		STORY(test_a_table_that_the_target_spoilt_is_refused),
		STORY(test_a_table_without_an_end_is_searched_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
