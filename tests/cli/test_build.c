/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_built_patch_is_inspected_as_it_was_asked_for(void **state)
{
	struct cli *cli = *state;

	cli_build_patch(cli);
	assert_string_equal(json_string_at(cli->json, "output"), "fix.upatch");
	run(cli, "inspect", "fix.upatch", "--json");
	assert_exit(cli, UPATCH_EXIT_DONE);
	assert_string_equal(json_string_at(cli->json, "patch.name"), "fix");
	assert_string_equal(json_string_at(cli->json, "patch.version"), "1.2");
	assert_string_equal(json_string_at(cli->json, "patch.description"), "answers more");
	assert_string_equal(json_string_at(cli->json, "patch.cves.0"), "CVE-2026-0001");
	assert_string_equal(json_string_at(cli->json, "patch.cves.1"), "CVE-2026-0002");
	assert_true(json_object_get_boolean(json_at(cli->json, "patch.replace")));
	assert_string_equal(json_string_at(cli->json, "patch.objects.0.name"), "program");
	assert_string_equal(json_string_at(cli->json, "patch.objects.0.funcs.0.name"), "answer");
	assert_string_equal(json_string_at(cli->json, "patch.objects.0.funcs.0.replacement"),
			    "new_answer");
}

static void assert_stack_order(struct cli *cli, const char *option, const char *expected)
{
	char *line, *object;

	cli_write_source(cli);
	assert_true(asprintf(&object, "--object=program=%s", getenv("PROGRAM")) > 0);
	run(cli, "build", "--source", "fix.c", object, option);
	free(object);
	assert_exit(cli, UPATCH_EXIT_DONE);
	run(cli, "inspect", "fix.upatch", "--json");
	assert_string_equal(json_string_at(cli->json, "patch.stack_order"), expected);
	assert_false(json_object_get_boolean(json_at(cli->json, "patch.replace")));
	run(cli, "inspect", "fix.upatch");
	assert_true(asprintf(&line, " %s\n", expected) > 0);
	assert_contains(cli->out, "stack order:");
	assert_contains(cli->out, line);
	free(line);
}

static void test_stack_order_is_any_unless_asked_for(void **state)
{
	assert_stack_order(*state, NULL, "any");
	assert_stack_order(*state, "--stack-order=any", "any");
	assert_stack_order(*state, "--stack-order=strict", "strict");
}

static void test_build_shows_what_inspect_shows(void **state)
{
	struct cli *cli = *state;
	char *built;

	cli_build_patch(cli);
	built = strdup(json_object_to_json_string(json_at(cli->json, "patch")));
	assert_non_null(built);
	run(cli, "inspect", "fix.upatch", "--json");
	assert_string_equal(json_object_to_json_string(json_at(cli->json, "patch")), built);
	free(built);
}

static void test_inspect_has_the_documented_fields(void **state)
{
	struct cli *cli = *state;

	cli_build_patch(cli);
	run(cli, "inspect", "fix.upatch", "--json");
	assert_keys(cli->json, "verb exit warnings errors patch");
	assert_keys(json_at(cli->json, "patch"),
		    "name version description arch replace stack_order cves order "
		    "objects modules");
	assert_keys(json_at(cli->json, "patch.objects.0"),
		    "name build_id kind policy code payload_size funcs relocs");
	assert_keys(json_at(cli->json, "patch.objects.0.funcs.0"),
		    "name sympos replacement old_value old_size new_size");
	assert_keys(json_at(cli->json, "patch.objects.0.relocs.0"),
		    "section offset type symbol addend private");
}

static void test_private_symbol_is_marked_in_the_relocations(void **state)
{
	struct cli *cli = *state;
	struct json_object *relocs;
	bool is_private = false;

	cli_build_patch(cli);
	relocs = json_at(cli->json, "patch.objects.0.relocs");
	for (size_t i = 0; i < json_object_array_length(relocs); i++) {
		struct json_object *reloc = json_object_array_get_idx(relocs, i);

		if (json_object_get_boolean(json_at(reloc, "private")))
			is_private = true;
	}
	assert_true(is_private);
}

