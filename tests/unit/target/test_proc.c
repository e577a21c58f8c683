/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <cmocka.h>

#include "target/proc.h"

static void test_a_name_with_parentheses_does_not_shift_fields(void **state)
{
	struct proc_stat stat;

	assert_int_equal(proc_parse_stat("42 (a) S (b c)) R 1 2 3 4 5 2129984 7 8 9 10 11 12 13 14 "
					 "15 16 17 18 4711 20 21 22 23 24 815 26",
					 &stat),
			 0);
	assert_string_equal(stat.comm, "a) S (b c)");
	assert_int_equal(stat.state, 'R');
	assert_int_equal(stat.parent, 1);
	assert_true(stat.is_kernel_thread);
	assert_int_equal(stat.start_time, 4711);
	assert_int_equal(stat.start_stack, 815);
}

static void test_a_cut_off_stat_is_refused(void **state)
{
	struct proc_stat stat;

	assert_int_equal(proc_parse_stat("", &stat), -EBADMSG);
	assert_int_equal(proc_parse_stat("42 (a", &stat), -EBADMSG);
	assert_int_equal(proc_parse_stat("42 (a)", &stat), -EBADMSG);
	assert_int_equal(proc_parse_stat("42 (a) R 1 2 3", &stat), -EBADMSG);
	assert_int_equal(proc_parse_stat(")(", &stat), -EBADMSG);
}

static const char status_text[] = "Name:\tTgid: 1\n"
				  "Tgid:\t7\n"
				  "TracerPid:\t9\n"
				  "Uid:\t1000\t0\t0\t0\n"
				  "SigPnd:\t0000000000000001\n"
				  "ShdPnd:\t0000000000000200\n"
				  "SigBlk:\t0000000000010000\n"
				  "Seccomp:\t2\n"
				  "x86_Thread_features:\tshstk \n"
				  "x86_Thread_features_locked:\tshstk wrss \n";

static void test_fields_of_status_are_found_by_their_line(void **state)
{
	struct proc_status status;

	assert_int_equal(proc_parse_status(status_text, &status), 0);
	assert_int_equal(status.tgid, 7);
	assert_int_equal(status.tracer, 9);
	assert_int_equal(status.uid, 1000);
	assert_int_equal(status.pending, 0x201);
	assert_int_equal(status.blocked, 0x10000);
	assert_int_equal(status.seccomp, 2);
	assert_true(status.has_shadow_stack);
}

static void test_locked_features_are_no_shadow_stack(void **state)
{
	struct proc_status status;

	assert_int_equal(
		proc_parse_status("Tgid:\t7\nTracerPid:\t0\nUid:\t0\nSigPnd:\t0\nShdPnd:\t0\n"
				  "SigBlk:\t0\nx86_Thread_features:\t\n"
				  "x86_Thread_features_locked:\tshstk\n",
				  &status),
		0);
	assert_false(status.has_shadow_stack);
	assert_int_equal(status.seccomp, 0);
}

static void test_a_status_without_a_field_is_refused(void **state)
{
	struct proc_status status;

	assert_int_equal(proc_parse_status("Tgid:\t7\n", &status), -EBADMSG);
	assert_int_equal(proc_parse_status("", &status), -EBADMSG);
}

static void test_this_process_is_described(void **state)
{
	int fd = open("/proc/self", O_RDONLY | O_DIRECTORY);
	struct proc_status status;
	struct proc_stat stat;
	pid_t *tids;
	size_t nr;

	assert_int_equal(proc_read_stat(fd, 0, &stat), 0);
	assert_int_equal(stat.state, 'R');
	assert_false(stat.is_kernel_thread);
	assert_int_equal(proc_read_status(fd, 0, &status), 0);
	assert_int_equal(status.tgid, getpid());
	assert_int_equal(proc_read_tids(fd, &tids, &nr), 0);
	assert_int_equal(nr, 1);
	assert_int_equal(tids[0], getpid());
	assert_int_equal(proc_read_auxv(fd, AT_PHNUM), getauxval(AT_PHNUM));
	assert_int_equal(proc_read_auxv(fd, 0x7777), 0);
	free(tids);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_name_with_parentheses_does_not_shift_fields),
		cmocka_unit_test(test_a_cut_off_stat_is_refused),
		cmocka_unit_test(test_fields_of_status_are_found_by_their_line),
		cmocka_unit_test(test_locked_features_are_no_shadow_stack),
		cmocka_unit_test(test_a_status_without_a_field_is_refused),
		cmocka_unit_test(test_this_process_is_described),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
