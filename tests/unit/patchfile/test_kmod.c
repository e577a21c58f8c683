/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/diag.h"
#include "patchfile/container.h"
#include "patchfile/kmod.h"

#define SOUND "livepatch=Y\0name=fix\0vermagic=6.1.0-1-amd64 SMP mod_unload\0"

static struct diag diag;

static const uint8_t note[] = { 'n', 'o', 't', 'e' };

/* A relocatable file with these bytes as its .modinfo, and that name in its struct module. */
static int parse_named(const char *section, const char *modinfo, size_t size, const char *name,
		       struct kmod *ret)
{
	uint8_t module[128] = {};
	const struct container_section sections[] = {
		{ section, (const uint8_t *)modinfo, size },
		{ ".gnu.linkonce.this_module", module, sizeof(module) },
		{ ".note.gnu.build-id", note, sizeof(note) },
	};
	uint8_t *bytes;
	size_t total;
	int r;

	(void)strcpy((char *)module + 24, name);
	diag_clear(&diag);
	assert_int_equal(container_format(sections, *name ? 3 : 1, EM_X86_64, &bytes, &total), 0);
	r = kmod_parse(&diag, "fix.ko", bytes, total, ret);
	free(bytes);
	return r;
}

static int parse(const char *section, const char *modinfo, size_t size, struct kmod *ret)
{
	return parse_named(section, modinfo, size, "fix", ret);
}

static void assert_refused(const char *modinfo, size_t size, const char *why)
{
	struct kmod kmod;

	assert_true(parse(".modinfo", modinfo, size, &kmod) < 0);
	assert_int_equal(diag.error.reason, UPATCH_E_BAD_MODULE);
	assert_non_null(strstr(diag.error.message, why));
}

#define REFUSED(modinfo, why) assert_refused(modinfo, sizeof(modinfo) - 1, why)

static void test_module_says_its_name_and_kernel(void **state)
{
	struct kmod kmod;

	assert_int_equal(parse(".modinfo", SOUND, sizeof(SOUND) - 1, &kmod), 0);
	assert_string_equal(kmod.name, "fix");
	assert_string_equal(kmod.release, "6.1.0-1-amd64");
	assert_string_equal(kmod.vermagic, "6.1.0-1-amd64 SMP mod_unload");
	assert_true(kmod.size > sizeof(SOUND));
	/* It points into the module's own copy. */
	assert_int_equal(kmod.note_size, sizeof(note));
	assert_memory_equal(kmod.note, note, sizeof(note));
	assert_in_range((uintptr_t)kmod.note, (uintptr_t)kmod.bytes,
			(uintptr_t)kmod.bytes + kmod.size);
	kmod_deinit(&kmod);
}

static void test_what_is_no_klp_module_is_named(void **state)
{
	struct kmod kmod;

	REFUSED("name=fix\0vermagic=6.1 SMP\0", "livepatch=Y");
	REFUSED("livepatch=N\0name=fix\0vermagic=6.1 SMP\0", "livepatch=Y");
	assert_true(parse(".text", SOUND, sizeof(SOUND) - 1, &kmod) < 0);
	assert_non_null(strstr(diag.error.message, ".modinfo"));
	diag_clear(&diag);
	assert_true(kmod_parse(&diag, "fix.ko", (const uint8_t *)"\177ELF", 4, &kmod) < 0);
	assert_int_equal(diag.error.reason, UPATCH_E_BAD_MODULE);
}

static void test_name_that_leads_elsewhere_is_refused(void **state)
{
	REFUSED("livepatch=Y\0vermagic=6.1 SMP\0", "name");
	REFUSED("livepatch=Y\0name=\0vermagic=6.1 SMP\0", "name");
	REFUSED("livepatch=Y\0name=../../etc\0vermagic=6.1 SMP\0", "name");
	REFUSED("livepatch=Y\0name=0123456789012345678901234567890123456789012345678901234567890\0"
		"vermagic=6.1 SMP\0",
		"name");
}

static void test_kernel_that_is_not_told_is_refused(void **state)
{
	REFUSED("livepatch=Y\0name=fix\0", "vermagic");
	REFUSED("livepatch=Y\0name=fix\0vermagic= SMP\0", "vermagic");
	REFUSED("livepatch=Y\0name=fix\0vermagic=6.1\033[2J\0", "vermagic");
}

static void test_name_is_the_one_that_the_kernel_takes(void **state)
{
	struct kmod kmod;

	assert_true(parse_named(".modinfo", SOUND, sizeof(SOUND) - 1, "other", &kmod) < 0);
	assert_int_equal(diag.error.reason, UPATCH_E_BAD_MODULE);
	assert_non_null(strstr(diag.error.message, "another module name"));
	assert_true(parse_named(".modinfo", SOUND, sizeof(SOUND) - 1, "fixed", &kmod) < 0);
	assert_non_null(strstr(diag.error.message, "another module name"));
	assert_true(parse_named(".modinfo", SOUND, sizeof(SOUND) - 1, "", &kmod) < 0);
	assert_non_null(strstr(diag.error.message, "struct module"));
}

static void test_string_that_is_cut_off_does_not_count(void **state)
{
	REFUSED("livepatch=Y\0name=fix\0vermagic=6.1 SMP", "vermagic");
	REFUSED("", "livepatch=Y");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_module_says_its_name_and_kernel),
		cmocka_unit_test(test_what_is_no_klp_module_is_named),
		cmocka_unit_test(test_name_that_leads_elsewhere_is_refused),
		cmocka_unit_test(test_kernel_that_is_not_told_is_refused),
		cmocka_unit_test(test_name_is_the_one_that_the_kernel_takes),
		cmocka_unit_test(test_string_that_is_cut_off_does_not_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
