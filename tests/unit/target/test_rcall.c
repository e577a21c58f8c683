/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/rcall.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "arch/arch.h"
#include "base/deadline.h"
#include "base/diag.h"
#include "target/maps.h"
#include "target/target.h"

/*
 * The target is a child that answers each byte with the next one. What it is to run is in our own
 * code, which it has at the same addresses.
 */
struct fixture {
	struct diag diag;
	struct target *target;
	struct maps maps;
	struct rcall_sites sites;
	struct rcall rcall;
	uint8_t *landing;
	pid_t pid;
	int to, from;
};

/* For wait_at_gate(), which runs in the child. */
static int gate[2], says = -1;

/* --- functions to run ---------------------------------------------------------------------- */

static int subtract(int a, int b)
{
	return a - b;
}

static long ask_kernel(void)
{
	struct timespec ts = { .tv_nsec = 1000 };

	(void)syscall(SYS_nanosleep, &ts, NULL);
	return getpid();
}

static long clobber_vectors(double a)
{
	double sum = 1;

	for (int i = 1; i < 100; i++)
		sum = sum / i + (double)i * sum;
	return sum > 0 ? -1 : 0;
}

static int touch_nothing(volatile int *nowhere)
{
	return *nowhere;
}

static int give_up(void)
{
	abort();
}

static void spin(void)
{
	/* not instrumented, whatever the rest is */
	__asm__ volatile("1: jmp 1b");
}

static void ask_again_and_again(void)
{
	for (;;)
		(void)syscall(SYS_getppid);
}

static int wait_at_gate(void)
{
	char c = '!';

	return write(says, &c, 1) == 1 && read(gate[0], &c, 1) == 1 ? 0 : -1;
}

/* --- fixture ---------------------------------------------------------------------------------- */

