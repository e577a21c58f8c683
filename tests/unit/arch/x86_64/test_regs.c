/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

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

/* The kernel takes what is there for x87 and SSE registers, and looks for no magic numbers. */
static void test_without_xsave_a_frame_ends_with_the_fxsave_area(void **state)
{
	static uint8_t xstate[512], frame[ARCH_FRAME_MAX];
	const struct arch_frame_state fxsave = { .xstate = xstate, .xstate_size = sizeof(xstate) };
	const uint64_t addr = 0x7fff0000;
	ucontext_t uc;
	uint64_t fp;
	int size;

	for (size_t i = 0; i < sizeof(xstate); i++)
		xstate[i] = (uint8_t)(i * 7);
	size = regs_write_frame(&sample, &fxsave, addr, frame);
	assert_true(size > 0);
	memcpy(&uc, frame, sizeof(uc) < (size_t)size ? sizeof(uc) : (size_t)size);
	memcpy(&fp, &uc.uc_mcontext.fpregs, sizeof(fp));
	assert_int_equal(uc.uc_flags & 1, 0); /* UC_FP_XSTATE */
	assert_int_equal(fp % 64, 0);
	assert_int_equal(fp - addr + sizeof(xstate), size);
	assert_memory_equal(frame + (fp - addr), xstate, 464);
	for (size_t i = 464; i < 512; i++)
		assert_int_equal(frame[fp - addr + i], 0);
}

static void test_extended_state_of_another_size_is_not_understood(void **state)
{
	static uint8_t xstate[576], frame[ARCH_FRAME_MAX];
	const struct arch_frame_state shorter = { .xstate = xstate, .xstate_size = 511 };
	const struct arch_frame_state between = { .xstate = xstate, .xstate_size = 513 };

	assert_int_equal(regs_write_frame(&sample, &shorter, 0x7fff0000, frame), -EINVAL);
	assert_int_equal(regs_write_frame(&sample, &between, 0x7fff0000, frame), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_running_thread_may_use_all_its_registers),
		cmocka_unit_test(test_in_a_system_call_only_preserved_ones_are_live),
		cmocka_unit_test(test_without_xsave_a_frame_ends_with_the_fxsave_area),
		cmocka_unit_test(test_extended_state_of_another_size_is_not_understood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
