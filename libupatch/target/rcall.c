/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/rcall.h"

#include <elf.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include "arch/arch.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/diag.h"
#include "target/target.h"

enum {
	SPINS_BEFORE_NAP = 200,
	NAP_NSEC_MIN = 20000,
	NAP_NSEC_MAX = 1000000,
	SITE_CHUNK = 256 * 1024,
	SITE_OVERLAP = 16,	/* longest pattern, so that none is missed between two chunks */
	STACK_ROOM = 32 * 1024, /* below the stack pointer, for the frame and then some */
	STEPS_MAX = 100000,
};

static const uint64_t rcall_patience = 10 * NSEC_PER_SEC;
static const uint64_t interrupt_patience = NSEC_PER_SEC;

/* --- sites ----------------------------------------------------------------------------------- */

static void search_mapping(struct target *t, const struct mapping *m, uint8_t *buf,
			   struct rcall_sites *sites)
{
	for (uint64_t at = m->start; at < m->end; at += SITE_CHUNK - SITE_OVERLAP) {
		size_t size = MIN((uint64_t)SITE_CHUNK, m->end - at);
		int64_t offset;

		if (target_read(t, at, buf, size) < 0)
			return;
		offset = t->arch->site_find(ARCH_SITE_SYSCALL_RET, buf, size);
		if (!sites->syscall_addr && offset >= 0)
			sites->syscall_addr = at + (uint64_t)offset;
		offset = t->arch->site_find(ARCH_SITE_SIGRETURN, buf, size);
		if (!sites->sigreturn_addr && offset >= 0)
			sites->sigreturn_addr = at + (uint64_t)offset;
		if ((sites->syscall_addr && sites->sigreturn_addr) || m->end - at <= SITE_CHUNK)
			return;
	}
}

int rcall_find_sites(struct target *target, struct rcall_sites *ret)
{
	_cleanup_(maps_deinit) struct maps maps = {};
	struct rcall_sites sites = {};
	_cleanup_free_ uint8_t *buf = malloc(SITE_CHUNK);
	int r;

	if (!buf)
		return diag_oom(target->diag);
	r = target_maps(target, &maps);
	if (r < 0)
		return r;
	/* The C library first: it has both, close to its start, and it stays. */
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < maps.nr; i++) {
			const struct mapping *m = &maps.mappings[i];
			bool is_libc = strstr(m->path, "/libc") || strstr(m->path, "/ld-");

			/* Files only: what is mapped without one may go at any time. */
			if (!(m->prot & PROT_EXEC) || (m->prot & PROT_WRITE) || !m->inode ||
			    is_libc != (pass == 0))
				continue;
			search_mapping(target, m, buf, &sites);
			if (sites.syscall_addr && sites.sigreturn_addr) {
				*ret = sites;
				return 0;
			}
		}
	}
	return diag_err(target->diag, -ENOENT, UPATCH_E_NO_SYSCALL_SITE, NULL,
			"found no %s in its code",
			sites.syscall_addr ? "rt_sigreturn system call"
					   : "system call instruction followed by a return");
}

/* --- one thread's state ------------------------------------------------------------------- */

bool rcall_is_suitable(struct target *target, const struct thread *thread, void *userdata)
{
	const struct maps *maps = userdata;
	uint64_t sp = regs_sp(&thread->regs), tp = regs_tp(&thread->regs);
	const struct mapping *m = maps_find(maps, sp - STACK_ROOM);

	if (thread->state != THREAD_STOPPED)
		return false;
	if (m && strcmp(m->path, "[stack]") == 0)
		return true;
	/* The main thread's stack grows on demand. */
	m = maps_find(maps, sp);
	if (m && strcmp(m->path, "[stack]") == 0)
		return true;
	/* A thread made by a C library has its control block at the top of its stack's mapping. */
	return m && sp - m->start >= STACK_ROOM && sp >= m->start && sp < tp && tp < m->end;
}

static int raise_gone(struct rcall *rc)
{
	struct diag_where where = { .tid = rc->thread->tid };

	return diag_err(
		rc->target->diag, -ESRCH, UPATCH_E_GONE, &where,
		"the thread was killed, or began another program, while it ran code for us");
}

