/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_UNIT_ARCH_X86_64_CODE_H
#define TESTS_UNIT_ARCH_X86_64_CODE_H

/* Machine code that a test writes and then runs in its own process. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

enum { CODE_SIZE = 3 * 4096 };

static inline uint8_t *code_new(void)
{
	uint8_t *code =
		mmap(NULL, CODE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(code, MAP_FAILED);
	memset(code, 0xcc, CODE_SIZE);
	return code;
}

static inline void code_seal(uint8_t *code)
{
	assert_int_equal(mprotect(code, CODE_SIZE, PROT_READ | PROT_EXEC), 0);
}

static inline void code_open(uint8_t *code)
{
	assert_int_equal(mprotect(code, CODE_SIZE, PROT_READ | PROT_WRITE), 0);
}

static inline void code_free(uint8_t *code)
{
	assert_int_equal(munmap(code, CODE_SIZE), 0);
}

static inline uint64_t addr_of(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

/* Call @code as a function. */
static inline long code_call(const uint8_t *code, long a, long b)
{
	return ((long (*)(long, long))(uintptr_t)code)(a, b);
}

#endif
