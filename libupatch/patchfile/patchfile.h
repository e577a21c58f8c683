/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PATCHFILE_PATCHFILE_H
#define PATCHFILE_PATCHFILE_H

/*
 * A .upatch file, read and validated: manifest and payloads. Format: docs/upatch-format.md.
 *
 * Whoever holds a struct patchfile need not check its contents again: indices are in range,
 * strings are terminated, names are printable, sizes are bounded.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "elf/image.h"
#include "patchfile/kmod.h"

struct diag;

enum {
	PAYLOAD_CALLBACKS = 4, /* enum upatch_callback_kind */
	PATCHFILE_VERSION = 2,
	PATCHFILE_VERSION_KERNEL = 2, /* from here on there may be klp modules */
	PATCHFILE_NAME_MAX = 63,      /* characters of a patch name: [A-Za-z0-9][A-Za-z0-9._+-]* */
};

/* An allocated section of the payload; others are not kept. */
struct payload_section {
	const char *name;
	uint32_t type;	      /* SHT_* */
	uint64_t flags;	      /* SHF_* */
	uint64_t size;	      /* in the target; SHT_NOBITS has no bytes */
	uint64_t align;	      /* power of two, <= 4096 */
	const uint8_t *bytes; /* NULL for SHT_NOBITS */
};

enum payload_symbol_kind {
	PAYLOAD_SYMBOL_DEFINED,	 /* in section @section at @value */
	PAYLOAD_SYMBOL_ABSOLUTE, /* @value */
	PAYLOAD_SYMBOL_EXTERN,	 /* found as the dynamic linker would: @name, @version */
	PAYLOAD_SYMBOL_PRIVATE,	 /* found in the object's own symbols: @name, @sympos */
	PAYLOAD_SYMBOL_ORIGINAL, /* the gateway of the patched function @name, @sympos: the old code */
};

struct payload_symbol {
	const char *name;
	const char *version; /* EXTERN: or NULL for the default */
	enum payload_symbol_kind kind;
	uint8_t type;	  /* STT_* */
	uint8_t bind;	  /* STB_*: a weak EXTERN may stay 0 */
	uint32_t section; /* DEFINED: index into sections */
	uint32_t sympos;  /* PRIVATE */
	uint32_t sibling; /* EXTERN: index + 1 of the payload whose object exports it, 0: unknown */
	uint64_t value;	  /* DEFINED: offset; PRIVATE: link-time address, or 0 when unknown */
	uint64_t size;
};

struct payload_reloc {
	uint32_t section; /* index into sections */
	uint32_t symbol;  /* index into symbols */
	uint32_t type;	  /* R_* */
	uint64_t offset;  /* < section size; the width is the CPU's business */
	int64_t addend;
};

/* Contiguous code of an old function. */
struct payload_piece {
	uint64_t vaddr;
	uint64_t size;
	const uint8_t *bytes;
};

/*
 * One func: an old function and its replacement.
 *
 * @pieces: [0] is the body, then what the compiler split off; none in a file without code
 * @padding: bytes behind the body's bytes that belong to nobody
 */
struct payload_func {
	const char *name;
	uint32_t sympos;
	uint32_t symbol;    /* index into symbols: the replacement, DEFINED in executable code */
	uint64_t old_value; /* link-time address of the old function, 0 when unknown */
	uint64_t old_size;  /* its size, 0 when unknown */
	const struct payload_piece *pieces;
	size_t nr_pieces;
	size_t padding;
};

struct payload {
	const char *object;
	struct build_id build_id;
	bool is_executable; /* its object: it never comes or goes */
	bool is_required;   /* other builds of the object are not to be loaded */
	bool has_code;	    /* all functions have pieces */
	uint16_t machine;
	size_t file_size; /* of the ET_REL */
	const struct payload_section *sections;
	size_t nr_sections;
	const struct payload_symbol *symbols;
	size_t nr_symbols;
	const struct payload_reloc *relocs; /* sorted by section, then offset */
	size_t nr_relocs;
	const struct payload_func *funcs; /* may be none where there are callbacks */
	size_t nr_funcs;
	uint32_t callbacks[PAYLOAD_CALLBACKS]; /* index into symbols by kind - 1, 0: none */
};

struct patchfile {
	const char *name;
	const char *version;
	const char *description;
	bool replace;
	bool strict; /* stack_order=strict */
	const char *const *cves;
	size_t nr_cves;
	const struct payload *payloads; /* at least one; pairs of object and build ID are unique */
	size_t nr_payloads;
	const struct kmod *modules; /* for the kernel, at most one per release */
	size_t nr_modules;
	bool kernel_last; /* the processes go first */
	uint32_t digest;  /* of the whole file, never 0 */
};

/**
 * patchfile_open_fd() - read a .upatch file
 * @fd: borrowed
 *
 * Return: 0, or -errno raised with UPATCH_E_NOT_ELF, UPATCH_E_BAD_PATCHFILE,
 * UPATCH_E_PATCHFILE_VERSION, UPATCH_E_ARCHITECTURE (payloads for a CPU that this library does not
 * know), UPATCH_E_BAD_MODULE, UPATCH_E_IO. The message names the section at fault.
 */
int patchfile_open_fd(struct diag *d, int fd, const char *name, const struct patchfile **ret);
int patchfile_open_bytes(struct diag *d, const void *bytes, size_t size, const char *name,
			 const struct patchfile **ret);
void patchfile_close(const struct patchfile *file);

#endif