/* Return: 0, or -errno of ptrace(2). */
static int load_xstate(struct rcall *rc, int note)
{
	struct iovec iov = { rc->xstate, ARCH_XSTATE_MAX };

	if (ptrace(PTRACE_GETREGSET, rc->thread->tid, note, &iov) < 0)
		return -errno;
	rc->xstate_note = note;
	rc->xstate_size = iov.iov_len;
	return 0;
}

static int save_state(struct rcall *rc)
{
	int r;

	rc->saved = rc->thread->regs;
	rc->xstate = malloc(ARCH_XSTATE_MAX);
	if (!rc->xstate)
		return diag_oom(rc->target->diag);
	r = load_xstate(rc, NT_X86_XSTATE);
	/* A CPU without XSAVE has the x87 and SSE registers only, and the kernel no such set. */
	if (r == -ENODEV || r == -EINVAL)
		r = load_xstate(rc, NT_PRFPREG);
	if (r == -ESRCH)
		return raise_gone(rc);
	if (r < 0)
		return diag_err(rc->target->diag, r, UPATCH_E_RCALL, NULL,
				"cannot read its extended CPU state: %s", strerror(-r));
	if (ptrace(PTRACE_GETSIGMASK, rc->thread->tid, sizeof(rc->saved_sigmask),
		   &rc->saved_sigmask) < 0)
		return raise_gone(rc);
	return 0;
}

/*
 * The program that it began is none of ours, and may be of another user: it goes on as it came. Return: is
 * it one?
 */
static bool let_go_after_exec(struct rcall *rc, int status)
{
	if (status >> 16 != PTRACE_EVENT_EXEC)
		return false;
	(void)ptrace(PTRACE_DETACH, rc->thread->tid, 0, 0); /* fails if it was killed */
	rc->thread->state = THREAD_GONE;
	return true;
}

/* Put the frame on the stack, below the red zone, which belongs to the function that runs. */
static int push_frame(struct rcall *rc)
{
	struct arch_frame_state state = {
		.xstate = rc->xstate,
		.xstate_size = rc->xstate_size,
		.sigmask = rc->saved_sigmask,
	};
	_cleanup_free_ uint8_t *buf = calloc(1, ARCH_FRAME_MAX + 64);
	struct diag *d = rc->target->diag;
	uint64_t top = ALIGN_DOWN(regs_sp(&rc->saved) - ARCH_RED_ZONE, (uint64_t)64);
	uint64_t frame_addr;
	int size;
	int r;

	if (!buf)
		return diag_oom(d);
	/* The size does not depend on the address, as long as its alignment is the same. */
	size = regs_write_frame(&rc->saved, &state, top, buf + 64);
	if (size < 0)
		return diag_err(d, size, UPATCH_E_RCALL, NULL,
				"its extended CPU state of %zu bytes is not understood",
				rc->xstate_size);
	frame_addr = ALIGN_DOWN(top - (uint64_t)size, (uint64_t)64);
	(void)regs_write_frame(&rc->saved, &state, frame_addr, buf + 64); /* as above */
	memcpy(buf + 56, &rc->sites.sigreturn_addr, 8);
	rc->frame_sp = frame_addr - 8;
	rc->under_size = (size_t)size + 8;
	rc->under = malloc(rc->under_size);
	if (!rc->under)
		return diag_oom(d);
	r = target_read(rc->target, rc->frame_sp, rc->under, rc->under_size);
	if (r < 0) {
		/* Not mapped yet: the write makes the stack grow, and nothing was there. */
		free(take_ptr(rc->under));
		rc->under_size = 0;
	}
	return target_write(rc->target, rc->thread->tid, rc->frame_sp, buf + 56, (size_t)size + 8);
}

static void free_state(struct rcall *rc)
{
	free(rc->xstate);
	free(rc->under);
	rc->xstate = rc->under = NULL;
}

int rcall_begin(struct target *target, struct thread *thread, const struct rcall_sites *sites,
		struct rcall *ret)
{
	struct rcall rc = { .target = target, .thread = thread, .sites = *sites };
	int r;

