/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tree.h"

#include <errno.h>
#include <stdio.h>
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

/* --- what changes between reading and writing ------------------------------------------------- */

static int complete_disabling(struct tree *tree, const char *path, const char *text)
{
	if (tree->writes > 1)
		return 0;
	tree_remove(tree, FIX);
	return -EINVAL;
}

static void test_apply_loads_what_went_when_it_was_to_be_turned_around(void **state)
{
	struct tree *tree = *state;

	tree_add_patch(tree, "fix", "0", "1");
	tree->on_write = complete_disabling;
	assert_int_equal(klp_apply(&tree->kernel, &tree->kmod), KLP_DONE);
	assert_int_equal(tree->unloads, 1);
	assert_int_equal(tree->loads, 1);
}

static void test_revert_is_done_when_somebody_else_did_it(void **state)
{
	struct tree *tree = *state;

	tree_add_patch(tree, "fix", "1", "0");
	tree->on_write = complete_disabling;
	assert_int_equal(klp_revert(&tree->kernel, "fix"), KLP_DONE);
	assert_int_equal(tree->writes, 1);
}

static int refuse(struct tree *tree, const char *path, const char *text)
{
	return -EINVAL;
}

static void test_what_the_kernel_keeps_refusing_is_refused(void **state)
{
	struct tree *tree = *state;

	tree_add_patch(tree, "fix", "1", "0");
	tree->on_write = refuse;
	assert_refused(tree, klp_revert(&tree->kernel, "fix"), UPATCH_E_KERNEL_REFUSED);
	assert_int_equal(tree->writes, 2);
}

static int complete_enabling(struct tree *tree, const char *path, const char *text)
{
	tree_write(tree, FIX "/transition", "0");
	return -EINVAL;
}

static void test_force_just_after_it_completed_is_no_failure_of_the_kernel(void **state)
{
	struct tree *tree = *state;

	tree_add_patch(tree, "fix", "1", "1");
	tree->on_write = complete_enabling;
	assert_refused(tree, klp_force(&tree->kernel, "fix"), UPATCH_E_NO_TRANSITION);
	diag_clear(&tree->diag);
	tree_write(tree, FIX "/enabled", "0");
	tree_write(tree, FIX "/transition", "1");
	tree->writes = 0;
	tree->on_write = complete_disabling;
	assert_refused(tree, klp_force(&tree->kernel, "fix"), UPATCH_E_NOT_APPLIED);
}

/* Another patch's transition, which ends when it is met the third time. */
static int foreign_transition(struct tree *tree, const char *path, const char *text)
{
	if (tree->writes > 2)
		tree_write(tree, FIX "/transition", "1");
	return tree->writes > 2 ? 0 : -EBUSY;
}

static void test_only_the_patient_waits_for_another_transition(void **state)
{
	struct tree *tree = *state;

	tree_set_deadline(tree, 10000);
	tree_add_patch(tree, "fix", "1", "0");
	tree->on_write = foreign_transition;
	assert_refused(tree, klp_disable(&tree->kernel, "fix"), UPATCH_E_KERNEL_BUSY);
	assert_int_equal(tree->writes, 1);
	diag_clear(&tree->diag);
	tree->writes = 0;
	tree->kernel.is_patient = true;
	tree_set_deadline(tree, 500);
	assert_int_equal(klp_disable(&tree->kernel, "fix"), KLP_PENDING);
	assert_int_equal(tree->writes, 3);
	/* Until the deadline. */
	diag_clear(&tree->diag);
	tree_add_patch(tree, "fix", "1", "0");
	tree->writes = 0;
	tree_set_deadline(tree, 0);
	assert_refused(tree, klp_disable(&tree->kernel, "fix"), UPATCH_E_KERNEL_BUSY);
}

static int foreign_load(struct tree *tree)
{
	if (tree->loads < 3) {
		tree_add_patch(tree, "foreign", "1", "1");
		return -EBUSY;
	}
	return 0;
}

static int foreign_release(void *userdata, char *ret, size_t size)
{
	struct tree *tree = userdata;

	tree_add_patch(tree, "foreign", "1", "0");
	(void)snprintf(ret, size, "6.1.0-test");
	return 0;
}

