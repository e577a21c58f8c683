/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "code.h"

#include <errno.h>

#include "arch/arch.h"
#include "base/array.h"
#include "base/diag.h"

enum {
	ENTRY = 0x401000,
	GATEWAY = 0x501000,
};

/* A function of one piece at ENTRY; its padding is what follows @size in @bytes. */
struct given {
	struct diag diag;
	struct arch_entry entry;
	uint8_t gateway[256];
};

static int setup(void **state)
{
	static struct given given;

	memset(&given, 0, sizeof(given));
	diag_init(&given.diag);
	*state = &given;
	return 0;
}

static int teardown(void **state)
{
	struct given *given = *state;

	diag_deinit(&given->diag);
	return 0;
}

static int plan_padded(struct given *given, const void *bytes, size_t size, size_t padding)
{
	const struct arch_code body = { .addr = ENTRY, .bytes = bytes, .size = size };
	const struct arch_func func = { .pieces = &body, .nr_pieces = 1, .padding = padding };

	return arch_x86_64.entry_plan(&given->diag, &func, &given->entry);
}

#define PLAN(given, bytes) plan_padded((given), (bytes), sizeof(bytes) - 1, 0)

#define assert_refused(given, bytes, id)                                                           \
	do {                                                                                       \
		assert_int_equal(PLAN((given), (bytes)), -EINVAL);                                 \
		assert_string_equal(upatch_reason_name((given)->diag.error.reason),                \
				    upatch_reason_name(UPATCH_E_##id));                            \
		diag_clear(&(given)->diag);                                                        \
	} while (0)

/* The gateway of the function @bytes, written for GATEWAY, is @expected and then traps. */
#define assert_gateway(given, bytes, expected)                                                     \
	do {                                                                                       \
		assert_int_equal(PLAN((given), (bytes)), 0);                                       \
		assert_gateway_is((given), (expected), sizeof(expected) - 1);                      \
	} while (0)

static void assert_gateway_is(struct given *given, const void *expected, size_t size)
{
	assert_int_equal(arch_x86_64.gateway_write(&given->entry, GATEWAY, given->gateway), 0);
	assert_memory_equal(given->gateway, expected, size);
	assert_int_equal(given->entry.gateway_size, size);
	for (size_t i = size; i < arch_x86_64.slot->gateway_room; i++)
		assert_int_equal(given->gateway[i], 0xcc);
}

/* --- planning ------------------------------------------------------------------------------- */

static void test_jump_covers_whole_instructions(void **state)
{
	struct given *given = *state;

	/* push %rbp; mov %rsp,%rbp; sub $16,%rsp; ret */
	assert_int_equal(PLAN(given, "\x55\x48\x89\xe5\x48\x83\xec\x10\xc3"), 0);
	assert_int_equal(given->entry.addr, ENTRY);
	assert_int_equal(given->entry.size, 5);
	assert_int_equal(given->entry.covered, 8);
	assert_int_equal(given->entry.nr_insns, 3);
	assert_int_equal(given->entry.insns[2].old_offset, 4);
	assert_memory_equal(given->entry.old, "\x55\x48\x89\xe5\x48\x83\xec\x10", 8);
}

static void test_jump_goes_behind_endbr64(void **state)
{
	struct given *given = *state;

	assert_int_equal(PLAN(given, "\xf3\x0f\x1e\xfa\xb8\1\0\0\0\xc3"), 0);
	assert_int_equal(given->entry.addr, ENTRY + 4);
	assert_int_equal(given->entry.covered, 5);
	assert_memory_equal(given->entry.old, "\xb8\1\0\0\0", 5);
}

static void test_patchable_nops_take_the_jump(void **state)
{
	struct given *given = *state;

	assert_int_equal(PLAN(given, "\x90\x90\x90\x90\x90\xc3"), 0);
	assert_int_equal(given->entry.covered, 5);
	assert_int_equal(given->entry.nr_insns, 5);
	assert_int_equal(PLAN(given, "\xf3\x0f\x1e\xfa\x0f\x1f\x44\x00\x00\xc3"), 0);
	assert_int_equal(given->entry.covered, 5);
	assert_int_equal(given->entry.nr_insns, 1);
}

static void test_short_function_borrows_nops_and_traps_behind_it(void **state)
{
	struct given *given = *state;

	/* xor %eax,%eax; ret, nopw of 2 bytes */
	assert_int_equal(plan_padded(given, "\x31\xc0\xc3\x66\x90", 3, 2), 0);
	assert_int_equal(given->entry.covered, 5);
	assert_int_equal(given->entry.nr_insns, 2);
	assert_int_equal(plan_padded(given, "\x31\xc0\xc3\xcc\xcc\xcc", 3, 3), 0);
	assert_int_equal(given->entry.covered, 5);
	assert_memory_equal(given->entry.old, "\x31\xc0\xc3\xcc\xcc", 5);
	/* nopw %cs:0(%rax,%rax,1) */
	assert_int_equal(plan_padded(given, "\xc3\x66\x2e\x0f\x1f\x84\0\0\0\0\0", 1, 10), 0);
	assert_int_equal(given->entry.covered, 5);
}

static void test_short_function_is_refused_with_both_sizes(void **state)
{
	struct given *given = *state;

	assert_refused(given, "\x31\xc0\xc3", TOO_SHORT);
	assert_refused(given, "\xf3\x0f\x1e\xfa\xc3", TOO_SHORT);
	assert_refused(given, "", TOO_SHORT);
	assert_int_equal(plan_padded(given, "\x31\xc0\xc3\x90", 3, 1), -EINVAL);
	assert_string_equal(given->diag.error.message,
			    "a jump needs 5 bytes, it has 3 and 1 of padding");
}

static void test_padding_with_code_or_a_cut_nop_is_not_borrowed(void **state)
{
	struct given *given = *state;

	/* push %rbp; an endbr64 belongs to the next function; half of nopl 0(%rax,%rax,1) */
	assert_int_equal(plan_padded(given, "\x31\xc0\xc3\x55\x55", 3, 2), -EINVAL);
	assert_int_equal(plan_padded(given, "\xc3\xf3\x0f\x1e\xfa", 1, 4), -EINVAL);
	assert_int_equal(plan_padded(given, "\x31\xc0\xc3\x0f\x1f\x44\0\0", 3, 4), -EINVAL);
	assert_int_equal(given->diag.error.reason, UPATCH_E_TOO_SHORT);
}

static void test_trap_behind_a_return_is_no_instruction(void **state)
{
	struct given *given = *state;

	/* xor %eax,%eax; ret; int3; int3, as of -mharden-sls=return */
	assert_gateway(given, "\x31\xc0\xc3\xcc\xcc", "\xf3\x0f\x1e\xfa\x31\xc0\xc3");
}

static void test_breakpoint_in_the_entry_is_refused(void **state)
{
	struct given *given = *state;

	assert_refused(given, "\xcc\x48\x89\xe5\x48\x83\xec\x10\xc3", ENTRY_CODE);
}

static void test_instructions_that_cannot_be_moved_are_refused(void **state)
{
	struct given *given = *state;

	assert_refused(given, "\x06\x90\x90\x90\x90\xc3", ENTRY_CODE);	   /* no instruction */
	assert_refused(given, "\xc7\xf8\x10\0\0\0\xc3", ENTRY_CODE);	   /* xbegin */
	assert_refused(given, "\x67\x8b\x05\0\0\0\0\xc3", ENTRY_CODE);	   /* mov 0(%eip),%eax */
	assert_refused(given, "\x66\xe9\0\0\x90\x90\x90\xc3", ENTRY_CODE); /* jmpw */
	assert_refused(given, "\xe8\0\0\0\0\x58\xc3", ENTRY_CODE);	   /* call next; pop %rax */
	assert_refused(given, "\x48\xcb\x90\x90\x90\xc3", ENTRY_CODE);	   /* lretq */
	assert_refused(given, "\x90\xf3\x0f\x1e\xfa\xc3", ENTRY_CODE);	   /* a second endbr64 */
	/* 4 and 15 bytes: nop; nop; nop; nop; data16 nopw */
	assert_refused(given,
		       "\x90\x90\x90\x90\x66\x66\x66\x66\x66\x66\x2e\x0f\x1f\x84\0\0\0\0\0\xc3",
		       ENTRY_CODE);
}

static void test_refusal_leaves_the_entry_alone(void **state)
{
	struct given *given = *state;
	struct arch_entry before;

	memset(&given->entry, 0x5a, sizeof(given->entry));
	before = given->entry;
	assert_refused(given, "\x31\xc0\xc3", TOO_SHORT);
	assert_memory_equal(&given->entry, &before, sizeof(before));
}

/* --- references into the entry ------------------------------------------------------------ */

static void test_branch_into_the_entry_is_refused_with_both_addresses(void **state)
{
	struct given *given = *state;

	/* push %rbp; 1: mov %rsp,%rbp; dec %edi; jne 1b; pop %rbp; ret */
	assert_int_equal(PLAN(given, "\x55\x48\x89\xe5\xff\xcf\x75\xf9\x5d\xc3"), -EINVAL);
	assert_int_equal(given->diag.error.reason, UPATCH_E_BRANCH_IN_ENTRY);
	assert_string_equal(given->diag.error.message,
			    "the instruction at 0x401006 branches to 0x401001, "
			    "which the jump would overwrite");
}

static void test_branch_behind_the_covered_bytes_is_accepted(void **state)
{
	struct given *given = *state;

	/* mov $0,%eax; 1: dec %edi; jne 1b; ret */
	assert_int_equal(PLAN(given, "\xb8\0\0\0\0\xff\xcf\x75\xfc\xc3"), 0);
}

static void test_short_branch_within_the_covered_bytes_is_refused(void **state)
{
	struct given *given = *state;

	/* je 1f; nop; 1: mov %edi,%eax; ret */
	assert_refused(given, "\x74\x01\x90\x89\xf8\xc3", BRANCH_IN_ENTRY);
}

static void test_loop_to_the_entry_is_refused(void **state)
{
	struct given *given = *state;

	/* 1: add %edi,%eax; dec %edi; nop; jne 1b; ret */
	assert_refused(given, "\x01\xf8\xff\xcf\x90\x75\xf9\xc3", BRANCH_IN_ENTRY);
	/* the same behind endbr64, where the loop head is not the symbol */
	assert_refused(given, "\xf3\x0f\x1e\xfa\x01\xf8\xff\xcf\x90\x75\xf9\xc3", BRANCH_IN_ENTRY);
}

static void test_recursion_is_accepted(void **state)
{
	struct given *given = *state;

	/* mov $1,%eax; call f; ret: without and with endbr64 */
	assert_int_equal(PLAN(given, "\xb8\1\0\0\0\xe8\xf6\xff\xff\xff\xc3"), 0);
	assert_int_equal(PLAN(given, "\xf3\x0f\x1e\xfa\xb8\1\0\0\0\xe8\xf2\xff\xff\xff\xc3"), 0);
}

static void test_tail_call_of_an_endbr64_is_accepted(void **state)
{
	struct given *given = *state;

	/* mov $1,%eax; jmp f */
	assert_int_equal(PLAN(given, "\xf3\x0f\x1e\xfa\xb8\1\0\0\0\xe9\xf2\xff\xff\xff"), 0);
}

static void test_call_into_the_middle_of_the_entry_is_refused(void **state)
{
	struct given *given = *state;

	/* push %rbp; mov %rsp,%rbp; nop; call f+1 */
	assert_refused(given, "\x55\x48\x89\xe5\x90\xe8\xf7\xff\xff\xff\xc3", BRANCH_IN_ENTRY);
}

static void test_operand_inside_the_entry_is_refused(void **state)
{
	struct given *given = *state;

	/* push %rbp; mov %rsp,%rbp; nop; lea f+1(%rip),%rax; ret */
	assert_refused(given, "\x55\x48\x89\xe5\x90\x48\x8d\x05\xf5\xff\xff\xff\xc3",
		       BRANCH_IN_ENTRY);
	/* the function's own address is fine: lea f(%rip),%rax */
	assert_int_equal(PLAN(given, "\x55\x48\x89\xe5\x90\x48\x8d\x05\xf4\xff\xff\xff\xc3"), 0);
}

static void test_branch_from_a_cold_piece_is_refused(void **state)
{
	struct given *given = *state;
	/* jmp ENTRY + 1, from 0x402000 */
	const uint8_t cold[] = { 0xe9, 0xfc, 0xef, 0xff, 0xff };
	const struct arch_code pieces[] = {
		{ ENTRY, (const uint8_t *)"\x55\x48\x89\xe5\x90\xc3", 6 },
		{ 0x402000, cold, sizeof(cold) },
	};
	const struct arch_func func = { .pieces = pieces, .nr_pieces = 2 };

	assert_int_equal(arch_x86_64.entry_plan(&given->diag, &func, &given->entry), -EINVAL);
	assert_int_equal(given->diag.error.reason, UPATCH_E_BRANCH_IN_ENTRY);
	assert_non_null(strstr(given->diag.error.message, "0x402000 branches to 0x401001"));
}

static void test_branch_behind_an_unknown_instruction_is_found(void **state)
{
	struct given *given = *state;

	/* mov $0,%eax; an AVX512-FP16 vaddph, which capstone 4 does not know; ret */
	assert_int_equal(PLAN(given, "\xb8\0\0\0\0\x62\xf5\x7c\x48\x58\xc1\xc3"), 0);
	/* push %rbp; mov %rsp,%rbp; nop; vaddph; jmp f+1: however it is decoded */
	assert_refused(given, "\x55\x48\x89\xe5\x90\x62\xf5\x7c\x48\x58\xc1\xeb\xf4",
		       BRANCH_IN_ENTRY);
}

/* --- the jump and the gateway ----------------------------------------------------------------- */

static void test_jump_reaches_two_gib_and_no_further(void **state)
{
	const struct arch_entry entry = { .addr = 0x7f0000000000, .size = 5 };
	uint64_t next = entry.addr + 5;
	uint8_t jump[5];

	assert_int_equal(arch_x86_64.entry_jump(&entry, next + 0x7fffffff, jump), 0);
	assert_memory_equal(jump, "\xe9\xff\xff\xff\x7f", 5);
	assert_int_equal(arch_x86_64.entry_jump(&entry, next - 0x80000000, jump), 0);
	assert_memory_equal(jump, "\xe9\0\0\0\x80", 5);
	assert_int_equal(arch_x86_64.entry_jump(&entry, next + 0x80000000, jump), -ERANGE);
	assert_int_equal(arch_x86_64.entry_jump(&entry, next - 0x80000001, jump), -ERANGE);
	assert_memory_equal(jump, "\xe9\0\0\0\x80", 5);
}

static void test_gateway_copies_plain_instructions_and_goes_on(void **state)
{
	/* mov $1,%eax; at GATEWAY + 9 jmp ENTRY + 5, which is 0x100009 back */
	assert_gateway((struct given *)*state, "\xb8\1\0\0\0\xc3",
		       "\xf3\x0f\x1e\xfa\xb8\1\0\0\0\xe9\xf7\xff\xef\xff");
}

static void test_gateway_ends_with_the_function(void **state)
{
	struct given *given = *state;

	assert_gateway(given, "\xf3\xc3\x0f\x1f\x00", /* rep ret; then nopl (%rax) */
		       "\xf3\x0f\x1e\xfa\xf3\xc3\x0f\x1f\x00\xe9\xf7\xff\xef\xff");
	assert_gateway(given, "\x31\xc0\x90\x90\xc3", "\xf3\x0f\x1e\xfa\x31\xc0\x90\x90\xc3");
	/* jmp *%rax behind 3 bytes */
	assert_gateway(given, "\x48\x89\xf8\xff\xe0", "\xf3\x0f\x1e\xfa\x48\x89\xf8\xff\xe0");
}

static void test_gateway_moves_rip_relative_operands(void **state)
{
	struct given *given = *state;

	/* mov 0x10(%rip),%rax: 0x401017; 7 bytes at GATEWAY + 4 */
	assert_gateway(given, "\x48\x8b\x05\x10\0\0\0\xc3",
		       "\xf3\x0f\x1e\xfa\x48\x8b\x05\x0c\0\xf0\xff\xe9\xf7\xff\xef\xff");
	/* cmpl $7,0x10(%rip): an immediate follows the displacement */
	assert_gateway(given, "\x83\x3d\x10\0\0\0\x07\xc3",
		       "\xf3\x0f\x1e\xfa\x83\x3d\x0c\0\xf0\xff\x07\xe9\xf7\xff\xef\xff");
	/* vbroadcastss 0x10(%rip),%ymm0: 9 bytes */
	assert_gateway(given, "\xc4\xe2\x7d\x18\x05\x10\0\0\0\xc3",
		       "\xf3\x0f\x1e\xfa\xc4\xe2\x7d\x18\x05\x0c\0\xf0\xff\xe9\xf7\xff\xef\xff");
	/* jmp *0x10(%rip), as in a PLT */
	assert_gateway(given, "\xff\x25\x10\0\0\0", "\xf3\x0f\x1e\xfa\xff\x25\x0c\0\xf0\xff");
}

static void test_gateway_widens_short_branches(void **state)
{
	struct given *given = *state;

	/* test %edi,%edi; je +16; nop: to ENTRY + 0x14, from behind GATEWAY + 6 + 6 */
	assert_gateway(given, "\x85\xff\x74\x10\x90\xc3",
		       "\xf3\x0f\x1e\xfa\x85\xff\x0f\x84\x08\0\xf0\xff\x90\xe9\xf3\xff\xef\xff");
	/* with a branch hint, which is dropped */
	assert_gateway(given, "\x85\xff\x3e\x75\x10\xc3",
		       "\xf3\x0f\x1e\xfa\x85\xff\x0f\x85\x09\0\xf0\xff\xe9\xf4\xff\xef\xff");
	/* xor %eax,%eax; nop; jmp +16: to ENTRY + 0x15, and nothing behind */
	assert_gateway(given, "\x31\xc0\x90\xeb\x10",
		       "\xf3\x0f\x1e\xfa\x31\xc0\x90\xe9\x09\0\xf0\xff");
}

static void test_gateway_moves_near_branches(void **state)
{
	struct given *given = *state;

	/* jne, 6 bytes */
	assert_gateway(given, "\x0f\x85\x10\0\0\0\xc3",
		       "\xf3\x0f\x1e\xfa\x0f\x85\x0c\0\xf0\xff\xe9\xf7\xff\xef\xff");
	/* call, jmp */
	assert_gateway(given, "\xe8\x10\0\0\0\xc3",
		       "\xf3\x0f\x1e\xfa\xe8\x0c\0\xf0\xff\xe9\xf7\xff\xef\xff");
	assert_gateway(given, "\xe9\x10\0\0\0", "\xf3\x0f\x1e\xfa\xe9\x0c\0\xf0\xff");
	/* addr32 call, as linkers relax call *x@GOT(%rip) */
	assert_gateway(given, "\x67\xe8\x10\0\0\0\xc3",
		       "\xf3\x0f\x1e\xfa\xe8\x0d\0\xf0\xff\xe9\xf8\xff\xef\xff");
}

static void test_gateway_expands_the_loop_family(void **state)
{
	/* nop; nop; nop; jrcxz +16: to ENTRY + 0x15 */
	assert_gateway((struct given *)*state, "\x90\x90\x90\xe3\x10\xc3",
		       "\xf3\x0f\x1e\xfa\x90\x90\x90\xe3\x02\xeb\x05\xe9\x05\0\xf0\xff"
		       "\xe9\xf0\xff\xef\xff");
}

static void test_largest_gateway_fits_its_room(void **state)
{
	struct given *given = *state;

	/* two loops, and 12 bytes behind the fourth: nothing grows as much */
	assert_int_equal(PLAN(given, "\xe2\x20\xe2\x20\x66\x66\x66\x2e\x0f\x1f\x84\0\0\0\0\0\xc3"),
			 0);
	assert_int_equal(arch_x86_64.gateway_write(&given->entry, GATEWAY, given->gateway), 0);
	assert_int_equal(given->entry.gateway_size, 4 + 9 + 9 + 12 + 5);
	assert_true(given->entry.gateway_size <= arch_x86_64.slot->gateway_room);
}

static void test_gateway_out_of_reach_is_refused(void **state)
{
	struct given *given = *state;

	assert_int_equal(PLAN(given, "\x48\x8b\x05\x10\0\0\0\xc3"), 0);
	assert_int_equal(
		arch_x86_64.gateway_write(&given->entry, ENTRY + 0x7ff00000ull, given->gateway), 0);
	assert_int_equal(arch_x86_64.gateway_write(&given->entry, ENTRY + 0x80001000ull,
						   given->gateway),
			 -ERANGE);
	assert_int_equal(PLAN(given, "\xb8\1\0\0\0\xc3"), 0);
	assert_int_equal(arch_x86_64.gateway_write(&given->entry, ENTRY + 0x80001000ull,
						   given->gateway),
			 -ERANGE);
}

static void test_gateway_refuses_an_inconsistent_entry(void **state)
{
	struct given *given = *state;
	struct arch_entry entry;

	assert_int_equal(PLAN(given, "\xb8\1\0\0\0\xc3"), 0);
	entry = given->entry;
	entry.insns[0].old_offset = 5;
	assert_int_equal(arch_x86_64.gateway_write(&entry, GATEWAY, given->gateway), -EINVAL);
	entry = given->entry;
	entry.covered = ARCH_ENTRY_MAX + 1;
	assert_int_equal(arch_x86_64.gateway_write(&entry, GATEWAY, given->gateway), -EINVAL);
}

static void test_gateway_addresses_map_to_the_original(void **state)
{
	struct given *given = *state;
	const struct arch_entry *entry = &given->entry;

	/* test %edi,%edi; je +16; nop: gateway 0 endbr64, 4 test, 6 je, 12 nop, 13 jmp */
	assert_int_equal(PLAN(given, "\x85\xff\x74\x10\x90\xc3"), 0);
	assert_int_equal(arch_x86_64.gateway_write(&given->entry, GATEWAY, given->gateway), 0);
	assert_int_equal(arch_x86_64.gateway_to_old(entry, 0), ENTRY);
	assert_int_equal(arch_x86_64.gateway_to_old(entry, 4), ENTRY);
	assert_int_equal(arch_x86_64.gateway_to_old(entry, 6), ENTRY + 2);
	assert_int_equal(arch_x86_64.gateway_to_old(entry, 12), ENTRY + 4);
	assert_int_equal(arch_x86_64.gateway_to_old(entry, 13), ENTRY + 5);
}

static void test_addresses_in_an_expanded_loop_map_to_where_it_goes(void **state)
{
	struct given *given = *state;
	const struct arch_entry *entry = &given->entry;

	/* nop; loop +16; nop; nop: gateway 4 nop, 5 loop, 7 jmp 14, 9 jmp away, 14 nop, 15 nop */
	assert_int_equal(PLAN(given, "\x90\xe2\x10\x90\x90\xc3"), 0);
	assert_int_equal(arch_x86_64.gateway_write(&given->entry, GATEWAY, given->gateway), 0);
	assert_int_equal(arch_x86_64.gateway_to_old(entry, 5), ENTRY + 1);
	assert_int_equal(arch_x86_64.gateway_to_old(entry, 7), ENTRY + 3);
	assert_int_equal(arch_x86_64.gateway_to_old(entry, 9), ENTRY + 0x13);
	assert_int_equal(arch_x86_64.gateway_to_old(entry, 14), ENTRY + 3);
	assert_int_equal(arch_x86_64.gateway_to_old(entry, 15), ENTRY + 4);
	assert_int_equal(arch_x86_64.gateway_to_old(entry, 16), ENTRY + 5);
}

/* --- the real thing ------------------------------------------------------------------------- */

enum { GATEWAY_AT = 4096, REPLACEMENT_AT = 8192 };

/* Patch the function at the start of @code: calls get 42, its gateway is at GATEWAY_AT. */
static void patch(struct given *given, uint8_t *code, size_t size)
{
	const struct arch_code body = { .addr = addr_of(code), .bytes = code, .size = size };
	const struct arch_func func = { .pieces = &body, .nr_pieces = 1 };

	assert_int_equal(arch_x86_64.entry_plan(&given->diag, &func, &given->entry), 0);
	assert_int_equal(arch_x86_64.gateway_write(&given->entry, addr_of(code) + GATEWAY_AT,
						   code + GATEWAY_AT),
			 0);
	memcpy(code + REPLACEMENT_AT, "\xb8\x2a\0\0\0\xc3", 6); /* mov $42,%eax; ret */
	assert_int_equal(arch_x86_64.entry_jump(&given->entry, addr_of(code) + REPLACEMENT_AT,
						code + (given->entry.addr - addr_of(code))),
			 0);
}

struct example {
	const char *what;
	const char *bytes;
	size_t size;
	long a, b, result;
};

#define EXAMPLE(what, bytes, a, b, result)                                                         \
	{                                                                                          \
		what, bytes, sizeof(bytes) - 1, a, b, result                                       \
	}

static const struct example examples[] = {
	EXAMPLE("lea (%rdi,%rsi),%rax; nop; ret", "\x48\x8d\x04\x37\x90\xc3", 3, 4, 7),
	EXAMPLE("endbr64, pushes and pops",
		"\xf3\x0f\x1e\xfa\x55\x48\x89\xe5\x89\xf8\x01\xf0\x5d\xc3", 3, 4, 7),
	EXAMPLE("mov 1f(%rip),%rax; ret; 1: .quad 77",
		"\x48\x8b\x05\x01\0\0\0\xc3\x4d\0\0\0\0\0\0\0", 0, 0, 77),
	EXAMPLE("test; je, not taken: 1", "\x85\xff\x74\x06\xb8\1\0\0\0\xc3\xb8\2\0\0\0\xc3", 1, 0,
		1),
	EXAMPLE("test; je, taken: 2", "\x85\xff\x74\x06\xb8\1\0\0\0\xc3\xb8\2\0\0\0\xc3", 0, 0, 2),
	EXAMPLE("call 1f; inc; ret; 1: mov $5", "\xe8\x03\0\0\0\xff\xc0\xc3\xb8\5\0\0\0\xc3", 0, 0,
		6),
	EXAMPLE("mov %edi,%ecx; nop; jrcxz, not taken: 1",
		"\x89\xf9\x90\xe3\x06\xb8\1\0\0\0\xc3\xb8\2\0\0\0\xc3", 1, 0, 1),
	EXAMPLE("mov %edi,%ecx; nop; jrcxz, taken: 2",
		"\x89\xf9\x90\xe3\x06\xb8\1\0\0\0\xc3\xb8\2\0\0\0\xc3", 0, 0, 2),
	EXAMPLE("nop; mov %edi,%ecx; loop, taken: 2",
		"\x90\x89\xf9\xe2\x06\xb8\1\0\0\0\xc3\xb8\2\0\0\0\xc3", 2, 0, 2),
	EXAMPLE("patchable nops", "\x90\x90\x90\x90\x90\x89\xf8\x01\xf0\xc3", 3, 4, 7),
	EXAMPLE("jmp 1f; 1: mov", "\xe9\1\0\0\0\x90\xb8\7\0\0\0\xc3", 0, 0, 7),
};

static void test_gateways_do_what_the_functions_did(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(examples); i++) {
		const struct example *e = &examples[i];
		uint8_t *code = code_new();

		print_message("%s\n", e->what);
		memcpy(code, e->bytes, e->size);
		code_seal(code);
		assert_int_equal(code_call(code, e->a, e->b), e->result);
		code_open(code);
		patch(*state, code, e->size);
		code_seal(code);
		assert_int_equal(code_call(code, e->a, e->b), 42);
		assert_int_equal(code_call(code + GATEWAY_AT, e->a, e->b), e->result);
		code_free(code);
	}
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORY(test_jump_covers_whole_instructions),
		STORY(test_jump_goes_behind_endbr64),
		STORY(test_patchable_nops_take_the_jump),
		STORY(test_short_function_borrows_nops_and_traps_behind_it),
		STORY(test_short_function_is_refused_with_both_sizes),
		STORY(test_padding_with_code_or_a_cut_nop_is_not_borrowed),
		STORY(test_trap_behind_a_return_is_no_instruction),
		STORY(test_breakpoint_in_the_entry_is_refused),
		STORY(test_instructions_that_cannot_be_moved_are_refused),
		STORY(test_refusal_leaves_the_entry_alone),
		STORY(test_branch_into_the_entry_is_refused_with_both_addresses),
		STORY(test_branch_behind_the_covered_bytes_is_accepted),
		STORY(test_short_branch_within_the_covered_bytes_is_refused),
		STORY(test_loop_to_the_entry_is_refused),
		STORY(test_recursion_is_accepted),
		STORY(test_tail_call_of_an_endbr64_is_accepted),
		STORY(test_call_into_the_middle_of_the_entry_is_refused),
		STORY(test_operand_inside_the_entry_is_refused),
		STORY(test_branch_from_a_cold_piece_is_refused),
		STORY(test_branch_behind_an_unknown_instruction_is_found),
		STORY(test_jump_reaches_two_gib_and_no_further),
		STORY(test_gateway_copies_plain_instructions_and_goes_on),
		STORY(test_gateway_ends_with_the_function),
		STORY(test_gateway_moves_rip_relative_operands),
		STORY(test_gateway_widens_short_branches),
		STORY(test_gateway_moves_near_branches),
		STORY(test_gateway_expands_the_loop_family),
		STORY(test_largest_gateway_fits_its_room),
		STORY(test_gateway_out_of_reach_is_refused),
		STORY(test_gateway_refuses_an_inconsistent_entry),
		STORY(test_gateway_addresses_map_to_the_original),
		STORY(test_addresses_in_an_expanded_loop_map_to_where_it_goes),
		STORY(test_gateways_do_what_the_functions_did),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
