/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arch/regs.h"

static bool has(const uint64_t *values, size_t nr, uint64_t value)
{
	for (size_t i = 0; i < nr; i++)
		if (values[i] == value)
			return true;
	return false;
}

static const struct arch_regs sample = {
	.user = { .r15 = 15,
		  .r14 = 14,
		  .r13 = 13,
		  .r12 = 12,
		  .rbp = 5,
		  .rbx = 3,
		  .r11 = 11,
		  .r10 = 10,
		  .r9 = 9,
		  .r8 = 8,
		  .rax = 1,
		  .rcx = 2,
		  .rdx = 4,
		  .rsi = 6,
		  .rdi = 7,
		  .rip = 98,
		  .rsp = 99 },
};

static void test_a_running_thread_may_use_all_its_registers(void **state)
{
	struct arch_regs regs = sample;
	uint64_t values[ARCH_GENERAL_REGS];
	size_t nr;

	regs.user.orig_rax = (unsigned long long)-1;
	nr = regs_live(&regs, values);
	assert_int_equal(nr, 15);
	for (uint64_t value = 1; value <= 15; value++)
		assert_true(has(values, nr, value));
}

static void test_in_a_system_call_only_preserved_ones_are_live(void **state)
{
	static const uint64_t preserved[] = { 3, 5, 12, 13, 14, 15 };
	struct arch_regs regs = sample;
	uint64_t values[ARCH_GENERAL_REGS];
	size_t nr;

	regs.user.orig_rax = 202;
	nr = regs_live(&regs, values);
	assert_int_equal(nr, 6);
	for (size_t i = 0; i < 6; i++)
		assert_true(has(values, nr, preserved[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_running_thread_may_use_all_its_registers),
		cmocka_unit_test(test_in_a_system_call_only_preserved_ones_are_live),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
