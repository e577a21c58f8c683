/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/diag.h"
#include "patchfile/patchfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* What patchfile.h promises of a file that was accepted. */

static void check_symbols(const struct payload *p)
{
	for (size_t i = 0; i < p->nr_symbols; i++) {
		const struct payload_symbol *symbol = &p->symbols[i];

		assert(symbol->name && symbol->name[strlen(symbol->name)] == 0);
		if (symbol->kind == PAYLOAD_SYMBOL_DEFINED) {
			assert(symbol->section < p->nr_sections);
			assert(symbol->value <= p->sections[symbol->section].size);
		}
	}
}

static void check_payload(const struct payload *p)
{
	volatile unsigned int sum = 0;

	assert(p->object && *p->object);
	assert(p->build_id.size <= BUILD_ID_MAX);
	assert(p->nr_funcs > 0);
	for (size_t i = 0; i < p->nr_sections; i++) {
		const struct payload_section *section = &p->sections[i];

		assert(section->name);
		assert(section->align && !(section->align & (section->align - 1)));
		assert(section->align <= 4096);
		for (uint64_t n = 0; section->bytes && n < section->size; n++)
			sum += section->bytes[n];
	}
	check_symbols(p);
	for (size_t i = 0; i < p->nr_relocs; i++) {
		assert(p->relocs[i].section < p->nr_sections);
		assert(p->relocs[i].symbol < p->nr_symbols);
		assert(p->relocs[i].offset < p->sections[p->relocs[i].section].size);
	}
	for (size_t i = 0; i < p->nr_funcs; i++) {
		assert(p->funcs[i].name && *p->funcs[i].name);
		assert(p->funcs[i].symbol < p->nr_symbols);
		assert(p->symbols[p->funcs[i].symbol].kind == PAYLOAD_SYMBOL_DEFINED);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	const struct patchfile *file;
	struct diag diag;

	diag_init(&diag);
	if (patchfile_open_bytes(&diag, bytes, size, "fuzz", &file) == 0) {
		assert(strlen(file->name) > 0 && strlen(file->name) <= PATCHFILE_NAME_MAX);
		assert(file->version && file->description);
		assert(file->nr_payloads > 0);
		for (size_t i = 0; i < file->nr_payloads; i++)
			check_payload(&file->payloads[i]);
		for (size_t i = 0; i < file->nr_modules; i++)
			assert(*file->modules[i].name && file->modules[i].bytes);
		patchfile_close(file);
	} else {
		/* A refusal has a reason and says what is wrong. */
		assert(diag.error.reason != UPATCH_E_NONE && *diag.error.message);
	}
	diag_deinit(&diag);
	return 0;
}
