/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "process.h"
#include "rule.h"

/* One patch, for object "aa11", and a process that maps it. */
struct scene {
	struct upatch_object_info object;
	struct upatch_patch_info info;
	struct rule rule;
	struct rule opt_out;
	struct policy_patch patch;
	struct policy_input input;
	char *objects[1];
	struct process_record record;
	struct process process;
};

static int setup(void **state)
{
	static struct scene s;

	memset(&s, 0, sizeof(s));
	s.object = (struct upatch_object_info){ .name = "prog", .build_id = "aa11" };
	s.info = (struct upatch_patch_info){ .name = "fix", .objects = &s.object, .nr_objects = 1 };
	s.patch = (struct policy_patch){ .name = "fix",
					 .version = "1",
					 .info = &s.info,
					 .rule = &s.rule,
					 .is_enabled = true,
					 .since = 1 };
	s.input = (struct policy_input){ .patches = &s.patch,
					 .nr_patches = 1,
					 .opt_out = &s.opt_out };
	s.objects[0] = (char *)"aa11";
	s.process = (struct process){ .pid = 7,
				      .comm = "prog",
				      .exe = (char *)"/usr/bin/prog",
				      .cgroup = (char *)"/system.slice/prog.service",
				      .startup = PROCESS_STARTUP_DONE,
				      .objects = s.objects,
				      .nr_objects = 1 };
	*state = &s;
	return 0;
}

static int teardown(void **state)
{
	struct scene *s = *state;

	rule_deinit(&s->rule);
	rule_deinit(&s->opt_out);
	return 0;
}

static void has_record(struct scene *s, const char *state)
{
	s->record = (struct process_record){ .name = (char *)"fix",
					     .version = (char *)"1",
					     .state = (char *)state };
	s->process.records = &s->record;
	s->process.nr_records = 1;
}

static void assert_verdict(struct scene *s, enum policy_verdict verdict)
{
	assert_int_equal(policy_decide(&s->input, 0, &s->process).verdict, verdict);
}

static void test_who_maps_an_object_gets_the_patch(void **state)
{
	assert_verdict(*state, POLICY_APPLY);
}

static void test_who_maps_none_is_no_business(void **state)
{
	struct scene *s = *state;

	s->objects[0] = (char *)"bb22";
	assert_verdict(s, POLICY_UNRELATED);
}

static void test_the_record_tells_what_is_left_to_do(void **state)
{
	struct scene *s = *state;

	has_record(s, "enabled");
	assert_verdict(s, POLICY_SATISFIED);
	has_record(s, "enabling");
	assert_verdict(s, POLICY_CARRY_ON);
	has_record(s, "disabling");
	assert_verdict(s, POLICY_APPLY);
	has_record(s, "interrupted");
	assert_verdict(s, POLICY_APPLY);
	has_record(s, "kept");
	assert_verdict(s, POLICY_APPLY);
}

/* The digest tells another build of the version; a record of old has none. */
static void test_another_build_of_the_same_version_goes_first(void **state)
{
	struct scene *s = *state;

	s->info.digest = 7;
	has_record(s, "enabled");
	assert_verdict(s, POLICY_SATISFIED);
	s->record.digest = 7;
	assert_verdict(s, POLICY_SATISFIED);
	s->record.digest = 8;
	assert_verdict(s, POLICY_REVERT);
	s->record.state = (char *)"disabling";
	assert_verdict(s, POLICY_CARRY_ON);
	s->record.state = (char *)"kept";
	assert_verdict(s, POLICY_APPLY);
}

static void test_what_waits_for_a_library_stays(void **state)
{
	struct scene *s = *state;
	struct process_payload payload = { .build_id = (char *)"aa11", .state = (char *)"waiting" };

	has_record(s, "enabled");
	s->record.payloads = &payload;
	s->record.nr_payloads = 1;
	s->process.nr_objects = 0;
	assert_true(process_record_is_waiting(&s->record));
	assert_verdict(s, POLICY_SATISFIED);
	s->patch.is_enabled = false;
	assert_verdict(s, POLICY_REVERT);
	payload.state = (char *)"patched";
	s->patch.is_enabled = true;
	assert_verdict(s, POLICY_FOREIGN);
}

static void test_a_patch_whose_file_cannot_be_read_is_left_where_it_is(void **state)
{
	struct scene *s = *state;
	struct process_payload payload = { .build_id = (char *)"aa11", .state = (char *)"waiting" };

	s->patch.info = NULL;
	s->patch.version = "";
	assert_verdict(s, POLICY_UNRELATED);
	has_record(s, "enabled");
	assert_verdict(s, POLICY_FOREIGN);
	s->record.payloads = &payload;
	s->record.nr_payloads = 1;
	assert_verdict(s, POLICY_FOREIGN);
}

static void test_a_disabled_patch_is_taken_back(void **state)
{
	struct scene *s = *state;

	s->patch.is_enabled = false;
	assert_verdict(s, POLICY_UNRELATED);
	has_record(s, "enabled");
	assert_verdict(s, POLICY_REVERT);
	has_record(s, "enabling");
	assert_verdict(s, POLICY_REVERT);
	has_record(s, "disabling");
	assert_verdict(s, POLICY_CARRY_ON);
	has_record(s, "kept");
	assert_verdict(s, POLICY_UNRELATED);
	s->patch.info = NULL; /* its file need not be there */
	has_record(s, "enabled");
	assert_verdict(s, POLICY_REVERT);
}

