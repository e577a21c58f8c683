/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef BUILD_FIXUP_H
#define BUILD_FIXUP_H

/* Writing what is known about the object into a compiled payload, in place. */

#include <stddef.h>
#include <stdint.h>

struct diag;
struct image;

/**
 * fixup_object_name() - which object the payload says it is for
 * Return: 0 with malloc'ed @ret, or -errno raised with UPATCH_E_NO_FUNCS (no UPATCH_OBJECT()) or
 * UPATCH_E_BAD_PATCHFILE (two different ones).
 */
int fixup_object_name(struct diag *d, const uint8_t *bytes, size_t size, char **ret);

/**
 * fixup_payload() - look up functions and private symbols, verify, and write their addresses down
 * @bytes: changed in place
 * Return: 0, or -errno raised: what applying would be refused for.
 */
int fixup_payload(struct diag *d, struct image *image, const char *object, uint8_t *bytes,
		  size_t size);

/* An object of the patch, and its payload. */
struct fixup_sibling {
	struct image *image;
	uint8_t *bytes; /* changed in place */
	size_t size;
};

/**
 * fixup_siblings() - note which symbols of a payload another object of the patch exports
 * That one may come later. Return: 0, or -errno raised.
 */
int fixup_siblings(struct diag *d, const struct fixup_sibling *siblings, size_t nr, size_t index);

#endif