static void test_the_patient_loads_after_another_transition(void **state)
{
	struct tree *tree = *state;
	struct kernel_ops ops = *tree->kernel.ops;

	/* It ends by the next time that the kernel is looked at. */
	ops.release = foreign_release;
	tree->kernel.ops = &ops;
	tree->on_load = foreign_load;
	tree_set_deadline(tree, 10000);
	assert_refused(tree, klp_apply(&tree->kernel, &tree->kmod), UPATCH_E_KERNEL_BUSY);
	assert_int_equal(tree->loads, 1);
	diag_clear(&tree->diag);
	tree->kernel.is_patient = true;
	assert_int_equal(klp_apply(&tree->kernel, &tree->kmod), KLP_DONE);
	assert_int_equal(tree->loads, 3);
}

static void test_what_is_enabled_is_enabled_whatever_stands_in_the_way_now(void **state)
{
	struct tree *tree = *state;

	tree_add_patch(tree, "fix", "1", "0");
	tree_write(tree, "proc/sys/kernel/ftrace_enabled", "0");
	assert_refused(tree, klp_check(&tree->kernel, &tree->kmod), UPATCH_E_EXISTS);
}

/* --- which one is it ---------------------------------------------------------------------------- */

static const uint8_t note[] = { 4, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 'G', 'N', 'U', 0, 'a', 'b' };

static void test_another_patch_of_that_name_is_refused(void **state)
{
	struct tree *tree = *state;

	tree_add_patch(tree, "fix", "1", "0");
	tree->kmod.note = note;
	tree->kmod.note_size = sizeof(note);
	/* A kernel that does not tell. */
	assert_refused(tree, klp_check(&tree->kernel, &tree->kmod), UPATCH_E_EXISTS);
	diag_clear(&tree->diag);
	tree_write(tree, "sys/module/fix/notes/.note.gnu.build-id", "another");
	assert_refused(tree, klp_check(&tree->kernel, &tree->kmod), UPATCH_E_BUILD_ID);
	diag_clear(&tree->diag);
	assert_refused(tree, klp_apply(&tree->kernel, &tree->kmod), UPATCH_E_BUILD_ID);
	diag_clear(&tree->diag);
	tree_write_bytes(tree, "sys/module/fix/notes/.note.gnu.build-id", note, sizeof(note));
	assert_refused(tree, klp_check(&tree->kernel, &tree->kmod), UPATCH_E_EXISTS);
	assert_int_equal(tree->loads, 0);
}

static void test_module_that_enables_nothing_is_unloaded(void **state)
{
	struct tree *tree = *state;

	tree->is_empty = 1;
	assert_refused(tree, klp_apply(&tree->kernel, &tree->kmod), UPATCH_E_BAD_MODULE);
	assert_int_equal(tree->loads, 1);
	assert_int_equal(tree->unloads, 1);
}

static void test_name_that_is_taken_is_told_before(void **state)
{
	struct tree *tree = *state;

	tree_write(tree, "sys/module/fix/refcnt", "0");
	tree_write(tree, "sys/module/fix/taint", "OE");
	assert_refused(tree, klp_check(&tree->kernel, &tree->kmod), UPATCH_E_EXISTS);
	diag_clear(&tree->diag);
	tree_write(tree, "sys/module/fix/taint", "OEK");
	assert_int_equal(klp_check(&tree->kernel, &tree->kmod), 0);
	tree_write(tree, "sys/module/fix/refcnt", "1");
	assert_refused(tree, klp_check(&tree->kernel, &tree->kmod), UPATCH_E_KERNEL_IN_USE);
}

/* --- revert and force --------------------------------------------------------------------------- */

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
		tree_test(test_apply_loads_what_went_when_it_was_to_be_turned_around),
		tree_test(test_revert_is_done_when_somebody_else_did_it),
		tree_test(test_what_the_kernel_keeps_refusing_is_refused),
		tree_test(test_force_just_after_it_completed_is_no_failure_of_the_kernel),
		tree_test(test_only_the_patient_waits_for_another_transition),
		tree_test(test_the_patient_loads_after_another_transition),
		tree_test(test_what_is_enabled_is_enabled_whatever_stands_in_the_way_now),
		tree_test(test_another_patch_of_that_name_is_refused),
		tree_test(test_module_that_enables_nothing_is_unloaded),
		tree_test(test_name_that_is_taken_is_told_before),
		tree_test(test_revert_disables_and_waits_for_the_directory_to_vanish),
		tree_test(test_revert_tells_a_module_that_stays),
		tree_test(test_revert_of_what_is_no_livepatch_is_nothing),
		tree_test(test_force_needs_an_open_transition),
		tree_test(test_force_is_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
