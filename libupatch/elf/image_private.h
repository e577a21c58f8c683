/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef ELF_IMAGE_PRIVATE_H
#define ELF_IMAGE_PRIVATE_H

/* The image's inside, for the files of this folder. */

#include <elf.h>

#include "elf/eh_frame.h"
#include "elf/image.h"
#include "elf/symtab.h"

struct image {
	unsigned int refs;
	char *name;
	char *path;	/* of its file when opened, or NULL */
	uint8_t *bytes; /* the whole file */
	size_t size;
	Elf64_Ehdr ehdr;
	struct image_segment *segments;
	size_t nr_segments;
	size_t alloc_segments;
	struct build_id build_id;
	struct image_range dynamic;
	struct image_range eh_frame_hdr;
	struct image_tls tls;
	bool has_tls;
	bool has_interp;
	struct symtab *symtab; /* NULL until it is asked for */
	uint8_t *fde_hdr;      /* likewise, see image_fde_table() */
	struct image_fde_table fde_table;
	bool has_no_fde_table;
	struct eh_frame_range *code; /* likewise, see image_code_at() */
	int64_t nr_code;	     /* -1: cannot be read */
};

/* Larger files are not looked into. */
enum {
	IMAGE_FILE_SIZE_MAX = 2ul << 30,
};

/* @ret is left as it is when it is set already, and when there is none. */
void build_id_from_notes(const uint8_t *notes, uint64_t size, uint64_t align, struct build_id *ret);
void build_id_from_sections(const uint8_t *bytes, size_t size, struct build_id *ret);

int symtab_load(const struct image *image, struct diag *d, struct symtab **ret);
void symtab_free(struct symtab *symtab);

#endif
