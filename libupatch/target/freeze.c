/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/freeze.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/diag.h"
#include "target/target.h"

enum {
	SPINS_BEFORE_NAP = 200,
	NAP_NSEC = 20000,
	NICE_HIGHEST = -20,
};

/* A thread that sleeps in the kernel this long after we asked keeps nobody waiting for longer. */
static const uint64_t uninterruptible_grace = 50 * NSEC_PER_MSEC;

/* How long freeze_each() waits for the last one. */
static const uint64_t visit_patience = NSEC_PER_SEC;

static int compare_tids(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return x < y ? -1 : x > y;
}

/*
 * Attach to the threads that we do not hold yet.
 * Return: how many there were, or -errno raised.
 */
static int seize_new(struct freeze *freeze)
{
	struct target *t = freeze->target;
	_cleanup_free_ pid_t *tids = NULL;
	_cleanup_free_ pid_t *known = NULL;
	size_t nr, nr_known = 0;
	int found = 0;
	int r;

	r = proc_read_tids(t->procfd, &tids, &nr);
	if (r < 0)
		return diag_err(t->diag, -ESRCH, UPATCH_E_GONE, NULL, "the process has exited");
	known = calloc(freeze->nr + 1, sizeof(*known));
	if (!known)
		return diag_oom(t->diag);
	for (size_t i = 0; i < freeze->nr; i++)
		if (freeze->threads[i].state != THREAD_GONE)
			known[nr_known++] = freeze->threads[i].tid;
	qsort(known, nr_known, sizeof(*known), compare_tids);
	for (size_t i = 0; i < nr; i++) {
		if (bsearch(&tids[i], known, nr_known, sizeof(*known), compare_tids))
			continue;
		if (!array_grow(freeze->threads, freeze->nr, freeze->alloc))
			return diag_oom(t->diag);
		r = thread_seize(t, &freeze->threads[freeze->nr], tids[i], THREAD_TRACE_CLONE);
		if (r == -ESRCH)
			continue;
		if (r < 0)
			return r;
		freeze->nr++;
		found++;
	}
	return found;
}

static void nap(unsigned int *spins)
{
	struct timespec ts = { .tv_nsec = NAP_NSEC };

	/* A stop is announced by SIGCHLD alone, which belongs to the program that we are part of:
	 * so look again, giving way to those who are to stop. */
	if ((*spins)++ < SPINS_BEFORE_NAP)
		(void)sched_yield();
	else
		(void)nanosleep(&ts, NULL);
}

/* Without the right to it the pauses are longer on a busy machine, and nothing else. */
static void set_nice(int nice)
{
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), nice);
}

static int raise_uninterruptible(struct target *t, pid_t tid)
{
	struct diag_where where = { .pid = t->pid, .tid = tid };
	_cleanup_free_ char *wchan = NULL;
	struct proc_stat stat = { .comm = "?", .state = '?' };
	char path[64];

	(void)proc_read_stat(t->procfd, tid, &stat); /* for the message */
	(void)snprintf(path, sizeof(path), "task/%d/wchan", (int)tid);
	(void)proc_read_file(t->procfd, path, &wchan, NULL); /* likewise */
	return diag_err(t->diag, -ETIMEDOUT, UPATCH_E_UNINTERRUPTIBLE, &where,
			"thread '%s' is in state %c and does not stop (waits in %s)", stat.comm,
			stat.state,
			wchan && *wchan && strcmp(wchan, "0") != 0 ? wchan : "the kernel");
}

static bool is_uninterruptible(struct target *t, pid_t tid)
{
	struct proc_stat stat;

	return proc_read_stat(t->procfd, tid, &stat) == 0 && stat.state == 'D';
}

/* Wait until all threads that were asked have stopped. */
static int wait_all(struct freeze *freeze, uint64_t deadline)
{
	struct target *t = freeze->target;
	uint64_t grace = deadline_in(uninterruptible_grace);
	unsigned int spins = 0;
	size_t first = 0;

	for (;;) {
		while (first < freeze->nr && freeze->threads[first].state != THREAD_SEIZED)
			first++;
		if (first == freeze->nr)
			return 0;
		for (size_t i = first; i < freeze->nr; i++)
			if (freeze->threads[i].state == THREAD_SEIZED)
				(void)thread_wait_stopped(&freeze->threads[i]); /* or next time */
		if (freeze->threads[first].state != THREAD_SEIZED)
			continue;
		if (deadline_is_over(deadline) ||
		    (deadline_is_over(grace) && is_uninterruptible(t, freeze->threads[first].tid)))
			return raise_uninterruptible(t, freeze->threads[first].tid);
		nap(&spins);
	}
}

