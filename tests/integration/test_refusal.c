/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sources.h"

/*
 * Every refusal: for its reason, with the victim as it was, alive and correct. What can be known when
 * a patch is built is refused then.
 */

static void assert_alive_and_unchanged(struct fixture *f)
{
	fixture_assert_unchanged(f);
	assert_answer(f, "twin", "twin 101 201");
}

static void assert_build_refused(struct fixture *f, const char *source, enum upatch_reason reason)
{
	assert_null(fixture_build(f, "p", source));
	fixture_assert_reason(f, reason);
}

#define SOURCE_REPLACE(function)                                                                   \
	"static int r(void) { return 1; }\nUPATCH_FUNC(" #function ", r);\n"

/* --- when building --------------------------------------------------------------------------- */

static void test_an_unknown_function_is_refused(void **state)
{
	assert_build_refused(*state, SOURCE_REPLACE(no_such_function), UPATCH_E_NO_FUNCTION);
}

static void test_an_ambiguous_function_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_build_refused(f, SOURCE_REPLACE(twin), UPATCH_E_AMBIGUOUS);
	assert_non_null(strstr(upatch_ctx_error(f->ctx)->message, "2 symbols"));
}

static void test_a_position_beyond_the_last_is_refused(void **state)
{
	assert_build_refused(*state,
			     "static int r(void) { return 1; }\nUPATCH_FUNC_POS(twin, 99, r);\n",
			     UPATCH_E_SYMPOS);
}

static void test_a_function_too_short_is_refused(void **state)
{
	assert_build_refused(*state, SOURCE_REPLACE(asm_short), UPATCH_E_TOO_SHORT);
}

static void test_a_loop_head_at_the_entry_is_refused(void **state)
{
	assert_build_refused(*state, SOURCE_REPLACE(asm_loop), UPATCH_E_BRANCH_IN_ENTRY);
}

static void test_a_branch_into_the_entry_is_refused(void **state)
{
	assert_build_refused(*state, SOURCE_REPLACE(asm_into_entry), UPATCH_E_BRANCH_IN_ENTRY);
}

static void test_a_source_that_does_not_compile_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_build_refused(f, "int x = ;\n", UPATCH_E_COMPILER);
	assert_non_null(upatch_ctx_error(f->ctx)->detail);
	assert_non_null(strstr(upatch_ctx_error(f->ctx)->detail, "error"));
}

static void test_a_source_that_replaces_nothing_is_refused(void **state)
{
	assert_build_refused(*state, "int x;\n", UPATCH_E_NO_FUNCS);
}

static void test_a_thread_local_variable_of_the_patch_is_refused(void **state)
{
	assert_build_refused(*state,
			     "__thread int mine;\n"
			     "static int r(void) { return mine++; }\nUPATCH_FUNC(secret, r);\n",
			     UPATCH_E_TLS_SYMBOL);
}

static void test_a_constructor_of_the_patch_is_refused(void **state)
{
	assert_build_refused(
		*state,
		"int x;\n__attribute__((constructor)) static void c(void) { x++; }\n" SOURCE_SECRET(
			1),
		UPATCH_E_BAD_PATCHFILE);
}

/* --- when applying ---------------------------------------------------------------------------- */

static void test_an_unresolved_symbol_is_refused(void **state)
{
	struct fixture *f = *state;

	fixture_remember(f);
	fixture_apply_refused(f, "p",
			      "int no_such_library_function(void);\n"
			      "static int r(int x) { return no_such_library_function(); }\n"
			      "UPATCH_FUNC(secret, r);\n",
			      1000, UPATCH_E_UNRESOLVED);
	assert_non_null(strstr(upatch_ctx_error(f->ctx)->message, "no_such_library_function"));
	assert_alive_and_unchanged(f);
}

static void test_another_build_of_the_object_is_refused(void **state)
{
	struct fixture *f = *state;
	struct fixture *other = fixture_start("nopie");
	const char *path = fixture_build(other, "p", SOURCE_SECRET(1));
	struct upatch_patch *patch;

	assert_non_null(path);
	assert_int_equal(upatch_patch_open(f->ctx, path, &patch), 0);
	fixture_remember(f);
	assert_true(upatch_target_apply(f->target, patch, NULL, NULL) < 0);
	/* It is called "victim-pie" here: no object of that name is loaded. */
	fixture_assert_reason(f, UPATCH_E_NO_OBJECT);
	assert_alive_and_unchanged(f);
	upatch_patch_close(patch);
	fixture_stop(other);
}

