/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "elf/symtab.h"

#include <errno.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "elf/debugfile.h"
#include "elf/image_private.h"
#include "elf/symtab_read.h"

/*
 * symbols[] is in table order, which is what positions count in. The indices are sorted: by name,
 * then table order; by address; exports by name.
 */
struct symtab {
	struct symtab_source sources[3]; /* what names point into */
	size_t nr_sources;
	struct symbol *symbols;
	uint32_t *files; /* number of the STT_FILE symbol before each, 0: none */
	size_t nr;
	uint32_t *by_name;
	uint32_t *by_addr;
	size_t nr_by_addr;
	bool has_locals;
};

void symtab_free(struct symtab *symtab)
{
	if (!symtab)
		return;
	for (size_t i = 0; i < symtab->nr_sources; i++)
		symtab_source_deinit(&symtab->sources[i]);
	free(symtab->symbols);
	free(symtab->files);
	free(symtab->by_name);
	free(symtab->by_addr);
	free(symtab);
}

/* --- loading ----------------------------------------------------------------------------------- */

static unsigned int kind_of(const struct symbol *s)
{
	switch (s->type) {
	case STT_FUNC:
	case STT_GNU_IFUNC:
		return SYMBOL_FUNC;
	case STT_TLS:
		return SYMBOL_TLS;
	default:
		return SYMBOL_OBJECT;
	}
}

static int compare_names(const void *a, const void *b, void *arg)
{
	const struct symbol *symbols = arg;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	int order = strcmp(symbols[x].name, symbols[y].name);

	return order ? order : (x > y) - (x < y);
}

static int compare_addrs(const void *a, const void *b, void *arg)
{
	const struct symbol *symbols = arg;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	if (symbols[x].value != symbols[y].value)
		return symbols[x].value < symbols[y].value ? -1 : 1;
	return (x > y) - (x < y);
}

static void drop_indices(struct symtab *t)
{
	free(take_ptr(t->by_name));
	free(take_ptr(t->by_addr));
	t->nr_by_addr = 0;
}

static int make_indices(struct symtab *t)
{
	drop_indices(t);
	t->by_name = calloc(t->nr + 1, sizeof(*t->by_name));
	t->by_addr = calloc(t->nr + 1, sizeof(*t->by_addr));
	if (!t->by_name || !t->by_addr)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->nr; i++) {
		t->by_name[i] = i;
		if (kind_of(&t->symbols[i]) == SYMBOL_FUNC)
			t->by_addr[t->nr_by_addr++] = i;
	}
	qsort_r(t->by_name, t->nr, sizeof(*t->by_name), compare_names, t->symbols);
	qsort_r(t->by_addr, t->nr_by_addr, sizeof(*t->by_addr), compare_addrs, t->symbols);
	return 0;
}

static int load_source(struct symtab *t, size_t *alloc, const struct symtab_source *source,
		       uint32_t type)
{
	struct symtab_cursor cursor;
	struct symbol symbol;
	uint32_t file = 0, nr_files = 0;
	size_t files_alloc = *alloc;
	int r;

	r = symtab_cursor_init(source, type, &cursor);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	while (symtab_cursor_next(&cursor, &symbol)) {
		if (symbol.type == STT_FILE) {
			file = *symbol.name ? ++nr_files : 0;
			continue;
		}
		if (!array_grow(t->symbols, t->nr, *alloc) ||
		    !array_grow(t->files, t->nr, files_alloc))
			return -ENOMEM;
		t->symbols[t->nr] = symbol;
		t->files[t->nr++] = symbol.bind == STB_LOCAL ? file : 0;
		t->has_locals = t->has_locals || symbol.bind == STB_LOCAL;
	}
	return 0;
}

