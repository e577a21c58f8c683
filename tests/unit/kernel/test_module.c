/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/module.h"

static int check(struct tree *tree)
{
	return module_check(&tree->kernel, &tree->kmod);
}

static void assert_load_refused(struct tree *tree, int error, enum upatch_reason reason)
{
	diag_clear(&tree->diag);
	tree->load_error = error;
	assert_refused(tree, module_load(&tree->kernel, &tree->kmod), reason);
}

static void test_sound_module_may_be_loaded(void **state)
{
	assert_int_equal(check(*state), 0);
}

static void test_module_of_another_kernel_is_refused_unloaded(void **state)
{
	struct tree *tree = *state;

	(void)strcpy(tree->kmod.release, "6.1.0-last");
	assert_refused(tree, check(tree), UPATCH_E_KERNEL_RELEASE);
	assert_non_null(strstr(tree->diag.error.message, "6.1.0-test"));
	assert_int_equal(tree->loads, 0);
}

static void sign(struct kmod *kmod)
{
	static const char mark[] = "~Module signature appended~\n";

	memcpy(kmod->bytes + kmod->size - strlen(mark), mark, strlen(mark));
}

static void test_lockdown_refuses_an_unsigned_module(void **state)
{
	struct tree *tree = *state;

	tree_write(tree, "sys/kernel/security/lockdown", "none [integrity] confidentiality");
	assert_refused(tree, check(tree), UPATCH_E_LOCKDOWN);
	diag_clear(&tree->diag);
	sign(&tree->kmod);
	assert_int_equal(check(tree), 0);
}

static void test_no_lockdown_is_no_reason(void **state)
{
	struct tree *tree = *state;

	tree_write(tree, "sys/kernel/security/lockdown", "[none] integrity confidentiality");
	assert_int_equal(check(tree), 0);
}

static void test_enforced_signatures_refuse_an_unsigned_module(void **state)
{
	struct tree *tree = *state;

	tree_write(tree, "sys/module/module/parameters/sig_enforce", "Y");
	assert_refused(tree, check(tree), UPATCH_E_MODULE_SIGNATURE);
	diag_clear(&tree->diag);
	sign(&tree->kmod);
	assert_int_equal(check(tree), 0);
}

static void test_ftrace_switched_off_is_named(void **state)
{
	struct tree *tree = *state;

	tree_write(tree, "proc/sys/kernel/ftrace_enabled", "0");
	assert_refused(tree, check(tree), UPATCH_E_FTRACE_DISABLED);
	assert_load_refused(tree, -EBUSY, UPATCH_E_FTRACE_DISABLED);
}

static void test_transition_of_another_patch_is_named(void **state)
{
	struct tree *tree = *state;

	tree_add_patch(tree, "other", "0", "1");
	assert_refused(tree, check(tree), UPATCH_E_KERNEL_BUSY);
	assert_non_null(strstr(tree->diag.error.message, "'other'"));
	assert_load_refused(tree, -EBUSY, UPATCH_E_KERNEL_BUSY);
}

static void test_each_refusal_of_the_kernel_has_its_reason(void **state)
{
	struct tree *tree = *state;

	/* Of the right release: something else is wrong with it. */
	assert_load_refused(tree, -ENOEXEC, UPATCH_E_KERNEL_REFUSED);
	assert_load_refused(tree, -EPERM, UPATCH_E_KERNEL_REFUSED);
	assert_non_null(strstr(tree->diag.error.message, "LoadPin"));
	assert_load_refused(tree, -EACCES, UPATCH_E_KERNEL_REFUSED);
	assert_load_refused(tree, -EKEYREJECTED, UPATCH_E_MODULE_SIGNATURE);
	assert_load_refused(tree, -ENOKEY, UPATCH_E_MODULE_SIGNATURE);
	assert_load_refused(tree, -EEXIST, UPATCH_E_EXISTS);
	assert_load_refused(tree, -ENODEV, UPATCH_E_KERNEL_REFUSED);
	assert_load_refused(tree, -EBUSY, UPATCH_E_KERNEL_REFUSED);
	assert_load_refused(tree, -EOPNOTSUPP, UPATCH_E_UNSUPPORTED);
	tree_write(tree, "sys/kernel/security/lockdown", "none integrity [confidentiality]");
	assert_load_refused(tree, -EPERM, UPATCH_E_LOCKDOWN);
	sign(&tree->kmod);
	assert_load_refused(tree, -EPERM, UPATCH_E_KERNEL_REFUSED);
	tree->may_not_load = 1;
	assert_load_refused(tree, -EPERM, UPATCH_E_PERMISSION);
	(void)strcpy(tree->kmod.release, "6.1.0-last");
	assert_load_refused(tree, -ENOEXEC, UPATCH_E_KERNEL_RELEASE);
}

static void test_who_may_not_load_is_told_before(void **state)
{
	struct tree *tree = *state;

	tree->may_not_load = 1;
	assert_refused(tree, check(tree), UPATCH_E_PERMISSION);
	diag_clear(&tree->diag);
	tree_write(tree, "proc/sys/kernel/modules_disabled", "1");
	assert_refused(tree, check(tree), UPATCH_E_KERNEL_REFUSED);
	assert_non_null(strstr(tree->diag.error.message, "modules_disabled"));
	assert_load_refused(tree, -EPERM, UPATCH_E_KERNEL_REFUSED);
	assert_non_null(strstr(tree->diag.error.message, "modules_disabled"));
}

static void test_module_in_use_is_not_unloaded(void **state)
{
	struct tree *tree = *state;

	tree_write(tree, "sys/module/fix/refcnt", "1");
	assert_refused(tree, module_unload(&tree->kernel, "fix"), UPATCH_E_KERNEL_IN_USE);
	assert_int_equal(tree->unloads, 0);
}

static void test_module_that_is_not_there_is_unloaded(void **state)
{
	struct tree *tree = *state;

	assert_int_equal(module_unload(&tree->kernel, "fix"), 0);
	assert_int_equal(tree->unloads, 0);
}

static int somebody_else_unloads(struct tree *tree)
{
	tree_remove(tree, "sys/module/fix");
	return -EBUSY;
}

static void test_module_that_somebody_else_unloads_is_unloaded(void **state)
{
	struct tree *tree = *state;

	tree_write(tree, "sys/module/fix/refcnt", "0");
	tree->on_unload = somebody_else_unloads;
	tree_set_deadline(tree, 10000);
	assert_int_equal(module_unload(&tree->kernel, "fix"), 0);
	assert_int_equal(tree->unloads, 1);
}

#define tree_test(fn) cmocka_unit_test_setup_teardown(fn, tree_setup, tree_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		tree_test(test_sound_module_may_be_loaded),
		tree_test(test_module_of_another_kernel_is_refused_unloaded),
		tree_test(test_lockdown_refuses_an_unsigned_module),
		tree_test(test_no_lockdown_is_no_reason),
		tree_test(test_enforced_signatures_refuse_an_unsigned_module),
		tree_test(test_ftrace_switched_off_is_named),
		tree_test(test_transition_of_another_patch_is_named),
		tree_test(test_each_refusal_of_the_kernel_has_its_reason),
		tree_test(test_who_may_not_load_is_told_before),
		tree_test(test_module_in_use_is_not_unloaded),
		tree_test(test_module_that_is_not_there_is_unloaded),
		tree_test(test_module_that_somebody_else_unloads_is_unloaded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
