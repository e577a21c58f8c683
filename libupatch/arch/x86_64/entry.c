/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "arch/x86_64/insn.h"
#include "arch/x86_64/x86_64.h"
#include "base/diag.h"

/* A jump of 5 bytes destroys at most 5 instructions. */
_Static_assert((int)ARCH_INSN_MAX >= (int)X86_64_JUMP_SIZE, "room for an instruction per byte");
_Static_assert((int)ARCH_ENTRY_MAX >= (int)X86_64_JUMP_SIZE, "room for a jump");

/* What the planning of one entry goes on. */
struct planning {
	struct diag *diag;
	struct insn_decoder *decoder;
	const struct arch_func *func;
	struct arch_entry entry;
};

static int raise_insn(const struct planning *p, uint64_t addr, const char *what)
{
	return diag_err(p->diag, -EINVAL, UPATCH_E_ENTRY_CODE, NULL, "the instruction at 0x%llx %s",
			(unsigned long long)addr, what);
}

/* Bytes behind the body that may be overwritten, because nothing runs there. */
static size_t count_padding(const struct planning *p)
{
	const struct arch_code *body = &p->func->pieces[0];
	const uint8_t *bytes = body->bytes + body->size;
	size_t at = 0, size = p->func->padding;
	struct insn insn;

	while (at < size && at < X86_64_JUMP_SIZE) {
		if (bytes[at] == X86_64_TRAP) {
			at++;
			continue;
		}
		if (insn_decode(p->decoder, bytes + at, size - at, body->addr + body->size + at,
				&insn) < 0 ||
		    insn.kind != INSN_NOP)
			break;
		at += insn.size;
	}
	return at;
}

/* Decode one instruction that the jump destroys, and note it unless it is never reached. */
static int cover_insn(struct planning *p, size_t skip, size_t at, struct insn *insn)
{
	const struct arch_code *body = &p->func->pieces[0];
	uint64_t addr = body->addr + at;
	/* -mharden-sls puts a trap behind each ret and each indirect jump. */
	bool is_unreachable = body->bytes[at] == X86_64_TRAP && insn->size &&
			      (insn->kind == INSN_END || insn->kind == INSN_JMP);

	if (is_unreachable) {
		insn->size = 1;
		return 0;
	}
	if (insn_decode(p->decoder, body->bytes + at, body->size - at, addr, insn) < 0)
		return raise_insn(p, addr, "cannot be decoded");
	if (insn->kind == INSN_UNMOVABLE || insn->kind == INSN_ENDBR)
		return raise_insn(p, addr, "cannot be moved");
	if (insn->kind == INSN_CALL && insn->target == addr + insn->size)
		return raise_insn(p, addr, "takes its own address from the stack");
	p->entry.insns[p->entry.nr_insns++].old_offset = (uint8_t)(at - skip);
	return 0;
}

/* Whole instructions from the patched address on, with padding behind a short function. */
static int cover(struct planning *p)
{
	const struct arch_code *body = &p->func->pieces[0];
	size_t skip = p->entry.addr - body->addr, size = 0, available, padding;
	struct insn insn = {};
	int r;

	for (; skip + size < body->size && size < X86_64_JUMP_SIZE; size += insn.size) {
		r = cover_insn(p, skip, skip + size, &insn);
		if (r < 0)
			return r;
	}
	if (size < X86_64_JUMP_SIZE) {
		padding = size ? count_padding(p) : 0;
		available = size + padding;
		if (available < X86_64_JUMP_SIZE)
			return diag_err(p->diag, -EINVAL, UPATCH_E_TOO_SHORT, NULL,
					"a jump needs %d bytes, it has %zu and %zu of padding",
					X86_64_JUMP_SIZE, size, padding);
		size = X86_64_JUMP_SIZE;
	}
	if (size > ARCH_ENTRY_MAX)
		return raise_insn(p, p->entry.addr, "and those behind it are too long");
	p->entry.covered = (uint8_t)size;
	p->entry.size = X86_64_JUMP_SIZE;
	memcpy(p->entry.old, body->bytes + skip, size);
	return 0;
}

static bool is_covered(const struct arch_entry *entry, uint64_t addr)
{
	return addr >= entry->addr && addr - entry->addr < entry->covered;
}

