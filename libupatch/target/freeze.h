/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TARGET_FREEZE_H
#define TARGET_FREEZE_H

/*
 * Stopping threads of a target: all of them, or a single one.
 *
 * All: attach to every thread while they run, until no new one appears (those attached bring
 * their children along), then ask all of them to stop, and only then wait: attach-wait-attach
 * collapses on busy machines, because what is not stopped yet competes with us for the CPUs. They
 * are let go in the order in which they were stopped, so that no thread pays for all others.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "target/thread.h"

struct target;

struct freeze {
	struct target *target;
	struct thread *threads; /* some may be GONE */
	size_t nr;
	size_t alloc;
	int nice; /* of our thread before, see freeze_all() */
};

/**
 * freeze_all() - stop every thread
 *
 * Until they are let go, this thread of ours has the highest priority that it may have: on a busy
 * machine every other process that runs prolongs the pause.
 *
 * @deadline: when to give up
 *
 * Return: 0; or -errno raised, with nobody stopped: -ETIMEDOUT with UPATCH_E_UNINTERRUPTIBLE (the
 * message names the thread and what it waits for), -ESRCH with UPATCH_E_GONE, or as thread_seize().
 */
int freeze_all(struct target *target, uint64_t deadline, struct freeze *ret);

/**
 * freeze_one() - stop one thread that can run a system call for us
 *
 * The others go on. Prefers the main thread; takes the first one that @is_suitable accepts once it
 * is stopped. PTRACE_O_SUSPEND_SECCOMP is set where the thread has a filter.
 *
 * Return: 0; or -errno raised, with nobody stopped: as freeze_all(), or -EBUSY with UPATCH_E_RCALL
 * when no thread is suitable.
 */
int freeze_one(struct target *target, uint64_t deadline,
	       bool (*is_suitable)(struct target *target, const struct thread *thread,
				   void *userdata),
	       void *userdata, struct freeze *ret);

/* What freeze_each() does with a thread: @thread is STOPPED or SIGNALLED. 0, or -errno raised. */
typedef int (*freeze_visit_fn)(struct thread *thread, size_t index, void *userdata);

/**
 * freeze_each() - stop each of these threads for itself, and let it go at once
 * @fn: called for each one while it is stopped, in the order in which they stop
 *
 * They are asked all together, and nobody waits for anybody: on a busy machine it takes a thread as long to
 * stop as it takes to get a CPU. Those that are gone, are of another process, or have not stopped by the
 * deadline are let go without a call.
 *
 * Return: how many were gone or another process's, or -errno raised, as thread_seize().
 */
int freeze_each(struct target *target, const pid_t *tids, size_t nr, freeze_visit_fn fn,
		void *userdata);

/* Let everybody go on. Accepts an empty one. */
void freeze_thaw(struct freeze *freeze);

/* A thread in it that still is there, for target_write(); 0: none. */
pid_t freeze_any(const struct freeze *freeze);

#endif
