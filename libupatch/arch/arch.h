/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef ARCH_ARCH_H
#define ARCH_ARCH_H

/*
 * What differs between CPUs, as one const table of operations per CPU.
 *
 * Everything here maps bytes to bytes: no system call, no target, no ELF library, so that each
 * CPU's table can be tested on any host. "Address" always means an address in the target.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct diag;

enum {
	ARCH_ENTRY_MAX = 16, /* bytes that an entry patch overwrites, at most */
	ARCH_INSN_MAX = 16,  /* instructions that a gateway relocates, at most */
	ARCH_SLOT_TEXT_MAX = 512,
};

/* --- function entries ------------------------------------------------------------------- */

/* One contiguous piece of a function: its body, or a .cold or .part piece. */
struct arch_code {
	uint64_t addr;
	const uint8_t *bytes;
	size_t size;
};

/*
 * A function as it is to be patched. pieces[0] is the body, which starts with the entry; the rest
 * are searched for branches into the entry. @padding is the number of bytes right behind the body
 * that belong to nobody (up to the next symbol), their contents follow at body.bytes + body.size.
 */
struct arch_func {
	const struct arch_code *pieces;
	size_t nr_pieces;
	size_t padding;
};

struct arch_insn {
	uint8_t old_offset; /* from the patched address */
	uint8_t new_offset; /* from the start of the gateway */
};

/*
 * How a function's entry is overwritten.
 *
 * @addr:	 where the jump goes: the entry, or behind its endbr64
 * @size:	 bytes written there
 * @covered:	 bytes of whole instructions that the jump destroys, >= size or, when the function
 *		 is shorter than the jump and padding follows, @size
 * @old:	 the bytes at @addr now, for the comparison before the write
 * @gateway_size: bytes of the gateway, at most the slot's room for it
 * @disps:	 offsets in the gateway of 32 bits each that are distances to the object
 */
struct arch_entry {
	uint64_t addr;
	uint8_t size;
	uint8_t covered;
	uint8_t nr_insns;
	uint8_t gateway_size;
	uint8_t old[ARCH_ENTRY_MAX];
	struct arch_insn insns[ARCH_INSN_MAX];
	uint8_t nr_disps;
	uint8_t disps[ARCH_INSN_MAX + 1];
};

/* --- slots ---------------------------------------------------------------------------------- */

/*
 * Where a slot's parts are, as offsets into its text and its data. Entry jumps land on @stub,
 * which jumps through the word at @winner: to the gateway, to a replacement, or, while a
 * transition is open, to @dispatcher, which jumps through the word at @old or at @new, as the
 * table of laggards tells for the thread.
 */
struct arch_slot_layout {
	uint16_t text_size; /* of one slot, multiple of 16 */
	uint16_t stub;
	uint16_t dispatcher;
	uint16_t gateway;
	uint16_t gateway_room;
	uint16_t data_size; /* of one slot: words, multiple of 8 */
	uint16_t winner;
	uint16_t old;
	uint16_t new;
};

enum arch_slot_flags {
	/*
	 * Read the thread pointer from the register, not from the word it points to: for threads
	 * whose thread pointer is null or does not point to itself (no C library).
	 */
	ARCH_SLOT_RAW_TP = 1,
};

/* --- relocations -------------------------------------------------------------------------- */

/* What a relocation needs to exist before it can be applied. */
enum arch_reloc_need {
	RELOC_NEED_NOTHING = 0,	   /* a no-op, or the place and the address of the GOT are enough */
	RELOC_NEED_VALUE,	   /* the symbol's address */
	RELOC_NEED_CALL,	   /* the address, or a stub when it is too far (PLT) */
	RELOC_NEED_GOT,		   /* a word that holds the address */
	RELOC_NEED_TPOFF,	   /* offset from the thread pointer, applied in place */
	RELOC_NEED_GOT_TPOFF,	   /* a word that holds that offset */
	RELOC_NEED_GOT_TLS_PAIR,   /* module ID and offset, two words (general dynamic) */
	RELOC_NEED_GOT_TLS_MODULE, /* module ID and zero, two words (local dynamic) */
	RELOC_NEED_DTPOFF,	   /* offset in the module's TLS block, applied in place */
	RELOC_NEED_SIZE,	   /* the symbol's size */
	RELOC_NEED_TLSDESC, /* descriptor: general dynamic code is rewritten to initial exec */
};

