/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <elf.h>
#include <linux/audit.h>

#include "arch/x86_64/x86_64.h"

const struct arch_ops arch_x86_64 = {
	.name = "x86_64",
	.machine = EM_X86_64,
	.audit_arch = AUDIT_ARCH_X86_64,
	.branch_reach = 0x7fff0000, /* rel32, less what lies around a branch */
	.trap_byte = X86_64_TRAP,
	.entry_plan = x86_64_entry_plan,
	.find_branches = x86_64_find_branches,
	.entry_jump = x86_64_entry_jump,
	.jump_disp = 1,
	.gateway_write = x86_64_gateway_write,
	.gateway_to_old = x86_64_gateway_to_old,
	.slot = &x86_64_slot_layout,
	.slot_flags = x86_64_slot_flags,
	.slot_write = x86_64_slot_write,
	.guard_write = x86_64_guard_write,
	.slot_depth = x86_64_slot_depth,
	.landing = &x86_64_landing,
	.stub_size = X86_64_STUB_SIZE,
	.stub_write = x86_64_stub_write,
	.reloc_need = x86_64_reloc_need,
	.reloc_fixup = x86_64_reloc_fixup,
	.reloc_name = x86_64_reloc_name,
	.reloc_apply = x86_64_reloc_apply,
	.site_find = x86_64_site_find,
	.is_thread_root = x86_64_is_thread_root,
};
