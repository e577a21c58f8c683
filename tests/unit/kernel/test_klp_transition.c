/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tree.h"

#include <errno.h>
#include <string.h>

#include "kernel/klp_transition.h"

#define FIX "sys/kernel/livepatch/fix"

static void test_apply_loads_the_module_and_sees_it_enabled(void **state)
{
	struct tree *tree = *state;

	assert_int_equal(klp_apply(&tree->kernel, &tree->kmod), KLP_DONE);
	assert_int_equal(tree->loads, 1);
}

static void test_apply_of_what_is_enabled_is_refused(void **state)
{
	struct tree *tree = *state;

	tree_add_patch(tree, "fix", "1", "0");
	assert_refused(tree, klp_apply(&tree->kernel, &tree->kmod), UPATCH_E_EXISTS);
	assert_int_equal(tree->loads, 0);
}

static void test_apply_at_its_deadline_names_the_tasks(void **state)
{
	struct tree *tree = *state;

	tree->held = 1;
	tree_write(tree, "proc/42/task/43/patch_state", "0");
	tree_write(tree, "proc/42/task/43/comm", "busy");
	assert_int_equal(klp_apply(&tree->kernel, &tree->kmod), KLP_PENDING);
	assert_int_equal(tree->diag.error.reason, UPATCH_E_KERNEL_TASKS);
	assert_int_equal(tree->diag.error.pid, 42);
	assert_int_equal(tree->diag.error.tid, 43);
	assert_non_null(strstr(tree->diag.error.detail, "busy"));
	assert_file(tree, FIX "/enabled", "1");
}

static void test_apply_goes_on_with_what_a_killed_tool_began(void **state)
{
	struct tree *tree = *state;

	tree_add_patch(tree, "fix", "1", "1");
	assert_int_equal(klp_apply(&tree->kernel, &tree->kmod), KLP_PENDING);
	assert_int_equal(tree->loads, 0);
}

static void test_apply_turns_a_disabling_one_around(void **state)
{
	struct tree *tree = *state;

	tree_add_patch(tree, "fix", "0", "1");
	assert_int_equal(klp_apply(&tree->kernel, &tree->kmod), KLP_PENDING);
	assert_file(tree, FIX "/enabled", "1");
	assert_int_equal(tree->loads, 0);
}

static void test_apply_unloads_a_module_left_behind_first(void **state)
{
	struct tree *tree = *state;

	tree_write(tree, "sys/module/fix/refcnt", "0");
	tree_write(tree, "sys/module/fix/taint", "OEK");
	assert_int_equal(klp_apply(&tree->kernel, &tree->kmod), KLP_DONE);
	assert_int_equal(tree->unloads, 1);
	assert_int_equal(tree->loads, 1);
}

static void test_apply_leaves_a_module_that_is_no_livepatch_alone(void **state)
{
	struct tree *tree = *state;

	tree_write(tree, "sys/module/fix/refcnt", "0");
	tree_write(tree, "sys/module/fix/taint", "OE");
	tree->load_error = -EEXIST;
	assert_refused(tree, klp_apply(&tree->kernel, &tree->kmod), UPATCH_E_EXISTS);
	assert_int_equal(tree->unloads, 0);
}

static void test_open_is_open_also_when_nobody_can_be_listed(void **state)
{
	struct tree *tree = *state;

	tree_add_patch(tree, "fix", "1", "1");
	tree_remove(tree, "proc");
	assert_int_equal(klp_revert(&tree->kernel, "fix"), KLP_PENDING);
	assert_int_equal(tree->diag.error.reason, UPATCH_E_KERNEL_TASKS);
}

static void test_refused_apply_loads_nothing(void **state)
{
	struct tree *tree = *state;

	tree_write(tree, "proc/sys/kernel/ftrace_enabled", "0");
	assert_refused(tree, klp_apply(&tree->kernel, &tree->kmod), UPATCH_E_FTRACE_DISABLED);
	assert_int_equal(tree->loads, 0);
}

