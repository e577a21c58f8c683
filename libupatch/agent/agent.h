/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

/*
 * Code of ours that runs in targets, in any of their threads, signal handlers included.
 *
 * It is linked into one flat image without relocations (agent.lds) that libupatch carries as bytes.
 * No C library, nothing of libupatch: a target may be static, may hold malloc's lock, may be no C
 * program at all. What payloads may call is listed in head.S and declared in
 * <upatch/livepatch.h>.
 *
 * One lock serialises whoever changes something. All signals but those that the thread's own
 * instructions raise are blocked meanwhile, so that no handler finds the lock held by the very thread
 * that it interrupted. upatch_shadow_get() takes no lock: what it may be looking at is kept until
 * it is out, see shadow.c.
 *
 * fork(2) copies everything. A child has none of the parent's other threads, so the lock and the
 * number of readers are in a page that it finds zeroed. If the lock was held by another thread,
 * agent_data says so in @is_changing, and the child starts with the variables that were there and
 * without the memory that was free: what the other thread was about to add or remove is either there
 * or not. A child that shares memory (vfork(2)) is as good as a thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <upatch/abi_agent.h>

typedef int (*agent_ctor)(void *obj, void *data, void *ctor_data);
typedef void (*agent_dtor)(void *obj, void *data);

/* --- data that the host knows -------------------------------------------------------------- */

extern struct upatch_agent_data agent_data;

/* --- the lock (lock.c) ---------------------------------------------------------------------- */

/* Zero in a forked child. */
extern struct upatch_agent_fork agent_fork;

enum agent_lock_outcome {
	AGENT_LOCK_FAILED = 0, /* this thread holds it: a constructor or destructor calls us */
	AGENT_LOCK_TAKEN = 1,
	AGENT_LOCK_INHERITED =
		2, /* taken; a thread that fork(2) left behind was changing something */
};

/* @ret_signals: for agent_unlock() */
enum agent_lock_outcome agent_lock(uint64_t *ret_signals);
/* Only if it is free. AGENT_LOCK_FAILED: someone has it. */
enum agent_lock_outcome agent_trylock(uint64_t *ret_signals);
void agent_unlock(uint64_t signals);

/* --- memory (memory.c): all of it under the lock ----------------------------------------- */

/* Zeroed, aligned to 16 bytes; NULL: none left. */
void *memory_alloc(size_t size);
void memory_free(void *memory);

/* Forget all that is free, and never use it: it may be half changed. What is in use stays. */
void memory_abandon(void);

/*
 * --- system calls (CPU/syscall.S): as the kernel's, errors are -4095..-1 --------------------
 *
 * A seccomp filter of the process judges them, and may end it. So all of them, and what is passed where filters
 * may look at it, is in the table of livepatch/filters.c, by which the host decides beforehand. A test
 * compares the numbers, another one runs the agent under a filter that knows the table only.
 */

enum {
	SYS_PROT_READ = 1,
	SYS_PROT_WRITE = 2,
	SYS_PROT_EXEC = 4,
	SYS_MAP_PRIVATE = 0x02,
	SYS_MAP_ANONYMOUS = 0x20,
	SYS_MAP_FIXED_NOREPLACE = 0x100000,
	SYS_FUTEX_WAIT_PRIVATE = 128,
	SYS_FUTEX_WAKE_PRIVATE = 129,
	SYS_SIG_BLOCK = 0,
	SYS_SIG_SETMASK = 2,
	SYS_AT_FDCWD = -100,
	SYS_O_RDWR = 2,
	SYS_O_CLOEXEC = 02000000,
	SYS_CLOCK_REALTIME = 0,
	AGENT_ENOENT = -2,
	AGENT_ENOMEM = -12,
	AGENT_EEXIST = -17,
	AGENT_ENOSPC = -28,
};

struct sys_timespec {
	int64_t sec;
	int64_t nsec;
};

long sys_mmap(void *addr, size_t size, long prot, long flags, long fd, long offset);
long sys_mprotect(void *addr, size_t size, long prot);
long sys_munmap(void *addr, size_t size);
long sys_openat(long dir, const char *path, long flags, long mode);
long sys_close(long fd);
long sys_write(long fd, const void *bytes, size_t size);
long sys_pwrite(long fd, const void *bytes, size_t size, uint64_t offset);
long sys_clock_gettime(long clock, struct sys_timespec *ret);
long sys_futex(uint32_t *word, long op, uint32_t value, const void *timeout);
long sys_rt_sigprocmask(long how, const uint64_t *set, uint64_t *ret_old, size_t size);
long sys_gettid(void);

#endif
