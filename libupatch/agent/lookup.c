/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/lookup.h"

#include <stddef.h>

enum {
	DYNAMIC_MAX = 4096,
	SYMBOLS_MAX = 1 << 24,
	VERDEFS_MAX = 4096, /* looked through for each symbol of the name */
	VERSION_HIDDEN = 0x8000,
	VERSION_INDEX = 0x7fff,
};

/* Then: words of the filter, the first symbol of each bucket, hashes. */
struct gnu_header {
	uint32_t nr_buckets;
	uint32_t first; /* symbol that is in the table */
	uint32_t nr_words;
	uint32_t shift;
};

/* Then: the first symbol of each bucket, the next one of each symbol. */
struct sysv_header {
	uint32_t nr_buckets;
	uint32_t nr_symbols;
};

/* --- reading ----------------------------------------------------------------------------------- */

static bool is_within(const struct lookup_range *range, uint64_t addr, uint64_t size)
{
	return addr >= range->start && addr <= range->end && size <= range->end - addr;
}

static const void *view(const struct lookup_object *o, const void *table, uint64_t offset,
			uint64_t size)
{
	uint64_t addr = (uintptr_t)table + offset;

	return is_within(&o->range, addr, size) ? (const void *)(uintptr_t)addr : NULL;
}

/* What is at an offset in a table, NULL: nothing that could be read. Tables are aligned, or broken. */
#define VIEW(object, table, offset, type)                                                          \
	(((uintptr_t)(table) + (offset)) % _Alignof(type)                                          \
		 ? NULL                                                                            \
		 : (const type *)view((object), (table), (offset), sizeof(type)))

static bool is_string(const struct lookup_object *o, uint64_t offset, const char *wanted)
{
	for (; offset < o->strtab_size && o->strtab[offset] == *wanted; offset++, wanted++)
		if (!*wanted)
			return true;
	return false;
}

/* --- the dynamic section ------------------------------------------------------------------------ */

/*
 * glibc makes addresses of most, in place; musl, and the kernel in its vDSO, leave them as they are in
 * the file. No object is so low that what is not an address could be taken for one.
 */
static const void *table_at(const struct lookup_object *o, uint64_t value)
{
	bool is_address = o->range.end == UINT64_MAX ? value >= o->bias
						     : is_within(&o->range, value, 1);

	return (const void *)(uintptr_t)(is_address ? value : value + o->bias);
}

static void read_dynamic(const Elf64_Dyn *dynamic, struct lookup_object *o)
{
	for (int i = 0; dynamic && i < DYNAMIC_MAX && dynamic[i].d_tag != DT_NULL; i++) {
		uint64_t value = dynamic[i].d_un.d_val;

		switch (dynamic[i].d_tag) {
		case DT_SYMTAB:
			o->symtab = table_at(o, value);
			break;
		case DT_STRTAB:
			o->strtab = table_at(o, value);
			break;
		case DT_STRSZ:
			o->strtab_size = value;
			break;
		case DT_GNU_HASH:
			o->gnu_hash = table_at(o, value);
			break;
		case DT_HASH:
			o->hash = table_at(o, value);
			break;
		case DT_VERSYM:
			o->versym = table_at(o, value);
			break;
		case DT_VERDEF:
			o->verdef = table_at(o, value);
			break;
		case DT_VERDEFNUM:
			o->nr_verdefs = value;
			break;
		}
	}
}

/* Nothing tells how many there are, but no table is inside of another. */
static uint64_t count_symbols(const struct lookup_object *o)
{
	const void *tables[] = { o->strtab, o->gnu_hash, o->hash, o->versym, o->verdef };
	uint64_t start = (uintptr_t)o->symtab, end = o->range.end, nr;

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		if ((uintptr_t)tables[i] > start && (uintptr_t)tables[i] < end)
			end = (uintptr_t)tables[i];
	nr = start < end ? (end - start) / sizeof(Elf64_Sym) : 0;
	return nr < SYMBOLS_MAX ? nr : SYMBOLS_MAX;
}

bool lookup_open_within(uint64_t bias, const Elf64_Dyn *dynamic, const struct lookup_range *range,
			struct lookup_object *ret)
{
	struct lookup_object o = { .bias = bias, .range = *range };

	read_dynamic(dynamic, &o);
	if (!o.symtab || !o.strtab || !o.strtab_size ||
	    !is_within(range, (uintptr_t)o.strtab, o.strtab_size))
		return false;
	o.nr_symbols = count_symbols(&o);
	*ret = o;
	return true;
}

bool lookup_open(uint64_t bias, const Elf64_Dyn *dynamic, struct lookup_object *ret)
{
	const struct lookup_range everything = { 0, UINT64_MAX };

	return lookup_open_within(bias, dynamic, &everything, ret);
}

/* --- versions ---------------------------------------------------------------------------------- */

/* Of a version that the object defines; the base version is the object's own name, and none. */
static bool find_version(const struct lookup_object *o, unsigned int index, uint64_t *ret_name)
{
	uint64_t offset = 0;

	for (uint64_t i = 0; o->verdef && i < o->nr_verdefs && i < VERDEFS_MAX; i++) {
		const Elf64_Verdef *def = VIEW(o, o->verdef, offset, Elf64_Verdef);
		const Elf64_Verdaux *aux;

		if (!def)
			break;
		if (def->vd_ndx == index && !(def->vd_flags & VER_FLG_BASE)) {
			aux = VIEW(o, o->verdef, offset + def->vd_aux, Elf64_Verdaux);
			if (aux)
				*ret_name = aux->vda_name;
			return aux;
		}
		if (!def->vd_next)
			break;
		offset += def->vd_next;
	}
	return false;
}

