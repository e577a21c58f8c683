/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "arch/x86_64/insn.h"

#include <capstone/capstone.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct insn_decoder {
	csh handle;
	cs_insn *insn;
};

int insn_decoder_new(struct insn_decoder **ret)
{
	_cleanup_(insn_decoder_freep) struct insn_decoder *d = calloc(1, sizeof(*d));

	if (!d || cs_open(CS_ARCH_X86, CS_MODE_64, &d->handle) != CS_ERR_OK)
		return -ENOMEM;
	(void)cs_option(d->handle, CS_OPT_DETAIL, CS_OPT_ON); /* cannot fail */
	d->insn = cs_malloc(d->handle);
	if (!d->insn)
		return -ENOMEM;
	*ret = take_ptr(d);
	return 0;
}

void insn_decoder_free(struct insn_decoder *decoder)
{
	if (!decoder)
		return;
	if (decoder->insn)
		cs_free(decoder->insn, 1);
	if (decoder->handle)
		(void)cs_close(&decoder->handle); /* cannot fail on an open handle */
	free(decoder);
}

const char *insn_mnemonic(const struct insn_decoder *decoder)
{
	return decoder->insn->mnemonic;
}

static enum insn_kind kind_of(csh handle, const cs_insn *insn)
{
	const cs_x86 *x86 = &insn->detail->x86;
	bool is_direct = x86->op_count == 1 && x86->operands[0].type == X86_OP_IMM;

	switch (insn->id) {
	case X86_INS_JMP:
		return is_direct ? INSN_JMP : INSN_END;
	case X86_INS_CALL:
		return is_direct ? INSN_CALL : INSN_OTHER;
	case X86_INS_LOOP:
	case X86_INS_LOOPE:
	case X86_INS_LOOPNE:
	case X86_INS_JRCXZ:
	case X86_INS_JECXZ:
		return INSN_LOOP;
	case X86_INS_RET:
	case X86_INS_UD2:
	case X86_INS_HLT:
		return INSN_END;
	case X86_INS_NOP:
		return INSN_NOP;
	case X86_INS_JCXZ:
	case X86_INS_LCALL:
	case X86_INS_LJMP:
	case X86_INS_RETF:
	case X86_INS_RETFQ:
	case X86_INS_IRET:
	case X86_INS_IRETD:
	case X86_INS_IRETQ:
	case X86_INS_INT3:
	case X86_INS_XBEGIN:
		return INSN_UNMOVABLE;
	default:
		return is_direct && cs_insn_group(handle, insn, X86_GRP_JUMP) ? INSN_JCC
									      : INSN_OTHER;
	}
}

/*
 * Bytes before the opcode that mean nothing to a near branch: the address size (linkers pad with
 * it), branch hints, BND. The address size does have a meaning for the loop family.
 */
static size_t count_prefixes(const uint8_t *bytes, size_t size)
{
	static const uint8_t prefixes[] = { 0x67, 0x2e, 0x3e, 0xf2 };
	size_t n = 0;

	while (n < size && memchr(prefixes, bytes[n], sizeof(prefixes)))
		n++;
	return n;
}

/* Is a direct branch encoded in one of the ways that the gateway can encode anew? */
static bool is_movable_branch(enum insn_kind kind, const uint8_t *opcode, size_t size)
{
	switch (kind) {
	case INSN_JMP:
		return (size == 2 && opcode[0] == 0xeb) || (size == 5 && opcode[0] == 0xe9);
	case INSN_CALL:
		return size == 5 && opcode[0] == 0xe8;
	case INSN_JCC:
		return (size == 2 && (opcode[0] & 0xf0) == 0x70) ||
		       (size == 6 && opcode[0] == 0x0f && (opcode[1] & 0xf0) == 0x80);
	case INSN_LOOP:
		return size == 2 && (opcode[0] & 0xfc) == 0xe0;
	default:
		return false;
	}
}

