/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "patchset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "job.h"

/* A result that comes late is of the file that its job had, which may not be the patch any more. */
static void test_a_job_is_about_one_file_of_a_patch(void **state)
{
	struct upatch_patch_info info = { .name = "fix", .digest = 7 };
	struct patchset_item item = { .name = (char *)"fix" };
	struct policy_patch policy = { .name = "fix", .info = &info, .since = 3 };
	struct patchset set = { .items = &item, .policy = &policy, .nr = 1 };
	struct job job = { .name = (char *)"fix", .order = 3, .digest = 7 };

	assert_true(patchset_means(&set, &job));
	job.order = 2; /* it was enabled again */
	assert_false(patchset_means(&set, &job));
	job.order = 3;
	job.digest = 8; /* the drop-in's file is another one */
	assert_false(patchset_means(&set, &job));
	job.digest = 0; /* a revert needs no file */
	assert_true(patchset_means(&set, &job));
	policy.info = NULL;
	assert_true(patchset_means(&set, &job));
	job.digest = 7;
	assert_false(patchset_means(&set, &job));
	job.name = (char *)"other";
	assert_false(patchset_means(&set, &job));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_job_is_about_one_file_of_a_patch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
