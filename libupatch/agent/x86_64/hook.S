/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the dynamic linker's functions are led to: look, and go on with the function. The caller may
 * rely on what the function leaves alone (gcc's -fipa-ra), so all general registers are kept; the
 * agent uses no others.
 */
#define OFFSET_CATCH_GATEWAY 32
#define OFFSET_BRK_GATEWAY 40
#define OFFSET_SIGNAL_ERROR 48

.macro SAVE reg
	pushq %\reg
	.cfi_adjust_cfa_offset 8
.endm

.macro RESTORE reg
	popq %\reg
	.cfi_adjust_cfa_offset -8
.endm

.macro SAVE_ALL
	.irp reg, rax, rcx, rdx, rsi, rdi, r8, r9, r10, r11
	SAVE \reg
	.endr
.endm

.macro RESTORE_ALL
	.irp reg, r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax
	RESTORE \reg
	.endr
.endm

	.text
/*
 * _dl_catch_exception(exception, operate, args). dlsym(3) and others come by often: without a place for
 * the exception it is what runs constructors or destructors.
 */
	.globl dl_catch
	.hidden dl_catch
	.type dl_catch, @function
dl_catch:
	.cfi_startproc
	endbr64
	testq %rdi, %rdi
	jne 1f
	/* Ten words with the return address: aligned as the call wants it. */
	SAVE_ALL
	movq %rsi, %rdi
	movq %rdx, %rsi
	call dl_on_catch
	testq %rax, %rax
	jne 2f
	RESTORE_ALL
1:	jmp *agent_data+OFFSET_CATCH_GATEWAY(%rip)
	/* _dl_signal_error(errcode, objname, occasion, errstring) does not return. */
	.cfi_adjust_cfa_offset 72
2:	movq %rax, %rcx
	xorl %edi, %edi
	leaq empty(%rip), %rsi
	xorl %edx, %edx
	call *agent_data+OFFSET_SIGNAL_ERROR(%rip)
	ud2
	.cfi_endproc
	.size dl_catch, . - dl_catch

	.globl dl_brk
	.hidden dl_brk
	.type dl_brk, @function
dl_brk:
	.cfi_startproc
	endbr64
	SAVE_ALL
	call dl_on_brk
	RESTORE_ALL
	jmp *agent_data+OFFSET_BRK_GATEWAY(%rip)
	.cfi_endproc
	.size dl_brk, . - dl_brk

/*
 * What calls of functions that are not there lead to, UPATCH_LATE_MAX of them of UPATCH_TRAP_SIZE bytes. The
 * return address tells a debugger who called.
 */
	.balign 16
	.globl dl_traps
	.hidden dl_traps
	.type dl_traps, @function
dl_traps:
	.cfi_startproc
	.set index, 0
	.rept 64
	.balign 16
	endbr64
	movl $index, %edi
	jmp trapped
	.set index, index + 1
	.endr
	.cfi_endproc
	.size dl_traps, . - dl_traps

	.type trapped, @function
trapped:
	.cfi_startproc
	subq $8, %rsp
	.cfi_adjust_cfa_offset 8
	call late_trapped
	ud2
	.cfi_endproc
	.size trapped, . - trapped

	.section .rodata
empty:
	.byte 0

	.section .note.GNU-stack, "", @progbits
