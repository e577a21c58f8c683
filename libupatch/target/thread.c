/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/thread.h"

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/deadline.h"
#include "base/diag.h"
#include "target/target.h"

/* Not in glibc's header; include/uapi/linux/ptrace.h. */
enum {
	OPTION_SUSPEND_SECCOMP = 1 << 21,
};

static const uint64_t detach_patience = 100 * NSEC_PER_MSEC;
static const uint64_t exec_patience = NSEC_PER_SEC;

static int raise_seize(struct target *target, pid_t tid, int error)
{
	struct diag_where where = { .pid = target->pid, .tid = tid };
	struct proc_status status;
	struct proc_stat stat;

	if (error == -ESRCH || proc_read_stat(target->procfd, tid, &stat) < 0 ||
	    stat.state == 'Z' || stat.state == 'X')
		return -ESRCH;
	if (proc_read_status(target->procfd, tid, &status) < 0)
		return -ESRCH;
	if (status.tracer == gettid())
		return 0;
	if (status.tracer)
		return diag_err(target->diag, -EBUSY, UPATCH_E_TRACED, &where,
				"it is traced by process %d", (int)status.tracer);
	return diag_err(target->diag, error, UPATCH_E_PERMISSION, &where,
			"the kernel does not let us trace it: %s", strerror(-error));
}

int thread_seize(struct target *target, struct thread *thread, pid_t tid,
		 enum thread_seize_flags flags)
{
	struct diag_where where = { .pid = target->pid, .tid = tid };
	unsigned long options = PTRACE_O_TRACESYSGOOD;
	struct proc_status status;
	int r;

	if (flags & THREAD_TRACE_CLONE)
		options |= PTRACE_O_TRACECLONE;
	if (flags & THREAD_SUSPEND_SECCOMP) {
		if (proc_read_status(target->procfd, tid, &status) < 0)
			return -ESRCH;
		if (status.seccomp)
			options |= OPTION_SUSPEND_SECCOMP;
	}
	if (flags & THREAD_TRACE_EXEC)
		options |= PTRACE_O_TRACEEXEC;
	*thread = (struct thread){ .tid = tid, .state = THREAD_SEIZED };
	if (ptrace(PTRACE_SEIZE, tid, 0, options) == 0)
		return 0;
	r = -errno;
	if ((options & OPTION_SUSPEND_SECCOMP) && (r == -EPERM || r == -EINVAL) &&
	    ptrace(PTRACE_SEIZE, tid, 0, options & ~(unsigned long)OPTION_SUSPEND_SECCOMP) == 0) {
		thread_detach(target, thread);
		return diag_err(target->diag, -EPERM, UPATCH_E_SECCOMP, &where,
				"it has a seccomp filter, which we may not suspend");
	}
	return raise_seize(target, tid, r);
}

void thread_release_exec(struct target *target, struct thread *thread)
{
	uint64_t deadline = deadline_in(exec_patience);
	struct proc_status status;

	thread->state = THREAD_GONE;
	while (proc_read_status(target->procfd, 0, &status) == 0 && status.tracer == gettid() &&
	       !deadline_is_over(deadline)) {
		siginfo_t info = {};

		/* Not its exit: that is its parent's, which we may be. */
		if (waitid(P_PID, (id_t)target->pid, &info, WSTOPPED | WNOHANG | __WALL) == 0 &&
		    info.si_pid)
			(void)ptrace(PTRACE_DETACH, target->pid, 0, 0); /* or it was killed */
		else
			(void)usleep(10);
	}
}

int thread_interrupt(struct thread *thread)
{
	thread->stopped_at = clock_now();
	if (ptrace(PTRACE_INTERRUPT, thread->tid, 0, 0) == 0)
		return 0;
	thread->state = THREAD_GONE;
	return -ESRCH;
}

static int load_regs(struct thread *thread)
{
	struct iovec iov = { &thread->regs.user, sizeof(thread->regs.user) };

	if (ptrace(PTRACE_GETREGSET, thread->tid, NT_PRSTATUS, &iov) < 0) {
		/* Killed since. */
		thread->state = THREAD_GONE;
		return 0;
	}
	return 0;
}

int thread_store_regs(struct thread *thread)
{
	struct iovec iov = { &thread->regs.user, sizeof(thread->regs.user) };

	return ptrace(PTRACE_SETREGSET, thread->tid, NT_PRSTATUS, &iov) < 0 ? -errno : 0;
}

/*
 * A process, rather than a thread, that is made by clone(2) with another signal than SIGCHLD, or none, comes
 * attached as a new thread does, ptrace(2), "PTRACE_O_TRACECLONE": it is none of ours.
 */