/*
 * Who sleeps deeply can neither be stopped nor, once held, be let go again, and would stop for good when he
 * wakes up: nobody is held before all are seen awake. What falls asleep behind our look is rare.
 */
static int await_sleepers(struct target *t, uint64_t deadline)
{
	uint64_t grace = MIN(deadline, deadline_in(uninterruptible_grace));
	_cleanup_free_ pid_t *tids = NULL;
	unsigned int spins = 0;
	size_t nr;

	if (proc_read_tids(t->procfd, &tids, &nr) < 0)
		return diag_err(t->diag, -ESRCH, UPATCH_E_GONE, NULL, "the process has exited");
	for (size_t i = 0; i < nr; i++)
		for (; is_uninterruptible(t, tids[i]); nap(&spins))
			if (deadline_is_over(grace))
				return raise_uninterruptible(t, tids[i]);
	return 0;
}

static int stop_all(struct freeze *freeze, uint64_t deadline)
{
	size_t asked = 0;
	int r;

	do {
		r = seize_new(freeze);
	} while (r > 0 && !deadline_is_over(deadline));
	if (r < 0)
		return r;
	/* Threads may still be created by ones that are attached: these come attached, and stop on
	 * their own. When a look at the list of a stopped process shows nobody new, all are held. */
	do {
		for (; asked < freeze->nr; asked++)
			if (freeze->threads[asked].state == THREAD_SEIZED)
				(void)thread_interrupt(&freeze->threads[asked]); /* or GONE */
		r = wait_all(freeze, deadline);
		if (r < 0)
			return r;
		r = seize_new(freeze);
	} while (r > 0);
	return r;
}

int freeze_all(struct target *target, uint64_t deadline, struct freeze *ret)
{
	struct freeze freeze = { .target = target };
	size_t live = 0;
	int r;

	freeze.nice = getpriority(PRIO_PROCESS, (id_t)gettid());
	set_nice(NICE_HIGHEST);
	r = target_check_memory(target);
	if (r >= 0)
		r = await_sleepers(target, deadline);
	if (r >= 0)
		r = stop_all(&freeze, deadline);
	if (r < 0)
		goto err_thaw;
	for (size_t i = 0; i < freeze.nr; i++)
		live += freeze.threads[i].state != THREAD_GONE;
	r = target_check_alive(target);
	if (r < 0)
		goto err_thaw;
	target->nr_stops++;
	target->nr_threads = (unsigned int)live;
	*ret = freeze;
	return 0;

err_thaw:
	freeze_thaw(&freeze);
	return r;
}

/* IDs are reused, and after a fork(2) a record names threads of the parent. */
static bool is_of_target(struct target *t, pid_t tid)
{
	char path[32];

	(void)snprintf(path, sizeof(path), "task/%d", (int)tid); /* fits */
	return faccessat(t->procfd, path, F_OK, 0) == 0;
}

/* Return: 0: asked to stop, or sleeping too deeply to be asked; 1: it is gone; or -errno raised. */
static int ask_to_stop(struct target *t, pid_t tid, struct thread *thread)
{
	int r;

	thread->state = THREAD_GONE;
	if (!is_of_target(t, tid))
		return 1;
	if (is_uninterruptible(t, tid))
		return 0;
	r = thread_seize(t, thread, tid, 0);
	if (r < 0) {
		thread->state = THREAD_GONE;
		return r == -ESRCH ? 1 : r;
	}
	/* It may have exited before we held it, and another one got its ID. */
	if (thread_interrupt(thread) < 0 || is_of_target(t, tid))
		return thread->state == THREAD_GONE;
	thread_detach(t, thread);
	return 1;
}

/* Call for those that have stopped meanwhile. Return: how many have not, or -errno raised. */
static int visit_stopped(struct freeze *freeze, freeze_visit_fn fn, void *userdata)
{
	int left = 0;
	int r;

	for (size_t i = 0; i < freeze->nr; i++) {
		struct thread *thread = &freeze->threads[i];

		if (thread->state != THREAD_SEIZED)
			continue;
		if (thread_wait_stopped(thread) == -EAGAIN) {
			left++;
			continue;
		}
		if (thread->state == THREAD_GONE)
			continue;
		r = target_check_alive(freeze->target);
		if (r >= 0)
			r = fn(thread, i, userdata);
		thread_detach(freeze->target, thread);
		thread->state = THREAD_GONE;
		if (r < 0)
			return r;
	}
	return left;
}

