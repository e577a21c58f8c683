/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <elf.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "arch/arch.h"
#include "base/array.h"
#include "base/diag.h"
#include "elf/eh_frame.h"
#include "elf/function.h"
#include "elf/image.h"
#include "elf/symtab.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* An ELF file from nowhere: whatever an image answers must lie inside of it. */

enum {
	FUNCTIONS_MAX = 64,
};

/* Reads all of it, so that a sanitizer can object. */
static unsigned int sum(const uint8_t *bytes, size_t size)
{
	unsigned int total = 0;

	for (size_t i = 0; bytes && i < size; i++)
		total += bytes[i];
	return total;
}

static int visit_piece(const struct symbol *piece, void *userdata)
{
	volatile unsigned int *total = userdata;

	*total += (unsigned int)piece->name[0];
	return 0;
}

static void walk_function(struct diag *d, struct image *image, const struct symbol *symbol,
			  volatile unsigned int *total)
{
	struct function function;

	if (function_find(d, image, symbol, arch_x86_64.find_branches, &function) < 0)
		return;
	for (size_t i = 0; i < function.nr; i++)
		*total += sum(function.pieces[i].bytes, function.pieces[i].size);
	*total += sum(function.pieces[0].bytes, function.pieces[0].size + function.padding);
	function_deinit(&function);
}

static void walk_symbols(struct diag *d, struct image *image, volatile unsigned int *total)
{
	const struct symtab *symtab;
	const struct symbol *symbols;
	struct symbol found;
	size_t nr;

	if (image_symtab(image, d, &symtab) < 0)
		return;
	nr = symtab_symbols(symtab, &symbols);
	for (size_t i = 0; i < MIN(nr, (size_t)FUNCTIONS_MAX); i++) {
		diag_clear(d);
		(void)symtab_find(symtab, d, "fuzz", symbols[i].name, 0, SYMBOL_ANY, &found);
		(void)symtab_find_export(symtab, symbols[i].name, symbols[i].version, &found);
		(void)symtab_at(symtab, symbols[i].value, &found);
		(void)symtab_next(symtab, symbols[i].value, &found);
		(void)symtab_pieces(symtab, &symbols[i], visit_piece, (void *)total);
		if (symbols[i].type == STT_FUNC)
			walk_function(d, image, &symbols[i], total);
	}
}

static void walk_unwind_tables(struct image *image, volatile unsigned int *total)
{
	struct image_fde_table table;
	struct image_range range;

	if (image_eh_frame_hdr(image, &range))
		*total += sum(image_bytes(image, range.vaddr, range.size), range.size);
	if (image_fde_table(image, &table))
		*total += sum(table.entries, table.nr * 8);
	(void)image_code_at(image, image_entry(image), &range);
}

static void walk_image(struct diag *d, struct image *image)
{
	const struct image_segment *segments;
	volatile unsigned int total = 0;
	char hex[2 * BUILD_ID_MAX + 1];
	struct image_range range;
	struct image_tls tls;
	const char *soname;
	uint64_t value;
	size_t nr = image_segments(image, &segments);

	for (size_t i = 0; i < nr; i++)
		total += sum(image_bytes(image, segments[i].vaddr, segments[i].filesz),
			     segments[i].filesz);
	(void)image_extent(image);
	(void)build_id_format(image_build_id(image), hex);
	(void)image_tls(image, &tls);
	(void)image_dynamic(image, &range);
	(void)image_dynamic_tag(image, DT_SYMTAB, &value);
	soname = image_soname(image);
	total += soname ? (unsigned int)soname[0] : 0;
	walk_unwind_tables(image, &total);
	walk_symbols(d, image, &total);
}

/* The same bytes as an .eh_frame. */
static void fuzz_eh_frame(struct diag *d, const uint8_t *bytes, size_t size)
{
	struct eh_frame_range *ranges = NULL;
	int64_t capacity = eh_frame_hdr_size(d, bytes, size);

	if (eh_frame_ranges(bytes, size, 0x1000, &ranges) >= 0)
		free(ranges);
	if (capacity > 0) {
		uint8_t *hdr = malloc((size_t)capacity);

		if (!hdr)
			abort();
		(void)eh_frame_hdr_build(d, bytes, size, 0x1000, 0x100000, hdr, (size_t)capacity);
		free(hdr);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct image *image;
	struct diag diag;

	diag_init(&diag);
	if (image_open_bytes(&diag, bytes, size, "fuzz", &image) == 0) {
		walk_image(&diag, image);
		image_unref(image);
	}
	diag_clear(&diag);
	fuzz_eh_frame(&diag, bytes, size);
	diag_deinit(&diag);
	return 0;
}
