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

enum {
	/* Names copied without their version: more than any file has, so that none can eat all. */
	STRIPPED_MAX = 64 << 20,
	ADDRS_MAX = 8, /* that a message names */
	/* Symbols of one name that are compared with each other: nobody means a later one. */
	NAMESAKES_MAX = 1 << 14,
};

/*
 * symbols[] is in table order, which is what positions count in. The indices are sorted: by name,
 * then table order; by address, functions only.
 */
struct symtab {
	struct symtab_source sources[3]; /* what names point into */
	size_t nr_sources;
	char **stripped; /* names that are not as the file has them */
	size_t nr_stripped;
	size_t alloc_stripped;
	size_t stripped_size;
	struct symbol *symbols;
	uint32_t *files; /* number of the STT_FILE symbol before each, 0: none */
	size_t nr;
	size_t alloc_symbols;
	size_t alloc_files;
	uint32_t *by_name;
	size_t nr_by_name;
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
	for (size_t i = 0; i < symtab->nr_stripped; i++)
		free(symtab->stripped[i]);
	free(symtab->stripped);
	free(symtab->symbols);
	free(symtab->files);
	free(symtab->by_name);
	free(symtab->by_addr);
	free(symtab);
}

/* --- indices ----------------------------------------------------------------------------------- */

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
	t->nr_by_name = 0;
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
	t->nr_by_name = t->nr;
	qsort_r(t->by_name, t->nr, sizeof(*t->by_name), compare_names, t->symbols);
	qsort_r(t->by_addr, t->nr_by_addr, sizeof(*t->by_addr), compare_addrs, t->symbols);
	return 0;
}

/* Index into by_name of the first symbol of that name, or where it would be. */
static size_t first_of_name(const struct symtab *t, const char *name)
{
	size_t lo = 0, hi = t->nr_by_name;

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

	if (index >= t->nr_by_name)
		return NULL;
	s = &t->symbols[t->by_name[index]];
	return strcmp(s->name, name) == 0 ? s : NULL;
}

/* --- loading ----------------------------------------------------------------------------------- */

/* The linker writes versions into .symtab as a part of the name: name@VERSION, name@@VERSION. */
static int strip_version(struct symtab *t, struct symbol *symbol)
{
	const char *at = strchr(symbol->name, '@');
	size_t len = at ? (size_t)(at - symbol->name) : 0;
	char *name;

	if (!len)
		return 0;
	if (len > STRIPPED_MAX - t->stripped_size)
		return -EINVAL;
	if (!array_grow(t->stripped, t->nr_stripped, t->alloc_stripped))
		return -ENOMEM;
	name = strndup(symbol->name, len);
	if (!name)
		return -ENOMEM;
	t->stripped[t->nr_stripped++] = name;
	t->stripped_size += len;
	symbol->name = name;
	return 0;
}

static int add(struct symtab *t, const struct symbol *symbol, uint32_t file)
{
	if (!array_grow(t->symbols, t->nr, t->alloc_symbols) ||
	    !array_grow(t->files, t->nr, t->alloc_files))
		return -ENOMEM;
	t->symbols[t->nr] = *symbol;
	t->files[t->nr++] = file;
	return 0;
}

static int load_symtab(struct symtab *t, const struct symtab_source *source)
{
	struct symtab_cursor cursor;
	struct symbol symbol;
	uint32_t file = 0, nr_files = 0;
	int r;

	r = symtab_cursor_init(source, SHT_SYMTAB, &cursor);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	while (symtab_cursor_next(&cursor, &symbol)) {
		bool is_local = symbol.bind == STB_LOCAL;

		if (symbol.type == STT_FILE) {
			file = *symbol.name ? ++nr_files : 0;
			continue;
		}
		r = strip_version(t, &symbol);
		if (r >= 0)
			r = add(t, &symbol, is_local ? file : 0);
		if (r < 0)
			return r;
		t->has_locals = t->has_locals || is_local;
	}
	return 0;
}

/* The symbol of .symtab that one of .dynsym is, unless another one was found to be that. */
static struct symbol *find_unmarked(struct symtab *t, const struct symbol *symbol)
{
	size_t first = first_of_name(t, symbol->name);
	const struct symbol *s;

	for (size_t i = first; i - first < NAMESAKES_MAX && (s = at_name_index(t, i, symbol->name));
	     i++)
		/* One name may be exported in two versions: the table then has two. */
		if (s->value == symbol->value && s->bind != STB_LOCAL && !s->is_exported &&
		    !s->is_hidden_version)
			return &t->symbols[t->by_name[i]];
	return NULL;
}

