/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "elf/function.h"

#include <errno.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/diag.h"
#include "elf/image.h"
#include "elf/symtab.h"

enum {
	PADDING_MAX = 32, /* more than that is not alignment */
	PIECES_MAX = 64,
};

struct search {
	struct image *image;
	const struct symtab *symtab;
	struct function function;
	size_t alloc;
};

static bool is_known(const struct function *f, uint64_t vaddr)
{
	for (size_t i = 0; i < f->nr; i++)
		if (vaddr >= f->pieces[i].vaddr && vaddr - f->pieces[i].vaddr < f->pieces[i].size)
			return true;
	return false;
}

static int add(struct search *search, uint64_t vaddr, uint64_t size)
{
	struct function *f = &search->function;
	const uint8_t *bytes = image_bytes(search->image, vaddr, size);

	if (!bytes || !size)
		return -EINVAL;
	if (is_known(f, vaddr))
		return 0;
	if (!array_grow(f->pieces, f->nr, search->alloc))
		return -ENOMEM;
	f->pieces[f->nr++] = (struct function_piece){ vaddr, size, bytes };
	return 0;
}

static int add_symbol(const struct symbol *piece, void *userdata)
{
	return add(userdata, piece->value, piece->size);
}

static int add_branch(uint64_t to, void *userdata)
{
	struct search *search = userdata;
	struct image_range range;
	struct symbol known;

	if (is_known(&search->function, to) || search->function.nr >= PIECES_MAX)
		return 0;
	/* A tail call of a function that has a name. */
	if (symtab_at(search->symtab, to, &known) == 0 && known.value == to)
		return 0;
	if (!image_code_at(search->image, to, &range))
		return 0;
	/* A piece that reaches beyond the file's code is no piece: then it is just not added. */
	return add(search, range.vaddr, range.size) == -ENOMEM ? -ENOMEM : 0;
}

/* Pieces that nothing but branches tell of; those of pieces found that way, too. */
static int follow_branches(struct search *search, function_branches_fn branches)
{
	int r = 0;

	for (size_t i = 0; i < search->function.nr && r >= 0; i++) {
		const struct function_piece piece = search->function.pieces[i];

		r = branches(piece.vaddr, piece.bytes, piece.size, add_branch, search);
	}
	return r;
}

static size_t padding_behind(const struct image *image, const struct symtab *symtab,
			     const struct symbol *symbol)
{
	uint64_t end = symbol->value + symbol->size;
	size_t padding = PADDING_MAX;
	struct symbol next;

	if (symtab_next(symtab, end - 1, &next) == 0 && next.value - end < padding)
		padding = next.value - end;
	/* As far as the file goes: the bytes must be there to be looked at. */
	while (padding && !image_bytes(image, symbol->value, symbol->size + padding))
		padding--;
	return padding;
}

int function_find(struct diag *d, struct image *image, const struct symbol *symbol,
		  function_branches_fn branches, struct function *ret)
{
	struct diag_where where = { .function = symbol->name };
	struct search search = { .image = image };
	const struct symtab *symtab;
	int r;

	r = image_symtab(image, d, &symtab);
	if (r < 0)
		return r;
	search.symtab = symtab;
	r = add(&search, symbol->value, symbol->size);
	if (r >= 0)
		r = symtab_pieces(symtab, symbol, add_symbol, &search);
	if (r >= 0 && !symtab_has_locals(symtab))
		r = follow_branches(&search, branches);
	if (r < 0) {
		function_deinit(&search.function);
		return r == -ENOMEM ? diag_oom(d)
				    : diag_err(d, r, UPATCH_E_FUNCTION_SIZE, &where,
					       "it is not inside the file's code");
	}
	search.function.padding = padding_behind(image, symtab, symbol);
	*ret = search.function;
	return 0;
}

void function_deinit(struct function *function)
{
	free(function->pieces);
	*function = (struct function){};
}
