/* SPDX-License-Identifier: LGPL-2.1-or-later */
	.text

/* Three bytes of its first instruction are in one page, the rest is in the next. */
	.globl lib_straddling
	.type lib_straddling, @function
	.p2align 12
	.skip 4093, 0xcc
lib_straddling:
	.cfi_startproc
	lea	5(%rdi), %eax
	nopl	0(%rax)
	ret
	.cfi_endproc
	.size lib_straddling, . - lib_straddling

	.section .note.GNU-stack, "", @progbits