/* Mark what .dynsym exports; what only it has is added. */
static int merge_dynsym(struct symtab *t, size_t *alloc, const struct symtab_source *source)
{
	struct symtab_cursor cursor;
	struct symbol symbol;
	size_t nr = t->nr, files_alloc = *alloc;
	int r;

	r = make_indices(t);
	if (r < 0)
		return r;
	r = symtab_cursor_init(source, SHT_DYNSYM, &cursor);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	while (symtab_cursor_next(&cursor, &symbol)) {
		bool is_known = false;
		size_t lo = 0, hi = nr;

		while (lo < hi) {
			size_t mid = lo + (hi - lo) / 2;

			if (strcmp(t->symbols[t->by_name[mid]].name, symbol.name) < 0)
				lo = mid + 1;
			else
				hi = mid;
		}
		for (; lo < nr && strcmp(t->symbols[t->by_name[lo]].name, symbol.name) == 0; lo++) {
			struct symbol *known = &t->symbols[t->by_name[lo]];

			if (known->value != symbol.value || known->bind == STB_LOCAL ||
			    (known->is_exported && symbol.is_hidden_version))
				continue;
			/* One name may be exported in two versions: the table then has two. */
			if (known->is_exported || known->is_hidden_version)
				continue;
			known->version = symbol.version;
			known->is_exported = symbol.is_exported;
			known->is_hidden_version = symbol.is_hidden_version;
			is_known = true;
			break;
		}
		if (is_known)
			continue;
		if (!array_grow(t->symbols, t->nr, *alloc) ||
		    !array_grow(t->files, t->nr, files_alloc))
			return -ENOMEM;
		t->symbols[t->nr++] = symbol;
	}
	return 0;
}

/* The file itself when it has a .symtab, else a separate file of the same build, else what is
 * packed into the file. */
static int find_static_symbols(struct symtab *t, const struct image *image, struct diag *d,
			       size_t *alloc)
{
	int r;

	r = load_source(t, alloc, &t->sources[0], SHT_SYMTAB);
	if (r < 0 || t->nr)
		return r;
	r = debugfile_find(image, d, &t->sources[t->nr_sources]);
	if (r == -ENOENT)
		r = debugfile_unpack(image, d, &t->sources[t->nr_sources]);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	t->nr_sources++;
	return load_source(t, alloc, &t->sources[t->nr_sources - 1], SHT_SYMTAB);
}

int symtab_load(const struct image *image, struct diag *d, struct symtab **ret)
{
	struct symtab *t = calloc(1, sizeof(*t));
	size_t alloc = 0;
	int r;

	if (!t)
		return diag_oom(d);
	r = symtab_source_borrow(image->bytes, image->size, &t->sources[0]);
	if (r >= 0) {
		t->nr_sources = 1;
		r = find_static_symbols(t, image, d, &alloc);
	}
	if (r >= 0)
		r = merge_dynsym(t, &alloc, &t->sources[0]);
	if (r >= 0)
		r = make_indices(t);
	if (r < 0) {
		symtab_free(t);
		return r == -ENOMEM ? diag_oom(d)
				    : diag_err(d, r, UPATCH_E_BAD_ELF, NULL,
					       "the symbols of '%s' cannot be read", image->name);
	}
	*ret = t;
	return 0;
}

/* --- lookups ----------------------------------------------------------------------------------- */

