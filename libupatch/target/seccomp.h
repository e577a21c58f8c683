/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TARGET_SECCOMP_H
#define TARGET_SECCOMP_H

/*
 * The seccomp filters of a thread, and what they would make of a system call of which not all is known.
 * seccomp(2), "Filters" and "Return values of filters".
 *
 * The programs are the target's: nothing about them is believed. They are walked through once from the
 * start to the end, as jumps only go forward. Where a word is not known a branch goes both ways, and where
 * ways meet, only what both agree on stays known: so the verdict is about more than what can happen, never
 * less, and no program takes longer than its length.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sock_filter;
struct thread;

enum {
	SECCOMP_ARGS = 6,
};

/* The worst that can happen. */
enum seccomp_verdict {
	SECCOMP_PERMITTED, /* it is carried out, whoever may log it */
	SECCOMP_REFUSED,   /* it may fail instead, with an error number, and nothing else happens */
	/*
	 * Anything else: the thread or process may be killed, or get a signal, or wait for another process
	 * to decide, or be told that what was not done has succeeded; or that cannot be told.
	 */
	SECCOMP_FATAL,
};

/* All that apply to a thread. */
struct seccomp {
	struct sock_filter *insns; /* of all, one behind the other */
	uint16_t *lengths;	   /* of each, in instructions */
	size_t nr_insns;
	size_t nr;
};

/* @arch: AUDIT_ARCH_*; @known: bit n: args[n] is what will be passed; else it may be anything */
struct seccomp_call {
	uint32_t arch;
	uint32_t nr;
	uint64_t args[SECCOMP_ARGS];
	unsigned int known;
};

/**
 * seccomp_read() - the filters of a thread that is stopped by us
 * @thread: is in mode "filter", see struct proc_status
 * @ret: for seccomp_deinit(); what it has had is released, its memory is used again
 *
 * ptrace(2), PTRACE_SECCOMP_GET_FILTER.
 *
 * Return: 0; or unraised: -EACCES without CAP_SYS_ADMIN, or when we have a filter ourselves; -EINVAL or
 * -EIO when the kernel does not offer it (CONFIG_CHECKPOINT_RESTORE); -EMEDIUMTYPE for a filter that is no
 * classic BPF; -E2BIG: too many; -ESRCH: it was killed; -ENOMEM.
 */
int seccomp_read(const struct thread *thread, struct seccomp *ret);
void seccomp_deinit(struct seccomp *seccomp);

bool seccomp_is_equal(const struct seccomp *a, const struct seccomp *b);

/* What would become of a call. */
enum seccomp_verdict seccomp_judge(const struct seccomp *seccomp, const struct seccomp_call *call);

#endif
