/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/rcall.h"

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "arch/arch.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/diag.h"
#include "target/target.h"

enum {
	SITE_CHUNK = 256 * 1024,
	SITE_OVERLAP = 16,	/* longest pattern, so that none is missed between two chunks */
	STACK_ROOM = 32 * 1024, /* below the stack pointer, for the frame and then some */
	STEPS_MAX = 100000,
};

static const uint64_t rcall_patience = 10 * NSEC_PER_SEC;

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

	return diag_err(rc->target->diag, -ESRCH, UPATCH_E_GONE, &where,
			"the thread was killed while it ran a system call for us");
}

static int save_state(struct rcall *rc)
{
	struct iovec iov;

	rc->saved = rc->thread->regs;
	rc->xstate = malloc(ARCH_XSTATE_MAX);
	if (!rc->xstate)
		return diag_oom(rc->target->diag);
	iov = (struct iovec){ rc->xstate, ARCH_XSTATE_MAX };
	if (ptrace(PTRACE_GETREGSET, rc->thread->tid, NT_X86_XSTATE, &iov) < 0)
		return raise_gone(rc);
	rc->xstate_size = iov.iov_len;
	if (ptrace(PTRACE_GETSIGMASK, rc->thread->tid, sizeof(rc->saved_sigmask),
		   &rc->saved_sigmask) < 0)
		return raise_gone(rc);
	return 0;
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
			rc->thread->state = THREAD_GONE;
			return raise_gone(rc);
		}
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

/* --- back ------------------------------------------------------------------------------------ */

static int restore_xstate(struct rcall *rc)
{
	struct iovec iov = { rc->xstate, rc->xstate_size };

	if (!rc->has_run_code)
		return 0;
	return ptrace(PTRACE_SETREGSET, rc->thread->tid, NT_X86_XSTATE, &iov) < 0 ? -ESRCH : 0;
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

	if (thread->state == THREAD_GONE)
		goto out;
	thread->regs = rcall->saved;
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

int rcall_borrow(struct target *target, struct maps *maps, const struct rcall_sites *sites,
		 uint64_t deadline, struct rcall *ret)
{
	struct freeze freeze;
	struct rcall rcall;
	int r;

	r = freeze_one(target, deadline, rcall_is_suitable, maps, &freeze);
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

int rcall_give_back(struct rcall *rcall)
{
	int r = rcall_end(rcall);

	freeze_thaw(&rcall->freeze);
	return r;
}
