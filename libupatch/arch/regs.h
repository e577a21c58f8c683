/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef ARCH_REGS_H
#define ARCH_REGS_H

/*
 * A thread's registers as ptrace(2) shows them, and what we do with them. Each CPU has its own
 * layout; whoever is not below arch/ uses the accessors.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/user.h>

struct arch_regs {
	struct user_regs_struct user;
};

enum {
	ARCH_XSTATE_MAX = 16384, /* bytes of extended state; AMX needs 11 KiB */
	ARCH_FRAME_MAX = ARCH_XSTATE_MAX + 1024,
	ARCH_RED_ZONE = 128, /* psABI x86-64 3.2.2 */
};

/* What a signal frame saves beside the registers. */
struct arch_frame_state {
	const uint8_t *xstate; /* NT_X86_XSTATE, or NT_PRFPREG on a CPU without XSAVE */
	size_t xstate_size;
	uint64_t sigmask;
};

static inline uint64_t regs_pc(const struct arch_regs *regs)
{
	return regs->user.rip;
}

static inline uint64_t regs_sp(const struct arch_regs *regs)
{
	return regs->user.rsp;
}

static inline uint64_t regs_tp(const struct arch_regs *regs)
{
	return regs->user.fs_base;
}

static inline uint64_t regs_result(const struct arch_regs *regs)
{
	return regs->user.rax;
}

static inline void regs_set_pc(struct arch_regs *regs, uint64_t pc)
{
	regs->user.rip = pc;
}

static inline void regs_set_sp(struct arch_regs *regs, uint64_t sp)
{
	regs->user.rsp = sp;
}

enum {
	ARCH_GENERAL_REGS = 16,
};

/**
 * regs_live() - the general registers whose values the thread may still use
 * In a system call only those that it preserves: what the others held before is dead.
 * Return: how many.
 */
size_t regs_live(const struct arch_regs *regs, uint64_t ret[ARCH_GENERAL_REGS]);

/* Does the kernel restart a system call when this thread goes on? Then its PC is behind it. */
bool regs_in_syscall(const struct arch_regs *regs);

/**
 * regs_restart_interrupted() - put a system call back that our stop made fail
 *
 * epoll_wait(2) and its kin return EINTR after any stop (signal(7), "Interruption of system
 * calls by stop signals"). Where no signal was pending, the stop is the only cause; the result is
 * changed to ERESTARTNOHAND, with which the kernel runs the call again unless a handler comes
 * first. Only calls that have no effect before they return EINTR.
 *
 * Return: true when @regs was changed.
 */
bool regs_restart_interrupted(struct arch_regs *regs);

/* Does this thread wait in a system call that goes on after the stop as if nothing had been? */
bool regs_is_waiting(const struct arch_regs *regs);

/* At the stop in front of a system call: have the kernel skip it. */
void regs_skip_syscall(struct arch_regs *regs);

/*
 * At the stop in front of a system call: does it make the kernel forget how to go on with an
 * earlier one that was interrupted (restart_syscall(2))?
 */
bool regs_forgets_restart(const struct arch_regs *regs);

/* What the kernel forgot how to go on with begins anew, with its whole time-out. */
void regs_restart_afresh(struct arch_regs *regs);

/* Registers that run system call @nr at @site with @args, on the stack at @sp. */
void regs_set_syscall(struct arch_regs *regs, uint64_t site, long nr, const uint64_t args[6],
		      uint64_t sp);

/* Registers that call @addr with up to two arguments; its return address is at @sp. */
void regs_set_call(struct arch_regs *regs, uint64_t addr, const uint64_t args[2], uint64_t sp);

/**
 * regs_write_frame() - a signal frame from which rt_sigreturn(2) restores everything
 * @regs:     what to restore; a system call in progress is restarted from its beginning
 * @state:    extended state and signal mask to restore
 * @addr:     where the frame will be: 16-byte aligned
 * @buf:      of ARCH_FRAME_MAX bytes; the stack pointer at rt_sigreturn is @addr
 *
 * Return: bytes, or -EINVAL when the extended state is not what the kernel documents.
 * Layout: Linux arch/x86/include/uapi/asm/{sigcontext,ucontext}.h.
 */
int regs_write_frame(const struct arch_regs *regs, const struct arch_frame_state *state,
		     uint64_t addr, uint8_t *buf);

#endif
