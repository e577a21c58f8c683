/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * killat [-k] [-f WORD] N PROGRAM [ARGUMENT]...: run it and kill it behind the N-th of its system calls that
 * is not harmless: in front of the next one everything is as it is there. Exits with 0 when it was killed, with
 * 100 and its exit status when it ended before.
 *
 *	-k		only what changes the kernel counts
 *	-f WORD		they count from where it writes a line with that word to stderr
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../harmless.h"

enum {
	CAME_THROUGH = 100,
	BROKEN = 120,
};

struct killer {
	pid_t tool;
	long point, seen;
	int is_kernel_only;
	const char *from; /* NULL: it has been there */
};

#define NR_HARMLESS (sizeof(harmless_calls) / sizeof(*harmless_calls))

/* A stop costs more than most calls: harmless ones go through. */
static void stop_at_others(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		[1 ... 2 * NR_HARMLESS] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 2),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, HARMFUL_OPEN_FLAGS, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(filter) / sizeof(*filter), .filter = filter };

	for (size_t i = 0; i < NR_HARMLESS; i++)
		filter[1 + 2 * i] = (struct sock_filter)BPF_JUMP(
			BPF_JMP | BPF_JEQ | BPF_K, (unsigned int)harmless_calls[i], 0, 1);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		_exit(BROKEN);
}

static void run(char **argv)
{
	ptrace(PTRACE_TRACEME, 0, 0, 0);
	stop_at_others();
	execvp(argv[0], argv);
	_exit(BROKEN);
}

/* Of what is not harmless. */
static int changes_process(const struct user_regs_struct *regs)
{
	/* To a pipe or a terminal; for what is short see changes_kernel(). */
	if (regs->orig_rax == SYS_write)
		return 0;
	if (regs->orig_rax != SYS_ptrace)
		return 1;
	/* What only looks leaves everything as the one before it did. */
	switch (regs->rdi) {
	case PTRACE_PEEKTEXT:
	case PTRACE_PEEKDATA:
	case PTRACE_GETREGSET:
	case PTRACE_GETSIGINFO:
	case PTRACE_GETSIGMASK:
	case PTRACE_GETEVENTMSG:
	case PTRACE_GET_SYSCALL_INFO:
		return 0;
	default:
		return 1;
	}
}

static int changes_kernel(const struct user_regs_struct *regs)
{
	switch (regs->orig_rax) {
	case SYS_finit_module:
	case SYS_delete_module:
		return 1;
	case SYS_write:
		/* To sysfs: short. What goes to a pipe or a terminal changes nothing here. */
		return regs->rdx == 1;
	default:
		return 0;
	}
}

/* From the line on that has the word. */
static int has_begun(struct killer *killer, const struct user_regs_struct *regs)
{
	char text[512];
	struct iovec to = { text, regs->rdx < sizeof(text) ? regs->rdx : sizeof(text) };
	struct iovec from = { (void *)regs->rsi, to.iov_len };

	if (!killer->from)
		return 1;
	if (regs->orig_rax != SYS_write || regs->rdi != STDERR_FILENO ||
	    process_vm_readv(killer->tool, &to, 1, &from, 1, 0) != (ssize_t)to.iov_len ||
	    !memmem(text, to.iov_len, killer->from, strlen(killer->from)))
		return 0;
	killer->from = NULL;
	return 1;
}

/* It is in front of a system call. */
static int is_place_to_die(struct killer *killer)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, killer->tool, 0, &regs) < 0)
		exit(BROKEN);
	if (!has_begun(killer, &regs))
		return 0;
	if (!changes_kernel(&regs) && (killer->is_kernel_only || !changes_process(&regs)))
		return 0;
	return ++killer->seen == killer->point;
}

/* Return: its status when it stopped or ended. */
static int go_on(const struct killer *killer, enum __ptrace_request how, int signal)
{
	int status;

	if (ptrace(how, killer->tool, 0, signal) < 0 ||
	    waitpid(killer->tool, &status, 0) != killer->tool)
		exit(BROKEN);
	return status;
}

static int is_syscall_stop(int status)
{
	return WSTOPSIG(status) == (SIGTRAP | 0x80) ||
	       status >> 8 == (SIGTRAP | (PTRACE_EVENT_SECCOMP << 8));
}

/* Return: exit status. */
static int hunt(struct killer *killer)
{
	int status, signal = 0;

	for (;;) {
		status = go_on(killer, PTRACE_CONT, signal);
		if (!WIFSTOPPED(status))
			return WIFEXITED(status) ? CAME_THROUGH + WEXITSTATUS(status) : BROKEN;
		signal = 0;
		if (!is_syscall_stop(status))
			signal = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
		else if (is_place_to_die(killer))
			break;
	}
	/* Behind it. */
	while (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
		status = go_on(killer, PTRACE_SYSCALL, 0);
		if (!WIFSTOPPED(status))
			return BROKEN;
	}
	kill(killer->tool, SIGKILL);
	if (waitpid(killer->tool, &status, 0) != killer->tool || !WIFSIGNALED(status))
		return BROKEN;
	return 0;
}

int main(int argc, char **argv)
{
	struct killer killer = {};
	int option, status;

	while ((option = getopt(argc, argv, "+kf:")) != -1) {
		if (option == 'k')
			killer.is_kernel_only = 1;
		else if (option == 'f')
			killer.from = optarg;
		else
			return BROKEN;
	}
	if (argc - optind < 2 || (killer.point = atol(argv[optind])) < 1)
		return BROKEN;
	killer.tool = fork();
	if (killer.tool < 0)
		return BROKEN;
	if (killer.tool == 0)
		run(argv + optind + 1);
	if (waitpid(killer.tool, &status, 0) != killer.tool || !WIFSTOPPED(status) ||
	    ptrace(PTRACE_SETOPTIONS, killer.tool, 0,
		   PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL) < 0)
		return BROKEN;
	return hunt(&killer);
}
