/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <upatch/abi_agent.h>

#include "arch/x86_64/x86_64.h"
#include "base/array.h"

/*
 * System V psABI for x86-64, table "Relocation Types": what each needs, the width of its field, and
 * how the field is extended.
 */
enum width { WIDTH_NONE, WIDTH_8, WIDTH_8S, WIDTH_16, WIDTH_16S, WIDTH_32, WIDTH_32S, WIDTH_64 };

struct reloc_type {
	const char *name;
	uint8_t need;
	uint8_t width;
};

#define TYPE(t, n, w) [R_X86_64_##t] = { "R_X86_64_" #t, RELOC_NEED_##n, WIDTH_##w }

static const struct reloc_type types[] = {
	TYPE(NONE, NOTHING, NONE),
	TYPE(64, VALUE, 64),
	TYPE(PC32, VALUE, 32S),
	TYPE(GOT32, GOT, 32S),
	TYPE(PLT32, CALL, 32S),
	TYPE(GOTPCREL, GOT, 32S),
	TYPE(32, VALUE, 32),
	TYPE(32S, VALUE, 32S),
	TYPE(16, VALUE, 16),
	TYPE(PC16, VALUE, 16S),
	TYPE(8, VALUE, 8),
	TYPE(PC8, VALUE, 8S),
	TYPE(DTPOFF64, DTPOFF, 64),
	TYPE(TPOFF64, TPOFF, 64),
	TYPE(TLSGD, GOT_TLS_PAIR, 32S),
	TYPE(TLSLD, GOT_TLS_MODULE, 32S),
	TYPE(DTPOFF32, DTPOFF, 32S),
	TYPE(GOTTPOFF, GOT_TPOFF, 32S),
	TYPE(TPOFF32, TPOFF, 32S),
	TYPE(PC64, VALUE, 64),
	TYPE(GOTOFF64, VALUE, 64),
	TYPE(GOTPC32, NOTHING, 32S),
	TYPE(GOT64, GOT, 64),
	TYPE(GOTPCREL64, GOT, 64),
	TYPE(GOTPC64, NOTHING, 64),
	TYPE(PLTOFF64, CALL, 64),
	TYPE(SIZE32, SIZE, 32),
	TYPE(SIZE64, SIZE, 64),
	TYPE(GOTPC32_TLSDESC, TLSDESC, 32S),
	TYPE(TLSDESC_CALL, TLSDESC, NONE),
	TYPE(GOTPCRELX, GOT, 32S),
	TYPE(REX_GOTPCRELX, GOT, 32S),
};

static const struct reloc_type *find_type(uint32_t type)
{
	return type < ARRAY_SIZE(types) && types[type].name ? &types[type] : NULL;
}

int x86_64_reloc_need(uint32_t type)
{
	const struct reloc_type *t = find_type(type);

	return t ? t->need : -EINVAL;
}

int x86_64_reloc_fixup(uint32_t type)
{
	switch (type) {
	case R_X86_64_64:
		return UPATCH_FIXUP_64;
	case R_X86_64_32:
		return UPATCH_FIXUP_32;
	case R_X86_64_32S:
		return UPATCH_FIXUP_32S;
	case R_X86_64_PC32:
	case R_X86_64_PLT32:
		return UPATCH_FIXUP_PC32;
	case R_X86_64_PC64:
		return UPATCH_FIXUP_PC64;
	case R_X86_64_TPOFF32:
		return UPATCH_FIXUP_TP_OFFSET32;
	case R_X86_64_TPOFF64:
		return UPATCH_FIXUP_TP_OFFSET;
	case R_X86_64_DTPOFF32:
		return UPATCH_FIXUP_TLS_OFFSET32;
	case R_X86_64_DTPOFF64:
		return UPATCH_FIXUP_TLS_OFFSET;
	default:
		return -EINVAL;
	}
}

const char *x86_64_reloc_name(uint32_t type)
{
	const struct reloc_type *t = find_type(type);

	return t ? t->name : NULL;
}

