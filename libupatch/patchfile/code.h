/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PATCHFILE_CODE_H
#define PATCHFILE_CODE_H

/*
 * The original code of a payload's functions, as the builder saw it: for libraries that are not loaded
 * when the patch is applied. docs/upatch-format.md, "Code".
 */

#include <stddef.h>
#include <stdint.h>

#include "patchfile/patchfile.h"

struct diag;

/* What the pieces point into. */
struct code {
	uint8_t *bytes;
	struct payload_piece *pieces;
};

/**
 * code_parse() - read and validate
 * @bytes: copied
 * @funcs: get their pieces
 * Return: 0, or -errno raised with UPATCH_E_BAD_PATCHFILE.
 */
int code_parse(struct diag *d, const uint8_t *bytes, size_t size, struct payload_func *funcs,
	       size_t nr_funcs, struct code *ret);
void code_deinit(struct code *code);

/* Return: malloc'ed bytes, NULL without memory. */
uint8_t *code_format(const struct payload_func *funcs, size_t nr_funcs, size_t *ret_size);

#endif
