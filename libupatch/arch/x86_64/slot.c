/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <upatch/abi.h>

#include "arch/x86_64/x86_64.h"
#include "base/array.h"

/*
 * A slot's text:
 *
 *	  0	stub		jmp *winner(%rip)
 *	 16	dispatcher	endbr64, look the thread up, jmp *old(%rip) or jmp *new(%rip)
 *	176	gateway		endbr64, relocated instructions, jmp back
 *
 * Neither stub nor dispatcher changes any register, flag or vector register: the arguments of
 * the call are in them, and callers that gcc compiled together with the function (-fipa-ra) may
 * keep values even in r10 and r11. Nothing below the stack pointer is in use at a function's
 * entry, so pushing is fine.
 */
const struct arch_slot_layout x86_64_slot_layout = {
	.text_size = 272,
	.stub = 0,
	.dispatcher = 16,
	.gateway = 176,
	.gateway_room = X86_64_GATEWAY_ROOM,
	.data_size = 24,
	.winner = offsetof(struct upatch_slot, winner),
	.old = offsetof(struct upatch_slot, old),
	.new = offsetof(struct upatch_slot, new),
};

/* Labels, and what the last bytes of an instruction refer to. */
enum ref {
	REF_NONE,
	/* places in the code: rel8 */
	TO_DISPATCHER,
	TO_PROBE,
	TO_NO_TP,
	TO_LISTED,
	TO_UNLISTED,
	TO_NEW,
	TO_OLD,
	NR_LABELS,
	/* words of the slot: rel32 */
	WORD_WINNER,
	WORD_OLD,
	WORD_NEW,
	/* the word that tells which table counts: imm64 */
	SWITCH,
	/* instead of this instruction, the one that reads the thread pointer into rax */
	THREAD_POINTER,
};

/* One instruction. */
struct step {
	uint8_t depth; /* bytes pushed when it starts */
	uint8_t label;
	uint8_t ref;
	uint8_t size;
	char code[10];
};

#define STEP(depth_, label_, ref_, code_)                                                          \
	{                                                                                          \
		.depth = (depth_), .label = (label_), .ref = (ref_), .size = sizeof(code_) - 1,    \
		.code = code_                                                                      \
	}

/*
 * The flags are kept as lahf and seto find them, and come back by sahf, and by an addition that
 * overflows if and only if seto found it so; the direction flag is never touched. The offsets
 * from rcx are those of struct upatch_laggards, and the key is keys(%rcx,%rdx,8).
 */
