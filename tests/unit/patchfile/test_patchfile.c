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
#include "patchfile/patchfile.h"

enum {
	MODULE_SIZE = 65536,
	SHDR_FIRST_MODULE = 2, /* behind the empty one and the manifest's */
};

static const char manifest[] =
	"{\"format\":2,\"name\":\"fix\",\"objects\":[{\"name\":\"libx\",\"build_id\":\"00ff\","
	"\"payload\":\".p.0\"}],\"kernel\":{\"modules\":[\".upatch.kernel.0\","
	"\".upatch.kernel.1\"]}}";

/* Of two modules the second is where the first one is. */
static void overlap(uint8_t *bytes)
{
	Elf64_Ehdr ehdr;
	Elf64_Shdr *shdrs;

	memcpy(&ehdr, bytes, sizeof(ehdr));
	shdrs = (Elf64_Shdr *)(void *)(bytes + ehdr.e_shoff);
	shdrs[SHDR_FIRST_MODULE + 1].sh_offset = shdrs[SHDR_FIRST_MODULE].sh_offset;
	shdrs[SHDR_FIRST_MODULE + 1].sh_size = shdrs[SHDR_FIRST_MODULE].sh_size;
}

static void test_modules_that_overlap_are_refused(void **state)
{
	uint8_t *module = calloc(1, MODULE_SIZE);
	const struct patchfile *file = NULL;
	struct container_section sections[] = {
		{ CONTAINER_MANIFEST, (const uint8_t *)manifest, sizeof(manifest) - 1 },
		{ ".upatch.kernel.0", module, MODULE_SIZE },
		{ ".upatch.kernel.1", module, 1 },
	};
	struct diag diag;
	uint8_t *bytes;
	size_t size;

	assert_non_null(module);
	diag_init(&diag);
	assert_int_equal(container_format(sections, 3, EM_X86_64, &bytes, &size), 0);
	/* As it is its modules are not what is wrong with it. */
	assert_true(patchfile_open_bytes(&diag, bytes, size, "fix", &file) < 0);
	assert_non_null(strstr(diag.error.message, "'.p.0'"));
	diag_clear(&diag);
	overlap(bytes);
	assert_true(patchfile_open_bytes(&diag, bytes, size, "fix", &file) < 0);
	assert_int_equal(diag.error.reason, UPATCH_E_BAD_PATCHFILE);
	assert_non_null(strstr(diag.error.message, "overlap"));
	diag_deinit(&diag);
	free(bytes);
	free(module);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_modules_that_overlap_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
