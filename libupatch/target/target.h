/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TARGET_TARGET_H
#define TARGET_TARGET_H

/*
 * A process that is or may be patched.
 *
 * Identity is a pidfd, the /proc directory opened once, and the start time: none of them can come
 * to mean another process. The PID itself is only used for calls that know nothing better, and
 * only while the process is known to live.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "target/maps.h"
#include "target/proc.h"

struct arch_ops;
struct diag;

struct target {
	struct diag *diag; /* borrowed */
	pid_t pid;
	int pidfd;
	int procfd;   /* /proc/PID */
	pid_t tid;    /* a live thread: the main one may have exited, and shows no memory then */
	int threadfd; /* /proc/PID/task/TID of it */
	int memfd;    /* its mem */
	struct proc_stat stat; /* at opening */
	uint32_t uid;
	const struct arch_ops *arch;
	uint64_t pause_longest;	 /* ns, of any thread since it was last set to 0 */
	unsigned int nr_stops;	 /* of all threads */
	unsigned int nr_threads; /* in the last of these */
};

/**
 * target_open() - take hold of a process
 *
 * Return: 0, or -errno raised in @d: UPATCH_E_NO_PROCESS, UPATCH_E_GONE, UPATCH_E_ZOMBIE,
 * UPATCH_E_KERNEL_THREAD, UPATCH_E_PERMISSION, UPATCH_E_TRACED (the message names the tracer),
 * UPATCH_E_ARCHITECTURE.
 */
int target_open(struct diag *d, pid_t pid, struct target **ret);
void target_close(struct target *target);

/**
 * target_check_alive() - is it still this process, and has it not called execve(2)?
 * Return: 0, or -ESRCH raised with UPATCH_E_GONE.
 */
int target_check_alive(struct target *target);

/**
 * target_check_memory() - is its memory its own?
 *
 * A child of vfork(2), as posix_spawn(3) makes, runs in its parent's until it becomes another program: the
 * parent's threads are there, too, and are not among its own.
 *
 * Return: 0, or -EBUSY raised with UPATCH_E_UNINTERRUPTIBLE.
 */
int target_check_memory(struct target *target);

/* Snapshot of the mappings. Return: 0, or -errno raised. */
int target_maps(struct target *target, struct maps *ret);

/* Path of the executable as its link says, or "". @buf is returned. */
char *target_exe(struct target *target, char *buf, size_t size);

/**
 * target_read() - copy bytes out of the target
 * The whole range or an error. Return: 0 or -EFAULT, -ESRCH; unraised.
 */
int target_read(struct target *target, uint64_t addr, void *buf, size_t size);

/* A NUL-terminated string of at most @size - 1 bytes. Return: 0 or -errno, unraised. */
int target_read_string(struct target *target, uint64_t addr, char *buf, size_t size);

/**
 * target_write() - copy bytes into the target, whatever the protection of the pages
 *
 * Through /proc/PID/mem, which writes to read-only private mappings as a debugger does. When the
 * kernel forbids that (proc_mem.force_override=never) and a thread is stopped by us, through
 * PTRACE_POKEDATA. A write within one page is done as a whole or not at all when we are killed;
 * of a longer one any leading pages may have been done.
 *
 * @tracee: a thread that is stopped by us, or 0
 * Return: 0, or -errno raised.
 */
int target_write(struct target *target, pid_t tracee, uint64_t addr, const void *buf, size_t size);

#endif
