/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "code.h"

#include <errno.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <upatch/abi.h>

#include "arch/arch.h"
#include "arch/x86_64/insn.h"
#include "base/array.h"

/*
 * The slot runs for real in this process. probe_call() loads every register from probe_in, jumps
 * into the slot, and lands in probe_old, probe_new or probe_gateway, which store every register
 * to probe_out and go back to the caller.
 */
struct probe {
	uint64_t gpr[16]; /* rax rcx rdx rbx rsp rbp rsi rdi r8..r15; rsp is an output */
	uint64_t flags;
	uint64_t landed; /* where */
	uint8_t xmm[16][16];
	uint32_t mxcsr;
	uint32_t is_without_tp; /* run with a thread pointer of 0 */
	uint64_t fs_base;
	uint64_t caller_sp;
	uint64_t caller_flags;
	uint64_t caller_mxcsr;
	uint64_t stack_top; /* what rsp must be at the landing */
};

extern struct probe probe_in, probe_out;
struct probe probe_in __attribute__((visibility("hidden")));
struct probe probe_out __attribute__((visibility("hidden")));

void probe_call(const void *entry);
void probe_old(void);
void probe_new(void);
void probe_gateway(void);

_Static_assert(offsetof(struct probe, flags) == 128, "see asm");
_Static_assert(offsetof(struct probe, landed) == 136, "see asm");
_Static_assert(offsetof(struct probe, xmm) == 144, "see asm");
_Static_assert(offsetof(struct probe, mxcsr) == 400, "see asm");
_Static_assert(offsetof(struct probe, is_without_tp) == 404, "see asm");
_Static_assert(offsetof(struct probe, fs_base) == 408, "see asm");
_Static_assert(offsetof(struct probe, caller_sp) == 416, "see asm");
_Static_assert(offsetof(struct probe, caller_flags) == 424, "see asm");
_Static_assert(offsetof(struct probe, caller_mxcsr) == 432, "see asm");
_Static_assert(offsetof(struct probe, stack_top) == 440, "see asm");

/* clang-format off */
__asm__(
	".text\n"
	".globl probe_call\n"
	"probe_call:\n"
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"	pushfq; popq probe_in+424(%rip)\n"
	"	stmxcsr probe_in+432(%rip)\n"
	"	mov %rsp, probe_in+416(%rip)\n"
	"	cmpl $0, probe_in+404(%rip)\n"
	"	je 1f\n"
	"	rdfsbase %rax; mov %rax, probe_in+408(%rip)\n"
	"	xor %eax, %eax; wrfsbase %rax\n"
	"1:	push %rdi\n"			/* the entry, for the ret below */
	"	mov %rsp, probe_in+440(%rip); addq $8, probe_in+440(%rip)\n"
	"	.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
	"	movups probe_in+144+16*\\n(%rip), %xmm\\n\n"
	"	.endr\n"
	"	ldmxcsr probe_in+400(%rip)\n"
	"	mov probe_in+0(%rip), %rax; mov probe_in+8(%rip), %rcx\n"
	"	mov probe_in+16(%rip), %rdx; mov probe_in+24(%rip), %rbx\n"
	"	mov probe_in+40(%rip), %rbp; mov probe_in+48(%rip), %rsi\n"
	"	mov probe_in+56(%rip), %rdi; mov probe_in+64(%rip), %r8\n"
	"	mov probe_in+72(%rip), %r9; mov probe_in+80(%rip), %r10\n"
	"	mov probe_in+88(%rip), %r11; mov probe_in+96(%rip), %r12\n"
	"	mov probe_in+104(%rip), %r13; mov probe_in+112(%rip), %r14\n"
	"	mov probe_in+120(%rip), %r15\n"
	"	pushq probe_in+128(%rip); popfq\n"
	"	ret\n"
	".macro landing name, id\n"
	"	.globl \\name\n"
	"\\name:\n"
	"	endbr64\n"
	"	movq $\\id, probe_out+136(%rip)\n"
	"	jmp probe_landed\n"
	".endm\n"
	"	landing probe_old, 1\n"
	"	landing probe_new, 2\n"
	"	landing probe_gateway, 3\n"
	"probe_landed:\n"
	"	mov %rsp, probe_out+32(%rip)\n"
	"	pushfq; popq probe_out+128(%rip)\n"
	"	cld\n"
	"	mov %rax, probe_out+0(%rip); mov %rcx, probe_out+8(%rip)\n"
	"	mov %rdx, probe_out+16(%rip); mov %rbx, probe_out+24(%rip)\n"
	"	mov %rbp, probe_out+40(%rip); mov %rsi, probe_out+48(%rip)\n"
	"	mov %rdi, probe_out+56(%rip); mov %r8, probe_out+64(%rip)\n"
	"	mov %r9, probe_out+72(%rip); mov %r10, probe_out+80(%rip)\n"
	"	mov %r11, probe_out+88(%rip); mov %r12, probe_out+96(%rip)\n"
	"	mov %r13, probe_out+104(%rip); mov %r14, probe_out+112(%rip)\n"
	"	mov %r15, probe_out+120(%rip)\n"
	"	.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
	"	movups %xmm\\n, probe_out+144+16*\\n(%rip)\n"
	"	.endr\n"
	"	stmxcsr probe_out+400(%rip)\n"
	"	cmpl $0, probe_in+404(%rip)\n"
	"	je 1f\n"
	"	mov probe_in+408(%rip), %rax; wrfsbase %rax\n"
	"1:	mov probe_in+416(%rip), %rsp\n"
	"	ldmxcsr probe_in+432(%rip)\n"
	"	pushq probe_in+424(%rip); popfq\n"
	"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	ret\n");
