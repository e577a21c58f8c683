/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/filters.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "arch/arch.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "livepatch/library.h"
#include "livepatch/session.h"
#include "target/freeze.h"
#include "target/proc.h"
#include "target/seccomp.h"
#include "target/target.h"

enum {
	SETS_MAX = 64, /* threads with filters of their own are few */
	SIGNAL_SET_SIZE = 8,
	/* Threads that are asked to stop together: the last one is read when all others have been. */
	BATCH = 32,
	ROUNDS = 3,
};

#define ARG(n) (1u << (n))
#define MINUS(n) ((uint64_t) - (int64_t)(n))

/* --- the agent's system calls -------------------------------------------------------------------- */

/* In agent/: who adds one there, or passes something else, adds it here. Tests insist on both. */
static const struct filters_call calls[] = {
	/* lock.c, dl_lock.c, dl_map.c: without them it would do harm, rather than fail */
	{ "gettid", SYS_gettid, FILTERS_NEEDED, 0, {} },
	{ "futex", SYS_futex, FILTERS_NEEDED, ARG(1), { 0, FUTEX_WAIT_PRIVATE } },
	{ "futex", SYS_futex, FILTERS_NEEDED, ARG(1), { 0, FUTEX_WAKE_PRIVATE } },
	{ "rt_sigprocmask",
	  SYS_rt_sigprocmask,
	  FILTERS_NEEDED,
	  ARG(0) | ARG(3),
	  { SIG_BLOCK, 0, 0, SIGNAL_SET_SIZE } },
	{ "rt_sigprocmask",
	  SYS_rt_sigprocmask,
	  FILTERS_NEEDED,
	  ARG(0) | ARG(2) | ARG(3),
	  { SIG_SETMASK, 0, 0, SIGNAL_SET_SIZE } },
	/* dl.c, memory.c, part.c */
	{ "mmap",
	  SYS_mmap,
	  FILTERS_NEEDED,
	  ARG(0) | ARG(2) | ARG(3) | ARG(4) | ARG(5),
	  { 0, 0, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, MINUS(1), 0 } },
	{ "munmap", SYS_munmap, FILTERS_NEEDED, 0, {} },
	/* poke.c */
	{ "mprotect", SYS_mprotect, FILTERS_NEEDED, ARG(2), { 0, 0, PROT_READ } },
	{ "mprotect", SYS_mprotect, FILTERS_NEEDED, ARG(2), { 0, 0, PROT_READ | PROT_WRITE } },
	{ "openat",
	  SYS_openat,
	  FILTERS_OPEN,
	  ARG(0) | ARG(2) | ARG(3),
	  { MINUS(100), 0, O_RDWR | O_CLOEXEC, 0 } },
	{ "pwrite64", SYS_pwrite64, FILTERS_OPEN, 0, {} },
	{ "close", SYS_close, FILTERS_OPEN, 0, {} },
	{ "mmap",
	  SYS_mmap,
	  FILTERS_OPEN,
	  ARG(2) | ARG(3) | ARG(4) | ARG(5),
	  { 0, 0, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
	    MINUS(1), 0 } },
	{ "mmap",
	  SYS_mmap,
	  FILTERS_PROTECT,
	  ARG(2) | ARG(3) | ARG(4) | ARG(5),
	  { 0, 0, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
	    MINUS(1), 0 } },
	{ "mprotect", SYS_mprotect, FILTERS_PROTECT, ARG(2), { 0, 0, PROT_READ | PROT_EXEC } },
	{ "mprotect",
	  SYS_mprotect,
	  FILTERS_PROTECT,
	  ARG(2),
	  { 0, 0, PROT_READ | PROT_WRITE | PROT_EXEC } },
	/* event.c, room.c: the time is 0 without it */
	{ "clock_gettime", SYS_clock_gettime, FILTERS_SPARED, ARG(0), { CLOCK_REALTIME } },
	/* late.c: last words */
	{ "write", SYS_write, FILTERS_SPARED, ARG(0), { STDERR_FILENO } },
};

const struct filters_call *filters_calls(size_t *ret_nr)
{
	*ret_nr = ARRAY_SIZE(calls);
	return calls;
}

