/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "build/code.h"

#include <elf.h>
#include <stdlib.h>

#include "arch/arch.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "elf/function.h"
#include "elf/image.h"
#include "elf/symtab.h"
#include "patchfile/code.h"
#include "patchfile/payload.h"

static int collect_func(struct diag *d, struct image *image, struct payload_func *func)
{
	const struct arch_ops *arch = arch_by_machine(image_machine(image));
	const struct symbol symbol = {
		.name = func->name,
		.value = func->old_value,
		.size = func->old_size,
		.type = STT_FUNC,
	};
	struct payload_piece *pieces;
	struct function function;
	int r;

	r = function_find(d, image, &symbol, arch->find_branches, &function);
	if (r < 0)
		return r;
	pieces = calloc(function.nr, sizeof(*pieces));
	for (size_t i = 0; pieces && i < function.nr; i++)
		pieces[i] = (struct payload_piece){ function.pieces[i].vaddr,
						    function.pieces[i].size,
						    function.pieces[i].bytes };
	func->pieces = pieces;
	func->nr_pieces = function.nr;
	func->padding = function.padding;
	function_deinit(&function);
	return pieces ? 0 : diag_oom(d);
}

int code_collect(struct diag *d, struct image *image, const uint8_t *bytes, size_t size,
		 uint8_t **ret, size_t *ret_size)
{
	struct payload_storage *storage;
	struct payload_func *funcs;
	size_t nr = 0;
	int r;

	r = payload_parse(d, bytes, size, &storage);
	if (r < 0)
		return r;
	funcs = (struct payload_func *)storage->payload.funcs; /* our own copy */
	for (; nr < storage->payload.nr_funcs && r >= 0; nr++)
		r = collect_func(d, image, &funcs[nr]);
	if (r >= 0) {
		*ret = code_format(funcs, nr, ret_size);
		r = *ret ? 0 : diag_oom(d);
	}
	for (size_t i = 0; i < nr; i++)
		free((void *)funcs[i].pieces);
	payload_storage_free(storage);
	return r;
}