static void test_inspect_lists_relocations_in_text_only_when_asked(void **state)
{
	struct cli *cli = *state;

	cli_build_patch(cli);
	run(cli, "inspect", "fix.upatch");
	assert_exit(cli, UPATCH_EXIT_DONE);
	assert_string_equal(cli->err, "");
	assert_contains(cli->out, "replace:      yes\n");
	assert_contains(cli->out, "CVE-2026-0001, CVE-2026-0002");
	assert_contains(cli->out, "new_answer");
	assert_lacks(cli->out, "R_X86_64_");
	assert_lacks(cli->out, "\033");
	run(cli, "inspect", "fix.upatch", "--relocs");
	assert_contains(cli->out, "R_X86_64_");
}

static void test_build_obeys_output_and_name(void **state)
{
	struct cli *cli = *state;
	char *object;

	assert_true(asprintf(&object, "program=%s", getenv("PROGRAM")) > 0);
	cli_write_source(cli);
	run(cli, "build", "--source", "fix.c", "--object", object, "-o", "other.upatch", "--name",
	    "mine");
	assert_exit(cli, UPATCH_EXIT_DONE);
	assert_contains(cli->out, "wrote other.upatch");
	run(cli, "inspect", "other.upatch", "--json");
	assert_string_equal(json_string_at(cli->json, "patch.name"), "mine");
	free(object);
}

static void test_object_that_cannot_be_opened_is_refused_by_name(void **state)
{
	struct cli *cli = *state;

	cli_write_source(cli);
	run(cli, "build", "--source", "fix.c", "--object", "program=nowhere");
	assert_exit(cli, UPATCH_EXIT_REFUSED);
	assert_text_reason(cli, "io");
	assert_contains(cli->err, "nowhere");
}

static void test_function_that_the_object_lacks_is_refused_by_name(void **state)
{
	struct cli *cli = *state;
	char *object;

	assert_true(asprintf(&object, "program=%s", getenv("PROGRAM")) > 0);
	cli_write(cli, "fix.c",
		  "#include <upatch/livepatch.h>\n"
		  "UPATCH_OBJECT(\"program\");\n"
		  "static int f(int x) { return x; }\n"
		  "UPATCH_FUNC(no_such_function, f);\n");
	run(cli, "build", "--source", "fix.c", "--object", object, "--json");
	assert_exit(cli, UPATCH_EXIT_REFUSED);
	assert_json_reason(cli, "no-function");
	assert_string_equal(json_string_at(cli->json, "errors.0.function"), "no_such_function");
	free(object);
}

static void test_compiler_has_its_say_in_the_detail(void **state)
{
	struct cli *cli = *state;

	cli_write(cli, "wrong.c", "int x = ;\n");
	run(cli, "build", "--source", "wrong.c", "--json");
	assert_exit(cli, UPATCH_EXIT_REFUSED);
	assert_json_reason(cli, "compiler");
	assert_contains(json_string_at(cli->json, "errors.0.detail"), "wrong.c:1:");
	run(cli, "build", "--source", "wrong.c");
	assert_text_reason(cli, "compiler");
	assert_contains(cli->err, "\n    wrong.c:1:");
}

static void test_warnings_of_the_compiler_are_passed_on(void **state)
{
	struct cli *cli = *state;
	char *object;

	assert_true(asprintf(&object, "program=%s", getenv("PROGRAM")) > 0);
	cli_write(cli, "fix.c",
		  "#include <upatch/livepatch.h>\n"
		  "UPATCH_OBJECT(\"program\");\n"
		  "#warning look at me\n"
		  "static int new_answer(int x) { return x; }\n"
		  "UPATCH_FUNC(answer, new_answer);\n");
	run(cli, "build", "--source", "fix.c", "--object", object);
	assert_exit(cli, UPATCH_EXIT_DONE);
	assert_contains(cli->err, "warning: cc: fix.c:3:");
	assert_contains(cli->err, "look at me");
	run(cli, "build", "--source", "fix.c", "--object", object, "--json");
	assert_exit(cli, UPATCH_EXIT_DONE);
	assert_contains(json_string_at(cli->json, "warnings.0"), "cc: fix.c:3:");
	free(object);
}