/* Mark what .dynsym exports; what only it has is added. */
static int merge_dynsym(struct symtab *t, const struct symtab_source *source)
{
	struct symtab_cursor cursor;
	struct symbol symbol;
	size_t nr;
	int r;

	r = make_indices(t);
	if (r < 0)
		return r;
	nr = t->nr;
	r = symtab_cursor_init(source, SHT_DYNSYM, &cursor);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	while (symtab_cursor_next(&cursor, &symbol)) {
		struct symbol *known = find_unmarked(t, &symbol);

		if (known) {
			known->version = symbol.version;
			known->is_exported = symbol.is_exported;
			known->is_hidden_version = symbol.is_hidden_version;
			continue;
		}
		r = symbol.type == STT_FILE ? 0 : add(t, &symbol, 0);
		if (r < 0)
			return r;
	}
	return t->nr == nr ? 0 : make_indices(t);
}

/*
 * The file itself when it has a .symtab, else a separate file of the same build, else what is
 * packed into the file.
 */
static int find_static_symbols(struct symtab *t, const struct image *image, struct diag *d)
{
	int r;

	r = load_symtab(t, &t->sources[0]);
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
	return load_symtab(t, &t->sources[t->nr_sources - 1]);
}

int symtab_load(const struct image *image, struct diag *d, struct symtab **ret)
{
	struct symtab *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return diag_oom(d);
	r = symtab_source_borrow(image->bytes, image->size, &t->sources[0]);
	if (r >= 0) {
		t->nr_sources = 1;
		r = find_static_symbols(t, image, d);
	}
	if (r >= 0)
		r = merge_dynsym(t, &t->sources[0]);
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

struct matches {
	const struct symbol *wanted;
	unsigned int nr;
	uint64_t addrs[ADDRS_MAX];
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
	size_t first = first_of_name(t, name);
	const struct symbol *s;

	for (size_t i = first; i - first < NAMESAKES_MAX && (s = at_name_index(t, i, name)); i++) {
		if (!(kind_of(s) & kinds) || is_repeated(t, first, i, kinds))
			continue;
		if (ret->nr < ADDRS_MAX)
			ret->addrs[ret->nr] = s->value;
		ret->nr++;
		if (ret->nr == sympos || (sympos == 0 && ret->nr == 1))
			ret->wanted = s;
	}
}

/* "0x1040, 0x1080 and 3 more" */
static void format_addrs(const struct matches *matches, char *buf, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < MIN(matches->nr, (unsigned int)ADDRS_MAX); i++)
		used += (size_t)snprintf(buf + used, size - used, "%s0x%llx", i ? ", " : "",
					 (unsigned long long)matches->addrs[i]);
	if (matches->nr > ADDRS_MAX)
		(void)snprintf(buf + used, size - used, " and %u more", matches->nr - ADDRS_MAX);
}

int symtab_find(const struct symtab *symtab, struct diag *d, const char *object, const char *name,
		unsigned int sympos, unsigned int kinds, struct symbol *ret)
{
	struct diag_where where = { .object = object, .function = name };
	char addrs[ADDRS_MAX * sizeof(", 0x0123456789abcdef") + 32];
	struct matches matches = {};

	collect(symtab, name, sympos, kinds, &matches);
	if (!matches.nr)
		return diag_err(d, -ENOENT, UPATCH_E_NO_FUNCTION, &where, "it has no symbol '%s'",
				name);
	format_addrs(&matches, addrs, sizeof(addrs));
	if (sympos == 0 && matches.nr > 1)
		return diag_err(d, -EINVAL, UPATCH_E_AMBIGUOUS, &where,
				"it has %u symbols '%s', at %s", matches.nr, name, addrs);
	if (!matches.wanted)
		return diag_err(d, -EINVAL, UPATCH_E_SYMPOS, &where,
				"symbol position %u of '%s' not found, it has %u, at %s", sympos,
				name, matches.nr, addrs);
	*ret = *matches.wanted;
	return 0;
}

/* As check_match() of the GNU dynamic linker: what has no version serves whoever wants one. */
static bool is_export_of(const struct symbol *s, const char *version)
{
	if (version && s->version)
		return (s->is_exported || s->is_hidden_version) && strcmp(s->version, version) == 0;
	return s->is_exported;
}

int symtab_find_export(const struct symtab *symtab, const char *name, const char *version,
		       struct symbol *ret)
{
	const struct symbol *s;

	for (size_t i = first_of_name(symtab, name); (s = at_name_index(symtab, i, name)); i++) {
		if (is_export_of(s, version)) {
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

	for (size_t i = first_of_name(symtab, func->name); i < symtab->nr_by_name; i++) {
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
