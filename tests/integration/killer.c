/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "killer.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../harmless.h"

/* In a process of its own: open the victim anew and work on it. */
static void run_tool(struct fixture *f, enum act act)
{
	static const struct upatch_options no_wait = { .flags = UPATCH_NO_WAIT };
	struct upatch_target *target;
	struct upatch_patch *patch;
	struct upatch_ctx *ctx;
	char path[256];
	int r = -1;

	snprintf(path, sizeof(path), "%s/p.upatch", f->dir);
	if (upatch_ctx_new(&ctx) < 0 || upatch_patch_open(ctx, path, &patch) < 0)
		_exit(3);
	/* From here on every system call is a place to die at. */
	raise(SIGSTOP);
	if (upatch_target_open(ctx, f->pid, &target) < 0)
		_exit(3);
	switch (act) {
	case ACT_APPLY:
		r = upatch_target_apply(target, patch, &no_wait, NULL);
		break;
	case ACT_REVERT:
		r = upatch_target_revert(target, "p", &no_wait, NULL);
		break;
	case ACT_WAIT:
		r = upatch_target_wait(target, &no_wait, NULL);
		break;
	case ACT_FORCE:
		r = upatch_target_force(target, NULL, NULL);
		break;
	}
	_exit(r >= 0 ? 0 : 1);
}

static bool is_place_to_die(pid_t tool)
{
	struct user_regs_struct regs;

	assert_int_equal(ptrace(PTRACE_GETREGS, tool, 0, &regs), 0);
	if (regs.orig_rax == SYS_openat)
		return regs.rdx & HARMFUL_OPEN_FLAGS;
	for (size_t i = 0; i < sizeof(harmless_calls) / sizeof(*harmless_calls); i++)
		if (regs.orig_rax == (unsigned long)harmless_calls[i])
			return false;
	return true;
}

bool killer_kill_at(struct fixture *f, enum act act, int point)
{
	int status;
	pid_t tool = fork();

	assert_true(tool >= 0);
	if (tool == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		run_tool(f, act);
	}
	assert_int_equal(waitpid(tool, &status, 0), tool);
	assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	assert_int_equal(
		ptrace(PTRACE_SETOPTIONS, tool, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL), 0);
	for (int stops = 0;;) {
		int signal = 0;

		assert_int_equal(ptrace(PTRACE_SYSCALL, tool, 0, signal), 0);
		assert_int_equal(waitpid(tool, &status, 0), tool);
		if (WIFEXITED(status)) {
			assert_int_equal(WEXITSTATUS(status), 0);
			return false;
		}
		assert_true(WIFSTOPPED(status));
		if (WSTOPSIG(status) != (SIGTRAP | 0x80))
			continue; /* SIGCHLD of the victim's stops: ignored by default */
		/* Stops come in pairs: before the call, and behind it. */
		if (is_place_to_die(tool) && ++stops == point)
			break;
	}
	kill(tool, SIGKILL);
	assert_int_equal(waitpid(tool, &status, 0), tool);
	assert_true(WIFSIGNALED(status));
	return true;
}
