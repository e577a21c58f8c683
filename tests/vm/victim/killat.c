/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * killat N PROGRAM [ARGUMENT]...: run it and kill it behind the N-th of its system calls that changes something:
 * in front of the next one everything is as it is there. Exits with 0 when it was killed, with 100 when it
 * ended before. With UPATCH_KILL_EVERYWHERE in the environment all system calls count, both in front of them and behind.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	CAME_THROUGH = 100,
	BROKEN = 101,
};

/* What only looks leaves everything as the one before it did. */
static int is_place_to_die(pid_t tool)
{
	struct __ptrace_syscall_info info;
	struct user_regs_struct regs;

	if (getenv("UPATCH_KILL_EVERYWHERE"))
		return 1;
	if (ptrace(PTRACE_GETREGS, tool, 0, &regs) < 0 ||
	    ptrace(PTRACE_GET_SYSCALL_INFO, tool, sizeof(info), &info) < 0)
		exit(BROKEN);
	if (info.op != PTRACE_SYSCALL_INFO_EXIT)
		return 0;
	switch (regs.orig_rax) {
	case SYS_ptrace:
	case SYS_pwrite64:
	case SYS_process_vm_writev:
	case SYS_finit_module:
	case SYS_delete_module:
		return 1;
	case SYS_write:
		/* To sysfs: short. What goes to a pipe or a terminal changes nothing here. */
		return regs.rdx == 1;
	default:
		return 0;
	}
}

static void run(char **argv)
{
	ptrace(PTRACE_TRACEME, 0, 0, 0);
	execvp(argv[0], argv);
	_exit(BROKEN);
}

int main(int argc, char **argv)
{
	long point = argc > 2 ? atol(argv[1]) : 0, seen = 0;
	int status;
	pid_t tool = fork();

	if (point < 1 || tool < 0)
		return BROKEN;
	if (tool == 0)
		run(argv + 2);
	if (waitpid(tool, &status, 0) != tool || !WIFSTOPPED(status) ||
	    ptrace(PTRACE_SETOPTIONS, tool, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) < 0)
		return BROKEN;
	for (;;) {
		int signal = WIFSTOPPED(status) && WSTOPSIG(status) != (SIGTRAP | 0x80) &&
					     WSTOPSIG(status) != SIGTRAP
				     ? WSTOPSIG(status)
				     : 0;

		if (ptrace(PTRACE_SYSCALL, tool, 0, signal) < 0 ||
		    waitpid(tool, &status, 0) != tool)
			return BROKEN;
		if (!WIFSTOPPED(status))
			return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? CAME_THROUGH
									     : BROKEN;
		if (WSTOPSIG(status) == (SIGTRAP | 0x80) && is_place_to_die(tool) &&
		    ++seen == point)
			break;
	}
	kill(tool, SIGKILL);
	if (waitpid(tool, &status, 0) != tool || !WIFSIGNALED(status))
		return BROKEN;
	return 0;
}
