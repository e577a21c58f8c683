/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/blob.h"
#include "livepatch/filters.h"

/* The system calls in the agent's code, and the table of them that filters are asked about. */

enum {
	MOVE_SIZE = 5, /* mov $NUMBER, %eax */
	CALL_SIZE = 2, /* syscall */
	NUMBERS_MAX = 1024,
};

static bool is_call(const uint8_t *code)
{
	return code[0] == 0x0f && code[1] == 0x05;
}

static void find_numbers(bool ret[NUMBERS_MAX])
{
	uint32_t number;

	memset(ret, 0, NUMBERS_MAX * sizeof(*ret));
	for (size_t i = MOVE_SIZE; i + CALL_SIZE <= agent_blob_head()->text_size; i++) {
		const uint8_t *move = agent_blob + i - MOVE_SIZE;

		if (!is_call(agent_blob + i) || *move != 0xb8)
			continue;
		memcpy(&number, move + 1, sizeof(number));
		assert_true(number < NUMBERS_MAX);
		ret[number] = true;
	}
}

static bool is_listed(uint32_t number)
{
	const struct filters_call *calls;
	size_t nr;

	calls = filters_calls(&nr);
	for (size_t i = 0; i < nr; i++)
		if (calls[i].nr == number)
			return true;
	return false;
}

static void test_what_the_agent_calls_is_in_the_table(void **state)
{
	bool numbers[NUMBERS_MAX];
	size_t nr = 0;

	find_numbers(numbers);
	for (uint32_t i = 0; i < NUMBERS_MAX; i++) {
		if (numbers[i] && !is_listed(i))
			fail_msg("add system call %u to livepatch/filters.c", i);
		nr += numbers[i];
	}
	assert_true(nr > 0);
}

static void test_what_is_in_the_table_the_agent_calls(void **state)
{
	const struct filters_call *calls;
	bool numbers[NUMBERS_MAX];
	size_t nr;

	find_numbers(numbers);
	calls = filters_calls(&nr);
	for (size_t i = 0; i < nr; i++)
		if (!numbers[calls[i].nr])
			fail_msg("take %s out of livepatch/filters.c", calls[i].name);
}

/* Made elsewhere than by CPU/syscall.S, it would not be found above. */
static void test_each_call_says_its_number_just_before(void **state)
{
	for (size_t i = MOVE_SIZE; i + CALL_SIZE <= agent_blob_head()->text_size; i++)
		if (is_call(agent_blob + i) && agent_blob[i - MOVE_SIZE] != 0xb8)
			fail_msg("the bytes at 0x%zx look like a system call of no number", i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_the_agent_calls_is_in_the_table),
		cmocka_unit_test(test_what_is_in_the_table_the_agent_calls),
		cmocka_unit_test(test_each_call_says_its_number_just_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
