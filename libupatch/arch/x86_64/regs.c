/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <cpuid.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>

#include "arch/regs.h"
#include "base/array.h"

/* Not in any uapi header; include/linux/errno.h. ptrace(2) shows them in rax. */
enum {
	ERESTARTSYS = 512,
	ERESTARTNOINTR = 513,
	ERESTARTNOHAND = 514,
	ERESTART_RESTARTBLOCK = 516,
};

enum {
	SYSCALL_INSN_SIZE = 2,
	XSTATE_SW_BYTES = 464, /* offset of struct _fpx_sw_bytes in the FXSAVE area */
	XSTATE_HEADER = 512,
	XSTATE_MIN = 576,
	FXSAVE_SIZE = 512, /* all there is on a CPU without XSAVE */
	XFEATURE_TILEDATA = 18,
	FP_XSTATE_MAGIC_1 = 0x46505853,
	FP_XSTATE_MAGIC_2 = 0x46505845,
	UC_FP_XSTATE = 0x1,
	UC_FLAGS = UC_FP_XSTATE | 0x2 | 0x4, /* UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS */
};

/* struct ucontext of the kernel; glibc's ucontext_t is longer behind uc_sigmask. */
struct kernel_ucontext {
	uint64_t flags;
	uint64_t link;
	stack_t stack;
	uint64_t gregs[23];
	uint64_t fpstate;
	uint64_t reserved[8];
	uint64_t sigmask;
};

static long restart_code(const struct arch_regs *regs)
{
	long result = (long)regs->user.rax;

	if ((long)regs->user.orig_rax < 0)
		return 0;
	switch (-result) {
	case ERESTARTSYS:
	case ERESTARTNOINTR:
	case ERESTARTNOHAND:
	case ERESTART_RESTARTBLOCK:
		return -result;
	default:
		return 0;
	}
}

bool regs_in_syscall(const struct arch_regs *regs)
{
	return restart_code(regs) != 0;
}

bool regs_restart_interrupted(struct arch_regs *regs)
{
	if ((long)regs->user.orig_rax < 0 || (long)regs->user.rax != -EINTR)
		return false;
	switch (regs->user.orig_rax) {
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
	case SYS_epoll_pwait2:
	case SYS_semop:
	case SYS_semtimedop:
	case SYS_rt_sigtimedwait:
	case SYS_io_getevents:
	case SYS_io_pgetevents:
	case SYS_io_uring_enter:
	/* With a receive or send time-out, socket(7); EINTR only when nothing was moved. */
	case SYS_read:
	case SYS_readv:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_accept:
	case SYS_accept4:
	case SYS_write:
	case SYS_writev:
	case SYS_sendto:
	case SYS_sendmsg:
		regs->user.rax = (unsigned long long)-ERESTARTNOHAND;
		return true;
	default:
		return false;
	}
}

bool regs_is_waiting(const struct arch_regs *regs)
{
	struct arch_regs copy = *regs;

	return regs_in_syscall(regs) || regs_restart_interrupted(&copy);
}

void regs_skip_syscall(struct arch_regs *regs)
{
	regs->user.orig_rax = (unsigned long long)-1;
}

/* Of all system calls only these reset it when they begin: Linux kernel/time/posix-timers.c. */
bool regs_forgets_restart(const struct arch_regs *regs)
{
	return regs->user.orig_rax == SYS_nanosleep || regs->user.orig_rax == SYS_clock_nanosleep;
}

void regs_restart_afresh(struct arch_regs *regs)
{
	if (restart_code(regs) == ERESTART_RESTARTBLOCK)
		regs->user.rax = (unsigned long long)-ERESTARTNOINTR;
}

void regs_set_syscall(struct arch_regs *regs, uint64_t site, long nr, const uint64_t args[6],
		      uint64_t sp)
{
	regs->user.rip = site;
	regs->user.rsp = sp;
	regs->user.rax = (unsigned long long)nr;
	regs->user.rdi = args[0];
	regs->user.rsi = args[1];
	regs->user.rdx = args[2];
	regs->user.r10 = args[3];
	regs->user.r8 = args[4];
	regs->user.r9 = args[5];
	/* Not in a system call: the kernel must restart nothing on the way to this one. */
	regs->user.orig_rax = (unsigned long long)-1;
	regs->user.eflags &= ~0x400ull; /* DF is clear at calls, psABI 3.2.1 */
}

void regs_set_call(struct arch_regs *regs, uint64_t addr, const uint64_t args[2], uint64_t sp)
{
	regs->user.rip = addr;
	regs->user.rsp = sp;
	regs->user.rdi = args[0];
	regs->user.rsi = args[1];
	regs->user.rax = 0;
	regs->user.orig_rax = (unsigned long long)-1;
	regs->user.eflags &= ~0x400ull;
}