	r = save_state(&rc);
	if (r >= 0)
		r = push_frame(&rc);
	if (r < 0) {
		free_state(&rc);
		return r;
	}
	*ret = rc;
	return 0;
}

/* --- running ------------------------------------------------------------------------------- */

/*
 * Send the thread on and wait for its next stop. A stop signal cannot be held back: it is let
 * through, the thread joins the group stop and is sent on from there, and the group stop goes on
 * when we detach. SIGCONT makes it trap, too, and so does an interrupt that was asked for twice, of
 * a thread that did not stop in time for an earlier detach: none of these runs any of its code.
 */
static int resume(struct rcall *rc, int request, int *ret_status)
{
	uint64_t deadline = deadline_in(rcall_patience);
	pid_t tid = rc->thread->tid;
	int signal = 0, status;

	for (;;) {
		if (ptrace(request, tid, 0, signal) < 0)
			return raise_gone(rc);
		/* Nothing we let it do blocks for long; it may be killed, which ends the wait. */
		if (waitpid(tid, &status, __WALL) < 0 || WIFEXITED(status) || WIFSIGNALED(status)) {
			thread_release_exec(rc->target, rc->thread);
			return raise_gone(rc);
		}
		if (let_go_after_exec(rc, status))
			return raise_gone(rc);
		signal = 0;
		if (status >> 16 == 0 && WSTOPSIG(status) == SIGSTOP)
			signal = SIGSTOP;
		else if (status >> 16 != PTRACE_EVENT_STOP)
			break;
		if (deadline_is_over(deadline))
			return diag_err(rc->target->diag, -ETIMEDOUT, UPATCH_E_RCALL, NULL,
					"it was stopped again and again");
	}
	*ret_status = status;
	return 0;
}

static int load_regs(struct rcall *rc, struct arch_regs *ret)
{
	struct iovec iov = { &ret->user, sizeof(ret->user) };

	if (ptrace(PTRACE_GETREGSET, rc->thread->tid, NT_PRSTATUS, &iov) < 0)
		return raise_gone(rc);
	return 0;
}

static int hold_signals(struct rcall *rc, uint64_t mask)
{
	if (ptrace(PTRACE_SETSIGMASK, rc->thread->tid, sizeof(mask), &mask) < 0)
		return raise_gone(rc);
	return 0;
}

/*
 * Registers first, then the signal mask: dying in between leaves a thread that restores both from
 * its frame. The other way round it would keep our mask.
 */
static int start(struct rcall *rc)
{
	if (thread_store_regs(rc->thread) < 0)
		return raise_gone(rc);
	return hold_signals(rc, ~0ull);
}

static int raise_unexpected(struct rcall *rc, int status)
{
	struct diag_where where = { .tid = rc->thread->tid };

	return diag_err(rc->target->diag, -EFAULT, UPATCH_E_RCALL, &where,
			"it stopped with status 0x%x instead of finishing our system call", status);
}

int rcall_syscall(struct rcall *rcall, long nr, const uint64_t args[6], int64_t *ret)
{
	struct thread *thread = rcall->thread;
	int status;
	int r;

	regs_set_syscall(&thread->regs, rcall->sites.syscall_addr, nr, args, rcall->frame_sp);
	r = start(rcall);
	/* Once to its entry, once to its exit. ptrace(2), "Syscall-stops". */
	for (int i = 0; i < 2 && r >= 0; i++) {
		r = resume(rcall, PTRACE_SYSCALL, &status);
		if (r >= 0 && WSTOPSIG(status) != (SIGTRAP | 0x80))
			r = raise_unexpected(rcall, status);
	}
	if (r >= 0)
		r = load_regs(rcall, &thread->regs);
	if (r < 0)
		return r;
	*ret = (int64_t)regs_result(&thread->regs);
	return 0;
}

