/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TARGET_PROC_H
#define TARGET_PROC_H

/*
 * What /proc tells about a process or thread. Read through a descriptor of its directory, so that
 * a reused PID cannot be mistaken for it. proc(5).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	PROC_COMM_MAX = 64,
};

struct proc_stat {
	char comm[PROC_COMM_MAX];
	char state;   /* R S D T t Z X ... */
	pid_t parent; /* 0: it has none in our PID namespace */
	bool is_kernel_thread;
	uint64_t start_time;  /* clock ticks after boot */
	uint64_t start_stack; /* changes with every exec; 0 without the right to see it */
};

struct proc_status {
	pid_t tgid;
	pid_t tracer;
	uint32_t uid; /* real */
	int seccomp;  /* 0 none, 1 strict, 2 filter */
	uint64_t blocked;
	uint64_t pending; /* of the thread and of the process */
	bool has_shadow_stack;
};

/**
 * proc_read_file() - a whole file of /proc, NUL-terminated
 * @dirfd: /proc/PID
 * @ret_size: length without the terminator, or NULL
 *
 * Return: 0 with a malloc'ed buffer, or -errno (unraised; -ENOENT and -ESRCH: it is gone).
 */
int proc_read_file(int dirfd, const char *path, char **ret, size_t *ret_size);

/**
 * proc_read_stat() - one line of /proc/PID/stat or /proc/PID/task/TID/stat
 * @tid: 0 for the process itself
 * Return: 0 or -errno, unraised; -EBADMSG when it is not what proc(5) says.
 */
int proc_read_stat(int dirfd, pid_t tid, struct proc_stat *ret);
int proc_read_status(int dirfd, pid_t tid, struct proc_status *ret);

/* Where a thread blocks, as long as it does: /proc/PID/task/TID/syscall. */
struct proc_wait {
	uint64_t sp;
	uint64_t pc;
};

/**
 * proc_read_wait() - without stopping it
 * Return: 0; -EAGAIN, unraised: it runs; or another -errno, unraised: not known.
 */
int proc_read_wait(int dirfd, pid_t tid, struct proc_wait *ret);

/**
 * proc_read_tids() - all threads
 * Return: 0 with a malloc'ed array, or -errno, unraised.
 */
int proc_read_tids(int dirfd, pid_t **ret, size_t *ret_nr);

/* One entry of the auxiliary vector, 0 when it is absent or unreadable. getauxval(3). */
uint64_t proc_read_auxv(int dirfd, uint64_t type);

/* The parsers, for tests. */
int proc_parse_stat(const char *line, struct proc_stat *ret);
int proc_parse_status(const char *text, struct proc_status *ret);
int proc_parse_wait(const char *line, struct proc_wait *ret);

#endif