int freeze_each(struct target *target, const pid_t *tids, size_t nr, freeze_visit_fn fn,
		void *userdata)
{
	struct freeze freeze = {
		.target = target,
		.threads = calloc(nr + 1, sizeof(struct thread)),
		.nice = getpriority(PRIO_PROCESS, (id_t)gettid()),
	};
	uint64_t deadline = deadline_in(visit_patience);
	int gone = 0;
	int r = 0;

	if (!freeze.threads)
		return diag_oom(target->diag);
	set_nice(NICE_HIGHEST);
	for (; freeze.nr < nr && r >= 0; freeze.nr++) {
		r = ask_to_stop(target, tids[freeze.nr], &freeze.threads[freeze.nr]);
		gone += r > 0;
	}
	for (unsigned int spins = 0; r >= 0; nap(&spins)) {
		r = visit_stopped(&freeze, fn, userdata);
		if (r == 0 || deadline_is_over(deadline))
			break;
	}
	freeze_thaw(&freeze);
	return r < 0 ? r : gone;
}

/* Stop one thread. Return: 0 when it is stopped and suitable; 1 when it is not; -errno raised. */
static int try_one(struct freeze *freeze, pid_t tid, uint64_t patience,
		   bool (*is_suitable)(struct target *target, const struct thread *thread,
				       void *userdata),
		   void *userdata)
{
	struct target *t = freeze->target;
	struct thread *thread = &freeze->threads[0];
	int r;

	if (is_uninterruptible(t, tid))
		return 1;
	r = thread_seize(t, thread, tid, THREAD_SUSPEND_SECCOMP | THREAD_TRACE_EXEC);
	if (r < 0)
		return r == -ESRCH ? 1 : r;
	if (thread_interrupt(thread) < 0)
		return 1;
	for (unsigned int spins = 0; thread->state == THREAD_SEIZED; nap(&spins))
		if (thread_wait_stopped(thread) == 0 || deadline_is_over(patience) ||
		    (spins > SPINS_BEFORE_NAP && is_uninterruptible(t, tid)))
			break;
	if (thread->state == THREAD_GONE)
		thread_release_exec(t, thread);
	/* It is stopped, and cannot become another program any more, of another user maybe. */
	r = target_check_alive(t);
	if (r >= 0 && thread->state == THREAD_STOPPED && is_suitable(t, thread, userdata))
		return 0;
	thread_detach(t, thread);
	return r < 0 ? r : 1;
}

int freeze_one(struct target *target, uint64_t deadline,
	       bool (*is_suitable)(struct target *target, const struct thread *thread,
				   void *userdata),
	       void *userdata, struct freeze *ret)
{
	struct freeze freeze = {
		.target = target,
		.nr = 1,
		.alloc = 1,
		.nice = getpriority(PRIO_PROCESS, (id_t)gettid()),
	};
	size_t nr = 0;
	int r;

	r = target_check_memory(target);
	if (r < 0)
		return r;
	r = 1;
	freeze.threads = calloc(1, sizeof(*freeze.threads));
	if (!freeze.threads)
		return diag_oom(target->diag);
	/* Again and again: on a busy machine a thread may take its time to stop. */
	do {
		_cleanup_free_ pid_t *tids = NULL;

		if (proc_read_tids(target->procfd, &tids, &nr) < 0)
			r = diag_err(target->diag, -ESRCH, UPATCH_E_GONE, NULL,
				     "the process has exited");
		for (size_t i = 0; i < nr && r > 0; i++)
			r = try_one(&freeze, tids[i],
				    MIN(deadline, deadline_in(uninterruptible_grace)), is_suitable,
				    userdata);
	} while (r > 0 && !deadline_is_over(deadline));
	if (r == 0) {
		*ret = freeze;
		return 0;
	}
	if (r > 0)
		r = diag_err(target->diag, -EBUSY, UPATCH_E_RCALL, NULL,
			     "no thread can run code for us: none of %zu stops at a place that "
			     "allows it, on a stack of its own with room for a signal frame",
			     nr);
	free(freeze.threads);
	return r;
}

void freeze_thaw(struct freeze *freeze)
{
	for (size_t i = 0; i < freeze->nr; i++)
		thread_detach(freeze->target, &freeze->threads[i]);
	set_nice(freeze->nice);
	free(freeze->threads);
	*freeze = (struct freeze){};
}

pid_t freeze_any(const struct freeze *freeze)
{
	for (size_t i = 0; i < freeze->nr; i++)
		if (freeze->threads[i].state != THREAD_GONE)
			return freeze->threads[i].tid;
	return 0;
}