/* May this instruction refer to that address? See arch_ops.entry_plan. */
static int check_insn(const struct planning *p, uint64_t addr, const struct insn *insn)
{
	const struct arch_entry *entry = &p->entry;

	if (insn->has_rip_operand && insn->rip_target != entry->addr &&
	    is_covered(entry, insn->rip_target))
		return diag_err(p->diag, -EINVAL, UPATCH_E_BRANCH_IN_ENTRY, NULL,
				"the instruction at 0x%llx refers to 0x%llx, "
				"which the jump would overwrite",
				(unsigned long long)addr, (unsigned long long)insn->rip_target);
	if (!insn->has_target || !is_covered(entry, insn->target))
		return 0;
	if (insn->kind == INSN_CALL && insn->target == entry->addr)
		return 0;
	return diag_err(p->diag, -EINVAL, UPATCH_E_BRANCH_IN_ENTRY, NULL,
			"the instruction at 0x%llx branches to 0x%llx, "
			"which the jump would overwrite",
			(unsigned long long)addr, (unsigned long long)insn->target);
}

/*
 * Bytes that cannot be decoded are instructions too new for the decoder, or data. Where the next
 * instruction starts is not known from there on, so each byte is taken for the start of one: that
 * finds every branch there is, and now and then one that is none.
 */
static int check_piece(const struct planning *p, const struct arch_code *piece)
{
	bool is_in_step = true;
	struct insn insn;
	int r;

	for (size_t at = 0; at < piece->size; at += is_in_step ? insn.size : 1) {
		if (insn_decode(p->decoder, piece->bytes + at, piece->size - at, piece->addr + at,
				&insn) < 0) {
			is_in_step = false;
			continue;
		}
		r = check_insn(p, piece->addr + at, &insn);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_gateway(struct planning *p)
{
	uint8_t gateway[X86_64_GATEWAY_ROOM];
	int r;

	/* Close by, so that what is in reach of the one is in reach of the other. */
	r = x86_64_gateway_write(&p->entry, p->entry.addr, gateway);
	if (r == -ENOMEM)
		return diag_oom(p->diag);
	if (r < 0)
		return raise_insn(p, p->entry.addr, "and those behind it cannot be moved");
	return 0;
}

int x86_64_entry_plan(struct diag *d, const struct arch_func *func, struct arch_entry *ret)
{
	_cleanup_(insn_decoder_freep) struct insn_decoder *decoder = NULL;
	const struct arch_code *body = &func->pieces[0];
	struct planning p = { .diag = d, .func = func, .entry = { .addr = body->addr } };
	struct insn insn;
	int r;

	if (insn_decoder_new(&decoder) < 0)
		return diag_oom(d);
	p.decoder = decoder;
	if (insn_decode(decoder, body->bytes, body->size, body->addr, &insn) == 0 &&
	    insn.kind == INSN_ENDBR)
		p.entry.addr += insn.size;
	r = cover(&p);
	for (size_t i = 0; i < func->nr_pieces && r >= 0; i++)
		r = check_piece(&p, &func->pieces[i]);
	if (r >= 0)
		r = check_gateway(&p);
	if (r < 0)
		return r;
	*ret = p.entry;
	return 0;
}

int x86_64_entry_jump(const struct arch_entry *entry, uint64_t to, uint8_t *buf)
{
	int64_t disp = (int64_t)(to - (entry->addr + X86_64_JUMP_SIZE));
	int32_t disp32 = (int32_t)disp;

	if (disp != disp32)
		return -ERANGE;
	buf[0] = 0xe9;
	memcpy(buf + 1, &disp32, sizeof(disp32));
	return 0;
}

int x86_64_find_branches(uint64_t addr, const uint8_t *bytes, size_t size,
			 int (*fn)(uint64_t to, void *userdata), void *userdata)
{
	_cleanup_(insn_decoder_freep) struct insn_decoder *decoder = NULL;
	struct insn insn;
	int r = 0;

	if (insn_decoder_new(&decoder) < 0)
		return -ENOMEM;
	for (size_t at = 0; at < size && r == 0; at += insn.size) {
		if (insn_decode(decoder, bytes + at, size - at, addr + at, &insn) < 0) {
			insn.size = 1;
			continue;
		}
		if ((insn.kind == INSN_JMP || insn.kind == INSN_JCC) &&
		    (insn.target < addr || insn.target - addr >= size))
			r = fn(insn.target, userdata);
	}
	return r;
}