/* --- reading ------------------------------------------------------------------------------------- */

/* Filters that some threads have. */
struct set {
	struct seccomp seccomp;
	pid_t tid; /* of one of them */
};

struct filters {
	struct session *session;
	struct set *sets;
	size_t nr;
	size_t alloc;
	struct seccomp scratch;
	pid_t *visited; /* threads, sorted */
	size_t nr_visited;
	size_t alloc_visited;
};

static void deinit(struct filters *f)
{
	for (size_t i = 0; i < f->nr; i++)
		seccomp_deinit(&f->sets[i].seccomp);
	seccomp_deinit(&f->scratch);
	free(f->sets);
	free(f->visited);
}

static int compare_tids(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return x < y ? -1 : x > y;
}

static bool is_visited(const struct filters *f, pid_t tid)
{
	return f->nr_visited && bsearch(&tid, f->visited, f->nr_visited, sizeof(tid), compare_tids);
}

static int raise_unreadable(struct session *s, pid_t tid, int error)
{
	return library_raise_not_followed(
		s,
		"the seccomp filters of its thread %d cannot be read, so that it cannot be told what "
		"they permit: %s%s",
		(int)tid, strerror(-error),
		error == -EACCES ? " (it takes CAP_SYS_ADMIN, and having no filter oneself)" : "");
}

static bool is_known(const struct filters *f)
{
	for (size_t i = 0; i < f->nr; i++)
		if (seccomp_is_equal(&f->sets[i].seccomp, &f->scratch))
			return true;
	return false;
}

/* While it is stopped: nothing but what must be done then. */
static int visit(struct thread *thread, size_t index, void *userdata)
{
	struct filters *f = userdata;
	struct session *s = f->session;
	int r;

	r = seccomp_read(thread, &f->scratch);
	if (r == -ESRCH)
		return 0;
	if (r == -ENOMEM || !array_grow(f->visited, f->nr_visited, f->alloc_visited))
		return diag_oom(s->diag);
	if (r < 0)
		return raise_unreadable(s, thread->tid, r);
	f->visited[f->nr_visited++] = thread->tid;
	if (is_known(f))
		return 0;
	if (f->nr == SETS_MAX)
		return library_raise_not_followed(
			s, "more than %d of its threads have seccomp filters of their own",
			SETS_MAX);
	if (!array_grow(f->sets, f->nr, f->alloc))
		return diag_oom(s->diag);
	f->sets[f->nr++] = (struct set){ f->scratch, thread->tid };
	f->scratch = (struct seccomp){};
	return 0;
}

/* What is left of a main thread that has exited makes no calls, and cannot be stopped. */
static bool has_exited(const struct session *s, pid_t tid)
{
	struct proc_stat stat;

	return proc_read_stat(s->target->procfd, tid, &stat) == 0 &&
	       (stat.state == 'Z' || stat.state == 'X');
}

/* Return: 1: it has some; 0: it has none, or needs none; -ESRCH, unraised: it has gone; or -errno raised. */
static int has_filters(struct session *s, pid_t tid)
{
	struct proc_status status;

	if (proc_read_status(s->target->procfd, tid, &status) < 0)
		return -ESRCH;
	if (!status.seccomp || has_exited(s, tid))
		return 0;
	return status.seccomp == SECCOMP_MODE_FILTER
		       ? 1
		       : library_raise_not_followed(s, "its thread %d is in seccomp's strict mode",
						    (int)tid);
}

/*
 * Threads with filters that have not been visited. Return: 0; 1: one has gone meanwhile, and may have left
 * others that it made; or -errno raised.
 */
static int list(const struct filters *f, pid_t **ret, size_t *ret_nr)
{
	struct session *s = f->session;
	_cleanup_free_ pid_t *tids = NULL;
	size_t nr, nr_left = 0;
	int has_gone = 0;
	int r;

	r = proc_read_tids(s->target->procfd, &tids, &nr);
	if (r < 0)
		return diag_err(s->diag, r, UPATCH_E_GONE, NULL, "cannot list its threads");
	for (size_t i = 0; i < nr; i++) {
		if (is_visited(f, tids[i]))
			continue;
		r = has_filters(s, tids[i]);
		if (r < 0 && r != -ESRCH)
			return r;
		has_gone |= r < 0;
		if (r > 0)
			tids[nr_left++] = tids[i];
	}
	*ret = take_ptr(tids);
	*ret_nr = nr_left;
	return has_gone;
}