static void release_process(const struct thread *parent)
{
	uint64_t deadline = deadline_in(detach_patience);
	unsigned long message = 0;
	int status;
	pid_t tid;

	if (ptrace(PTRACE_GETEVENTMSG, parent->tid, 0, &message) < 0)
		return;
	tid = (pid_t)message;
	/* Is it the first of its thread group? */
	if (syscall(SYS_tgkill, tid, tid, 0) < 0)
		return;
	while (waitpid(tid, &status, __WALL | WNOHANG) == 0 && !deadline_is_over(deadline))
		(void)usleep(10);
	/* Fails if it was killed, or has not got a CPU so far. */
	(void)ptrace(PTRACE_DETACH, tid, 0, 0);
}

int thread_wait_stopped(struct thread *thread)
{
	int status;

	for (;;) {
		pid_t pid = waitpid(thread->tid, &status, __WALL | WNOHANG);

		if (pid == 0)
			return -EAGAIN;
		if (pid < 0 || WIFEXITED(status) || WIFSIGNALED(status)) {
			thread->state = THREAD_GONE;
			return 0;
		}
		if (status >> 16 == PTRACE_EVENT_STOP) {
			/* Our stop, a new thread's first one, or a group stop: all the same. */
			thread->state = THREAD_STOPPED;
			return load_regs(thread);
		}
		if (status >> 16 == 0 && WSTOPSIG(status) != (SIGTRAP | 0x80)) {
			thread->state = THREAD_SIGNALLED;
			thread->signal = WSTOPSIG(status);
			return load_regs(thread);
		}
		if (status >> 8 == (SIGTRAP | (PTRACE_EVENT_CLONE << 8)))
			release_process(thread);
		/*
		 * Any trap cancels an interrupt that was pending (ptrace_stop() in kernel/signal.c): ask
		 * again, or it runs on. Both fail only if it was killed.
		 */
		(void)ptrace(PTRACE_INTERRUPT, thread->tid, 0, 0);
		(void)ptrace(PTRACE_CONT, thread->tid, 0, 0);
	}
}

int thread_step(struct thread *thread)
{
	int status;

	for (;;) {
		if (ptrace(PTRACE_SINGLESTEP, thread->tid, 0, 0) < 0)
			break;
		while (waitpid(thread->tid, &status, __WALL) < 0)
			if (errno != EINTR)
				goto gone;
		if (!WIFSTOPPED(status))
			break;
		if (status >> 16 == PTRACE_EVENT_STOP)
			continue;	 /* a group stop, or its end: nothing has run */
		(void)load_regs(thread); /* or GONE */
		if (thread->state == THREAD_GONE)
			return -ESRCH;
		if (status >> 16 == 0 && WSTOPSIG(status) == SIGTRAP)
			return 0;
		thread->state = THREAD_SIGNALLED;
		thread->signal = WSTOPSIG(status);
		return -EINTR;
	}
gone:
	thread->state = THREAD_GONE;
	return -ESRCH;
}

/* Only a stopped thread can be let go: stop it for an instant. */
static bool stop_for_detach(struct thread *thread)
{
	uint64_t deadline = deadline_in(detach_patience);

	if (thread_interrupt(thread) < 0)
		return true;
	while (thread_wait_stopped(thread) == -EAGAIN) {
		if (deadline_is_over(deadline))
			return false;
		(void)usleep(10);
	}
	return true;
}

void thread_detach(struct target *target, struct thread *thread)
{
	uint64_t pause;

	if (thread->state == THREAD_SEIZED && !stop_for_detach(thread)) {
		/* It stops when it leaves the kernel. Then the next attempt finds it attached to us,
		 * or the end of this process lets it go. */
		diag_debug(target->diag,
			   "target %d: thread %d: cannot be let go before it leaves "
			   "the kernel",
			   (int)target->pid, (int)thread->tid);
		return;
	}
	if (thread->state == THREAD_GONE)
		return;
	/*
	 * With a signal about to be delivered, too: the calls concerned are interrupted for a
	 * tracee even by a signal that it ignores.
	 */
	if (regs_restart_interrupted(&thread->regs))
		(void)thread_store_regs(thread); /* fails only if it was killed */
	(void)ptrace(PTRACE_DETACH, thread->tid, 0, thread->signal); /* likewise */
	thread->state = THREAD_GONE;
	pause = clock_now() - thread->stopped_at;
	if (thread->stopped_at && pause > target->pause_longest)
		target->pause_longest = pause;
}
