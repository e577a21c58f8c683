/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef ARCH_X86_64_X86_64_H
#define ARCH_X86_64_X86_64_H

/* The operations of this CPU, one file per noun. arch/arch.h says what each does. */

#include "arch/arch.h"

enum {
	X86_64_TRAP = 0xcc, /* int3 */
	X86_64_JUMP_SIZE = 5,
	X86_64_STUB_SIZE = 16,
	X86_64_GATEWAY_ROOM = 96,
};

int x86_64_entry_plan(struct diag *d, const struct arch_func *func, struct arch_entry *ret);
int x86_64_find_branches(uint64_t addr, const uint8_t *bytes, size_t size,
			 int (*fn)(uint64_t to, void *userdata), void *userdata);
int x86_64_entry_jump(const struct arch_entry *entry, uint64_t to, uint8_t *buf);

int x86_64_gateway_write(struct arch_entry *entry, uint64_t gateway_addr, uint8_t *buf);
uint64_t x86_64_gateway_to_old(const struct arch_entry *entry, uint64_t offset);

extern const struct arch_slot_layout x86_64_slot_layout;
enum arch_slot_flags x86_64_slot_flags(uint64_t hwcap2);
int x86_64_slot_write(uint64_t text_addr, uint64_t data_addr, uint64_t switch_addr,
		      enum arch_slot_flags flags, uint8_t *buf);
unsigned int x86_64_guard_write(uint8_t *text);
int x86_64_slot_depth(enum arch_slot_flags flags, unsigned int offset);
int x86_64_stub_write(uint64_t stub_addr, uint64_t got_addr, uint8_t *buf);

extern const struct arch_landing x86_64_landing;

int x86_64_reloc_need(uint32_t type);
int x86_64_reloc_fixup(uint32_t type);
const char *x86_64_reloc_name(uint32_t type);
int x86_64_reloc_apply(const struct arch_reloc *reloc, uint8_t *section, size_t size,
		       size_t offset);

int64_t x86_64_site_find(enum arch_site site, const uint8_t *bytes, size_t size);
bool x86_64_is_thread_root(const uint8_t *after, size_t size);

#endif
