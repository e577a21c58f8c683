/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef ELF_SYMTAB_READ_H
#define ELF_SYMTAB_READ_H

/* Reading one symbol table section of one file, through libelf. */

#include <gelf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct symbol;

/* The file: bytes that symbols' names point into. */
struct symtab_source {
	Elf *elf;
	void *owned; /* or NULL when the bytes are borrowed */
};

/* Return: 0, -ENOMEM, or -EINVAL when libelf rejects it; unraised. */
int symtab_source_borrow(const void *bytes, size_t size, struct symtab_source *ret);

/* Takes over malloc'ed @bytes, also when it fails. */
int symtab_source_own(void *bytes, size_t size, struct symtab_source *ret);
void symtab_source_deinit(struct symtab_source *source);

struct symtab_cursor {
	const struct symtab_source *source;
	Elf_Data *symbols;
	Elf_Data *versions; /* .gnu.version, or NULL */
	Elf_Scn *verdef;
	size_t strings; /* section index */
	size_t nr;
	size_t next;
	bool is_dynamic;
};

/* @type: SHT_SYMTAB or SHT_DYNSYM. Return: 0, -ENOENT when there is none, unraised. */
int symtab_cursor_init(const struct symtab_source *source, uint32_t type,
		       struct symtab_cursor *ret);

/* The next defined symbol with a name, or a file's name (STT_FILE). False: no more. */
bool symtab_cursor_next(struct symtab_cursor *cursor, struct symbol *ret);

#endif