/*
 * Each for itself, while the others run. Who is made meanwhile has the filters of who made it, and has been
 * visited with that one; unless that one has gone before.
 *
 * Return: 0: that were all; 1: some may be left; or -errno raised.
 */
static int visit_each(struct filters *f)
{
	_cleanup_free_ pid_t *tids = NULL;
	size_t nr = 0, before = f->nr_visited;
	int has_gone, r;

	r = has_gone = list(f, &tids, &nr);
	for (size_t i = 0; i < nr && r >= 0; i += BATCH)
		r = freeze_each(f->session->target, &tids[i], MIN(nr - i, (size_t)BATCH), visit, f);
	if (r < 0)
		return r;
	if (f->nr_visited > before)
		qsort(f->visited, f->nr_visited, sizeof(*f->visited), compare_tids);
	return has_gone || f->nr_visited - before < nr;
}

/* Where threads come and go all the time: those that are left, with everybody stopped. */
static int visit_rest(struct filters *f)
{
	struct freeze freeze;
	int r;

	r = session_freeze(f->session, &freeze);
	if (r < 0)
		return r;
	for (size_t i = 0; i < freeze.nr && r >= 0; i++) {
		struct thread *thread = &freeze.threads[i];

		if (thread->state == THREAD_GONE || is_visited(f, thread->tid))
			continue;
		r = has_filters(f->session, thread->tid);
		if (r > 0)
			r = visit(thread, i, f);
		else if (r == -ESRCH)
			r = 0;
	}
	freeze_thaw(&freeze);
	return r;
}

static int read_all(struct filters *f)
{
	int r = 1;

	for (int i = 0; i < ROUNDS && r > 0; i++)
		r = visit_each(f);
	return r > 0 ? visit_rest(f) : r;
}

/* --- judging ------------------------------------------------------------------------------------- */

static enum seccomp_verdict judge(const struct filters *f, const struct set *set,
				  const struct filters_call *call)
{
	struct seccomp_call judged = {
		.arch = f->session->target->arch->audit_arch,
		.nr = call->nr,
		.known = call->known,
	};

	memcpy(judged.args, call->args, sizeof(judged.args));
	return seccomp_judge(&set->seccomp, &judged);
}

static bool may_open(const struct filters *f)
{
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		for (size_t n = 0; n < f->nr && calls[i].need == FILTERS_OPEN; n++)
			if (judge(f, &f->sets[n], &calls[i]) != SECCOMP_PERMITTED)
				return false;
	return true;
}

/* What a filter may do at worst, that the agent can do with it. */
static enum seccomp_verdict acceptable(const struct session *s, enum filters_need need)
{
	switch (need) {
	case FILTERS_OPEN:
		return s->may_not_open ? SECCOMP_FATAL : SECCOMP_PERMITTED;
	case FILTERS_PROTECT:
		return s->may_not_open ? SECCOMP_PERMITTED : SECCOMP_REFUSED;
	case FILTERS_SPARED:
		return SECCOMP_REFUSED;
	default:
		return SECCOMP_PERMITTED;
	}
}

static int judge_all(const struct filters *f)
{
	struct session *s = f->session;

	s->may_not_open = !may_open(f);
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		for (size_t n = 0; n < f->nr; n++)
			if (judge(f, &f->sets[n], &calls[i]) > acceptable(s, calls[i].need))
				return library_raise_not_followed(
					s,
					"a seccomp filter of its thread %d does not permit %s(2), "
					"which that takes",
					(int)f->sets[n].tid, calls[i].name);
	return 0;
}

int filters_judge(struct session *session)
{
	struct filters filters = { .session = session };
	int r;

	r = read_all(&filters);
	if (r >= 0)
		r = judge_all(&filters);
	deinit(&filters);
	return r;
}
