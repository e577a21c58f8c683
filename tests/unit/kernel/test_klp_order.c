/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tree.h"

#include <stdio.h>
#include <string.h>

#include "kernel/klp_order.h"

#define KLP "sys/kernel/livepatch/"

static void add(struct tree *tree, const char *name, const char *function)
{
	char path[PATH_MAX];

	tree_add_patch(tree, name, "1", "0");
	(void)snprintf(path, sizeof(path), KLP "%s/vmlinux/%s/.keep", name, function);
	tree_write(tree, path, "");
}

static int check(struct tree *tree)
{
	diag_clear(&tree->diag);
	return klp_check_on_top(&tree->kernel, "fix");
}

static void test_newer_patch_of_the_same_function_is_named(void **state)
{
	struct tree *tree = *state;

	add(tree, "fix", "one,1");
	add(tree, "newer", "one,0");
	tree_write(tree, "proc/modules",
		   "newer 16384 1 - Live 0x0 (OEK)\nfix 16384 1 - Live 0x0 (OEK)");
	assert_refused(tree, check(tree), UPATCH_E_STACK_ORDER);
	assert_non_null(strstr(tree->diag.error.message, "'newer'"));
	/* An older one is below. */
	tree_write(tree, "proc/modules",
		   "fix 16384 1 - Live 0x0 (OEK)\nnewer 16384 1 - Live 0x0 (OEK)");
	assert_int_equal(check(tree), 0);
}

static void test_other_functions_have_an_order_of_their_own(void **state)
{
	struct tree *tree = *state;

	add(tree, "fix", "one,1");
	add(tree, "newer", "one_more,1");
	tree_write(tree, "sys/module/ext4/refcnt", "0");
	tree_write(tree, "proc/modules",
		   "ext4 1 0 - Live 0x0\nnewer 1 1 - Live 0x0\nfix 1 1 - Live 0x0");
	assert_int_equal(check(tree), 0);
}

static void test_unknown_order_is_no_refusal(void **state)
{
	struct tree *tree = *state;

	add(tree, "fix", "one,1");
	add(tree, "newer", "one,1");
	assert_int_equal(check(tree), 0);
}

#define tree_test(fn) cmocka_unit_test_setup_teardown(fn, tree_setup, tree_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		tree_test(test_newer_patch_of_the_same_function_is_named),
		tree_test(test_other_functions_have_an_order_of_their_own),
		tree_test(test_unknown_order_is_no_refusal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
