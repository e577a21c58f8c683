/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Functions whose entries compilers seldom make. */
	.text

/* Three bytes, and the next function right behind them: there is no room for a jump. */
	.globl asm_short
	.type asm_short, @function
asm_short:
	.cfi_startproc
	xor	%eax, %eax
	ret
	.cfi_endproc
	.size asm_short, . - asm_short

	.globl asm_neighbour
	.type asm_neighbour, @function
asm_neighbour:
	.cfi_startproc
	mov	$22, %eax
	ret
	.cfi_endproc
	.size asm_neighbour, . - asm_neighbour

/* Its first instruction is a loop's head. */
	.globl asm_loop
	.type asm_loop, @function
	.p2align 4
asm_loop:
	.cfi_startproc
	sub	$1, %edi
	jnz	asm_loop
	mov	$33, %eax
	ret
	.cfi_endproc
	.size asm_loop, . - asm_loop

/* A loop that goes back to its second instruction. */
	.globl asm_into_entry
	.type asm_into_entry, @function
	.p2align 4
asm_into_entry:
	.cfi_startproc
	xor	%eax, %eax
1:	add	$11, %eax
	sub	$1, %edi
	jnz	1b
	ret
	.cfi_endproc
	.size asm_into_entry, . - asm_into_entry

/* Three bytes, and padding behind them: just enough. */
	.globl asm_padded
	.type asm_padded, @function
	.p2align 4
asm_padded:
	.cfi_startproc
	xor	%eax, %eax
	ret
	.cfi_endproc
	.size asm_padded, . - asm_padded
	.p2align 4, 0xcc

/* Waits, with unwind tables whose evaluation does not end: a branch back to itself. */
	.globl asm_endless
	.type asm_endless, @function
	.p2align 4
asm_endless:
	.cfi_startproc
	.cfi_escape 0x0f, 3, 0x2f, 0xfd, 0xff /* DW_CFA_def_cfa_expression: DW_OP_skip -3 */
1:	mov	$34, %eax /* pause(2) */
	syscall
	jmp	1b
	.cfi_endproc
	.size asm_endless, . - asm_endless

	.section .note.GNU-stack, "", @progbits