/* A field of a section, and the code around it. */
struct field {
	uint8_t *section;
	size_t size;
	size_t offset;
};

static bool is_reachable(int64_t value)
{
	return value == (int32_t)value;
}

static size_t width_bytes(enum width width)
{
	switch (width) {
	case WIDTH_8:
	case WIDTH_8S:
		return 1;
	case WIDTH_16:
	case WIDTH_16S:
		return 2;
	case WIDTH_32:
	case WIDTH_32S:
		return 4;
	case WIDTH_64:
		return 8;
	default:
		return 0;
	}
}

static bool does_fit(enum width width, uint64_t value)
{
	int64_t v = (int64_t)value;

	switch (width) {
	case WIDTH_8: /* of either sign, and so is 16 */
		return v >= INT8_MIN && v <= UINT8_MAX;
	case WIDTH_8S:
		return v >= INT8_MIN && v <= INT8_MAX;
	case WIDTH_16:
		return v >= INT16_MIN && v <= UINT16_MAX;
	case WIDTH_16S:
		return v >= INT16_MIN && v <= INT16_MAX;
	case WIDTH_32:
		return value <= UINT32_MAX;
	case WIDTH_32S:
		return is_reachable(v);
	default:
		return true;
	}
}

static int store(const struct field *f, enum width width, uint64_t value)
{
	size_t bytes = width_bytes(width);

	if (f->offset > f->size || bytes > f->size - f->offset)
		return -EINVAL;
	if (!does_fit(width, value))
		return -ERANGE;
	memcpy(f->section + f->offset, &value, bytes);
	return 0;
}

/* @size bytes that start @back before the field, or NULL when they are not in the section. */
static uint8_t *around(const struct field *f, size_t back, size_t size)
{
	if (f->offset < back || f->offset > f->size || size > f->size - (f->offset - back))
		return NULL;
	return f->section + f->offset - back;
}

/*
 * May a prefix precede the opcode of that call or jump? The padded call of __tls_get_addr has some
 * (data16 rex.W call), which mean something else in front of addr32, and so do notrack and bnd. The
 * last byte of the instruction before may look like one: then a word is read for nothing.
 */
static bool is_prefixed(const struct field *f)
{
	const uint8_t *before = around(f, 3, 3);

	if (!before)
		return false;
	return (*before & 0xf0) == 0x40 || *before == 0x66 || *before == 0x3e || *before == 0xf2;
}

/*
 * psABI "Optimize GOTPCRELX Relocations": a load of a symbol's address becomes the address itself,
 * an indirect call or jump a direct one. Whatever else refers to the word goes on doing so.
 */
static bool relax_got(const struct arch_reloc *r, const struct field *f)
{
	int64_t disp = (int64_t)(r->value + (uint64_t)r->addend - r->place);
	uint8_t *insn = around(f, 2, 6);
	int32_t disp32 = (int32_t)disp;

	/* The jump ends a byte earlier than what it replaces, and needs a byte more of reach. */
	if (!insn || r->addend != -4 || !is_reachable(disp) || !is_reachable(disp + 1))
		return false;
	if (insn[0] == 0x8b && (insn[1] & 0xc7) == 0x05) {
		insn[0] = 0x8d; /* mov x@got(%rip),%reg: lea x(%rip),%reg */
	} else if (insn[0] == 0xff && insn[1] == 0x15 && !is_prefixed(f)) {
		insn[0] = 0x67; /* call *x@got(%rip): addr32 call x */
		insn[1] = 0xe8;
	} else if (insn[0] == 0xff && insn[1] == 0x25 && !is_prefixed(f)) {
		insn[0] = 0xe9; /* jmp *x@got(%rip): jmp x; nop */
		insn[5] = 0x90;
		disp32++;
		memcpy(insn + 1, &disp32, sizeof(disp32));
		return true;
	} else {
		return false;
	}
	memcpy(insn + 2, &disp32, sizeof(disp32));
	return true;
}