/* clang-format on */

enum landing { LANDED_OLD = 1, LANDED_NEW, LANDED_GATEWAY };

enum {
	FLAGS_FIXED = 0x202, /* always set: reserved bit 1, and IF */
	FLAGS_ALL = 0xcd5,   /* CF PF AF ZF SF DF OF */
	BUCKETS = 8,
	DROPPED = 1,
	WORDS_AT = 2 * 4096,
};

static const uint16_t flag_bits[] = { 0x001, 0x004, 0x010, 0x040, 0x080, 0x400, 0x800 };

struct given {
	uint8_t *code; /* slot at 0, its words at WORDS_AT */
	struct upatch_switch word;
	struct upatch_laggards *laggards;
	enum arch_slot_flags flags;
	uint64_t tp;
};

static uint64_t own_tp(void)
{
	uint64_t tp;

	__asm__("mov %%fs:0, %0" : "=r"(tp));
	return tp;
}

static bool has_fsgsbase(void)
{
	return getauxval(AT_HWCAP2) & 2; /* HWCAP2_FSGSBASE of Linux, asm/hwcap2.h */
}

static void point_winner_at(struct given *given, uint64_t addr)
{
	const uint64_t words[] = { addr, addr_of((void *)probe_old), addr_of((void *)probe_new) };
	const struct arch_slot_layout *layout = arch_x86_64.slot;

	code_open(given->code);
	memcpy(given->code + WORDS_AT + layout->winner, &words[0], 8);
	memcpy(given->code + WORDS_AT + layout->old, &words[1], 8);
	memcpy(given->code + WORDS_AT + layout->new, &words[2], 8);
	code_seal(given->code);
}

static void write_slot(struct given *given, enum arch_slot_flags flags)
{
	uint64_t text_addr = addr_of(given->code);

	given->flags = flags;
	code_open(given->code);
	assert_int_equal(arch_x86_64.slot_write(text_addr, text_addr + WORDS_AT,
						addr_of(&given->word), flags, given->code),
			 0);
	code_seal(given->code);
	point_winner_at(given, addr_of(given->code) + arch_x86_64.slot->dispatcher);
}

static int setup(void **state)
{
	static struct upatch_laggards laggards;
	static struct given given;

	given = (struct given){ .code = code_new(), .tp = own_tp() };
	laggards = (struct upatch_laggards){ .mask = BUCKETS - 1 };
	given.laggards = &laggards;
	given.word.active = addr_of(&laggards);
	write_slot(&given, 0);
	*state = &given;
	return 0;
}

static int teardown(void **state)
{
	struct given *given = *state;

	code_free(given->code);
	return 0;
}

