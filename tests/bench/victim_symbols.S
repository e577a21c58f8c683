/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NR_SYMBOLS local functions of 16 bytes, filler_0 and so on. */
	.altmacro
	.macro filler n
	.type	filler_\n, @function
filler_\n:
	lea	42(%rdi), %rax
	ret
	.balign	16, 0xcc
	.size	filler_\n, . - filler_\n
	.endm

	.text
	.balign	16
	.set	i, 0
	.rept	NR_SYMBOLS
	filler	%i
	.set	i, i + 1
	.endr

	.section .note.GNU-stack, "", @progbits