/*
 * Inputs of one relocation. Only what arch_reloc_need asked for is read.
 * @place is the address of the relocated field, @value S of the psABI, @got the address of the
 * symbol's word (or first of two), @got_base the address of the payload's GOT, @stub the address of
 * the call stub or 0.
 */
struct arch_reloc {
	uint32_t type;
	int64_t addend;
	uint64_t place;
	uint64_t value;
	uint64_t size;
	uint64_t got;
	uint64_t got_base;
	uint64_t stub;
	int64_t tpoff;
	int64_t dtpoff;
};

/* --- calls ------------------------------------------------------------------------------------- */

/*
 * Where a function returns to that the target runs for us: position-independent code that stores
 * the result below the stack pointer and calls rt_sigreturn(2), again and again: a tracer makes
 * that system call come to nothing, to have the thread stand still behind it.
 *
 * @stop:   the PC at the stop in front of and behind that system call, as an offset
 * @result: where the result is then, from the stack pointer
 */
struct arch_landing {
	uint8_t bytes[16];
	uint8_t size;
	uint8_t stop;
	int8_t result;
};

/* --- code searched for in a target --------------------------------------------------------- */

enum arch_site {
	ARCH_SITE_SYSCALL_RET, /* a system call instruction followed by a return */
	ARCH_SITE_SIGRETURN,   /* rt_sigreturn(2), as a C library's sa_restorer */
};

struct arch_ops {
	const char *name;
	uint16_t machine;    /* EM_* */
	uint32_t audit_arch; /* AUDIT_ARCH_*, which seccomp filters see */

	uint64_t branch_reach; /* bytes between any two points that one branch can connect */
	uint8_t trap_byte;     /* fills what must never be executed */

	/**
	 * @entry_plan: decide how to overwrite a function's entry
	 *
	 * Skips endbr64 and uses -fpatchable-function-entry nops where they are: they are
	 * relocated like other instructions. A body that is shorter than the jump borrows the nops
	 * and traps behind it.
	 *
	 * Every piece is decoded, and nothing in it may refer to the overwritten bytes:
	 *
	 * - A call of the patched address is recursion, which is to run the new version: accepted.
	 * - A jump to the patched address is either a tail call or the back edge of a loop whose
	 *   head is the entry, because the prologue is empty. The bytes do not tell. A thread in
	 *   such a loop would leave the old version half way, with its variables in registers
	 *   where the new version expects arguments: refused.
	 * - A jump to the endbr64 in front of the patched address is a tail call, because
	 *   compilers put loop heads behind the endbr64: accepted, as is a call.
	 * - All others are refused, and so are RIP-relative operands behind the first byte: they
	 *   would read a jump instead of code, or hide a computed jump.
	 *
	 * What goes unseen: computed jumps through tables. Their labels are where the compiler's
	 * switch cases are, never in the first bytes of a function, but for hand-written code.
	 *
	 * Code behind an instruction that the decoder does not know is decoded at each byte, so
	 * that no branch is missed; only the overwritten instructions themselves must be known.
	 *
	 * Return: 0, or raised in @d: -EINVAL UPATCH_E_TOO_SHORT, UPATCH_E_BRANCH_IN_ENTRY,
	 * UPATCH_E_ENTRY_CODE (undecodable, or cannot be relocated); -ENOMEM.
	 */
	int (*entry_plan)(struct diag *d, const struct arch_func *func, struct arch_entry *ret);

	/**
	 * @find_branches: tell @fn of each direct jump, not call, that leaves a piece of code
	 * Return: 0, the first non-zero value of @fn, or -ENOMEM. Unraised.
	 */
	int (*find_branches)(uint64_t addr, const uint8_t *bytes, size_t size,
			     int (*fn)(uint64_t to, void *userdata), void *userdata);

	/**
	 * @entry_jump: the bytes that go to entry->addr
	 * @buf: entry->size bytes. Return: 0, or -ERANGE (unraised) when @to is out of reach.
	 */
	int (*entry_jump)(const struct arch_entry *entry, uint64_t to, uint8_t *buf);

	uint8_t jump_disp; /* offset in it of the 32 bits that are the distance */

