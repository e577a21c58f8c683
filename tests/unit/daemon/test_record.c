/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <upatch/abi.h>
#include <upatch/upatch.h>

#include <cmocka.h>

#include "job.h"
#include "process.h"
#include "record.h"
#include "wire.h"

/* A process that has all that it may have, on its way from a worker to the daemon. */

enum {
	OBJECTS = 4,
	NAME_MAX_LENGTH = UPATCH_NAME_SIZE - 1,
};

static char names[UPATCH_PATCHES_MAX][UPATCH_NAME_SIZE];
static struct upatch_status_object objects[OBJECTS];
static struct upatch_status_patch patches[UPATCH_PATCHES_MAX];
static struct upatch_status status = { .patches = patches, .nr_patches = UPATCH_PATCHES_MAX };

/* In place of the library's: there is no target. */
int upatch_target_status(struct upatch_target *target, struct upatch_status **ret)
{
	*ret = &status;
	return 0;
}

void upatch_status_free(struct upatch_status *unused)
{
}

static void fill_status(void)
{
	for (size_t i = 0; i < OBJECTS; i++)
		objects[i] = (struct upatch_status_object){
			.build_id = "0123456789abcdef0123456789abcdef01234567",
			.state = "patched",
		};
	for (size_t i = 0; i < UPATCH_PATCHES_MAX; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "%0*zu", NAME_MAX_LENGTH, i);
		patches[i] = (struct upatch_status_patch){
			.name = names[i],
			.version = names[i],
			.state = "enabled",
			.objects = objects,
			.nr_objects = OBJECTS,
			.seq = i + 1,
		};
	}
}

static void assert_has_all(const struct process *process)
{
	for (size_t i = 0; i < UPATCH_PATCHES_MAX; i++) {
		const struct process_record *record = process_record(process, names[i]);

		assert_non_null(record);
		assert_int_equal(record->seq, i + 1);
		assert_int_equal(record->nr_payloads, OBJECTS);
	}
}

/* The newest ones are last: they are what an admin has just enabled, and may want to take back. */
static void test_all_patches_that_a_process_may_have_are_seen(void **state)
{
	struct process process = { .pid = 1 }, received;
	struct wire w;

	fill_status();
	assert_int_equal(record_fill(NULL, &process), 0);
	assert_int_equal(wire_init(&w), 0);
	process_put(&w, &process);
	assert_false(w.has_failed);
	assert_int_equal(process_get(&w, &received), 0);
	assert_has_all(&received);
	process_deinit(&received);
	process_deinit(&process);
	wire_deinit(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_patches_that_a_process_may_have_are_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
