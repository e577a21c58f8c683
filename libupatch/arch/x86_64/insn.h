/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef ARCH_X86_64_INSN_H
#define ARCH_X86_64_INSN_H

/* One decoded x86-64 instruction, as much as moving it needs. The only door to capstone. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

enum {
	INSN_SIZE_MAX = 15,
};

enum insn_kind {
	INSN_OTHER,
	INSN_JMP,	/* direct, unconditional */
	INSN_JCC,	/* direct, conditional */
	INSN_CALL,	/* direct */
	INSN_LOOP,	/* loop, loope, loopne, jrcxz, jecxz: rel8 only */
	INSN_END,	/* control does not go on: ret, indirect jmp, ud2, hlt */
	INSN_NOP,	/* of any length, endbr64 not included */
	INSN_ENDBR,	/* endbr64 */
	INSN_UNMOVABLE, /* xbegin, far transfers, int3, unheard-of encodings of the above */
};

/*
 * @condition:   of an INSN_JCC, as in the low nibble of its opcode
 * @target:      of a direct branch of any kind, when @has_target
 * @disp_offset: of the disp32 of a RIP-relative operand, when @has_rip_operand
 * @rip_target:  address of that operand
 */
struct insn {
	enum insn_kind kind;
	uint8_t size;
	uint8_t condition;
	bool has_target;
	uint64_t target;
	bool has_rip_operand;
	uint8_t disp_offset;
	uint64_t rip_target;
};

struct insn_decoder;

/* Return: 0, or -ENOMEM. */
int insn_decoder_new(struct insn_decoder **ret);
void insn_decoder_free(struct insn_decoder *decoder);
DEFINE_CLEANUP(struct insn_decoder *, insn_decoder_free);

/* Return: 0, or -EINVAL when the bytes are no instruction. */
int insn_decode(struct insn_decoder *decoder, const uint8_t *bytes, size_t size, uint64_t addr,
		struct insn *ret);

/* "lea", of the instruction that was decoded last: "" for none. Lives until the next one is. */
const char *insn_mnemonic(const struct insn_decoder *decoder);

#endif