static int decode_branch(const uint8_t *bytes, const cs_x86 *x86, struct insn *insn)
{
	size_t prefixes = count_prefixes(bytes, insn->size);
	const uint8_t *opcode = bytes + prefixes;
	size_t size = insn->size - prefixes;

	/* CPUs disagree on the length of near branches with an operand size prefix (SDM vol. 2,
	 * "JMP": ignored; APM vol. 3: 16 bits), unless REX.W overrides it. */
	if (x86->prefix[2] == 0x66 && !(x86->rex & 0x08))
		return -EINVAL;
	insn->has_target = true;
	insn->target = (uint64_t)x86->operands[0].imm;
	if (!is_movable_branch(insn->kind, opcode, size))
		insn->kind = INSN_UNMOVABLE;
	else if (insn->kind == INSN_JCC)
		insn->condition = opcode[size == 2 ? 0 : 1] & 0x0f;
	return 0;
}

static void decode_rip_operand(const uint8_t *bytes, uint64_t addr, const cs_x86 *x86,
			       const cs_x86_op *op, struct insn *insn)
{
	size_t at = x86->encoding.disp_offset;
	int32_t disp = 0;

	insn->has_rip_operand = true;
	insn->disp_offset = (uint8_t)at;
	insn->rip_target = addr + insn->size + (uint64_t)op->mem.disp;
	if (at >= 1 && at + sizeof(disp) <= insn->size)
		memcpy(&disp, bytes + at, sizeof(disp));
	/* The field directly behind a ModRM byte of mod 0, r/m 5 is the only form; capstone's
	 * idea of the field's size is wrong for some vector instructions, its offset is checked. */
	if (op->mem.base != X86_REG_RIP || at < 1 || at + sizeof(disp) > insn->size ||
	    (bytes[at - 1] & 0xc7) != 0x05 || disp != op->mem.disp)
		insn->kind = INSN_UNMOVABLE;
}

/* Of any kind, xbegin with its way to the abort handler included. */
static bool is_direct_branch(const struct insn_decoder *decoder, enum insn_kind kind)
{
	const cs_x86 *x86 = &decoder->insn->detail->x86;

	if (x86->op_count != 1 || x86->operands[0].type != X86_OP_IMM)
		return false;
	return kind == INSN_CALL || kind == INSN_LOOP ||
	       cs_insn_group(decoder->handle, decoder->insn, X86_GRP_JUMP);
}

static bool is_endbr(const uint8_t *bytes, size_t size)
{
	static const uint8_t endbr64[] = { 0xf3, 0x0f, 0x1e, 0xfa };

	return size >= sizeof(endbr64) && memcmp(bytes, endbr64, sizeof(endbr64)) == 0;
}

int insn_decode(struct insn_decoder *decoder, const uint8_t *bytes, size_t size, uint64_t addr,
		struct insn *ret)
{
	const uint8_t *code = bytes;
	struct insn insn = {};
	const cs_x86 *x86;
	uint64_t at = addr;

	if (!cs_disasm_iter(decoder->handle, &code, &size, &at, decoder->insn)) {
		decoder->insn->mnemonic[0] = '\0';
		return -EINVAL;
	}
	x86 = &decoder->insn->detail->x86;
	insn.size = (uint8_t)decoder->insn->size;
	/* Older versions of capstone take endbr64 for a nop. */
	insn.kind = is_endbr(bytes, insn.size) ? INSN_ENDBR
					       : kind_of(decoder->handle, decoder->insn);
	if (is_direct_branch(decoder, insn.kind) && decode_branch(bytes, x86, &insn) < 0)
		return -EINVAL;
	for (int i = 0; i < x86->op_count; i++) {
		const cs_x86_op *op = &x86->operands[i];

		if (op->type == X86_OP_MEM &&
		    (op->mem.base == X86_REG_RIP || op->mem.base == X86_REG_EIP))
			decode_rip_operand(bytes, addr, x86, op, &insn);
	}
	*ret = insn;
	return 0;
}
