/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The agent's head, struct upatch_agent in <upatch/abi.h>. In assembler, as only that can write the
 * distance of two symbols into 32 bits; no instruction here, so it serves all CPUs.
 */

.macro OFFSET symbol
	.hidden \symbol
	.long \symbol - agent_head
.endm

.macro EXPORT name
0:	.ascii "\name"
	.zero 32 - (. - 0b)
	OFFSET \name
.endm

	.section .upatch.head, "a"
	.balign 16
	.globl agent_head
	.hidden agent_head
agent_head:
	.ascii "upatchAG"
	.long 3				/* version */
	OFFSET agent_text_end
	OFFSET agent_data_size_from_head
	OFFSET agent_fork_start
	OFFSET agent_fork_size_from_head
	OFFSET agent_eh_frame_hdr
	OFFSET agent_eh_frame_hdr_size_from_head
	.long (exports_end - exports) / 36
exports:
	EXPORT upatch_shadow_get
	EXPORT upatch_shadow_alloc
	EXPORT upatch_shadow_get_or_alloc
	EXPORT upatch_shadow_free
	EXPORT upatch_shadow_free_all
	EXPORT upatch_state_get_at
	EXPORT upatch_state_get_prev_at
	EXPORT dl_catch
	EXPORT dl_brk
	EXPORT dl_scan
	EXPORT dl_callback
	EXPORT dl_forget
	EXPORT dl_probe
	EXPORT dl_traps
exports_end:
	.zero 16 * 36 - (exports_end - exports)

	.section .note.GNU-stack, "", @progbits