static int apply_got_relaxed(const struct arch_reloc *r, const struct field *f)
{
	if (!around(f, 2, 6))
		return -EINVAL;
	if (relax_got(r, f))
		return 0;
	return store(f, WIDTH_32S, r->got + (uint64_t)r->addend - r->place);
}

static int apply_tlsdesc(const struct arch_reloc *r, const struct field *f)
{
	uint8_t *insn;

	if (r->type == R_X86_64_TLSDESC_CALL) {
		/* call *x@tlscall(%rax): nothing is left to do, xchg %ax,%ax */
		insn = around(f, 0, 2);
		if (!insn || insn[0] != 0xff || insn[1] != 0x10)
			return -EINVAL;
		insn[0] = 0x66;
		insn[1] = 0x90;
		return 0;
	}
	/* lea x@tlsdesc(%rip),%reg: mov x@gottpoff(%rip),%reg */
	insn = around(f, 3, 7);
	if (!insn || (insn[0] & 0xfb) != 0x48 || insn[1] != 0x8d || (insn[2] & 0xc7) != 0x05)
		return -EINVAL;
	if (store(f, WIDTH_32S, r->got + (uint64_t)r->addend - r->place) < 0)
		return -ERANGE;
	insn[1] = 0x8b;
	return 0;
}

/* The value of a field that is computed without looking at the code around it. */
static uint64_t plain_value(const struct arch_reloc *r)
{
	uint64_t addend = (uint64_t)r->addend;

	switch (r->type) {
	case R_X86_64_64:
	case R_X86_64_32:
	case R_X86_64_32S:
	case R_X86_64_16:
	case R_X86_64_8:
		return r->value + addend;
	case R_X86_64_PC64:
	case R_X86_64_PC32:
	case R_X86_64_PC16:
	case R_X86_64_PC8:
		return r->value + addend - r->place;
	case R_X86_64_GOTOFF64:
		return r->value + addend - r->got_base;
	case R_X86_64_GOTPC32:
	case R_X86_64_GOTPC64:
		return r->got_base + addend - r->place;
	case R_X86_64_GOT32:
	case R_X86_64_GOT64:
		return r->got + addend - r->got_base;
	case R_X86_64_PLTOFF64:
		/* The value may not be known: what is, is the stub. */
		return (r->stub ? r->stub : r->value) + addend - r->got_base;
	case R_X86_64_TPOFF32:
	case R_X86_64_TPOFF64:
		return (uint64_t)r->tpoff + addend;
	case R_X86_64_DTPOFF32:
	case R_X86_64_DTPOFF64:
		return (uint64_t)r->dtpoff + addend;
	case R_X86_64_SIZE32:
	case R_X86_64_SIZE64:
		return r->size + addend;
	default:
		/* GOTPCREL, GOTPCREL64, TLSGD, TLSLD, GOTTPOFF: a word of the GOT. */
		return r->got + addend - r->place;
	}
}

static int apply_call(const struct arch_reloc *r, const struct field *f)
{
	int64_t disp = (int64_t)(r->value + (uint64_t)r->addend - r->place);

	if (!is_reachable(disp) && r->stub)
		disp = (int64_t)(r->stub + (uint64_t)r->addend - r->place);
	return store(f, WIDTH_32S, (uint64_t)disp);
}

int x86_64_reloc_apply(const struct arch_reloc *reloc, uint8_t *section, size_t size, size_t offset)
{
	const struct field f = { .section = section, .size = size, .offset = offset };
	const struct reloc_type *t = find_type(reloc->type);

	if (!t || offset > size)
		return -EINVAL;
	switch (reloc->type) {
	case R_X86_64_NONE:
		return 0;
	case R_X86_64_PLT32:
		return apply_call(reloc, &f);
	case R_X86_64_GOTPCRELX:
	case R_X86_64_REX_GOTPCRELX:
		return apply_got_relaxed(reloc, &f);
	case R_X86_64_GOTPC32_TLSDESC:
	case R_X86_64_TLSDESC_CALL:
		return apply_tlsdesc(reloc, &f);
	default:
		return store(&f, (enum width)t->width, plain_value(reloc));
	}
}