/* Bucket number @n that a search for this thread looks into. */
static uint64_t *bucket(struct given *given, unsigned int n)
{
	return &given->laggards->keys[(upatch_laggards_hash(given->tp) + n) % BUCKETS];
}

static void fill_registers(uint16_t flags)
{
	memset(&probe_out, 0xee, sizeof(probe_out));
	for (size_t i = 0; i < ARRAY_SIZE(probe_in.gpr); i++)
		probe_in.gpr[i] = 0xa5a5000000000000 + 0x0101010101 * i;
	for (size_t i = 0; i < sizeof(probe_in.xmm); i++)
		probe_in.xmm[i / 16][i % 16] = (uint8_t)(i * 7);
	probe_in.flags = FLAGS_FIXED | flags;
	probe_in.mxcsr = 0x7fa1; /* round to zero, denormals are zero, all masked, a sticky flag */
}

/* One call: it lands there, and nothing has changed on the way. */
static void assert_call_lands(const struct given *given, enum landing expected, uint16_t flags)
{
	fill_registers(flags);
	probe_call(given->code + arch_x86_64.slot->stub);
	assert_int_equal(probe_out.landed, expected);
	for (size_t i = 0; i < ARRAY_SIZE(probe_in.gpr); i++)
		if (i != 4)
			assert_int_equal(probe_out.gpr[i], probe_in.gpr[i]);
	assert_int_equal(probe_out.gpr[4], probe_in.stack_top);
	assert_int_equal(probe_out.flags & FLAGS_ALL, probe_in.flags & FLAGS_ALL);
	assert_memory_equal(probe_out.xmm, probe_in.xmm, sizeof(probe_in.xmm));
	assert_int_equal(probe_out.mxcsr, probe_in.mxcsr);
}

/* The same, with every combination of flags. */
static void assert_calls_land(const struct given *given, enum landing expected)
{
	for (unsigned int set = 0; set < 1u << ARRAY_SIZE(flag_bits); set++) {
		uint16_t flags = 0;

		for (size_t i = 0; i < ARRAY_SIZE(flag_bits); i++)
			if (set & 1u << i)
				flags |= flag_bits[i];
		assert_call_lands(given, expected, flags);
	}
}

static void test_stub_jumps_to_the_winner(void **state)
{
	struct given *given = *state;

	point_winner_at(given, addr_of((void *)probe_gateway));
	assert_calls_land(given, LANDED_GATEWAY);
}

static void test_everybody_runs_old_until_a_table_counts(void **state)
{
	struct given *given = *state;

	given->word.active = 0;
	assert_calls_land(given, LANDED_OLD);
}

static void test_thread_in_the_table_runs_old(void **state)
{
	struct given *given = *state;

	*bucket(given, 0) = given->tp;
	assert_calls_land(given, LANDED_OLD);
}

static void test_thread_not_in_the_table_runs_new(void **state)
{
	assert_calls_land((struct given *)*state, LANDED_NEW);
}

static void test_other_threads_in_the_table_do_not_matter(void **state)
{
	struct given *given = *state;

	for (unsigned int i = 0; i < BUCKETS - 1; i++)
		*bucket(given, i) = given->tp + 0x1000 * (i + 1);
	assert_calls_land(given, LANDED_NEW);
}

static void test_thread_behind_a_collision_is_found(void **state)
{
	struct given *given = *state;

	/* as far away as can be, which goes around the end of the table for any hash but one */
	for (unsigned int i = 0; i < BUCKETS - 2; i++)
		*bucket(given, i) = given->tp + 0x1000 * (i + 1);
	*bucket(given, BUCKETS - 2) = given->tp;
	assert_calls_land(given, LANDED_OLD);
}

static void test_thread_behind_a_dropped_key_is_found(void **state)
{
	struct given *given = *state;

	*bucket(given, 0) = DROPPED;
	*bucket(given, 1) = given->tp;
	assert_calls_land(given, LANDED_OLD);
}

static void test_dropped_key_is_nobody(void **state)
{
	struct given *given = *state;

	*bucket(given, 0) = DROPPED;
	assert_calls_land(given, LANDED_NEW);
}

