/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Each loop may be stopped anywhere in it, and must be unwindable there. */

	.text

	.macro	begin name
	.globl	\name
	.type	\name, @function
	.p2align 4
\name:
	.cfi_startproc
	.endm

	.macro	end name
	.cfi_endproc
	.size	\name, . - \name
	.endm

	.macro	save reg
	push	%\reg
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset \reg, 0
	.endm

	.macro	restore reg
	pop	%\reg
	.cfi_adjust_cfa_offset -8
	.cfi_restore \reg
	.endm

/* uint64_t hold_integers(uint64_t spins): all but the stack pointer; rdi counts. */
	begin	hold_integers
	.irp	reg, rbx, rbp, r12, r13, r14, r15
	save	\reg
	.endr
	.irp	reg, rax, rbx, rcx, rdx, rsi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
	movabs	$0x5aa51248fedc7b3d, %\reg
	.endr
	/* Told apart from each other. */
	add	$1, %rbx
	add	$2, %rcx
	add	$3, %rdx
	add	$4, %rsi
	add	$5, %rbp
	add	$6, %r8
	add	$7, %r9
	add	$8, %r10
	add	$9, %r11
	add	$10, %r12
	add	$11, %r13
	add	$12, %r14
	add	$13, %r15
1:	sub	$1, %rdi
	jnz	1b
	sub	$1, %rbx
	sub	$2, %rcx
	sub	$3, %rdx
	sub	$4, %rsi
	sub	$5, %rbp
	sub	$6, %r8
	sub	$7, %r9
	sub	$8, %r10
	sub	$9, %r11
	sub	$10, %r12
	sub	$11, %r13
	sub	$12, %r14
	sub	$13, %r15
	movabs	$0x5aa51248fedc7b3d, %rdi
	xor	%rdi, %rax
	.irp	reg, rbx, rcx, rdx, rsi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
	xor	%rdi, %\reg
	or	%\reg, %rax
	.endr
	.irp	reg, r15, r14, r13, r12, rbp, rbx
	restore	\reg
	.endr
	ret
	end	hold_integers

/* uint64_t hold_red_zone(uint64_t spins): 128 bytes below the stack pointer belong to a leaf. */
	begin	hold_red_zone
	.irp	n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16
	movq	$0x1234560 + \n, -8 * \n(%rsp)
	.endr
1:	sub	$1, %rdi
	jnz	1b
	xor	%eax, %eax
	.irp	n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16
	mov	-8 * \n(%rsp), %rdx
	xor	$0x1234560 + \n, %rdx
	or	%rdx, %rax
	.endr
	ret
	end	hold_red_zone

	.macro	load_spin_store move, kind, registers:vararg
	.irp	n, \registers
	\move	64 * \n(%rsi), %\kind\n
	.endr
1:	sub	$1, %rdx
	jnz	1b
	.irp	n, \registers
	\move	%\kind\n, 64 * \n(%rdi)
	.endr
	.endm

/* void hold_xmm(uint8_t *out, const uint8_t *in, uint64_t spins), and the same for wider ones */
	begin	hold_xmm
	load_spin_store movdqu, xmm, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	ret
	end	hold_xmm

	begin	hold_ymm
	load_spin_store vmovdqu, ymm, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vzeroupper
	ret
	end	hold_ymm

	begin	hold_zmm
	load_spin_store vmovdqu64, zmm, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, \
		16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	vzeroupper
	ret
	end	hold_zmm

/* void hold_masks(uint64_t *out, const uint64_t *in, uint64_t spins) */
	begin	hold_masks
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7
	kmovq	8 * \n(%rsi), %k\n
	.endr
1:	sub	$1, %rdx
	jnz	1b
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7
	kmovq	%k\n, 8 * \n(%rdi)
	.endr
	ret
	end	hold_masks

	.section .note.GNU-stack, "", @progbits