static bool serves(const struct lookup_object *o, uint64_t symbol, const char *version)
{
	const Elf64_Half *entry =
		o->versym ? VIEW(o, o->versym, symbol * sizeof(Elf64_Half), Elf64_Half) : NULL;
	unsigned int value = entry ? *entry : VER_NDX_GLOBAL, index = value & VERSION_INDEX;
	uint64_t name;

	if (index == VER_NDX_LOCAL)
		return false;
	/* A version that it only needs is none: that of a variable copied into the program. */
	if (version && index > VER_NDX_GLOBAL && find_version(o, index, &name))
		return is_string(o, name, version);
	return !(value & VERSION_HIDDEN);
}

/* --- finding ----------------------------------------------------------------------------------- */

/* @symbol: what a hash table leads to */
static const Elf64_Sym *match(const struct lookup_object *o, uint64_t symbol, const char *name,
			      const char *version)
{
	const Elf64_Sym *s =
		symbol < o->nr_symbols ? VIEW(o, o->symtab, symbol * sizeof(*s), Elf64_Sym) : NULL;
	unsigned int type, visibility;

	if (!s || s->st_shndx == SHN_UNDEF || ELF64_ST_BIND(s->st_info) == STB_LOCAL)
		return NULL;
	type = ELF64_ST_TYPE(s->st_info);
	visibility = ELF64_ST_VISIBILITY(s->st_other);
	if (type == STT_SECTION || type == STT_FILE || visibility == STV_HIDDEN ||
	    visibility == STV_INTERNAL)
		return NULL;
	if (!s->st_value && s->st_shndx != SHN_ABS && type != STT_TLS)
		return NULL;
	return is_string(o, s->st_name, name) && serves(o, symbol, version) ? s : NULL;
}

static uint32_t gnu_hash(const char *name)
{
	uint32_t h = 5381;

	for (; *name; name++)
		h = h * 33 + (uint8_t)*name;
	return h;
}

static const Elf64_Sym *find_by_gnu_hash(const struct lookup_object *o, const char *name,
					 const char *version)
{
	const struct gnu_header *header = VIEW(o, o->gnu_hash, 0, struct gnu_header);
	uint64_t h = gnu_hash(name), bits, buckets, chains, symbol;
	const uint64_t *word;
	const uint32_t *bucket, *other;

	/* The filter's size is a power of two. */
	if (!header || !header->nr_buckets || !header->nr_words)
		return NULL;
	word = VIEW(o, o->gnu_hash,
		    sizeof(*header) + (h / 64 & (header->nr_words - 1)) * sizeof(*word), uint64_t);
	bits = 1ull << h % 64 | 1ull << (h >> header->shift % 64) % 64;
	if (!word || (*word & bits) != bits)
		return NULL;
	buckets = sizeof(*header) + header->nr_words * sizeof(*word);
	chains = buckets + header->nr_buckets * sizeof(*bucket);
	bucket = VIEW(o, o->gnu_hash, buckets + h % header->nr_buckets * sizeof(*bucket), uint32_t);
	if (!bucket || *bucket < header->first)
		return NULL;
	for (symbol = *bucket; symbol < o->nr_symbols; symbol++) {
		const Elf64_Sym *s;

		other = VIEW(o, o->gnu_hash, chains + (symbol - header->first) * sizeof(*other),
			     uint32_t);
		if (!other)
			break;
		s = (*other | 1) == (h | 1) ? match(o, symbol, name, version) : NULL;
		if (s || *other & 1)
			return s;
	}
	return NULL;
}

static uint32_t sysv_hash(const char *name)
{
	uint32_t h = 0;

	for (; *name; name++) {
		h = (h << 4) + (uint8_t)*name;
		h ^= (h & 0xf0000000) >> 24;
		h &= 0x0fffffff;
	}
	return h;
}

static const Elf64_Sym *find_by_hash(const struct lookup_object *o, const char *name,
				     const char *version)
{
	const struct sysv_header *header = VIEW(o, o->hash, 0, struct sysv_header);
	uint64_t chains, at;
	const uint32_t *next;

	if (!header || !header->nr_buckets)
		return NULL;
	at = sizeof(*header) + sysv_hash(name) % header->nr_buckets * sizeof(*next);
	chains = sizeof(*header) + (uint64_t)header->nr_buckets * sizeof(*next);
	/* One that goes round in a circle has an end, too. */
	for (uint64_t i = 0; i < header->nr_symbols && i < o->nr_symbols; i++) {
		const Elf64_Sym *s;

		next = VIEW(o, o->hash, at, uint32_t);
		if (!next || *next == STN_UNDEF || *next >= header->nr_symbols)
			break;
		s = match(o, *next, name, version);
		if (s)
			return s;
		at = chains + (uint64_t)*next * sizeof(*next);
	}
	return NULL;
}

bool lookup_symbol(const struct lookup_object *object, const char *name, const char *version,
		   struct lookup_symbol *ret)
{
	const Elf64_Sym *s = NULL;

	if (object->gnu_hash)
		s = find_by_gnu_hash(object, name, version);
	else if (object->hash)
		s = find_by_hash(object, name, version);
	if (!s)
		return false;
	*ret = (struct lookup_symbol){
		.value = s->st_value,
		.size = s->st_size,
		.type = ELF64_ST_TYPE(s->st_info),
		.bind = ELF64_ST_BIND(s->st_info),
	};
	/* As glibc; musl adds the bias to what is absolute, too, which no library of its kind has. */
	if (ret->type != STT_TLS && s->st_shndx != SHN_ABS)
		ret->value += object->bias;
	return true;
}