static void test_search_ends_at_an_empty_bucket(void **state)
{
	struct given *given = *state;

	*bucket(given, 1) = given->tp;
	assert_calls_land(given, LANDED_NEW);
}

static void test_thread_pointer_comes_from_the_register_if_asked_for(void **state)
{
	struct given *given = *state;

	if (!has_fsgsbase()) {
		print_message("this kernel does not let programs run rdfsbase\n");
		skip();
	}
	write_slot(given, ARCH_SLOT_RAW_TP);
	assert_calls_land(given, LANDED_NEW);
	*bucket(given, 0) = DROPPED;
	*bucket(given, 1) = given->tp;
	assert_calls_land(given, LANDED_OLD);
	given->word.active = 0;
	assert_calls_land(given, LANDED_OLD);
}

static void test_an_inverted_table_lists_those_who_run_new(void **state)
{
	struct given *given = *state;

	given->laggards->invert = 1;
	assert_calls_land(given, LANDED_OLD);
	*bucket(given, 0) = DROPPED;
	assert_calls_land(given, LANDED_OLD);
	*bucket(given, 1) = given->tp;
	assert_calls_land(given, LANDED_NEW);
	given->word.active = 0;
	assert_calls_land(given, LANDED_OLD);
}

static void test_storing_another_table_switches_at_once(void **state)
{
	static struct upatch_laggards other;
	struct given *given = *state;

	other = (struct upatch_laggards){ .mask = BUCKETS - 1, .invert = 1 };
	assert_calls_land(given, LANDED_NEW);
	given->word.active = addr_of(&other);
	assert_calls_land(given, LANDED_OLD);
}

static void test_threads_without_thread_pointer_go_as_one(void **state)
{
	struct given *given = *state;

	if (!has_fsgsbase()) {
		print_message("this kernel does not let programs run rdfsbase\n");
		skip();
	}
	write_slot(given, ARCH_SLOT_RAW_TP);
	probe_in.is_without_tp = 1;
	assert_calls_land(given, LANDED_NEW);
	given->laggards->null_tp = 1;
	assert_calls_land(given, LANDED_OLD);
	given->laggards->invert = 1;
	assert_calls_land(given, LANDED_NEW);
	given->laggards->invert = 0;
	probe_in.is_without_tp = 0;
	/* others are not concerned */
	assert_calls_land(given, LANDED_NEW);
}

static void test_words_out_of_reach_are_refused(void **state)
{
	uint8_t text[272];

	assert_int_equal(arch_x86_64.slot_write(0x10000, 0x7fff0000, 0, 0, text), 0);
	assert_int_equal(arch_x86_64.slot_write(0x10000, 0x80020000, 0, 0, text), -ERANGE);
	assert_int_equal(arch_x86_64.slot_write(0x90000000, 0x10000, 0, 0, text), -ERANGE);
}

static void test_slot_leaves_the_gateway_alone_and_traps_between(void **state)
{
	const struct arch_slot_layout *layout = arch_x86_64.slot;
	uint8_t text[272];

	assert_int_equal(layout->text_size, sizeof(text));
	assert_int_equal(layout->gateway + layout->gateway_room, layout->text_size);
	memset(text, 0x5a, sizeof(text));
	assert_int_equal(arch_x86_64.slot_write(0x10000, 0x20000, 0, 0, text), 0);
	for (size_t i = layout->gateway; i < sizeof(text); i++)
		assert_int_equal(text[i], 0x5a);
	for (size_t i = 6; i < layout->dispatcher; i++)
		assert_int_equal(text[i], 0xcc);
	assert_int_equal(text[layout->gateway - 1], 0xcc);
	assert_memory_equal(text + layout->dispatcher, "\xf3\x0f\x1e\xfa", 4);
}

/* --- depth ------------------------------------------------------------------------------------ */

struct walk {
	struct insn_decoder *decoder;
	const uint8_t *text;
	enum arch_slot_flags flags;
	bool seen[256];
};