/* Write into the victim as a debugger would. */
static void poke(struct fixture *f, uint64_t addr, uint8_t byte)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)f->pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)addr), 1);
	close(fd);
}

static void test_a_foreign_breakpoint_at_the_entry_is_refused(void **state)
{
	struct fixture *f = *state;
	struct upatch_patch *patch = fixture_patch(f, "p", SOURCE_BLOCK);
	struct upatch_check *check;
	uint64_t addr;

	assert_int_equal(upatch_target_check(f->target, patch, &check), 0);
	addr = check->funcs[0].addr;
	upatch_check_free(check);
	poke(f, addr, 0xcc);
	fixture_remember(f);
	assert_true(upatch_target_apply(f->target, patch, NULL, NULL) < 0);
	fixture_assert_reason(f, UPATCH_E_BYTES_DIFFER);
	assert_string_equal(upatch_ctx_error(f->ctx)->function, "block_here");
	assert_alive_and_unchanged(f);
	upatch_patch_close(patch);
}

static void test_a_patch_that_is_enabled_already_is_refused(void **state)
{
	struct fixture *f = *state;

	fixture_apply(f, "p", SOURCE_SECRET(1));
	fixture_remember(f);
	fixture_apply_refused(f, "p", SOURCE_SECRET(1), 1000, UPATCH_E_EXISTS);
	assert_alive_and_unchanged(f);
	assert_answer(f, "call", "call 9 1 41 5");
}

static void test_reverting_what_is_not_enabled_is_refused(void **state)
{
	struct fixture *f = *state;

	fixture_remember(f);
	assert_true(upatch_target_revert(f->target, "nothing", NULL, NULL) < 0);
	fixture_assert_reason(f, UPATCH_E_NOT_APPLIED);
	assert_alive_and_unchanged(f);
}

static void test_another_build_under_the_same_name_is_refused(void **state)
{
	struct fixture *f = *state;
	struct upatch_patch *patch;
	char exe[4096];
	const char *path;

	/* Made for another flavour, which went by the name of the one that runs. */
	snprintf(exe, sizeof(exe), "%s/victim-cet", getenv("UPATCH_VICTIMS"));
	path = fixture_build_source(f->ctx, &(struct fixture_source){
						    .dir = f->dir,
						    .name = "p",
						    .object = "victim-pie",
						    .object_path = exe,
						    .source = SOURCE_SECRET(1),
					    });
	assert_non_null(path);
	assert_int_equal(upatch_patch_open(f->ctx, path, &patch), 0);
	fixture_remember(f);
	assert_true(upatch_target_apply(f->target, patch, NULL, NULL) < 0);
	fixture_assert_reason(f, UPATCH_E_BUILD_ID);
	assert_string_equal(upatch_ctx_error(f->ctx)->object, "victim-pie");
	assert_alive_and_unchanged(f);
	upatch_patch_close(patch);
}

/* --- targets ---------------------------------------------------------------------------------- */

static void assert_open_refused(struct fixture *f, pid_t pid, enum upatch_reason reason)
{
	struct upatch_target *target = NULL;

	assert_true(upatch_target_open(f->ctx, pid, &target) < 0);
	assert_null(target);
	fixture_assert_reason(f, reason);
	assert_int_equal(upatch_ctx_error(f->ctx)->pid, pid);
}

static void test_a_process_that_does_not_exist_is_refused(void **state)
{
	assert_open_refused(*state, 0x3ffffff, UPATCH_E_NO_PROCESS);
}

static void test_a_kernel_thread_is_refused(void **state)
{
	/* kthreadd is 2 outside of containers. */
	FILE *file = fopen("/proc/2/comm", "r");
	char comm[32] = "";

	if (!file || !fgets(comm, sizeof(comm), file) || strcmp(comm, "kthreadd\n") != 0) {
		print_message("no kernel thread is visible here\n");
		skip();
	}
	fclose(file);
	assert_open_refused(*state, 2, UPATCH_E_KERNEL_THREAD);
}

static void test_a_zombie_is_refused(void **state)
{
	struct fixture *f = *state;
	siginfo_t info;
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	assert_open_refused(f, pid, UPATCH_E_ZOMBIE);
	waitpid(pid, NULL, 0);
}

