/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "arch/x86_64/insn.h"
#include "arch/x86_64/x86_64.h"

enum {
	LOOP_HOP_SIZE = 2,  /* jmp rel8 of put_loop() */
	LOOP_JUMP_SIZE = 5, /* jmp rel32 of put_loop() */
};

/* Code that is being written for an address. */
struct assembly {
	uint64_t addr;
	uint8_t *buf;
	size_t size;
	size_t room;
	struct arch_entry *entry; /* is told where distances are */
	int error;
};

static void put(struct assembly *a, const void *bytes, size_t size)
{
	if (size > a->room - a->size) {
		a->error = -ENOSPC;
		return;
	}
	memcpy(a->buf + a->size, bytes, size);
	a->size += size;
}

/* 32 bits at @offset of what comes next depend on where the gateway is. */
static void note_disp(struct assembly *a, size_t offset)
{
	struct arch_entry *entry = a->entry;

	if (entry->nr_disps < sizeof(entry->disps))
		entry->disps[entry->nr_disps++] = (uint8_t)(a->size + offset);
}

/* An opcode and a disp32 that leads to @target from behind it. */
static void put_branch(struct assembly *a, const char *opcode, size_t size, uint64_t target)
{
	int64_t disp = (int64_t)(target - (a->addr + a->size + size + 4));
	int32_t disp32 = (int32_t)disp;

	if (disp != disp32)
		a->error = -ERANGE;
	note_disp(a, size);
	put(a, opcode, size);
	put(a, &disp32, sizeof(disp32));
}

static void put_plain(struct assembly *a, const uint8_t *bytes, const struct insn *insn)
{
	uint8_t copy[INSN_SIZE_MAX];
	int64_t disp;
	int32_t disp32;

	memcpy(copy, bytes, insn->size);
	if (insn->has_rip_operand) {
		disp = (int64_t)(insn->rip_target - (a->addr + a->size + insn->size));
		disp32 = (int32_t)disp;
		if (disp != disp32)
			a->error = -ERANGE;
		memcpy(copy + insn->disp_offset, &disp32, sizeof(disp32));
		note_disp(a, insn->disp_offset);
	}
	put(a, copy, insn->size);
}

static void put_jcc(struct assembly *a, const struct insn *insn)
{
	const char opcode[] = { 0x0f, (char)(0x80 | insn->condition) };

	put_branch(a, opcode, sizeof(opcode), insn->target);
}

/* Only a rel8 form exists: hop over a jump that goes on, to a jump that goes away. */
static void put_loop(struct assembly *a, const uint8_t *bytes, const struct insn *insn)
{
	static const uint8_t hop[] = { LOOP_HOP_SIZE, 0xeb, LOOP_JUMP_SIZE };

	put(a, bytes, insn->size - 1u);
	put(a, hop, sizeof(hop));
	put_branch(a, "\xe9", 1, insn->target);
}

static void put_insn(struct assembly *a, const uint8_t *bytes, const struct insn *insn)
{
	switch (insn->kind) {
	case INSN_JMP:
		put_branch(a, "\xe9", 1, insn->target);
		break;
	case INSN_CALL:
		put_branch(a, "\xe8", 1, insn->target);
		break;
	case INSN_JCC:
		put_jcc(a, insn);
		break;
	case INSN_LOOP:
		put_loop(a, bytes, insn);
		break;
	case INSN_OTHER:
	case INSN_NOP:
	case INSN_END:
		put_plain(a, bytes, insn);
		break;
	case INSN_ENDBR:
	case INSN_UNMOVABLE:
		a->error = -EINVAL;
		break;
	}
}

/* The instruction that starts at @offset of the overwritten bytes, or -EINVAL. */
static int decode_old(struct insn_decoder *decoder, const struct arch_entry *entry, size_t offset,
		      struct insn *ret)
{
	if (entry->covered > sizeof(entry->old) || offset >= entry->covered)
		return -EINVAL;
	return insn_decode(decoder, entry->old + offset, entry->covered - offset,
			   entry->addr + offset, ret);
}

int x86_64_gateway_write(struct arch_entry *entry, uint64_t gateway_addr, uint8_t *buf)
{
	_cleanup_(insn_decoder_freep) struct insn_decoder *decoder = NULL;
	struct assembly a = {
		.addr = gateway_addr,
		.buf = buf,
		.room = X86_64_GATEWAY_ROOM,
		.entry = entry,
	};
	bool goes_on = true;
	struct insn insn;

	if (insn_decoder_new(&decoder) < 0)
		return -ENOMEM;
	entry->nr_disps = 0;
	memset(buf, X86_64_TRAP, a.room);
	put(&a, "\xf3\x0f\x1e\xfa", 4); /* slots jump here indirectly */
	for (int i = 0; i < entry->nr_insns; i++) {
		size_t at = entry->insns[i].old_offset;

		if (decode_old(decoder, entry, at, &insn) < 0)
			return -EINVAL;
		entry->insns[i].new_offset = (uint8_t)a.size;
		put_insn(&a, entry->old + at, &insn);
		goes_on = insn.kind != INSN_END && insn.kind != INSN_JMP;
	}
	if (goes_on)
		put_branch(&a, "\xe9", 1, entry->addr + entry->covered);
	if (a.error)
		return a.error;
	entry->gateway_size = (uint8_t)a.size;
	return 0;
}

/* Where a thread is that is @delta bytes into what put_loop() wrote for that instruction. */
static uint64_t loop_to_old(const struct insn *insn, uint64_t addr, uint64_t delta)
{
	return delta == (uint64_t)insn->size + LOOP_HOP_SIZE ? insn->target : addr + insn->size;
}

uint64_t x86_64_gateway_to_old(const struct arch_entry *entry, uint64_t offset)
{
	_cleanup_(insn_decoder_freep) struct insn_decoder *decoder = NULL;
	const struct arch_insn *last = NULL;
	struct insn insn;
	uint64_t addr;

	for (int i = 0; i < entry->nr_insns && i < ARCH_INSN_MAX; i++)
		if (offset >= entry->insns[i].new_offset)
			last = &entry->insns[i];
	if (!last)
		return entry->addr;
	addr = entry->addr + last->old_offset;
	if (offset == last->new_offset)
		return addr;
	/* Inside of what became of an instruction: the loop family becomes three. */
	if (insn_decoder_new(&decoder) == 0 &&
	    decode_old(decoder, entry, last->old_offset, &insn) == 0 && insn.kind == INSN_LOOP)
		return loop_to_old(&insn, addr, offset - last->new_offset);
	return entry->addr + entry->covered; /* the jump back */
}
