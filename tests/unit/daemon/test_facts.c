/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "facts.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "process.h"

static void test_a_name_may_hold_anything(void **state)
{
	struct facts_stat stat;

	assert_int_equal(
		facts_parse_stat("12 (a) b (c) S 1 12 12 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 "
				 "1 0 98765 1 2 3",
				 &stat),
		0);
	assert_string_equal(stat.comm, "a) b (c");
	assert_int_equal(stat.state, 'S');
	assert_int_equal(stat.flags, 4194560);
	assert_int_equal(stat.start_time, 98765);
	assert_int_equal(facts_parse_stat("12 (a", &stat), -EBADMSG);
	assert_int_equal(facts_parse_stat(")( S", &stat), -EBADMSG);
	assert_int_equal(facts_parse_stat("", &stat), -EBADMSG);
}

static void test_mappings_are_parsed(void **state)
{
	struct facts_mapping m;

	assert_int_equal(
		facts_parse_mapping("7f00-7f10 r-xp 00001000 fe:01 4711    /lib/x (deleted)", &m),
		0);
	assert_int_equal(m.start, 0x7f00);
	assert_int_equal(m.end, 0x7f10);
	assert_string_equal(m.prot, "r-xp");
	assert_int_equal(m.offset, 0x1000);
	assert_int_equal(m.inode, 4711);
	assert_int_equal(facts_parse_mapping("7f10-7f00 r-xp 0 0:0 0", &m), -EBADMSG);
	assert_int_equal(facts_parse_mapping("nonsense", &m), -EBADMSG);
}

static void test_the_cgroup_is_that_of_the_unified_hierarchy(void **state)
{
	char unified[] = "3:cpu:/a\n0::/system.slice/x.service\n";
	char old[] = "1:name=systemd:/b.scope\n2:cpu:/c\n";
	char none[] = "1:cpu:/\n";

	assert_string_equal(facts_parse_cgroup(unified), "/system.slice/x.service");
	assert_string_equal(facts_parse_cgroup(old), "/b.scope");
	assert_string_equal(facts_parse_cgroup(none), "");
}

/* This process, and a child that is the same: the second look reads no file. */
static void test_a_file_is_read_once_for_all_processes(void **state)
{
	struct facts_cache *cache;
	struct process own = {}, other = {};
	uint64_t nr_reads;
	pid_t child = fork();

	if (child == 0)
		for (;;)
			pause();
	assert_int_equal(facts_cache_new(&cache), 0);
	assert_int_equal(facts_read(cache, getpid(), &own), FACTS_READ);
	assert_true(own.nr_objects >= 2); /* the program and libc at least */
	assert_int_equal(own.startup, PROCESS_STARTUP_DONE);
	assert_int_equal(own.uid, geteuid());
	nr_reads = facts_cache_nr_reads(cache);
	assert_true(nr_reads >= 2);
	assert_int_equal(facts_read(cache, child, &other), FACTS_READ);
	assert_int_equal(facts_cache_nr_reads(cache), nr_reads);
	assert_int_equal(other.nr_objects, own.nr_objects);
	for (size_t i = 0; i < own.nr_objects; i++)
		assert_true(process_maps(&other, own.objects[i]));
	process_deinit(&own);
	process_deinit(&other);

	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitid(P_PID, (id_t)child, NULL, WEXITED | WNOWAIT), 0);
	assert_int_equal(facts_read(cache, child, &other), FACTS_NOBODY); /* a zombie */
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(facts_read(cache, child, &other), FACTS_NOBODY);
	facts_cache_free(cache);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_name_may_hold_anything),
		cmocka_unit_test(test_mappings_are_parsed),
		cmocka_unit_test(test_the_cgroup_is_that_of_the_unified_hierarchy),
		cmocka_unit_test(test_a_file_is_read_once_for_all_processes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