/* It would be called as if it returned an int. */
static void test_functions_must_be_declared(void **state)
{
	struct cli *cli = *state;

	cli_write(cli, "fix.c",
		  "#include <upatch/livepatch.h>\n"
		  "UPATCH_OBJECT(\"program\");\n"
		  "static int new_answer(int x) { return undeclared(x); }\n"
		  "UPATCH_FUNC(answer, new_answer);\n");
	run(cli, "build", "--source", "fix.c");
	assert_exit(cli, UPATCH_EXIT_REFUSED);
	assert_text_reason(cli, "compiler");
	assert_contains(cli->err, "undeclared");
}

static void test_a_separate_debug_file_is_no_object(void **state)
{
	struct cli *cli = *state;
	char *command;

	assert_true(asprintf(&command, "objcopy --only-keep-debug '%s' '%s/program.debug'",
			     getenv("PROGRAM"), cli->dir) > 0);
	assert_int_equal(system(command), 0);
	free(command);
	cli_write_source(cli);
	run(cli, "build", "--source", "fix.c", "--object", "program=program.debug");
	assert_exit(cli, UPATCH_EXIT_USAGE);
	assert_text_reason(cli, "usage");
	assert_contains(cli->err, "separate debug file");
}

static void test_flags_and_compiler_are_used(void **state)
{
	struct cli *cli = *state;

	cli_write_source(cli);
	run(cli, "build", "--source", "fix.c", "--cflag", "-fno-such-flag");
	assert_exit(cli, UPATCH_EXIT_REFUSED);
	assert_text_reason(cli, "compiler");
	assert_contains(cli->err, "-fno-such-flag");
	run(cli, "build", "--source", "fix.c", "--compiler", "no-such-compiler");
	assert_exit(cli, UPATCH_EXIT_REFUSED);
	assert_contains(cli->err, "no-such-compiler");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_built_patch_is_inspected_as_it_was_asked_for,
						cli_setup, cli_teardown),
		cmocka_unit_test_setup_teardown(test_stack_order_is_any_unless_asked_for, cli_setup,
						cli_teardown),
		cmocka_unit_test_setup_teardown(test_build_shows_what_inspect_shows, cli_setup,
						cli_teardown),
		cmocka_unit_test_setup_teardown(test_inspect_has_the_documented_fields, cli_setup,
						cli_teardown),
		cmocka_unit_test_setup_teardown(test_private_symbol_is_marked_in_the_relocations,
						cli_setup, cli_teardown),
		cmocka_unit_test_setup_teardown(
			test_inspect_lists_relocations_in_text_only_when_asked, cli_setup,
			cli_teardown),
		cmocka_unit_test_setup_teardown(test_build_obeys_output_and_name, cli_setup,
						cli_teardown),
		cmocka_unit_test_setup_teardown(
			test_object_that_cannot_be_opened_is_refused_by_name, cli_setup,
			cli_teardown),
		cmocka_unit_test_setup_teardown(
			test_function_that_the_object_lacks_is_refused_by_name, cli_setup,
			cli_teardown),
		cmocka_unit_test_setup_teardown(test_compiler_has_its_say_in_the_detail, cli_setup,
						cli_teardown),
		cmocka_unit_test_setup_teardown(test_warnings_of_the_compiler_are_passed_on,
						cli_setup, cli_teardown),
		cmocka_unit_test_setup_teardown(test_functions_must_be_declared, cli_setup,
						cli_teardown),
		cmocka_unit_test_setup_teardown(test_a_separate_debug_file_is_no_object, cli_setup,
						cli_teardown),
		cmocka_unit_test_setup_teardown(test_flags_and_compiler_are_used, cli_setup,
						cli_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