static void test_another_version_goes_first(void **state)
{
	struct scene *s = *state;

	has_record(s, "enabled");
	s->record.version = (char *)"0";
	assert_verdict(s, POLICY_REVERT);
}

static void test_an_opt_out_is_honoured_whatever_is_applied(void **state)
{
	struct scene *s = *state;

	assert_int_equal(rule_add(&s->opt_out, "unit", "prog.service", NULL), 0);
	assert_verdict(s, POLICY_EXCLUDED);
	has_record(s, "enabled");
	assert_verdict(s, POLICY_EXCLUDED);
	s->patch.is_enabled = false;
	assert_verdict(s, POLICY_EXCLUDED);
}

static void test_what_narrows_a_patch_is_named(void **state)
{
	struct scene *s = *state;
	struct policy_decision decision;

	assert_int_equal(rule_add(&s->rule, "name", "other*", NULL), 0);
	decision = policy_decide(&s->input, 0, &s->process);
	assert_int_equal(decision.verdict, POLICY_EXCLUDED);
	assert_int_equal(decision.condition->key, RULE_NAME);
	assert_int_equal(rule_add(&s->rule, "name", "pr?g", NULL), 0);
	assert_verdict(s, POLICY_APPLY);
}

static void test_nothing_is_done_while_the_opt_outs_are_unknown(void **state)
{
	struct scene *s = *state;

	s->input.is_held = true;
	assert_verdict(s, POLICY_HELD);
}

static void test_who_is_starting_is_waited_for(void **state)
{
	struct scene *s = *state;

	s->process.startup = PROCESS_STARTUP_OPEN;
	assert_verdict(s, POLICY_STARTING);
}

static void test_a_later_replace_patch_supersedes(void **state)
{
	struct scene *s = *state;
	struct upatch_patch_info all = s->info;
	struct policy_patch patches[2] = { s->patch, s->patch };

	all.replace = true;
	patches[1].name = "all";
	patches[1].info = &all;
	patches[1].since = 2;
	s->input.patches = patches;
	s->input.nr_patches = 2;
	assert_int_equal(policy_decide(&s->input, 0, &s->process).verdict, POLICY_SUPERSEDED);
	assert_int_equal(policy_decide(&s->input, 1, &s->process).verdict, POLICY_APPLY);
	patches[0].since = 3; /* enabled again, after it */
	assert_int_equal(policy_decide(&s->input, 0, &s->process).verdict, POLICY_APPLY);
}

static void test_refusals_that_pass_are_retried_others_not(void **state)
{
	assert_int_equal(policy_retry(UPATCH_E_IN_FUNCTION), POLICY_RETRY);
	assert_int_equal(policy_retry(UPATCH_E_TRACED), POLICY_RETRY);
	assert_int_equal(policy_retry(UPATCH_E_WORKER), POLICY_RETRY);
	assert_int_equal(policy_retry(UPATCH_E_GONE), POLICY_GONE);
	assert_int_equal(policy_retry(UPATCH_E_TOO_SHORT), POLICY_GIVE_UP);
	assert_int_equal(policy_retry(UPATCH_E_RECORD_CORRUPT), POLICY_GIVE_UP);
}

static void test_back_off_grows_and_is_bounded(void **state)
{
	assert_int_equal(policy_backoff_ms(1), 50);
	assert_int_equal(policy_backoff_ms(2), 100);
	assert_int_equal(policy_backoff_ms(1000000), 30000);
	assert_int_equal(policy_look_ms(1), 1000);
	assert_int_equal(policy_look_ms(2), 2000);
	assert_int_equal(policy_look_ms(1000), 600000);
}

/* A name without an ID, from a journal of old: whoever was meant, it is nobody now. */
static void test_a_name_that_stands_for_nobody_keeps_everybody_out(void **state)
{
	struct scene *s = *state;

	assert_int_equal(rule_restore(&s->rule, "user", "no such user", NULL), 0);
	assert_verdict(s, POLICY_EXCLUDED);
	rule_deinit(&s->rule);
	assert_int_equal(rule_restore(&s->rule, "exclude-user", "no such user", NULL), 0);
	assert_verdict(s, POLICY_EXCLUDED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
		TEST(who_maps_an_object_gets_the_patch),
		TEST(who_maps_none_is_no_business),
		TEST(the_record_tells_what_is_left_to_do),
		TEST(another_build_of_the_same_version_goes_first),
		TEST(what_waits_for_a_library_stays),
		TEST(a_patch_whose_file_cannot_be_read_is_left_where_it_is),
		TEST(a_disabled_patch_is_taken_back),
		TEST(another_version_goes_first),
		TEST(an_opt_out_is_honoured_whatever_is_applied),
		TEST(what_narrows_a_patch_is_named),
		TEST(nothing_is_done_while_the_opt_outs_are_unknown),
		TEST(who_is_starting_is_waited_for),
		TEST(a_later_replace_patch_supersedes),
		TEST(refusals_that_pass_are_retried_others_not),
		TEST(back_off_grows_and_is_bounded),
		TEST(a_name_that_stands_for_nobody_keeps_everybody_out),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
