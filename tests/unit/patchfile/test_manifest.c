/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/diag.h"
#include "patchfile/manifest.h"

#define OBJECT "{\"name\":\"libx\",\"build_id\":\"00ff\",\"payload\":\".p.0\"}"
#define SOUND "{\"format\":1,\"name\":\"cve-1\",\"objects\":[" OBJECT "]}"

static struct diag diag;

static int parse(const char *text, struct manifest *ret)
{
	diag_clear(&diag);
	return manifest_parse(&diag, text, strlen(text), ret);
}

static void assert_refused(const char *text, enum upatch_reason reason)
{
	struct manifest m;

	assert_true(parse(text, &m) < 0);
	assert_int_equal(diag.error.reason, reason);
}

static void test_a_manifest_survives_writing_and_reading(void **state)
{
	struct manifest m, again;
	char *text;

	assert_int_equal(
		parse("{\"format\":1,\"name\":\"cve-1\",\"version\":\"2\",\"description\":"
		      "\"d\",\"replace\":true,\"stack_order\":\"strict\",\"cves\":[\"CVE-1\",\"CVE-2\"],\"objects\":[" OBJECT
		      "],\"unknown\":7}",
		      &m),
		0);
	text = manifest_format(&m);
	assert_int_equal(parse(text, &again), 0);
	assert_string_equal(again.name, "cve-1");
	assert_string_equal(again.version, "2");
	assert_string_equal(again.description, "d");
	assert_true(again.replace);
	assert_true(again.strict);
	assert_int_equal(again.nr_cves, 2);
	assert_string_equal(again.cves[1], "CVE-2");
	assert_int_equal(again.nr_objects, 1);
	assert_string_equal(again.objects[0].name, "libx");
	assert_true(build_id_is_equal(&again.objects[0].build_id, &m.objects[0].build_id));
	manifest_deinit(&m);
	manifest_deinit(&again);
	free(text);
}

static void test_what_may_be_missing_has_a_default(void **state)
{
	struct manifest m;

	assert_int_equal(parse(SOUND, &m), 0);
	assert_string_equal(m.version, "");
	assert_false(m.replace);
	assert_false(m.strict);
	assert_int_equal(m.nr_cves, 0);
	manifest_deinit(&m);
}

static void test_a_later_format_is_not_guessed_at(void **state)
{
	assert_refused("{\"format\":3,\"name\":\"a\",\"objects\":[" OBJECT "]}",
		       UPATCH_E_PATCHFILE_VERSION);
}

static void test_malformed_manifests_are_refused(void **state)
{
	static const char *const texts[] = {
		"",
		"[]",
		"{\"format\":1",
		SOUND "x",
		"{\"name\":\"a\",\"objects\":[" OBJECT "]}",
		"{\"format\":0,\"name\":\"a\",\"objects\":[" OBJECT "]}",
		"{\"format\":\"1\",\"name\":\"a\",\"objects\":[" OBJECT "]}",
		"{\"format\":1,\"objects\":[" OBJECT "]}",
		"{\"format\":1,\"name\":7,\"objects\":[" OBJECT "]}",
		"{\"format\":1,\"name\":\"../a\",\"objects\":[" OBJECT "]}",
		"{\"format\":1,\"name\":\"a\"}",
		"{\"format\":1,\"name\":\"a\",\"objects\":[]}",
		"{\"format\":1,\"name\":\"a\",\"objects\":[7]}",
		"{\"format\":1,\"name\":\"a\",\"objects\":[" OBJECT "," OBJECT "]}",
		"{\"format\":1,\"name\":\"a\",\"version\":\"\\u001b[31m\",\"objects\":[" OBJECT
		"]}",
		"{\"format\":1,\"name\":\"a\",\"version\":\"x\\u0000y\",\"objects\":[" OBJECT "]}",
		"{\"format\":1,\"name\":\"a\",\"replace\":1,\"objects\":[" OBJECT "]}",
		"{\"format\":1,\"name\":\"a\",\"stack_order\":\"up\",\"objects\":[" OBJECT "]}",
		"{\"format\":1,\"name\":\"a\",\"stack_order\":1,\"objects\":[" OBJECT "]}",
		"{\"format\":1,\"name\":\"a\",\"cves\":\"x\",\"objects\":[" OBJECT "]}",
		"{\"format\":1,\"name\":\"a\",\"cves\":[1],\"objects\":[" OBJECT "]}",
		"{\"format\":1,\"name\":\"a\",\"objects\":[{\"name\":\"x\",\"payload\":\"p\","
		"\"build_id\":\"xyz\"}]}",
		"[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_refused(texts[i], UPATCH_E_BAD_PATCHFILE);
}

static void test_names_are_safe_to_print_and_to_use_as_file_names(void **state)
{
	assert_true(manifest_is_name("CVE-2026-1_fix.2+b"));
	assert_false(manifest_is_name(""));
	assert_false(manifest_is_name(".hidden"));
	assert_false(manifest_is_name("-p"));
	assert_false(manifest_is_name("a/b"));
	assert_false(manifest_is_name("a b"));
	assert_false(manifest_is_name(
		"0123456789012345678901234567890123456789012345678901234567890123"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_manifest_survives_writing_and_reading),
		cmocka_unit_test(test_what_may_be_missing_has_a_default),
		cmocka_unit_test(test_a_later_format_is_not_guessed_at),
		cmocka_unit_test(test_malformed_manifests_are_refused),
		cmocka_unit_test(test_names_are_safe_to_print_and_to_use_as_file_names),
	};

	diag_init(&diag);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
