/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tree.h"

#include "kernel/klp.h"

static void test_patches_of_anybody_are_listed_by_name(void **state)
{
	struct tree *tree = *state;
	struct klp_list list;

	tree_add_patch(tree, "livepatch_foreign", "1", "0");
	tree_add_patch(tree, "fix", "1", "1");
	tree_add_patch(tree, "going", "0", "1");
	tree_write(tree, "sys/kernel/livepatch/fix/ext4/patched", "0");
	assert_int_equal(klp_list(&tree->kernel, &list), 0);
	assert_int_equal(list.nr, 3);
	assert_string_equal(list.patches[0].name, "fix");
	assert_int_equal(list.patches[0].state, KLP_ENABLING);
	assert_int_equal(list.patches[0].nr_objects, 2);
	assert_string_equal(list.patches[0].objects[0].name, "ext4");
	assert_int_equal(list.patches[0].objects[0].patched, 0);
	assert_int_equal(list.patches[0].objects[1].patched, 1);
	assert_int_equal(list.patches[1].state, KLP_DISABLING);
	assert_int_equal(list.patches[2].state, KLP_ENABLED);
	klp_list_deinit(&list);
}

static void test_object_of_an_older_kernel_says_nothing_of_patched(void **state)
{
	struct tree *tree = *state;
	struct klp_list list;

	tree_add_patch(tree, "fix", "1", "0");
	tree_remove(tree, "sys/kernel/livepatch/fix/vmlinux/patched");
	assert_int_equal(klp_list(&tree->kernel, &list), 0);
	assert_int_equal(list.patches[0].objects[0].patched, -1);
	klp_list_deinit(&list);
}

static void test_patch_that_vanishes_meanwhile_is_left_out(void **state)
{
	struct tree *tree = *state;
	struct klp_list list;

	tree_add_patch(tree, "fix", "1", "0");
	tree_add_patch(tree, "gone", "0", "0");
	tree_remove(tree, "sys/kernel/livepatch/gone/enabled");
	assert_int_equal(klp_list(&tree->kernel, &list), 0);
	assert_int_equal(list.nr, 1);
	klp_list_deinit(&list);
}

static void test_kernel_without_livepatch_is_named(void **state)
{
	struct tree *tree = *state;
	struct klp_list list;

	tree_remove(tree, "sys/kernel/livepatch");
	assert_refused(tree, klp_list(&tree->kernel, &list), UPATCH_E_NO_LIVEPATCH);
}

static void test_garbage_in_an_attribute_is_an_error(void **state)
{
	struct tree *tree = *state;
	enum klp_state klp;

	tree_add_patch(tree, "fix", "one", "0");
	assert_refused(tree, klp_state(&tree->kernel, "fix", &klp), UPATCH_E_IO);
}

static void test_name_does_not_lead_out_of_the_directory(void **state)
{
	assert_false(klp_is_name("../livepatch/fix"));
	assert_false(klp_is_name(".."));
	assert_false(klp_is_name(""));
	assert_true(klp_is_name("livepatch_fix"));
}

#define tree_test(fn) cmocka_unit_test_setup_teardown(fn, tree_setup, tree_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		tree_test(test_patches_of_anybody_are_listed_by_name),
		tree_test(test_object_of_an_older_kernel_says_nothing_of_patched),
		tree_test(test_patch_that_vanishes_meanwhile_is_left_out),
		tree_test(test_kernel_without_livepatch_is_named),
		tree_test(test_garbage_in_an_attribute_is_an_error),
		tree_test(test_name_does_not_lead_out_of_the_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