int rcall_function(struct rcall *rcall, uint64_t addr, uint64_t *ret)
{
	static const uint64_t no_args[2];
	struct thread *thread = rcall->thread;
	int status;
	int r;

	/* It returns into rt_sigreturn; the stack is aligned as after a call, psABI 3.2.2. */
	regs_set_call(&thread->regs, addr, no_args, rcall->frame_sp);
	rcall->has_run_code = true;
	r = start(rcall);
	for (int i = 0; i < STEPS_MAX && r >= 0; i++) {
		r = resume(rcall, PTRACE_SINGLESTEP, &status);
		if (r < 0)
			return r;
		if (status >> 16 != 0 || WSTOPSIG(status) != SIGTRAP)
			return raise_unexpected(rcall, status);
		r = load_regs(rcall, &thread->regs);
		if (r < 0)
			return r;
		if (regs_pc(&thread->regs) == rcall->sites.sigreturn_addr) {
			*ret = regs_result(&thread->regs);
			return 0;
		}
	}
	if (r >= 0)
		r = diag_err(rcall->target->diag, -ELOOP, UPATCH_E_RCALL, NULL,
			     "function at 0x%llx did not return within %d instructions",
			     (unsigned long long)addr, STEPS_MAX);
	return r;
}

/* --- calls ---------------------------------------------------------------------------------- */

/* Faults are the function's own: were they blocked, the kernel would also drop their handlers. */
static uint64_t fault_signals(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS };
	uint64_t mask = 0;

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		mask |= 1ull << (signals[i] - 1);
	return mask;
}

static void nap(unsigned int *spins)
{
	struct timespec ts = { .tv_nsec =
				       MIN((long)NAP_NSEC_MIN * (1 + *spins / 10), NAP_NSEC_MAX) };

	if ((*spins)++ < SPINS_BEFORE_NAP)
		(void)sched_yield();
	else
		(void)nanosleep(&ts, NULL);
}

/* Return: 0 with a stop; -ETIMEDOUT, unraised; or -errno raised. */
static int wait_stop(struct rcall *rc, uint64_t deadline, int *ret_status)
{
	unsigned int spins = 0;
	pid_t pid;

	while ((pid = waitpid(rc->thread->tid, ret_status, __WALL | WNOHANG)) == 0) {
		if (deadline_is_over(deadline))
			return -ETIMEDOUT;
		nap(&spins);
	}
	if (pid < 0 || !WIFSTOPPED(*ret_status)) {
		thread_release_exec(rc->target, rc->thread);
		return raise_gone(rc);
	}
	return let_go_after_exec(rc, *ret_status) ? raise_gone(rc) : 0;
}

static bool is_syscall_stop(int status)
{
	return status >> 16 == 0 && WSTOPSIG(status) == (SIGTRAP | 0x80);
}

/* A fault of the function, or its call of abort(3), which unblocks its signal. */
static bool is_crash(struct rcall *rc, int signal)
{
	siginfo_t info = {};

	if (signal == SIGABRT)
		return true;
	if (!(fault_signals() & 1ull << (signal - 1)))
		return false;
	/* What kill(2) and its kin send has no positive code; see sigaction(2). */
	return ptrace(PTRACE_GETSIGINFO, rc->thread->tid, 0, &info) < 0 || info.si_code > 0;
}

/* A signal that cannot be held back, or no longer: blocked by now, the kernel keeps it for later. */
static int hold_back(struct rcall *rc, int signal)
{
	uint64_t mask;

	if (signal == SIGSTOP)
		return 0;
	if (ptrace(PTRACE_GETSIGMASK, rc->thread->tid, sizeof(mask), &mask) < 0)
		return raise_gone(rc);
	return hold_signals(rc, mask | 1ull << (signal - 1));
}

/* In front of a system call: have it skipped, and stand behind it. */
static int skip_syscall(struct rcall *rc)
{
	int status;
	int r;

	regs_skip_syscall(&rc->thread->regs);
	if (thread_store_regs(rc->thread) < 0)
		return raise_gone(rc);
	r = resume(rc, PTRACE_SYSCALL, &status);
	if (r >= 0 && !is_syscall_stop(status))
		r = raise_unexpected(rc, status);
	return r;
}

/* At the landing: the function has returned. */
static int take_result(struct rcall *rc, struct rcall_result *ret)
{
	const struct arch_landing *landing = rc->target->arch->landing;
	uint64_t at = regs_sp(&rc->thread->regs) + (uint64_t)landing->result;
	uint64_t value;

	if (target_read(rc->target, at, &value, sizeof(value)) < 0)
		return raise_gone(rc);
	ret->value = value;
	return skip_syscall(rc);
}

