/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef BUILD_CODE_H
#define BUILD_CODE_H

/* Collecting the original code of the functions that a payload replaces. */

#include <stddef.h>
#include <stdint.h>

struct diag;
struct image;

/**
 * code_collect() - in the patch file's format
 * @bytes: the payload, fixed up
 * Return: 0 with malloc'ed @ret, or -errno raised.
 */
int code_collect(struct diag *d, struct image *image, const uint8_t *bytes, size_t size,
		 uint8_t **ret, size_t *ret_size);

#endif
