/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tree.h"

#include <stdio.h>
#include <stdlib.h>

#include "kernel/task.h"

static void add_task(struct tree *tree, const char *task, const char *state)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "proc/%s/patch_state", task);
	tree_write(tree, path, state);
	(void)snprintf(path, sizeof(path), "proc/%s/comm", task);
	tree_write(tree, path, "busy");
}

static void test_threads_that_have_not_switched_are_named(void **state)
{
	struct tree *tree = *state;
	struct task_list list;
	char *text;

	add_task(tree, "20/task/20", "1");
	add_task(tree, "20/task/21", "0");
	add_task(tree, "3/task/3", "0");
	add_task(tree, "4/task/4", "-1");
	assert_int_equal(task_list_blocked(&tree->kernel, 1, &list), 0);
	assert_int_equal(list.nr, 2);
	assert_int_equal(list.tasks[0].pid, 3);
	assert_int_equal(list.tasks[1].pid, 20);
	assert_int_equal(list.tasks[1].tid, 21);
	assert_string_equal(list.tasks[1].comm, "busy");
	text = task_list_format(&list);
	assert_string_equal(text, "pid 3, task 3 (busy) has not switched\n"
				  "pid 20, task 21 (busy) has not switched");
	free(text);
	task_list_deinit(&list);
}

static void test_while_disabling_the_patched_ones_are_named(void **state)
{
	struct tree *tree = *state;
	struct task_list list;

	add_task(tree, "20/task/20", "1");
	add_task(tree, "3/task/3", "0");
	assert_int_equal(task_list_blocked(&tree->kernel, 0, &list), 0);
	assert_int_equal(list.nr, 1);
	assert_int_equal(list.tasks[0].pid, 20);
	task_list_deinit(&list);
}

static void test_task_that_exits_meanwhile_is_left_out(void **state)
{
	struct tree *tree = *state;
	struct task_list list;

	tree_write(tree, "proc/7/task/7/comm", "gone");
	tree_write(tree, "proc/8/comm", "gone");
	assert_int_equal(task_list_blocked(&tree->kernel, 1, &list), 0);
	assert_int_equal(list.nr, 0);
	task_list_deinit(&list);
}

#define tree_test(fn) cmocka_unit_test_setup_teardown(fn, tree_setup, tree_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		tree_test(test_threads_that_have_not_switched_are_named),
		tree_test(test_while_disabling_the_patched_ones_are_named),
		tree_test(test_task_that_exits_meanwhile_is_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
