/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef ELF_SYMTAB_H
#define ELF_SYMTAB_H

/*
 * The symbols of one image, by name, by position among equals (klp's sympos) and by address.
 *
 * Position: the n-th symbol (1-based) of that name and kind (function or data object) in the order of the symbol table's index.
 * Position 0 asks for the only one; two symbols of one name at the same address count as one.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct diag;
struct symtab;

enum symbol_kind {
	SYMBOL_FUNC = 1,   /* STT_FUNC, STT_GNU_IFUNC */
	SYMBOL_OBJECT = 2, /* STT_OBJECT, STT_COMMON, STT_NOTYPE with an address */
	SYMBOL_TLS = 4,	   /* STT_TLS: the value is an offset into the TLS image */
	SYMBOL_ANY = 7,
};

struct symbol {
	const char *name;    /* without version; borrowed from the symtab */
	const char *version; /* of .dynsym entries, or NULL */
	uint64_t value;	     /* vaddr; offset for TLS */
	uint64_t size;
	uint8_t type;		/* STT_* */
	uint8_t bind;		/* STB_* */
	bool is_exported;	/* defined in .dynsym with a default version or none */
	bool is_hidden_version; /* foo@VER rather than foo@@VER */
};

/**
 * symtab_find() - a symbol of any binding by name and position
 * @kinds:  mask of enum symbol_kind
 * @sympos: 0 or 1-based
 * @object: the object's name for messages
 *
 * Return: 0; -ENOENT with UPATCH_E_NO_FUNCTION; -EINVAL with UPATCH_E_AMBIGUOUS (the message gives
 * the number and addresses of candidates) or UPATCH_E_SYMPOS. @d may be NULL.
 */
int symtab_find(const struct symtab *symtab, struct diag *d, const char *object, const char *name,
		unsigned int sympos, unsigned int kinds, struct symbol *ret);

/**
 * symtab_find_export() - what the dynamic linker would find here
 * @version: NULL for the default version
 *
 * Return: 0 or -ENOENT, which is an answer and raises nothing.
 */
int symtab_find_export(const struct symtab *symtab, const char *name, const char *version,
		       struct symbol *ret);

/* The function that covers @vaddr (STT_FUNC, best match). Return: 0 or -ENOENT, unraised. */
int symtab_at(const struct symtab *symtab, uint64_t vaddr, struct symbol *ret);

/**
 * symtab_next() - first function symbol above an address
 * Tells how far padding behind a function may reach. Return: 0 or -ENOENT, unraised.
 */
int symtab_next(const struct symtab *symtab, uint64_t vaddr, struct symbol *ret);

/**
 * symtab_pieces() - the ranges that gcc split off a function
 * @func: as found
 *
 * Calls @fn for name.cold, name.part.N and name.cold.N, each a range of its own, that belong to
 * @func: local symbols of that name that come from the same STT_FILE where the table tells. With
 * duplicates that cannot be told apart all of them count: a laggard too many is safe.
 *
 * Return: 0, or the first non-zero value of @fn.
 */
int symtab_pieces(const struct symtab *symtab, const struct symbol *func,
		  int (*fn)(const struct symbol *piece, void *userdata), void *userdata);

/* Are there local symbols, or only what the dynamic linker needs? */
bool symtab_has_locals(const struct symtab *symtab);

/* All symbols, in table order; for inspection and tests. */
size_t symtab_symbols(const struct symtab *symtab, const struct symbol **ret);

#endif
