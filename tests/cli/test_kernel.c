/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The kernel as one more target, in a tree that looks like sysfs and proc. */

#define SYSFS "--sysfs-root=sys"
#define PROC "--proc-root=proc"

static void add_directory(struct cli *cli, const char *name)
{
	char path[2 * PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/%s", cli->dir, name);
	assert_int_equal(mkdir(path, 0755), 0);
}

static void add_directories(struct cli *cli, const char *const *names)
{
	for (; *names; names++)
		add_directory(cli, *names);
}

static int setup_tree(void **state)
{
	static const char *const names[] = {
		"sys",	"sys/kernel", "sys/kernel/livepatch", "sys/kernel/livepatch/held",
		"proc", "proc/42",    "proc/42/task",	      "proc/42/task/43",
		NULL,
	};
	struct cli *cli;

	assert_int_equal(cli_setup(state), 0);
	cli = *state;
	add_directories(cli, names);
	cli_write(cli, "sys/kernel/livepatch/held/enabled", "1\n");
	cli_write(cli, "sys/kernel/livepatch/held/transition", "1\n");
	cli_write(cli, "sys/kernel/livepatch/held/force", "-\n");
	cli_write(cli, "proc/42/task/43/patch_state", "0\n");
	cli_write(cli, "proc/42/task/43/comm", "busy\n");
	return 0;
}

static void test_status_names_patches_and_tasks(void **state)
{
	struct cli *cli = *state;

	run(cli, "kernel", "status", SYSFS, PROC, "--json");
	assert_exit(cli, UPATCH_EXIT_DONE);
	assert_keys(cli->json, "verb exit warnings errors kernel");
	assert_string_equal(json_string_at(cli->json, "kernel.patches.0.name"), "held");
	assert_string_equal(json_string_at(cli->json, "kernel.patches.0.state"), "enabling");
	assert_keys(json_at(cli->json, "kernel.patches.0"),
		    "name state nr_blocked refcnt objects blocked");
	assert_string_equal(json_string_at(cli->json, "kernel.patches.0.blocked.0.comm"), "busy");
	run(cli, "kernel", "status", SYSFS, PROC);
	assert_contains(cli->out, "busy");
	run(cli, "kernel", "list", SYSFS, PROC);
	assert_contains(cli->out, "held");
	assert_lacks(cli->out, "busy");
}

static void test_open_transition_is_pending_everywhere(void **state)
{
	struct cli *cli = *state;

	run(cli, "kernel", "revert", "held", SYSFS, PROC, "--no-wait");
	assert_exit(cli, UPATCH_EXIT_PENDING);
	assert_text_reason(cli, "kernel-tasks");
	/* While it is being disabled those are held that are patched. */
	cli_write(cli, "proc/42/task/43/patch_state", "1\n");
	run(cli, "kernel", "revert", "held", SYSFS, PROC, "--no-wait", "--json");
	assert_exit(cli, UPATCH_EXIT_PENDING);
	assert_json_reason(cli, "kernel-tasks");
	assert_keys(json_at(cli->json, "results.0"), "pid comm patch reason state exit");
	assert_string_equal(json_string_at(cli->json, "results.0.pid"), "kernel");
	assert_string_equal(json_string_at(cli->json, "results.0.state"), "pending");
	assert_int_equal(json_object_get_int(json_at(cli->json, "errors.0.tid")), 43);
	run(cli, "kernel", "status", SYSFS, PROC, "--json");
	assert_string_equal(json_string_at(cli->json, "kernel.patches.0.state"), "disabling");
}

static void test_disabled_is_said_where_the_module_stays(void **state)
{
	struct cli *cli = *state;

	/* The patch is gone, and its module pinned. */
	add_directory(cli, "sys/module");
	add_directory(cli, "sys/module/pinned");
	cli_write(cli, "sys/module/pinned/refcnt", "1\n");
	cli_write(cli, "sys/module/pinned/taint", "OEK\n");
	run(cli, "kernel", "revert", "pinned", SYSFS, PROC, "--no-wait", "--json");
	assert_exit(cli, UPATCH_EXIT_PENDING);
	assert_json_reason(cli, "kernel-in-use");
	assert_string_equal(json_string_at(cli->json, "results.0.state"), "disabled");
}

static void test_force_without_a_kernel_side_is_wrong_use(void **state)
{
	struct cli *cli = *state;

	cli_build_patch(cli);
	run(cli, "apply", "-p", "1", "--force", "fix.upatch");
	assert_exit(cli, UPATCH_EXIT_USAGE);
	assert_contains(cli->err, "--force");
	run(cli, "revert", "-p", "1", "--force", "fix");
	assert_exit(cli, UPATCH_EXIT_USAGE);
	run(cli, "revert", "-p", "1", "--force", "--no-kernel", "--file", "fix.upatch");
	assert_exit(cli, UPATCH_EXIT_USAGE);
}

static void test_force_asks_or_is_told(void **state)
{
	struct cli *cli = *state;

	run(cli, "kernel", "force", "held", SYSFS, PROC, "--no-wait");
	assert_exit(cli, UPATCH_EXIT_USAGE);
	assert_text_reason(cli, "usage");
	run(cli, "kernel", "force", "held", SYSFS, PROC, "--no-wait", "--yes");
	assert_exit(cli, UPATCH_EXIT_PENDING);
	cli_write(cli, "sys/kernel/livepatch/held/transition", "0\n");
	run(cli, "kernel", "force", "held", SYSFS, PROC, "--yes", "--json");
	assert_exit(cli, UPATCH_EXIT_NOTHING);
	assert_json_reason(cli, "no-transition");
}

static void test_kernel_without_livepatch_is_refused(void **state)
{
	struct cli *cli = *state;

	run(cli, "kernel", "list", "--sysfs-root=proc", "--json");
	assert_exit(cli, UPATCH_EXIT_REFUSED);
	assert_json_reason(cli, "no-livepatch");
	run(cli, "kernel", "revert", "held", "--sysfs-root=proc");
	assert_exit(cli, UPATCH_EXIT_REFUSED);
	assert_text_reason(cli, "no-livepatch");
}

static void test_what_is_no_module_is_refused(void **state)
{
	struct cli *cli = *state;

	cli_write(cli, "fix.ko", "no module");
	run(cli, "kernel", "apply", "fix.ko", SYSFS, PROC);
	assert_exit(cli, UPATCH_EXIT_REFUSED);
	assert_text_reason(cli, "bad-module");
	cli_build_patch(cli);
	run(cli, "kernel", "apply", "fix.upatch", SYSFS, PROC, "--json");
	assert_exit(cli, UPATCH_EXIT_REFUSED);
	assert_json_reason(cli, "no-module");
}

static void test_module_of_another_kernel_travels_and_is_refused(void **state)
{
	struct cli *cli = *state;
	char *object, *module;

	cli_write_source(cli);
	assert_true(asprintf(&object, "--object=program=%s", getenv("PROGRAM")) > 0);
	assert_true(asprintf(&module, "--kernel-module=%s", getenv("KLP_MODULE")) > 0);
	run(cli, "build", "--source", "fix.c", object, module, "--order", "userspace-first");
	assert_exit(cli, UPATCH_EXIT_DONE);
	run(cli, "inspect", "fix.upatch", "--json");
	assert_string_equal(json_string_at(cli->json, "patch.order"), "userspace-first");
	assert_string_equal(json_string_at(cli->json, "patch.modules.0.name"), "cli_module");
	assert_string_equal(json_string_at(cli->json, "patch.modules.0.release"), "0.0.0-none");
	run(cli, "kernel", "apply", "fix.upatch", SYSFS, PROC, "--json");
	assert_exit(cli, UPATCH_EXIT_REFUSED);
	assert_json_reason(cli, "no-module");
	run(cli, "kernel", "apply", getenv("KLP_MODULE"), SYSFS, PROC, "--json");
	assert_exit(cli, UPATCH_EXIT_REFUSED);
	assert_json_reason(cli, "kernel-release");
	run(cli, "build", "--source", "fix.c", object, module, module, "--json");
	assert_exit(cli, UPATCH_EXIT_USAGE);
	free(object);
	free(module);
}

static void test_wrong_use_is_told(void **state)
{
	struct cli *cli = *state;

	run(cli, "kernel");
	assert_exit(cli, UPATCH_EXIT_USAGE);
	run(cli, "kernel", "frobnicate");
	assert_exit(cli, UPATCH_EXIT_USAGE);
	run(cli, "kernel", "apply");
	assert_exit(cli, UPATCH_EXIT_USAGE);
	run(cli, "kernel", "list", "more");
	assert_exit(cli, UPATCH_EXIT_USAGE);
	assert_text_reason(cli, "usage");
}

#define tree_test(fn) cmocka_unit_test_setup_teardown(fn, setup_tree, cli_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		tree_test(test_status_names_patches_and_tasks),
		tree_test(test_open_transition_is_pending_everywhere),
		tree_test(test_disabled_is_said_where_the_module_stays),
		tree_test(test_force_without_a_kernel_side_is_wrong_use),
		tree_test(test_force_asks_or_is_told),
		tree_test(test_kernel_without_livepatch_is_refused),
		tree_test(test_what_is_no_module_is_refused),
		tree_test(test_module_of_another_kernel_travels_and_is_refused),
		tree_test(test_wrong_use_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