static void answer(int from, int to)
{
	char c;

	while (read(from, &c, 1) == 1) {
		c++;
		if (write(to, &c, 1) != 1)
			break;
	}
	_exit(0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int to[2], from[2];

	f->landing = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(f->landing != MAP_FAILED);
	memcpy(f->landing, arch_x86_64.landing->bytes, arch_x86_64.landing->size);
	assert_int_equal(pipe(to), 0);
	assert_int_equal(pipe(from), 0);
	assert_int_equal(pipe(gate), 0);
	says = from[1];
	f->pid = fork();
	assert_true(f->pid >= 0);
	if (f->pid == 0)
		answer(to[0], from[1]);
	close(to[0]);
	close(from[1]);
	f->to = to[1];
	f->from = from[0];
	diag_init(&f->diag);
	assert_int_equal(target_open(&f->diag, f->pid, &f->target), 0);
	assert_int_equal(rcall_find_sites(f->target, &f->sites), 0);
	assert_int_equal(target_maps(f->target, &f->maps), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	maps_deinit(&f->maps);
	target_close(f->target);
	diag_deinit(&f->diag);
	kill(f->pid, SIGKILL);
	waitpid(f->pid, NULL, 0);
	close(f->to);
	close(f->from);
	close(gate[0]);
	close(gate[1]);
	munmap(f->landing, 4096);
	free(f);
	return 0;
}

static void assert_lives(struct fixture *f)
{
	char c = 'a';

	assert_int_equal(write(f->to, &c, 1), 1);
	assert_int_equal(read(f->from, &c, 1), 1);
	assert_int_equal(c, 'b');
}

static void borrow(struct fixture *f)
{
	assert_int_equal(rcall_borrow(f->target, &f->maps, &f->sites, deadline_in(NSEC_PER_SEC),
				      &f->rcall),
			 0);
}

static int call(struct fixture *f, const void *fn, uint64_t a, uint64_t b, struct rcall_result *ret)
{
	const struct rcall_call call = {
		.addr = (uint64_t)(uintptr_t)fn,
		.args = { a, b },
		.landing_addr = (uint64_t)(uintptr_t)f->landing,
		.deadline = deadline_in(300 * NSEC_PER_MSEC),
	};

	return rcall_call(&f->rcall, &call, ret);
}

static void assert_gives_back(struct fixture *f)
{
	assert_int_equal(rcall_give_back(&f->rcall), 0);
	assert_lives(f);
}

/* --- tests ------------------------------------------------------------------------------------ */

static void test_result_of_a_function_comes_back(void **state)
{
	struct fixture *f = *state;
	struct rcall_result result;

	borrow(f);
	assert_int_equal(call(f, (const void *)subtract, 5, 7, &result), RCALL_RETURNED);
	assert_int_equal((int)result.value, -2);
	assert_int_equal(call(f, (const void *)clobber_vectors, 0, 0, &result), RCALL_RETURNED);
	assert_gives_back(f);
}

static void test_function_may_call_the_kernel_and_system_calls_may_follow(void **state)
{
	static const uint64_t no_args[6];
	struct fixture *f = *state;
	struct rcall_result result;
	int64_t value;

	borrow(f);
	assert_int_equal(call(f, (const void *)ask_kernel, 0, 0, &result), RCALL_RETURNED);
	assert_int_equal(result.value, f->pid);
	assert_int_equal(rcall_syscall(&f->rcall, SYS_getppid, no_args, &value), 0);
	assert_int_equal(value, getpid());
	assert_gives_back(f);
}

static void test_fault_is_contained(void **state)
{
	struct fixture *f = *state;
	struct rcall_result result;

	borrow(f);
	assert_int_equal(call(f, (const void *)touch_nothing, 0, 0, &result), RCALL_CRASHED);
	assert_int_equal(result.signal, SIGSEGV);
	assert_true(result.pc - (uint64_t)(uintptr_t)touch_nothing < 64);
	assert_gives_back(f);
	/* and once more */
	borrow(f);
	assert_int_equal(call(f, (const void *)touch_nothing, 0, 0, &result), RCALL_CRASHED);
	assert_gives_back(f);
}

static void test_abort_is_contained(void **state)
{
	struct fixture *f = *state;
	struct rcall_result result;

	borrow(f);
	assert_int_equal(call(f, (const void *)give_up, 0, 0, &result), RCALL_CRASHED);
	assert_int_equal(result.signal, SIGABRT);
	assert_gives_back(f);
}

static void test_function_that_spins_is_left_at_the_deadline(void **state)
{
	struct fixture *f = *state;
	struct rcall_result result;

	borrow(f);
	assert_int_equal(call(f, (const void *)spin, 0, 0, &result), RCALL_OVERDUE);
	assert_true(result.pc - (uint64_t)(uintptr_t)spin < 64);
	assert_gives_back(f);
}

static void test_function_that_sleeps_is_left_at_the_deadline(void **state)
{
	struct fixture *f = *state;
	struct rcall_result result;

	borrow(f);
	assert_int_equal(call(f, (const void *)pause, 0, 0, &result), RCALL_OVERDUE);
	assert_gives_back(f);
}

static void test_function_that_never_leaves_the_kernel_alone_is_left_at_the_deadline(void **state)
{
	struct fixture *f = *state;
	struct rcall_result result;

	borrow(f);
	assert_int_equal(call(f, (const void *)ask_again_and_again, 0, 0, &result), RCALL_OVERDUE);
	assert_gives_back(f);
}

/* One of a kind that a fault makes, but sent by somebody: it is for the program. */
static void test_signal_from_outside_waits_for_the_end_of_the_call(void **state)
{
	struct fixture *f = *state;
	struct rcall_result result;
	int status;

	borrow(f);
	kill(f->pid, SIGTRAP);
	assert_int_equal(call(f, (const void *)subtract, 9, 1, &result), RCALL_RETURNED);
	assert_int_equal((int)result.value, 8);
	(void)rcall_give_back(&f->rcall); /* or it is gone by now */
	assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGTRAP);
}

/* Killed in the middle of a call, by the end of the process that makes it. */
static void test_function_returns_to_the_program_when_we_die(void **state)
{
	struct fixture *f = *state;
	struct rcall_result result;
	int status;
	pid_t tool;
	char c;

	tool = fork();
	assert_true(tool >= 0);
	if (tool == 0) {
		const struct rcall_call wait = {
			.addr = (uint64_t)(uintptr_t)wait_at_gate,
			.landing_addr = (uint64_t)(uintptr_t)f->landing,
			.deadline = deadline_in(60 * NSEC_PER_SEC),
		};

		borrow(f);
		(void)rcall_call(&f->rcall, &wait, &result);
		_exit(1);
	}
	assert_int_equal(read(f->from, &c, 1), 1);
	assert_int_equal(c, '!');
	kill(tool, SIGKILL);
	assert_int_equal(waitpid(tool, &status, 0), tool);
	assert_true(WIFSIGNALED(status));
	/* It still is in the function. */
	assert_int_equal(write(gate[1], &c, 1), 1);
	assert_lives(f);
}

#define rcall_test(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		rcall_test(test_result_of_a_function_comes_back),
		rcall_test(test_function_may_call_the_kernel_and_system_calls_may_follow),
		rcall_test(test_fault_is_contained),
		rcall_test(test_abort_is_contained),
		rcall_test(test_function_that_spins_is_left_at_the_deadline),
		rcall_test(test_function_that_sleeps_is_left_at_the_deadline),
		rcall_test(
			test_function_that_never_leaves_the_kernel_alone_is_left_at_the_deadline),
		rcall_test(test_signal_from_outside_waits_for_the_end_of_the_call),
		rcall_test(test_function_returns_to_the_program_when_we_die),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
