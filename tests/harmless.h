/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_HARMLESS_H
#define TESTS_HARMLESS_H

/*
 * System calls that change nothing but the process that makes them: killed behind one of these, a tool leaves
 * what it would have left in front of it. All others are places to die, those that nobody has
 * thought of among them.
 */

#include <fcntl.h>
#include <sys/syscall.h>

/* openat(2) is harmless without these. */
enum {
	HARMFUL_OPEN_FLAGS = O_CREAT | O_TRUNC,
};

static const int harmless_calls[] = {
	SYS_access,
	SYS_alarm,
	SYS_arch_prctl,
	SYS_brk,
	SYS_clock_getres,
	SYS_clock_gettime,
	SYS_clock_nanosleep,
	SYS_close,
	SYS_dup,
	SYS_dup2,
	SYS_dup3,
	SYS_execve, /* of the tool itself */
	SYS_exit,
	SYS_exit_group,
	SYS_faccessat,
	SYS_faccessat2,
	SYS_fcntl,
	SYS_fstat,
	SYS_fstatfs,
	SYS_futex,
	SYS_getcwd,
	SYS_getdents64,
	SYS_getegid,
	SYS_geteuid,
	SYS_getgid,
	SYS_getpid,
	SYS_getpriority,
	SYS_getrandom,
	SYS_getrlimit,
	SYS_gettid,
	SYS_getuid,
	SYS_ioctl, /* asks about terminals and files */
	SYS_lseek,
	SYS_madvise,
	SYS_mmap,
	SYS_mprotect,
	SYS_mremap,
	SYS_munmap,
	SYS_nanosleep,
	SYS_newfstatat,
	SYS_pidfd_open,
	SYS_pipe2,
	SYS_poll,
	SYS_ppoll,
	SYS_prctl,
	SYS_pread64,
	SYS_prlimit64,
	SYS_process_vm_readv,
	SYS_read,
	SYS_readlink,
	SYS_readlinkat,
	SYS_readv,
	SYS_restart_syscall,
	SYS_rseq,
	SYS_rt_sigaction,
	SYS_rt_sigprocmask,
	SYS_rt_sigreturn,
	SYS_sched_getaffinity,
	SYS_sched_yield,
	SYS_set_robust_list,
	SYS_set_tid_address,
	SYS_setpriority,
	SYS_stat,
	SYS_statfs,
	SYS_statx,
	SYS_sysinfo,
	SYS_uname,
	SYS_wait4, /* who has stopped, and has no tracer any more, goes on */
};

#endif
