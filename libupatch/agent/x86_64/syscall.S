/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * System calls as functions: agent/agent.h declares them. Only the fourth argument travels
 * differently (psABI, A.2.1). No stack is used, so one rule unwinds them from everywhere.
 */

.macro DEFINE_CALL name, number
	.globl \name
	.hidden \name
	.type \name, @function
\name:
	.cfi_startproc
	endbr64
	movq %rcx, %r10
	movl $\number, %eax
	syscall
	ret
	.cfi_endproc
	.size \name, . - \name
.endm

	.text
	DEFINE_CALL sys_mmap, 9
	DEFINE_CALL sys_close, 3
	DEFINE_CALL sys_mprotect, 10
	DEFINE_CALL sys_munmap, 11
	DEFINE_CALL sys_rt_sigprocmask, 14
	DEFINE_CALL sys_write, 1
	DEFINE_CALL sys_pwrite, 18
	DEFINE_CALL sys_gettid, 186
	DEFINE_CALL sys_futex, 202
	DEFINE_CALL sys_clock_gettime, 228
	DEFINE_CALL sys_openat, 257

	.section .note.GNU-stack, "", @progbits