/* clang-format off */
static const struct step steps[] = {
	STEP(0,	 REF_NONE,	WORD_WINNER,	"\xff\x25\0\0\0\0"),	  /* jmp *winner(%rip) */

	STEP(0,	 TO_DISPATCHER,	REF_NONE,	"\xf3\x0f\x1e\xfa"),	  /* endbr64 */
	STEP(0,	 REF_NONE,	REF_NONE,	"\x50"),		  /* push %rax */
	STEP(8,	 REF_NONE,	REF_NONE,	"\x9f"),		  /* lahf */
	STEP(8,	 REF_NONE,	REF_NONE,	"\x0f\x90\xc0"),	  /* seto %al */
	STEP(8,	 REF_NONE,	REF_NONE,	"\x50"),		  /* push %rax */
	STEP(16, REF_NONE,	REF_NONE,	"\x51"),		  /* push %rcx */
	STEP(24, REF_NONE,	REF_NONE,	"\x52"),		  /* push %rdx */
	STEP(32, REF_NONE,	SWITCH,		"\x48\xb9\0\0\0\0\0\0\0\0"), /* movabs */
	STEP(32, REF_NONE,	REF_NONE,	"\x48\x8b\x09"),	  /* mov active(%rcx),%rcx */
	STEP(32, REF_NONE,	REF_NONE,	"\x48\x85\xc9"),	  /* test %rcx,%rcx */
	STEP(32, REF_NONE,	TO_OLD,		"\x74\0"),		  /* je old */
	STEP(32, REF_NONE,	THREAD_POINTER,	""),			  /* mov tp,%rax */
	STEP(32, REF_NONE,	REF_NONE,	"\x48\x85\xc0"),	  /* test %rax,%rax */
	STEP(32, REF_NONE,	TO_NO_TP,	"\x74\0"),		  /* je no_tp */
	/* upatch_laggards_hash() */
	STEP(32, REF_NONE,	REF_NONE,	"\x48\x69\xd0\x6d\x3c\x1b\x2c"), /* imul $,%rax,%rdx */
	STEP(32, REF_NONE,	REF_NONE,	"\x48\xc1\xea\x28"),  /* shr $40,%rdx */
	STEP(32, TO_PROBE,	REF_NONE,	"\x48\x23\x11"),	  /* and mask(%rcx),%rdx */
	STEP(32, REF_NONE,	REF_NONE,	"\x48\x39\x44\xd1\x20"),  /* cmp %rax,the key */
	STEP(32, REF_NONE,	TO_LISTED,	"\x74\0"),		  /* je listed */
	STEP(32, REF_NONE,	REF_NONE,	"\x48\x83\x7c\xd1\x20\0"), /* cmpq $0,the key */
	STEP(32, REF_NONE,	TO_UNLISTED,	"\x74\0"),		  /* je unlisted */
	STEP(32, REF_NONE,	REF_NONE,	"\x48\xff\xc2"),	  /* inc %rdx */
	STEP(32, REF_NONE,	TO_PROBE,	"\xeb\0"),		  /* jmp probe */

	STEP(32, TO_NO_TP,	REF_NONE,	"\x48\x83\x79\x08\0"),	  /* cmpq $0,null_tp */
	STEP(32, REF_NONE,	TO_LISTED,	"\x75\0"),		  /* jne listed */
	STEP(32, TO_UNLISTED,	REF_NONE,	"\x48\x83\x79\x10\0"),	  /* cmpq $0,invert */
	STEP(32, REF_NONE,	TO_OLD,		"\x75\0"),		  /* jne old */

	STEP(32, TO_NEW,	REF_NONE,	"\x5a"),		  /* pop %rdx */
	STEP(24, REF_NONE,	REF_NONE,	"\x59"),		  /* pop %rcx */
	STEP(16, REF_NONE,	REF_NONE,	"\x58"),		  /* pop %rax */
	STEP(8,	 REF_NONE,	REF_NONE,	"\x04\x7f"),		  /* add $127,%al */
	STEP(8,	 REF_NONE,	REF_NONE,	"\x9e"),		  /* sahf */
	STEP(8,	 REF_NONE,	REF_NONE,	"\x58"),		  /* pop %rax */
	STEP(0,	 REF_NONE,	WORD_NEW,	"\xff\x25\0\0\0\0"),	  /* jmp *new(%rip) */

	STEP(32, TO_LISTED,	REF_NONE,	"\x48\x83\x79\x10\0"),	  /* cmpq $0,invert */
	STEP(32, REF_NONE,	TO_NEW,		"\x75\0"),		  /* jne new */
	STEP(32, TO_OLD,	REF_NONE,	"\x5a"),		  /* pop %rdx */
	STEP(24, REF_NONE,	REF_NONE,	"\x59"),		  /* pop %rcx */
	STEP(16, REF_NONE,	REF_NONE,	"\x58"),		  /* pop %rax */
	STEP(8,	 REF_NONE,	REF_NONE,	"\x04\x7f"),		  /* add $127,%al */
	STEP(8,	 REF_NONE,	REF_NONE,	"\x9e"),		  /* sahf */
	STEP(8,	 REF_NONE,	REF_NONE,	"\x58"),		  /* pop %rax */
	STEP(0,	 REF_NONE,	WORD_OLD,	"\xff\x25\0\0\0\0"),	  /* jmp *old(%rip) */
};

static const struct step read_tp_word = STEP(32, REF_NONE, REF_NONE,
					     "\x64\x48\x8b\x04\x25\0\0\0\0"); /* mov %fs:0,%rax */
static const struct step read_tp_register = STEP(32, REF_NONE, REF_NONE,
						 "\xf3\x48\x0f\xae\xc0"); /* rdfsbase %rax */
/* clang-format on */

_Static_assert(UPATCH_LAGGARDS_FACTOR == 0x2c1b3c6d && UPATCH_LAGGARDS_SHIFT == 40, "see steps");
_Static_assert(offsetof(struct upatch_switch, active) == 0, "see steps");
_Static_assert(offsetof(struct upatch_laggards, mask) == 0, "see steps");
_Static_assert(offsetof(struct upatch_laggards, null_tp) == 0x08, "see steps");
_Static_assert(offsetof(struct upatch_laggards, invert) == 0x10, "see steps");
_Static_assert(offsetof(struct upatch_laggards, keys) == 0x20, "see steps");

/* Where each step and each label is. */
struct placement {
	unsigned int steps[ARRAY_SIZE(steps)];
	unsigned int labels[NR_LABELS];
};