	/**
	 * @gateway_write: relocate the overwritten instructions
	 * @buf: layout->gateway_room bytes, the unused rest is filled with trapping bytes
	 *
	 * The code at @gateway_addr does what the original entry did and goes on behind it.
	 * Fills entry->insns, entry->gateway_size and entry->disps. Its size does not depend on @gateway_addr.
	 *
	 * Return: unraised, 0, -ERANGE when an operand is out of reach, -EINVAL when an instruction
	 * cannot be relocated (never for a planned entry), -ENOMEM.
	 */
	int (*gateway_write)(struct arch_entry *entry, uint64_t gateway_addr, uint8_t *buf);

	/**
	 * @gateway_to_old: address in the original function that a gateway address stands for
	 * @offset: of an instruction's start in the gateway. The jump back stands for the address
	 *	    it goes to. entry->old must be filled in, for instructions that became several.
	 */
	uint64_t (*gateway_to_old)(const struct arch_entry *entry, uint64_t offset);

	const struct arch_slot_layout *slot;

	/**
	 * @slot_flags: how this machine's dispatchers read the thread pointer best
	 * @hwcap2: AT_HWCAP2 of the target
	 */
	enum arch_slot_flags (*slot_flags)(uint64_t hwcap2);

	/**
	 * @slot_write: stub and dispatcher of one slot
	 * @text_addr:	   where the slot's text will be
	 * @data_addr:	   where its words will be; within 2 GiB
	 * @switch_addr: struct upatch_switch, anywhere
	 * @buf:	   layout->text_size bytes; the gateway's room is left alone
	 */
	int (*slot_write)(uint64_t text_addr, uint64_t data_addr, uint64_t switch_addr,
			  enum arch_slot_flags flags, uint8_t *buf);

	/**
	 * @guard_write: let through what is called with a null first argument only
	 * For a hook, whose slot has no use for its dispatcher: code that jumps to the stub, or else
	 * goes on in the gateway, with nothing in between.
	 * @text: of the slot. Return: offset of it, where the entry jump is to lead.
	 */
	unsigned int (*guard_write)(uint8_t *text);

	/**
	 * @slot_depth: bytes a thread has on its stack above its return address
	 * @offset: its PC within a slot's stub or dispatcher
	 * Return: bytes, or -EINVAL when @offset is not the start of an instruction there.
	 */
	int (*slot_depth)(enum arch_slot_flags flags, unsigned int offset);

	const struct arch_landing *landing;

	size_t stub_size; /* bytes of a call stub */

	/** @stub_write: a jump through the word at @got, anywhere within 2 GiB */
	int (*stub_write)(uint64_t stub_addr, uint64_t got_addr, uint8_t *buf);

	/** @reloc_need: what @type needs. Return: enum arch_reloc_need, or -EINVAL if unknown. */
	int (*reloc_need)(uint32_t type);

	/**
	 * @reloc_fixup: how @type stores a symbol's value, address or offset in the field itself
	 * Return: enum upatch_fixup_type, or -EINVAL: it does not, or not in a way a template can.
	 */
	int (*reloc_fixup)(uint32_t type);

	/** @reloc_name: "R_X86_64_PC32", or NULL */
	const char *(*reloc_name)(uint32_t type);

	/**
	 * @reloc_apply: compute one relocation into the field
	 * @section, @size, @offset: the section's bytes and the field in them; neighbouring bytes
	 *			     are read and changed where an instruction is relaxed
	 *
	 * Return: 0; -ERANGE when the result does not fit; -EINVAL when the type is unknown, the
	 * field is out of bounds, or the code around it is not what the psABI prescribes. Unraised.
	 */
	int (*reloc_apply)(const struct arch_reloc *reloc, uint8_t *section, size_t size,
			   size_t offset);

	/** @site_find: offset of the first such code in @bytes, or -ENOENT */
	int64_t (*site_find)(enum arch_site site, const uint8_t *bytes, size_t size);

	/**
	 * @is_thread_root: does this return address end a thread's stack?
	 * @after: the @size bytes at the return address
	 * True for the code of clone(2) and clone3(2) wrappers, which exits the thread as soon as
	 * its start routine returns.
	 */
	bool (*is_thread_root)(const uint8_t *after, size_t size);
};

extern const struct arch_ops arch_x86_64;

/* The table of a machine, or NULL. */
const struct arch_ops *arch_by_machine(uint16_t machine);

#endif