enum {
	GO_ON = 1,
	OVER = 2, /* + RCALL_* */
};

/*
 * What a stop of the running function means.
 * Return: GO_ON with @ret_signal to send it on with; OVER + RCALL_*; -errno raised.
 */

static int look_at_stop(struct rcall *rc, const struct rcall_call *call, int status,
			struct rcall_result *ret, int *ret_signal)
{
	struct thread *thread = rc->thread;
	int r;

	*ret_signal = 0;
	r = load_regs(rc, &thread->regs);
	if (r < 0)
		return r;
	ret->pc = regs_pc(&thread->regs);
	if (is_syscall_stop(status)) {
		if (ret->pc == call->landing_addr + rc->target->arch->landing->stop) {
			r = take_result(rc, ret);
			return r < 0 ? r : OVER + RCALL_RETURNED;
		}
		rc->has_lost_restart |= regs_forgets_restart(&thread->regs);
		return GO_ON;
	}
	/* Whatever it was doing in the kernel was interrupted. */
	rc->has_lost_restart = true;
	if (status >> 16)
		return GO_ON;
	if (is_crash(rc, WSTOPSIG(status))) {
		ret->signal = WSTOPSIG(status);
		return OVER + RCALL_CRASHED;
	}
	r = hold_back(rc, WSTOPSIG(status));
	*ret_signal = WSTOPSIG(status);
	return r < 0 ? r : GO_ON;
}

/* Its time is over: have it stop wherever it is, outside of the kernel. */
static int interrupt(struct rcall *rc, const struct rcall_call *call, struct rcall_result *ret)
{
	uint64_t deadline = deadline_in(interrupt_patience);
	struct __ptrace_syscall_info info = {};
	pid_t tid = rc->thread->tid;
	int status, signal;
	int r;

	for (;;) {
		if (ptrace(PTRACE_INTERRUPT, tid, 0, 0) < 0)
			return raise_gone(rc);
		r = wait_stop(rc, deadline, &status);
		if (r == -ETIMEDOUT) {
			rc->thread->state = THREAD_SEIZED;
			return RCALL_OVERDUE;
		}
		if (r < 0)
			return r;
		r = look_at_stop(rc, call, status, ret, &signal);
		if (r != GO_ON || status >> 16 == PTRACE_EVENT_STOP)
			return r < 0 ? r : r >= OVER ? r - OVER : RCALL_OVERDUE;
		if (is_syscall_stop(status)) {
			if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), &info) > 0 &&
			    info.op == PTRACE_SYSCALL_INFO_ENTRY)
				r = skip_syscall(rc);
			return r < 0 ? r : RCALL_OVERDUE;
		}
		if (ptrace(PTRACE_SYSCALL, tid, 0, signal) < 0)
			return raise_gone(rc);
	}
}

static int run_call(struct rcall *rc, const struct rcall_call *call, struct rcall_result *ret)
{
	int signal = 0, status;
	bool is_over = false;
	int r;

	for (;;) {
		if (ptrace(PTRACE_SYSCALL, rc->thread->tid, 0, signal) < 0)
			return raise_gone(rc);
		/* One system call after the other is no way past the deadline. */
		r = is_over ? -ETIMEDOUT : wait_stop(rc, call->deadline, &status);
		if (r == -ETIMEDOUT) {
			rc->has_lost_restart = true;
			return interrupt(rc, call, ret);
		}
		if (r >= 0)
			r = look_at_stop(rc, call, status, ret, &signal);
		if (r != GO_ON)
			return r < 0 ? r : r - OVER;
		is_over = deadline_is_over(call->deadline);
	}
}

