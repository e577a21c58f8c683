/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TARGET_THREAD_H
#define TARGET_THREAD_H

/*
 * One thread of a target while we trace it.
 *
 *   state      how it got there                         how it leaves
 *   SEIZED     PTRACE_SEIZE; it runs                    interrupt, detach
 *   STOPPED    PTRACE_EVENT_STOP after our INTERRUPT    rcall, detach
 *   SIGNALLED  a signal arrived before our INTERRUPT    detach, which delivers it
 *   GONE       exited
 *
 * ptrace(2), "Attaching and detaching", "Group-stop".
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "arch/regs.h"

struct target;

enum thread_state {
	THREAD_SEIZED,
	THREAD_STOPPED,
	THREAD_SIGNALLED,
	THREAD_GONE,
};

struct thread {
	pid_t tid;
	enum thread_state state;
	int signal;	       /* SIGNALLED: the one to deliver */
	uint64_t stopped_at;   /* ns, when we asked it to stop */
	struct arch_regs regs; /* valid when STOPPED or SIGNALLED */
};

enum thread_seize_flags {
	THREAD_SUSPEND_SECCOMP = 1, /* let it run system calls that its filter forbids */
	THREAD_TRACE_CLONE = 2,	    /* attach to the threads it creates */
	THREAD_TRACE_EXEC = 4,	    /* have it stop when it has become another program */
};

/**
 * thread_seize() - attach, the thread goes on running
 *
 * A new thread of one that is traced with THREAD_TRACE_CLONE comes attached: that counts as done.
 *
 * Return: 0; -ESRCH, unraised, when it is gone or a zombie; -errno raised with UPATCH_E_PERMISSION,
 * UPATCH_E_TRACED or UPATCH_E_SECCOMP (it has a filter that we may not suspend).
 */
int thread_seize(struct target *target, struct thread *thread, pid_t tid,
		 enum thread_seize_flags flags);

/**
 * thread_release_exec() - let the program go that a thread has begun
 * Who calls execve(2) has the main thread's ID from then on: of another thread, which is gone by its own ID,
 * that one is attached, and stops sooner or later. Does nothing where none is.
 */
void thread_release_exec(struct target *target, struct thread *thread);

/* Ask it to stop; does not wait. Return: 0, or -ESRCH with state GONE. */
int thread_interrupt(struct thread *thread);

/**
 * thread_wait_stopped() - see whether it has stopped
 *
 * Does not block; a thread that clones on its way to the stop is sent on, the new one is traced by
 * us and shows up among the target's threads.
 *
 * Return: 0 with state STOPPED, SIGNALLED (both with registers) or GONE; -EAGAIN, unraised.
 */
int thread_wait_stopped(struct thread *thread);

/**
 * thread_store_regs() - write changed registers back
 * Return: 0, or -errno, unraised; -ESRCH: it was killed.
 */
int thread_store_regs(struct thread *thread);

/**
 * thread_step() - have a thread in state STOPPED run one instruction, which blocks on nothing
 * Return: 0; -EINTR, unraised, with state SIGNALLED: a signal arrived first; -ESRCH with state GONE.
 */
int thread_step(struct thread *thread);

/**
 * thread_detach() - let it go on as if nothing had been
 *
 * Delivers a signal that arrived, puts a system call back that our stop made fail, lets a group
 * stop go on. Adds the pause to the target's account.
 */
void thread_detach(struct target *target, struct thread *thread);

#endif