/* Order of enum REG_* in <sys/ucontext.h>. */
static void fill_gregs(uint64_t gregs[23], const struct user_regs_struct *u)
{
	gregs[REG_R8] = u->r8;
	gregs[REG_R9] = u->r9;
	gregs[REG_R10] = u->r10;
	gregs[REG_R11] = u->r11;
	gregs[REG_R12] = u->r12;
	gregs[REG_R13] = u->r13;
	gregs[REG_R14] = u->r14;
	gregs[REG_R15] = u->r15;
	gregs[REG_RDI] = u->rdi;
	gregs[REG_RSI] = u->rsi;
	gregs[REG_RBP] = u->rbp;
	gregs[REG_RBX] = u->rbx;
	gregs[REG_RDX] = u->rdx;
	gregs[REG_RAX] = u->rax;
	gregs[REG_RCX] = u->rcx;
	gregs[REG_RSP] = u->rsp;
	gregs[REG_RIP] = u->rip;
	gregs[REG_EFL] = u->eflags;
	gregs[REG_CSGSFS] = (u->cs & 0xffff) | (u->ss & 0xffff) << 48;
}

/*
 * Bytes of the frame's extended state. The regset has room for every feature of the machine, a
 * frame only for those the thread may use: the kernel refuses a frame that claims more, and AMX
 * tiles are the one feature that a thread must ask for.
 */
static size_t frame_xstate_size(uint64_t features, size_t available)
{
	unsigned int size, offset, ecx, edx;
	size_t end = XSTATE_MIN;

	for (unsigned int i = 2; i < 63; i++) {
		if (!(features & (1ull << i)))
			continue;
		if (!__get_cpuid_count(0xd, i, &size, &offset, &ecx, &edx) || !size)
			continue;
		end = MAX(end, (size_t)offset + size);
	}
	return MIN(end, available);
}

/* Without XSAVE the kernel looks for no magic numbers, and ignores what would say how much there is. */
static size_t write_legacy_state(const uint8_t *xstate, uint8_t *buf)
{
	memcpy(buf, xstate, FXSAVE_SIZE);
	memset(buf + XSTATE_SW_BYTES, 0, FXSAVE_SIZE - XSTATE_SW_BYTES);
	return FXSAVE_SIZE;
}

static size_t write_extended_state(const struct arch_frame_state *state, uint8_t *buf)
{
	uint64_t features, in_use;
	uint32_t magic = FP_XSTATE_MAGIC_2;
	size_t size;

	memcpy(&features, state->xstate + XSTATE_SW_BYTES, sizeof(features)); /* XCR0 */
	memcpy(&in_use, state->xstate + XSTATE_HEADER, sizeof(in_use));
	if (!(in_use & (1ull << XFEATURE_TILEDATA)))
		features &= ~(1ull << XFEATURE_TILEDATA);
	size = frame_xstate_size(features, state->xstate_size);

	struct {
		uint32_t magic1;
		uint32_t extended_size;
		uint64_t xfeatures;
		uint32_t xstate_size;
		uint32_t padding[7];
	} sw = {
		.magic1 = FP_XSTATE_MAGIC_1,
		.extended_size = (uint32_t)(size + sizeof(magic)),
		.xfeatures = features,
		.xstate_size = (uint32_t)size,
	};

	memcpy(buf, state->xstate, size);
	memcpy(buf + XSTATE_SW_BYTES, &sw, sizeof(sw));
	memcpy(buf + size, &magic, sizeof(magic));
	return size + sizeof(magic);
}

int regs_write_frame(const struct arch_regs *regs, const struct arch_frame_state *state,
		     uint64_t addr, uint8_t *buf)
{
	size_t fp_offset = ALIGN_UP(addr + sizeof(struct kernel_ucontext), 64) - addr;
	const bool is_legacy = state->xstate_size == FXSAVE_SIZE;
	struct kernel_ucontext uc = { .flags = UC_FLAGS, .sigmask = state->sigmask };
	struct user_regs_struct user = regs->user;

	if (!is_legacy && (state->xstate_size < XSTATE_MIN || state->xstate_size > ARCH_XSTATE_MAX))
		return -EINVAL;
	if (is_legacy)
		uc.flags &= ~(uint64_t)UC_FP_XSTATE;
	if (restart_code(regs)) {
		user.rax = user.orig_rax;
		user.rip -= SYSCALL_INSN_SIZE;
	}
	fill_gregs(uc.gregs, &user);
	uc.fpstate = addr + fp_offset;

	memset(buf, 0, fp_offset);
	memcpy(buf, &uc, sizeof(uc));
	return (int)(fp_offset + (is_legacy ? write_legacy_state(state->xstate, buf + fp_offset)
					    : write_extended_state(state, buf + fp_offset)));
}

size_t regs_live(const struct arch_regs *regs, uint64_t ret[ARCH_GENERAL_REGS])
{
	const struct user_regs_struct *u = &regs->user;
	/* psABI 3.2.1: the first six belong to the caller. */
	const unsigned long long values[] = { u->rbx, u->rbp, u->r12, u->r13, u->r14,
					      u->r15, u->rax, u->rcx, u->rdx, u->rsi,
					      u->rdi, u->r8,  u->r9,  u->r10, u->r11 };
	size_t nr = (long long)u->orig_rax >= 0 ? 6 : sizeof(values) / sizeof(values[0]);

	for (size_t i = 0; i < nr; i++)
		ret[i] = values[i];
	return nr;
}