static void test_revert_disables_and_waits_for_the_directory_to_vanish(void **state)
{
	struct tree *tree = *state;

	tree_add_patch(tree, "fix", "1", "0");
	tree_write(tree, FIX "/transition", "1"); /* a kernel takes its time */
	assert_int_equal(klp_revert(&tree->kernel, "fix"), KLP_PENDING);
	assert_int_equal(tree->diag.error.reason, UPATCH_E_KERNEL_TASKS);
	assert_file(tree, FIX "/enabled", "0");
	assert_int_equal(tree->unloads, 0);
	/* The next one goes on; what is disabled already is not written to again. */
	diag_clear(&tree->diag);
	tree_remove(tree, FIX);
	assert_int_equal(klp_revert(&tree->kernel, "fix"), KLP_DONE);
	assert_int_equal(tree->unloads, 1);
}

static void test_revert_tells_a_module_that_stays(void **state)
{
	struct tree *tree = *state;

	tree_add_patch(tree, "fix", "1", "0");
	tree_remove(tree, FIX);
	tree_write(tree, "sys/module/fix/refcnt", "1");
	assert_refused(tree, klp_revert(&tree->kernel, "fix"), UPATCH_E_KERNEL_IN_USE);
}

static void test_revert_of_what_is_no_livepatch_is_nothing(void **state)
{
	struct tree *tree = *state;

	assert_refused(tree, klp_revert(&tree->kernel, "fix"), UPATCH_E_NOT_APPLIED);
	diag_clear(&tree->diag);
	tree_write(tree, "sys/module/ext4/refcnt", "0");
	tree_write(tree, "sys/module/ext4/taint", "");
	assert_refused(tree, klp_revert(&tree->kernel, "ext4"), UPATCH_E_NOT_APPLIED);
	diag_clear(&tree->diag);
	assert_refused(tree, klp_revert(&tree->kernel, "../module/ext4"), UPATCH_E_NOT_APPLIED);
	assert_int_equal(tree->unloads, 0);
}

static void test_force_needs_an_open_transition(void **state)
{
	struct tree *tree = *state;

	assert_refused(tree, klp_force(&tree->kernel, "fix"), UPATCH_E_NOT_APPLIED);
	diag_clear(&tree->diag);
	tree_add_patch(tree, "fix", "1", "0");
	assert_refused(tree, klp_force(&tree->kernel, "fix"), UPATCH_E_NO_TRANSITION);
	assert_file(tree, FIX "/force", "-");
}

static void test_force_is_written(void **state)
{
	struct tree *tree = *state;

	tree_add_patch(tree, "fix", "1", "1");
	assert_int_equal(klp_force(&tree->kernel, "fix"), KLP_PENDING);
	assert_file(tree, FIX "/force", "1");
}

#define tree_test(fn) cmocka_unit_test_setup_teardown(fn, tree_setup, tree_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		tree_test(test_apply_loads_the_module_and_sees_it_enabled),
		tree_test(test_apply_of_what_is_enabled_is_refused),
		tree_test(test_apply_at_its_deadline_names_the_tasks),
		tree_test(test_apply_goes_on_with_what_a_killed_tool_began),
		tree_test(test_apply_turns_a_disabling_one_around),
		tree_test(test_apply_unloads_a_module_left_behind_first),
		tree_test(test_apply_leaves_a_module_that_is_no_livepatch_alone),
		tree_test(test_open_is_open_also_when_nobody_can_be_listed),
		tree_test(test_refused_apply_loads_nothing),
		tree_test(test_revert_disables_and_waits_for_the_directory_to_vanish),
		tree_test(test_revert_tells_a_module_that_stays),
		tree_test(test_revert_of_what_is_no_livepatch_is_nothing),
		tree_test(test_force_needs_an_open_transition),
		tree_test(test_force_is_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
