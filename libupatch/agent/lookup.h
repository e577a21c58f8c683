/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AGENT_LOOKUP_H
#define AGENT_LOOKUP_H

/*
 * What one loaded object exports, by the tables that the dynamic linker uses: DT_GNU_HASH, else DT_HASH.
 *
 * Tables that are broken end a search, they do not lead it astray: nothing is read outside of the range
 * that the caller knows, no more symbols than there is room for before the next table, and no more steps
 * than symbols.
 */

#include <elf.h>
#include <stdbool.h>
#include <stdint.h>

/* Memory that may be read: [start, end). */
struct lookup_range {
	uint64_t start;
	uint64_t end;
};

/* Tables in memory, borrowed; NULL: it has none of the kind. */
struct lookup_object {
	uint64_t bias;
	struct lookup_range range;
	const Elf64_Sym *symtab;
	uint64_t nr_symbols; /* at most */
	const char *strtab;
	uint64_t strtab_size;
	const uint32_t *gnu_hash;
	const uint32_t *hash;
	const Elf64_Half *versym;
	const Elf64_Verdef *verdef;
	uint64_t nr_verdefs;
};

/* @value: an address; of a thread-local variable its offset in the object's block. */
struct lookup_symbol {
	uint64_t value;
	uint64_t size;
	uint8_t type; /* STT_*; of STT_GNU_IFUNC @value is the resolver */
	uint8_t bind; /* STB_* */
};

/**
 * lookup_open() - find the tables of an object
 * @dynamic: its dynamic section, which the dynamic linker may have relocated in place or not; it is trusted
 *	     to end with DT_NULL
 *
 * Return: false: it has no symbols, @ret is as it was.
 */
bool lookup_open(uint64_t bias, const Elf64_Dyn *dynamic, struct lookup_object *ret);

/* The same for an object of which it is known where it is: [start, end), all of it readable. */
bool lookup_open_within(uint64_t bias, const Elf64_Dyn *dynamic, const struct lookup_range *range,
			struct lookup_object *ret);

/**
 * lookup_symbol() - find what it exports under that name
 * @version: NULL: the default one. A symbol without a version serves whoever wants one.
 *
 * The rules are those of symtab_find_export() on the host. As the dynamic linker, and unlike that, it
 * passes over symbols of hidden visibility, and those at 0 that are neither absolute nor thread-local.
 *
 * Return: false: nothing, @ret is as it was.
 */
bool lookup_symbol(const struct lookup_object *object, const char *name, const char *version,
		   struct lookup_symbol *ret);

#endif
