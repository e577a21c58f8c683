/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "code.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arch/arch.h"

#define FIND(site, bytes) arch_x86_64.site_find((site), (const uint8_t *)(bytes), sizeof(bytes) - 1)
#define IS_ROOT(bytes) arch_x86_64.is_thread_root((const uint8_t *)(bytes), sizeof(bytes) - 1)

static void test_system_call_before_a_return_is_found(void **state)
{
	assert_int_equal(FIND(ARCH_SITE_SYSCALL_RET, "\x0f\x05\xc3"), 0);
	/* the first is followed by something else, the third is as good as the second */
	assert_int_equal(FIND(ARCH_SITE_SYSCALL_RET, "\x0f\x05\x90\x0f\x05\xc3\x0f\x05\xc3"), 3);
}

static void test_cut_system_call_is_not_found(void **state)
{
	assert_int_equal(FIND(ARCH_SITE_SYSCALL_RET, "\x90\x0f\x05"), -ENOENT);
	assert_int_equal(FIND(ARCH_SITE_SYSCALL_RET, ""), -ENOENT);
}

static void test_sigreturn_is_found_in_both_spellings(void **state)
{
	assert_int_equal(FIND(ARCH_SITE_SIGRETURN, "\x90\x48\xc7\xc0\x0f\0\0\0\x0f\x05"), 1);
	assert_int_equal(FIND(ARCH_SITE_SIGRETURN, "\x90\x90\xb8\x0f\0\0\0\x0f\x05"), 2);
	/* whichever comes first */
	assert_int_equal(FIND(ARCH_SITE_SIGRETURN,
			      "\xb8\x0f\0\0\0\x0f\x05\x48\xc7\xc0\x0f\0\0\0\x0f\x05"),
			 0);
}

static void test_other_system_call_is_no_sigreturn(void **state)
{
	assert_int_equal(FIND(ARCH_SITE_SIGRETURN, "\xb8\x0e\0\0\0\x0f\x05"), -ENOENT);
	assert_int_equal(FIND(ARCH_SITE_SIGRETURN, "\xb8\x0f\0\0\0\x0f"), -ENOENT);
}

static void test_unknown_site_is_refused(void **state)
{
	assert_int_equal(FIND((enum arch_site)77, "\x0f\x05\xc3"), -EINVAL);
}

static void test_code_that_exits_the_thread_is_a_root(void **state)
{
	assert_true(IS_ROOT("\x89\xc7\xb8\x3c\0\0\0\x0f\x05"));
	assert_true(IS_ROOT("\x48\x89\xc7\xb8\x3c\0\0\0\x0f\x05"));   /* glibc 2.36 */
	assert_true(IS_ROOT("\x89\xc7\x31\xc0\xb0\x3c\x0f\x05\xf4")); /* musl 1.2 */
	assert_true(IS_ROOT("\x89\xc7\x6a\x3c\x58\x0f\x05"));
}

static void test_code_that_does_something_else_is_no_root(void **state)
{
	assert_false(IS_ROOT(""));
	assert_false(IS_ROOT("\x89\xc7\xb8\x3c\0\0\0\x0f"));
	assert_false(IS_ROOT("\x89\xc7\xb8\xe7\0\0\0\x0f\x05")); /* exit_group(2) */
	assert_false(IS_ROOT("\x90\x89\xc7\xb8\x3c\0\0\0\x0f\x05"));
}

/* --- this machine's C library --------------------------------------------------------------- */

static int note_caller(void *ret)
{
	*(const uint8_t **)ret = __builtin_return_address(0);
	return 0;
}

static void test_return_address_of_a_cloned_thread_is_a_root(void **state)
{
	static uint8_t stack[65536] __attribute__((aligned(16)));
	const uint8_t *root = NULL;
	int status;
	pid_t pid;

	pid = clone(note_caller, stack + sizeof(stack), CLONE_VM | SIGCHLD, &root);
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_non_null(root);
	assert_true(arch_x86_64.is_thread_root(root, 16));
}

static void note_restorer(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	*(const uint8_t **)info->si_value.sival_ptr = __builtin_return_address(0);
}

static void test_real_signal_restorer_is_a_sigreturn(void **state)
{
	const struct sigaction action = { .sa_sigaction = note_restorer, .sa_flags = SA_SIGINFO };
	static const uint8_t *restorer;
	union sigval value = { .sival_ptr = &restorer };

	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
	assert_int_equal(sigqueue(getpid(), SIGUSR1, value), 0);
	assert_non_null(restorer);
	assert_int_equal(arch_x86_64.site_find(ARCH_SITE_SIGRETURN, restorer, 16), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_system_call_before_a_return_is_found),
		cmocka_unit_test(test_cut_system_call_is_not_found),
		cmocka_unit_test(test_sigreturn_is_found_in_both_spellings),
		cmocka_unit_test(test_other_system_call_is_no_sigreturn),
		cmocka_unit_test(test_unknown_site_is_refused),
		cmocka_unit_test(test_code_that_exits_the_thread_is_a_root),
		cmocka_unit_test(test_code_that_does_something_else_is_no_root),
		cmocka_unit_test(test_return_address_of_a_cloned_thread_is_a_root),
		cmocka_unit_test(test_real_signal_restorer_is_a_sigreturn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