static const struct step *step_at(size_t i, enum arch_slot_flags flags)
{
	if (steps[i].ref != THREAD_POINTER)
		return &steps[i];
	return flags & ARCH_SLOT_RAW_TP ? &read_tp_register : &read_tp_word;
}

static void place_steps(enum arch_slot_flags flags, struct placement *ret)
{
	unsigned int at = x86_64_slot_layout.stub;

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		const struct step *step = step_at(i, flags);

		if (step->label == TO_DISPATCHER)
			at = x86_64_slot_layout.dispatcher;
		ret->steps[i] = at;
		ret->labels[step->label] = at;
		at += step->size;
	}
	assert(at <= x86_64_slot_layout.gateway);
}

/* A disp32 that leads from behind it to @to. Return: 0, or -ERANGE. */
static int put_disp32(uint8_t *end, uint64_t end_addr, uint64_t to)
{
	int64_t disp = (int64_t)(to - end_addr);
	int32_t disp32 = (int32_t)disp;

	if (disp != disp32)
		return -ERANGE;
	memcpy(end - sizeof(disp32), &disp32, sizeof(disp32));
	return 0;
}

/*
 * The register can be read whatever it points to, so that a thread without a C library's control
 * block does no harm. Where the kernel does not let programs read it (before Linux 5.9), there is
 * only the word that it points to. Documentation/arch/x86/x86_64/fsgs.rst.
 */
enum arch_slot_flags x86_64_slot_flags(uint64_t hwcap2)
{
	enum { HWCAP2_FSGSBASE = 1 << 1 };

	return hwcap2 & HWCAP2_FSGSBASE ? ARCH_SLOT_RAW_TP : 0;
}

int x86_64_slot_write(uint64_t text_addr, uint64_t data_addr, uint64_t switch_addr,
		      enum arch_slot_flags flags, uint8_t *buf)
{
	const struct arch_slot_layout *layout = &x86_64_slot_layout;
	const uint16_t words[] = {
		[WORD_WINNER] = layout->winner,
		[WORD_OLD] = layout->old,
		[WORD_NEW] = layout->new,
	};
	struct placement placement;
	int r;

	place_steps(flags, &placement);
	memset(buf, X86_64_TRAP, layout->gateway);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		const struct step *step = step_at(i, flags);
		unsigned int end = placement.steps[i] + step->size;

		memcpy(buf + placement.steps[i], step->code, step->size);
		switch (step->ref) {
		case REF_NONE:
			break;
		case WORD_WINNER:
		case WORD_OLD:
		case WORD_NEW:
			r = put_disp32(buf + end, text_addr + end, data_addr + words[step->ref]);
			if (r < 0)
				return r;
			break;
		case SWITCH:
			memcpy(buf + end - sizeof(switch_addr), &switch_addr, sizeof(switch_addr));
			break;
		default: /* a label, all of them within 128 bytes */
			buf[end - 1] = (uint8_t)(placement.labels[step->ref] - end);
			break;
		}
	}
	return 0;
}

int x86_64_slot_depth(enum arch_slot_flags flags, unsigned int offset)
{
	struct placement placement;

	place_steps(flags, &placement);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		if (placement.steps[i] == offset)
			return step_at(i, flags)->depth;
	return -EINVAL;
}

int x86_64_stub_write(uint64_t stub_addr, uint64_t got_addr, uint8_t *buf)
{
	static const uint8_t code[] = {
		0xf3, 0x0f, 0x1e, 0xfa,	      /* endbr64 */
		0xff, 0x25, 0,	  0,	0, 0, /* jmp *got(%rip) */
	};
	uint8_t stub[X86_64_STUB_SIZE];
	int r;

	memset(stub, X86_64_TRAP, sizeof(stub));
	memcpy(stub, code, sizeof(code));
	r = put_disp32(stub + sizeof(code), stub_addr + sizeof(code), got_addr);
	if (r < 0)
		return r;
	memcpy(buf, stub, sizeof(stub));
	return 0;
}

unsigned int x86_64_guard_write(uint8_t *text)
{
	/* test %rdi,%rdi; jz stub */
	static const uint8_t code[] = { 0x48, 0x85, 0xff, 0x0f, 0x84 };
	const unsigned int size = sizeof(code) + sizeof(int32_t);
	const unsigned int offset = x86_64_slot_layout.gateway - size;
	int32_t disp = x86_64_slot_layout.stub - x86_64_slot_layout.gateway;

	memcpy(text + offset, code, sizeof(code));
	memcpy(text + offset + sizeof(code), &disp, sizeof(disp));
	return offset;
}