int rcall_call(struct rcall *rcall, const struct rcall_call *call, struct rcall_result *ret)
{
	struct thread *thread = rcall->thread;
	struct rcall_result result = {};
	int r;

	/* From the landing it goes to the frame as well. */
	r = target_write(rcall->target, thread->tid, rcall->frame_sp, &call->landing_addr,
			 sizeof(call->landing_addr));
	if (r < 0)
		return r;
	regs_set_call(&thread->regs, call->addr, call->args, rcall->frame_sp);
	rcall->has_run_code = true;
	if (thread_store_regs(thread) < 0)
		return raise_gone(rcall);
	r = hold_signals(rcall, ~fault_signals());
	if (r >= 0)
		r = run_call(rcall, call, &result);
	if (r < 0)
		return r;
	*ret = result;
	/* Other calls return to the C library's code, which stays. */
	if (r == RCALL_RETURNED) {
		int back = target_write(rcall->target, thread->tid, rcall->frame_sp,
					&rcall->sites.sigreturn_addr, sizeof(uint64_t));

		r = back < 0 ? back : r;
	}
	return r;
}

/* --- back ------------------------------------------------------------------------------------ */

static int restore_xstate(struct rcall *rc)
{
	struct iovec iov = { rc->xstate, rc->xstate_size };

	if (!rc->has_run_code)
		return 0;
	return ptrace(PTRACE_SETREGSET, rc->thread->tid, rc->xstate_note, &iov) < 0 ? -ESRCH : 0;
}

/*
 * The thread stands behind a system call of ours. To have the kernel restart the one that it was
 * in, it must pass the kernel's signal handling once more with its old registers: PTRACE_INTERRUPT
 * makes it, and makes it stop there. The order matters:
 *
 *   extended state, mask	the frame restores them as well
 *   interrupt			from here on it will stop, or with us dead pass signal handling
 *   registers			it is what it was
 */
int rcall_end(struct rcall *rcall)
{
	struct thread *thread = rcall->thread;
	int status = 0;
	int r = 0;

	/* SEIZED: it would not stop, and finds its way back through its frame. */
	if (thread->state == THREAD_GONE || thread->state == THREAD_SEIZED)
		goto out;
	thread->regs = rcall->saved;
	if (rcall->has_lost_restart)
		regs_restart_afresh(&thread->regs);
	if (restore_xstate(rcall) < 0 || hold_signals(rcall, rcall->saved_sigmask) < 0 ||
	    ptrace(PTRACE_INTERRUPT, thread->tid, 0, 0) < 0 || thread_store_regs(thread) < 0) {
		r = raise_gone(rcall);
		goto out;
	}
	if (rcall->under)
		r = target_write(rcall->target, thread->tid, rcall->frame_sp, rcall->under,
				 rcall->under_size);
	if (r < 0)
		goto out;
	if (ptrace(PTRACE_CONT, thread->tid, 0, 0) < 0 ||
	    waitpid(thread->tid, &status, __WALL) < 0 || !WIFSTOPPED(status)) {
		thread->state = THREAD_GONE;
		r = raise_gone(rcall);
		goto out;
	}
	if (status >> 16 == 0) {
		thread->state = THREAD_SIGNALLED;
		thread->signal = WSTOPSIG(status);
	}
	r = load_regs(rcall, &thread->regs);
out:
	free_state(rcall);
	return r;
}

int rcall_borrow_chosen(struct target *target, const struct rcall_choice *choice,
			const struct rcall_sites *sites, uint64_t deadline, struct rcall *ret)
{
	struct freeze freeze;
	struct rcall rcall;
	int r;

	r = freeze_one(target, deadline, choice->is_suitable, choice->userdata, &freeze);
	if (r < 0)
		return r;
	r = rcall_begin(target, &freeze.threads[0], sites, &rcall);
	if (r < 0) {
		freeze_thaw(&freeze);
		return r;
	}
	rcall.freeze = freeze;
	*ret = rcall;
	return 0;
}

int rcall_borrow(struct target *target, struct maps *maps, const struct rcall_sites *sites,
		 uint64_t deadline, struct rcall *ret)
{
	const struct rcall_choice choice = { rcall_is_suitable, maps };

	return rcall_borrow_chosen(target, &choice, sites, deadline, ret);
}

int rcall_give_back(struct rcall *rcall)
{
	int r = rcall_end(rcall);

	freeze_thaw(&rcall->freeze);
	return r;
}