/* Index into by_name of the first symbol of that name, or nr. */
static size_t first_of_name(const struct symtab *t, const char *name)
{
	size_t lo = 0, hi = t->nr;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(t->symbols[t->by_name[mid]].name, name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static const struct symbol *at_name_index(const struct symtab *t, size_t index, const char *name)
{
	const struct symbol *s;

	if (index >= t->nr)
		return NULL;
	s = &t->symbols[t->by_name[index]];
	return strcmp(s->name, name) == 0 ? s : NULL;
}

struct matches {
	const struct symbol *wanted;
	unsigned int nr;
	char addrs[128];
};

static bool is_repeated(const struct symtab *t, size_t first, size_t index, unsigned int kinds)
{
	const struct symbol *s = &t->symbols[t->by_name[index]];

	for (size_t i = first; i < index; i++) {
		const struct symbol *other = &t->symbols[t->by_name[i]];

		if (other->value == s->value && (kind_of(other) & kinds))
			return true;
	}
	return false;
}

static void collect(const struct symtab *t, const char *name, unsigned int sympos,
		    unsigned int kinds, struct matches *ret)
{
	size_t first = first_of_name(t, name), used = 0;
	const struct symbol *s;

	for (size_t i = first; (s = at_name_index(t, i, name)); i++) {
		if (!(kind_of(s) & kinds) || is_repeated(t, first, i, kinds))
			continue;
		ret->nr++;
		if (ret->nr == sympos || (sympos == 0 && ret->nr == 1))
			ret->wanted = s;
		if (used < sizeof(ret->addrs)) {
			int n = snprintf(ret->addrs + used, sizeof(ret->addrs) - used, "%s0x%llx",
					 used ? ", " : "", (unsigned long long)s->value);

			used += n > 0 ? (size_t)n : 0;
		}
	}
}

int symtab_find(const struct symtab *symtab, struct diag *d, const char *object, const char *name,
		unsigned int sympos, unsigned int kinds, struct symbol *ret)
{
	struct diag_where where = { .object = object, .function = name };
	struct matches matches = {};

	collect(symtab, name, sympos, kinds, &matches);
	if (!matches.nr)
		return diag_err(d, -ENOENT, UPATCH_E_NO_FUNCTION, &where, "it has no symbol '%s'",
				name);
	if (sympos == 0 && matches.nr > 1)
		return diag_err(d, -EINVAL, UPATCH_E_AMBIGUOUS, &where,
				"it has %u symbols '%s', at %s", matches.nr, name, matches.addrs);
	if (!matches.wanted)
		return diag_err(d, -EINVAL, UPATCH_E_SYMPOS, &where,
				"symbol position %u of '%s' not found, it has %u, at %s", sympos,
				name, matches.nr, matches.addrs);
	*ret = *matches.wanted;
	return 0;
}

int symtab_find_export(const struct symtab *symtab, const char *name, const char *version,
		       struct symbol *ret)
{
	const struct symbol *s;

	for (size_t i = first_of_name(symtab, name); (s = at_name_index(symtab, i, name)); i++) {
		if (version ? (s->is_exported || s->is_hidden_version) && s->version &&
				      strcmp(s->version, version) == 0
			    : s->is_exported) {
			*ret = *s;
			return 0;
		}
	}
	return -ENOENT;
}

/* Index into by_addr of the first function above @vaddr. */
static size_t first_above(const struct symtab *t, uint64_t vaddr)
{
	size_t lo = 0, hi = t->nr_by_addr;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (t->symbols[t->by_addr[mid]].value <= vaddr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int symtab_at(const struct symtab *symtab, uint64_t vaddr, struct symbol *ret)
{
	enum { NESTED_MAX = 16 };
	size_t above = first_above(symtab, vaddr);

	for (size_t i = above; i > 0 && above - i < NESTED_MAX; i--) {
		const struct symbol *s = &symtab->symbols[symtab->by_addr[i - 1]];

		if (vaddr - s->value < s->size || (vaddr == s->value && !s->size)) {
			*ret = *s;
			return 0;
		}
	}
	return -ENOENT;
}

int symtab_next(const struct symtab *symtab, uint64_t vaddr, struct symbol *ret)
{
	size_t above = first_above(symtab, vaddr);

	if (above >= symtab->nr_by_addr)
		return -ENOENT;
	*ret = symtab->symbols[symtab->by_addr[above]];
	return 0;
}

/* "name.cold", "name.cold.3", "name.part.0", "name.part.0.cold" of "name". */
static bool is_piece_of(const char *piece, const char *name)
{
	size_t len = strlen(name);

	return strncmp(piece, name, len) == 0 &&
	       (strncmp(piece + len, ".cold", 5) == 0 || strncmp(piece + len, ".part.", 6) == 0);
}

static uint32_t file_of(const struct symtab *t, const struct symbol *func)
{
	const struct symbol *s;

	for (size_t i = first_of_name(t, func->name); (s = at_name_index(t, i, func->name)); i++)
		if (s->value == func->value)
			return t->files[t->by_name[i]];
	return 0;
}

int symtab_pieces(const struct symtab *symtab, const struct symbol *func,
		  int (*fn)(const struct symbol *piece, void *userdata), void *userdata)
{
	uint32_t file = file_of(symtab, func);
	size_t len = strlen(func->name);
	int r;

	for (size_t i = first_of_name(symtab, func->name); i < symtab->nr; i++) {
		uint32_t index = symtab->by_name[i];
		const struct symbol *s = &symtab->symbols[index];

		/* Sorted: all names that start with it are together. */
		if (strncmp(s->name, func->name, len) != 0)
			break;
		if (kind_of(s) != SYMBOL_FUNC || !s->size || !is_piece_of(s->name, func->name))
			continue;
		/* Of a local function: those from another file are another function's. */
		if (file && symtab->files[index] && symtab->files[index] != file)
			continue;
		r = fn(s, userdata);
		if (r)
			return r;
	}
	return 0;
}

bool symtab_has_locals(const struct symtab *symtab)
{
	return symtab->has_locals;
}

size_t symtab_symbols(const struct symtab *symtab, const struct symbol **ret)
{
	*ret = symtab->symbols;
	return symtab->nr;
}
