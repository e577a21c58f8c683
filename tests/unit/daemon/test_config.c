/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <upatch/error.h>

#include <cmocka.h>

#include "failure.h"

static int parse(const char *text, struct config *config, struct failure *f)
{
	return config_parse(text, strlen(text), "etc/x.conf", config, f);
}

static void assert_refused(const char *text, const char *message)
{
	struct config config;
	struct failure f = {};

	config_init(&config);
	assert_true(parse(text, &config, &f) < 0);
	assert_int_equal(f.error.reason, UPATCH_E_CONFIG);
	assert_string_equal(f.error.message, message);
	failure_clear(&f);
	config_deinit(&config);
}

static void test_settings_are_taken(void **state)
{
	struct config config;

	config_init(&config);
	assert_int_equal(parse("# all there is\n"
			       "[Daemon]\nWorkers = 3\nDeadlineSec=7\nRescanSec=9\nWatch=rescan\n"
			       "[Exclude]\nUnit=bank.service\nUser=0\n"
			       "[Patch]\nFile=fix.upatch\nExcludeName=init\nUnit=*.service\n"
			       "[Patch]\nFile=/else/where.upatch\n",
			       &config, NULL),
			 0);
	assert_int_equal(config.workers, 3);
	assert_int_equal(config.deadline_s, 7);
	assert_int_equal(config.rescan_s, 9);
	assert_true(config.is_rescanning);
	assert_int_equal(config.opt_out.nr, 2);
	assert_int_equal(config.opt_out.conditions[1].key, RULE_USER);
	assert_int_equal(config.nr_patches, 2);
	assert_string_equal(config.patches[0].path, "etc/fix.upatch");
	assert_true(config.patches[0].rule.conditions[0].is_exclusion);
	assert_string_equal(config.patches[0].source, "etc/x.conf");
	assert_string_equal(config.patches[1].path, "/else/where.upatch");
	config_deinit(&config);
}

static void test_what_is_wrong_is_named_with_its_line(void **state)
{
	assert_refused("Workers=1\n", "etc/x.conf:1: a setting stands before the first [Section]");
	assert_refused("[Deamon]\n", "etc/x.conf:1: sections are [Daemon], [Exclude] and [Patch]");
	assert_refused("[Daemon]\n\nWorkers=0\n", "etc/x.conf:3: Workers: a number from 1 to 256");
	assert_refused("[Daemon]\nWorkers\n", "etc/x.conf:2: a setting is written Key=value");
	assert_refused("[Daemon]\nColour=red\n",
		       "etc/x.conf:2: 'Colour' is no setting of [Daemon]");
	assert_refused("[Daemon\n", "etc/x.conf:1: a section is written [Name]");
	assert_refused("[Exclude]\nUser=nobody-of-that-name\n",
		       "etc/x.conf:2: user 'nobody-of-that-name': there is no such user");
	assert_refused("[Patch]\nUnit=x\n", "etc/x.conf: a [Patch] without File");
	assert_refused("[Patch]\nFile=a\nFile=b\n", "etc/x.conf:3: one File for each [Patch]");
}

static void test_a_folder_without_files_gives_defaults(void **state)
{
	struct config config;

	assert_int_equal(config_load("no/such/folder", &config, NULL), 0);
	assert_true(config.workers > 0 && config.deadline_s > 0);
	assert_int_equal(config.opt_out.nr, 0);
	config_deinit(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_settings_are_taken),
		cmocka_unit_test(test_what_is_wrong_is_named_with_its_line),
		cmocka_unit_test(test_a_folder_without_files_gives_defaults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