static void test_a_traced_process_is_refused_and_its_tracer_named(void **state)
{
	struct fixture *f = *state;
	int ready[2];
	char c;
	pid_t tracer;

	assert_int_equal(pipe(ready), 0);
	tracer = fork();
	if (tracer == 0) {
		ptrace(PTRACE_SEIZE, f->pid, 0, 0);
		(void)!write(ready[1], "x", 1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_open_refused(f, f->pid, UPATCH_E_TRACED);
	snprintf(f->exe, sizeof(f->exe), "process %d", (int)tracer);
	assert_non_null(strstr(upatch_ctx_error(f->ctx)->message, f->exe));
	kill(tracer, SIGKILL);
	waitpid(tracer, NULL, 0);
	assert_answer(f, "twin", "twin 101 201");
}

static void test_a_process_that_is_gone_is_refused(void **state)
{
	struct fixture *f = *state;
	struct upatch_status *status;

	kill(f->pid, SIGKILL);
	waitpid(f->pid, NULL, 0);
	assert_true(upatch_target_status(f->target, &status) < 0);
	fixture_assert_reason(f, UPATCH_E_GONE);
	assert_open_refused(f, f->pid, UPATCH_E_NO_PROCESS);
}

static void test_another_users_process_is_refused(void **state)
{
	struct fixture *f = *state;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct upatch_target *target;

		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(3);
		if (upatch_target_open(f->ctx, f->pid, &target) >= 0)
			_exit(1);
		_exit(upatch_ctx_error(f->ctx)->reason == UPATCH_E_PERMISSION ? 0 : 2);
	}
	waitpid(pid, &status, 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_answer(f, "twin", "twin 101 201");
}

/* --- files ------------------------------------------------------------------------------------- */

static void assert_file_refused(struct fixture *f, const char *path, enum upatch_reason reason)
{
	struct upatch_patch *patch = NULL;

	assert_true(upatch_patch_open(f->ctx, path, &patch) < 0);
	assert_null(patch);
	fixture_assert_reason(f, reason);
}

static void test_what_is_no_patch_file_is_refused(void **state)
{
	struct fixture *f = *state;
	char path[256];

	assert_file_refused(f, "/no/such/file", UPATCH_E_IO);
	assert_file_refused(f, f->dir, UPATCH_E_NOT_ELF);
	snprintf(path, sizeof(path), "%s/p.c", f->dir);
	assert_non_null(fixture_build(f, "p", SOURCE_SECRET(1)));
	assert_file_refused(f, path, UPATCH_E_NOT_ELF);
	assert_file_refused(f, f->exe, UPATCH_E_BAD_PATCHFILE);
}

static void test_a_patch_file_cut_off_anywhere_is_refused(void **state)
{
	struct fixture *f = *state;
	const char *path = fixture_build(f, "p", SOURCE_ADD);
	struct stat st;

	assert_non_null(path);
	assert_int_equal(stat(path, &st), 0);
	for (off_t size = st.st_size - 1; size > SELFMAG; size -= 13) {
		assert_int_equal(truncate(path, size), 0);
		assert_file_refused(f, path, UPATCH_E_BAD_PATCHFILE);
	}
}

#define victim_test(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		victim_test(test_an_unknown_function_is_refused),
		victim_test(test_an_ambiguous_function_is_refused),
		victim_test(test_a_position_beyond_the_last_is_refused),
		victim_test(test_a_function_too_short_is_refused),
		victim_test(test_a_loop_head_at_the_entry_is_refused),
		victim_test(test_a_branch_into_the_entry_is_refused),
		victim_test(test_a_source_that_does_not_compile_is_refused),
		victim_test(test_a_source_that_replaces_nothing_is_refused),
		victim_test(test_a_thread_local_variable_of_the_patch_is_refused),
		victim_test(test_a_constructor_of_the_patch_is_refused),
		victim_test(test_an_unresolved_symbol_is_refused),
		victim_test(test_another_build_of_the_object_is_refused),
		victim_test(test_a_foreign_breakpoint_at_the_entry_is_refused),
		victim_test(test_a_patch_that_is_enabled_already_is_refused),
		victim_test(test_reverting_what_is_not_enabled_is_refused),
		victim_test(test_another_build_under_the_same_name_is_refused),
		victim_test(test_a_process_that_does_not_exist_is_refused),
		victim_test(test_a_kernel_thread_is_refused),
		victim_test(test_a_zombie_is_refused),
		victim_test(test_a_traced_process_is_refused_and_its_tracer_named),
		victim_test(test_a_process_that_is_gone_is_refused),
		victim_test(test_another_users_process_is_refused),
		victim_test(test_what_is_no_patch_file_is_refused),
		victim_test(test_a_patch_file_cut_off_anywhere_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
