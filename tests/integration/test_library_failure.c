/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "loader.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <upatch/abi.h>
#include <upatch/abi_agent.h>

/* What fails half-way is undone, all of it, and what lies is not believed. */

#define PLUG_UNKNOWN                                                                               \
	"#include <upatch/livepatch.h>\n"                                                          \
	"UPATCH_OBJECT(\"libplug.so\");\n"                                                         \
	"extern int no_such_function(int);\n"                                                      \
	"static int new_value(int x) { return no_such_function(x); }\n"                            \
	"UPATCH_FUNC(plug_value, new_value);\n"

#define USER_VALUE                                                                                 \
	"static int new_value(int x) { return x + 7; }\n"                                          \
	"UPATCH_FUNC(user_value, new_value);\n"

/* The library that is asked for gets its part, what it needs is refused. */
static void test_what_comes_together_is_refused_together(void **state)
{
	static const struct loader_patch half = {
		.name = "p",
		.sources = { CALLBACKS("libuser.so", 0) USER_VALUE, PLUG_UNKNOWN },
	};
	static const struct loader_patch good = { .name = "p", .sources = { PLUG_VALUE(x + 200) } };
	struct fixture *f = *state;

	fixture_remember(f);
	loader_apply(f, &half);
	for (int i = 0; i < 3; i++) {
		assert_non_null(strstr(fixture_ask(f, "open user"), "no_such_function"));
		assert_answer(f, "notes",
			      "notes pre_patch 1 post_patch 1 pre_unpatch 2 post_unpatch 2");
	}
	assert_string_equal(loader_object_state(f, "p", "libuser.so"), "waiting");
	assert_string_equal(loader_object_state(f, "p", "libplug.so"), "refused");
	fixture_revert(f, "p");
	fixture_assert_unchanged(f);
	loader_apply(f, &good);
	assert_answer(f, "open user", "ok");
	assert_answer(f, "call user user_value 1", "201000");
	fixture_revert(f, "p");
}

/* One library is there and gets its part, the next one's cannot be made. */
static void test_a_patch_that_fails_leaves_no_part(void **state)
{
	static const struct loader_patch half = {
		.name = "p",
		.sources = { CALLBACKS("libuser.so", 0) USER_VALUE, PLUG_UNKNOWN },
	};
	static const struct loader_patch good = { .name = "p", .sources = { PLUG_VALUE(x + 200) } };
	struct fixture *f = *state;

	assert_answer(f, "open user", "ok");
	assert_answer(f, "notes", "notes begin 11");
	fixture_remember(f);
	for (int i = 0; i < 3; i++) {
		assert_true(loader_try_apply(f, &half, NULL) < 0);
		fixture_assert_reason(f, UPATCH_E_UNRESOLVED);
		assert_answer(f, "notes", "notes pre_patch 0 post_unpatch 0");
		assert_answer(f, "call user user_value 1", "11000");
	}
	fixture_assert_unchanged(f);
	/* What was in the way of that is not in the way of what follows. */
	assert_answer(f, "close user", "ok");
	assert_answer(f, "open ifunc", "ok");
	loader_apply(f, &good);
	assert_answer(f, "open user", "ok");
	assert_answer(f, "call user user_value 1", "201000");
	fixture_revert(f, "p");
}

/* The dynamic linker would leave it behind without having run its constructors. */
static void test_a_library_that_stays_cannot_be_refused(void **state)
{
	static const struct loader_patch unknown = {
		.name = "p",
		.sources = { "#include <upatch/livepatch.h>\n"
			     "UPATCH_OBJECT(\"libstay.so\");\n"
			     "extern int no_such_function(int);\n"
			     "static int new_value(int x) { return no_such_function(x); }\n"
			     "UPATCH_FUNC(plug_value, new_value);\n" },
	};
	struct fixture *f = *state;

	loader_apply(f, &unknown);
	assert_answer(f, "open stay", "ok");
	assert_answer(f, "notes", "notes begin 11");
	assert_answer(f, "call stay plug_value 1", "11");
	assert_string_equal(loader_object_state(f, "p", "libstay.so"), "refused");
	fixture_revert(f, "p");
}

static void test_events_that_lie_are_not_believed(void **state)
{
	static const struct loader_patch plug = { .name = "p", .sources = { PLUG_VALUE(x + 100) } };
	static const uint64_t lies[] = { UINT64_MAX, 1ull << 40, 0 };
	struct fixture *f = *state;
	struct upatch_record record;
	uint64_t agent = 0;

	loader_apply(f, &plug);
	fixture_read(f, fixture_record_addr(f), &record, sizeof(record));
	for (int i = 0; i < UPATCH_REGIONS_MAX; i++)
		if (record.regions[i].kind == UPATCH_REGION_AGENT)
			agent = record.regions[i].addr + record.regions[i].text_size;
	assert_true(agent);
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		fixture_write(f, agent + offsetof(struct upatch_agent_data, last_event), &lies[i],
			      sizeof(lies[i]));
		assert_string_equal(fixture_state(f, "p"), "enabled");
	}
	assert_answer(f, "open plug", "ok");
	assert_answer(f, "call plug plug_value 5", "105");
	fixture_revert(f, "p");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		loader_test(test_what_comes_together_is_refused_together),
		loader_test(test_a_patch_that_fails_leaves_no_part),
		loader_test(test_a_library_that_stays_cannot_be_refused),
		loader_test(test_events_that_lie_are_not_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
