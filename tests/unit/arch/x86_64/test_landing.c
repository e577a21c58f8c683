/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "code.h"

#include <sys/syscall.h>

#include "arch/arch.h"
#include "arch/regs.h"

static void test_landing_stores_the_result_and_calls_sigreturn_again_and_again(void **state)
{
	static const uint8_t expected[] = {
		0x48, 0x89, 0x44, 0x24, 0xf0, /* mov %rax,-16(%rsp) */
		0xb8, 0x0f, 0x00, 0x00, 0x00, /* mov $15,%eax */
		0x0f, 0x05,		      /* syscall */
		0xeb, 0xf7,		      /* jmp to the second instruction */
	};
	const struct arch_landing *landing = arch_x86_64.landing;

	assert_int_equal(landing->size, sizeof(expected));
	assert_memory_equal(landing->bytes, expected, sizeof(expected));
	assert_int_equal(landing->result, -16);
	/* behind the system call */
	assert_int_equal(landing->stop, 12);
}

static void test_skipped_system_call_has_no_number(void **state)
{
	struct arch_regs regs = { .user = { .orig_rax = SYS_rt_sigreturn, .rip = 0x1000 } };

	regs_skip_syscall(&regs);
	assert_true((long)regs.user.orig_rax < 0);
	assert_int_equal(regs_pc(&regs), 0x1000);
}

static void test_sleeping_forgets_how_to_restart(void **state)
{
	struct arch_regs regs = { .user = { .orig_rax = SYS_nanosleep } };

	assert_true(regs_forgets_restart(&regs));
	regs.user.orig_rax = SYS_clock_nanosleep;
	assert_true(regs_forgets_restart(&regs));
	regs.user.orig_rax = SYS_read;
	assert_false(regs_forgets_restart(&regs));
}

static void test_only_a_forgotten_restart_begins_afresh(void **state)
{
	struct arch_regs regs = { .user = { .orig_rax = SYS_poll, .rax = -516ull } };

	regs_restart_afresh(&regs);
	assert_int_equal((long)regs.user.rax, -513); /* ERESTARTNOINTR */
	regs.user.rax = -512ull;
	regs_restart_afresh(&regs);
	assert_int_equal((long)regs.user.rax, -512);
	regs.user.rax = 516;
	regs_restart_afresh(&regs);
	assert_int_equal((long)regs.user.rax, 516);
}

static void test_thread_in_an_interrupted_system_call_is_waiting(void **state)
{
	struct arch_regs regs = { .user = { .orig_rax = SYS_read, .rax = -512ull } };

	assert_true(regs_is_waiting(&regs));
	regs.user.orig_rax = SYS_epoll_wait;
	regs.user.rax = -4ull; /* EINTR */
	assert_true(regs_is_waiting(&regs));
	assert_int_equal((long)regs.user.rax, -4);
	regs.user.rax = 0;
	assert_false(regs_is_waiting(&regs));
	regs.user.orig_rax = -1ull;
	assert_false(regs_is_waiting(&regs));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_landing_stores_the_result_and_calls_sigreturn_again_and_again),
		cmocka_unit_test(test_skipped_system_call_has_no_number),
		cmocka_unit_test(test_sleeping_forgets_how_to_restart),
		cmocka_unit_test(test_only_a_forgotten_restart_begins_afresh),
		cmocka_unit_test(test_thread_in_an_interrupted_system_call_is_waiting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
