/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/target.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/diag.h"

/* Both programs have a page there. */
static char *const page = (char *)0x10000000;

/* What the child is, before and after execve(2): it has the page, says so, and waits. */
static void be_target(const char *text)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
	char byte = '.';

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (mmap(page, 4096, PROT_READ | PROT_WRITE, flags, -1, 0) != page)
		_exit(1);
	strcpy(page, text);
	if (write(STDOUT_FILENO, &byte, 1) != 1 || read(STDIN_FILENO, &byte, 1) != 1)
		_exit(1);
}

static void be_child(const int to[2], const int from[2])
{
	(void)dup2(to[0], STDIN_FILENO);
	(void)dup2(from[1], STDOUT_FILENO);
	be_target("old");
	execl("/proc/self/exe", "test-target-target", "again", (char *)NULL);
	_exit(127);
}

static void await_byte(int fd)
{
	char byte;

	assert_int_equal(read(fd, &byte, 1), 1);
}

static void test_another_program_in_its_place_is_not_written_to(void **state)
{
	struct target *target;
	struct diag diag;
	int to[2], from[2];
	char text[4];
	long word;
	pid_t pid;

	diag_init(&diag);
	assert_int_equal(pipe2(to, O_CLOEXEC), 0);
	assert_int_equal(pipe2(from, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		be_child(to, from);
	close(from[1]);
	await_byte(from[0]);
	assert_int_equal(target_open(&diag, pid, &target), 0);
	assert_int_equal(target_write(target, 0, (uintptr_t)page, "mid", 4), 0);
	assert_int_equal(target_read(target, (uintptr_t)page, text, sizeof(text)), 0);
	assert_string_equal(text, "mid");

	assert_int_equal(write(to[1], ".", 1), 1);
	await_byte(from[0]);
	assert_int_equal(ptrace(PTRACE_SEIZE, pid, 0, 0), 0);
	assert_int_equal(ptrace(PTRACE_INTERRUPT, pid, 0, 0), 0);
	assert_int_equal(waitpid(pid, NULL, __WALL), pid);
	assert_int_equal(target_write(target, pid, (uintptr_t)page, "bad", 4), -ESRCH);
	assert_int_equal(diag.error.reason, UPATCH_E_GONE);
	word = ptrace(PTRACE_PEEKDATA, pid, page, 0);
	assert_memory_equal(&word, "new", 4);

	target_close(target);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, __WALL), pid);
	close(to[0]);
	close(to[1]);
	close(from[0]);
	diag_deinit(&diag);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_another_program_in_its_place_is_not_written_to),
	};

	if (argc > 1) {
		be_target("new");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
