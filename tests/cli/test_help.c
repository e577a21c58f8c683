/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SCREEN_LINES = 30,
	SCREEN_COLUMNS = 90,
};

static void assert_fits_screen(const char *text)
{
	int nr_lines = 0;

	while (*text) {
		size_t length = strcspn(text, "\n");

		assert_true(length <= SCREEN_COLUMNS);
		text += length + (text[length] == '\n');
		nr_lines++;
	}
	assert_true(nr_lines <= SCREEN_LINES);
}

static void test_help_names_verbs_and_fits_a_screen(void **state)
{
	struct cli *cli = *state;

	run(cli, "--help");
	assert_exit(cli, UPATCH_EXIT_DONE);
	assert_string_equal(cli->err, "");
	assert_contains(cli->out, "Usage: upatchctl");
	assert_contains(cli->out, "  apply");
	assert_contains(cli->out, "Exit status: 0 done");
	assert_fits_screen(cli->out);
}

static void check_verb_help(const char *verb, void *userdata)
{
	struct cli *cli = userdata;
	char *usage;

	run(cli, verb, "--help");
	assert_exit(cli, UPATCH_EXIT_DONE);
	assert_true(asprintf(&usage, "Usage: upatchctl %s ", verb) > 0);
	assert_contains(cli->out, usage);
	assert_contains(cli->out, "--json");
	assert_fits_screen(cli->out);
	free(usage);
}

static void test_each_verb_has_help_that_fits_a_screen(void **state)
{
	for_each_verb(*state, check_verb_help, *state);
}

static void test_version_is_printed(void **state)
{
	struct cli *cli = *state;

	run(cli, "--version");
	assert_exit(cli, UPATCH_EXIT_DONE);
	assert_string_equal(cli->out,
			    "upatchctl " UPATCH_VERSION ", libupatch " UPATCH_VERSION "\n");
}

static void test_help_that_cannot_be_written_is_no_success(void **state)
{
	/* Not a run() of its own: the fixture keeps stdout in a file that does not fill up. */
	assert_int_not_equal(system("\"$UPATCHCTL\" --help >/dev/full"), 0);
	assert_int_not_equal(system("\"$UPATCHCTL\" status --json >/dev/full 2>&1"), 0);
}

/* --- manual and completion ------------------------------------------------------------------ */

static void is_in_text(const char *word, void *userdata)
{
	assert_contains(userdata, word);
}

/* troff writes dashes as "\-". */
static void drop_backslashes(char *text)
{
	char *to = text;

	for (; *text; text++)
		if (*text != '\\')
			*to++ = *text;
	*to = 0;
}

static void is_section_of_manual(const char *verb, void *userdata)
{
	char *heading;

	assert_true(asprintf(&heading, "\n.SS %s\n", verb) > 0);
	assert_contains(userdata, heading);
	free(heading);
}

static void test_manual_describes_every_verb_and_option(void **state)
{
	char *manual = cli_read_tree("man/upatchctl.1");

	for_each_verb(*state, is_section_of_manual, manual);
	drop_backslashes(manual);
	for_each_option(*state, is_in_text, manual);
	free(manual);
}

static void test_completion_knows_every_verb_and_option(void **state)
{
	char *completion = cli_read_tree("upatchctl/completion/upatchctl");

	for_each_verb(*state, is_in_text, completion);
	for_each_option(*state, is_in_text, completion);
	free(completion);
}

static void test_manual_explains_every_reason(void **state)
{
	static const char *const names[] = {
#define REASON_NAME(id, name, status, hint) name,
		UPATCH_REASONS(REASON_NAME)
#undef REASON_NAME
	};
	char *manual = cli_read_tree("man/upatch.7");

	for (size_t i = 0; i < UPATCH_E_COUNT; i++) {
		char *entry;

		assert_true(asprintf(&entry, "\n.TP\n.B %s\n", names[i]) > 0);
		assert_contains(manual, entry);
		free(entry);
	}
	free(manual);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_help_names_verbs_and_fits_a_screen),
		cmocka_unit_test(test_each_verb_has_help_that_fits_a_screen),
		cmocka_unit_test(test_version_is_printed),
		cmocka_unit_test(test_help_that_cannot_be_written_is_no_success),
		cmocka_unit_test(test_manual_describes_every_verb_and_option),
		cmocka_unit_test(test_completion_knows_every_verb_and_option),
		cmocka_unit_test(test_manual_explains_every_reason),
	};

	return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}