/* Follow the code from @at on, where @depth bytes are pushed, along every branch. */
static void walk_code(struct walk *w, unsigned int at, int depth)
{
	struct insn insn;

	assert_true(at < arch_x86_64.slot->gateway);
	while (!w->seen[at]) {
		w->seen[at] = true;
		assert_int_equal(arch_x86_64.slot_depth(w->flags, at), depth);
		assert_int_equal(insn_decode(w->decoder, w->text + at, 256 - at, at, &insn), 0);
		if (strcmp(insn_mnemonic(w->decoder), "push") == 0)
			depth += 8;
		if (strcmp(insn_mnemonic(w->decoder), "pop") == 0)
			depth -= 8;
		if (insn.kind == INSN_JCC)
			walk_code(w, (unsigned int)insn.target, depth);
		if (insn.kind == INSN_END) {
			assert_int_equal(depth, 0);
			return;
		}
		at = insn.kind == INSN_JMP ? (unsigned int)insn.target : at + insn.size;
		assert_true(at < arch_x86_64.slot->gateway);
	}
	assert_int_equal(arch_x86_64.slot_depth(w->flags, at), depth);
}

static void check_depths(enum arch_slot_flags flags)
{
	_cleanup_(insn_decoder_freep) struct insn_decoder *decoder = NULL;
	uint8_t text[272];
	struct walk walk = { .text = text, .flags = flags };

	assert_int_equal(insn_decoder_new(&decoder), 0);
	walk.decoder = decoder;
	assert_int_equal(arch_x86_64.slot_write(0, 4096, 0, flags, text), 0);
	walk_code(&walk, arch_x86_64.slot->stub, 0);
	walk_code(&walk, arch_x86_64.slot->dispatcher, 0);
	for (unsigned int at = 0; at < sizeof(walk.seen); at++)
		if (!walk.seen[at])
			assert_int_equal(arch_x86_64.slot_depth(flags, at), -EINVAL);
}

static void test_depth_is_what_the_pushes_add_up_to(void **state)
{
	check_depths(0);
	check_depths(ARCH_SLOT_RAW_TP);
}

/* --- call stubs ----------------------------------------------------------------------------- */

static void test_call_stub_jumps_through_its_word(void **state)
{
	struct given *given = *state;
	uint64_t to = addr_of((void *)probe_gateway), stub_addr = addr_of(given->code);

	assert_int_equal(arch_x86_64.stub_size, 16);
	code_open(given->code);
	assert_int_equal(arch_x86_64.stub_write(stub_addr, stub_addr + WORDS_AT, given->code), 0);
	memcpy(given->code + WORDS_AT, &to, sizeof(to));
	code_seal(given->code);
	assert_memory_equal(given->code,
			    "\xf3\x0f\x1e\xfa\xff\x25\xf6\x1f\0\0\xcc\xcc\xcc\xcc\xcc\xcc", 16);
	assert_calls_land(given, LANDED_GATEWAY);
}

static void test_call_stub_out_of_reach_is_refused(void **state)
{
	uint8_t stub[16] = { 0 };

	assert_int_equal(arch_x86_64.stub_write(0, 0x80000009, stub), 0);
	assert_int_equal(arch_x86_64.stub_write(0, 0x8000000a, stub), -ERANGE);
	assert_memory_equal(stub + 6, "\xff\xff\xff\x7f", 4);
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORY(test_stub_jumps_to_the_winner),
		STORY(test_everybody_runs_old_until_a_table_counts),
		STORY(test_thread_in_the_table_runs_old),
		STORY(test_thread_not_in_the_table_runs_new),
		STORY(test_other_threads_in_the_table_do_not_matter),
		STORY(test_thread_behind_a_collision_is_found),
		STORY(test_thread_behind_a_dropped_key_is_found),
		STORY(test_dropped_key_is_nobody),
		STORY(test_search_ends_at_an_empty_bucket),
		STORY(test_thread_pointer_comes_from_the_register_if_asked_for),
		STORY(test_an_inverted_table_lists_those_who_run_new),
		STORY(test_storing_another_table_switches_at_once),
		STORY(test_threads_without_thread_pointer_go_as_one),
		STORY(test_words_out_of_reach_are_refused),
		STORY(test_slot_leaves_the_gateway_alone_and_traps_between),
		STORY(test_depth_is_what_the_pushes_add_up_to),
		STORY(test_call_stub_jumps_through_its_word),
		STORY(test_call_stub_out_of_reach_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
