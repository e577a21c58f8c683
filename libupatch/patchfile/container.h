/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PATCHFILE_CONTAINER_H
#define PATCHFILE_CONTAINER_H

/* The ELF file that holds a manifest and payloads as sections. */

#include <stddef.h>
#include <stdint.h>

struct diag;

enum {
	CONTAINER_SECTIONS_MAX = 4096,
};

#define CONTAINER_MANIFEST ".upatch.manifest"
#define CONTAINER_PAYLOAD ".upatch.payload."
#define CONTAINER_CODE ".upatch.code."
#define CONTAINER_KERNEL ".upatch.kernel."

struct container_section {
	const char *name;
	const uint8_t *bytes;
	size_t size;
};

struct container {
	struct container_section *sections; /* point into the bytes read */
	size_t nr;
};

/**
 * container_parse() - find the sections
 * @name: of the file, for messages
 * @bytes: borrowed, outlives the container
 * Return: 0, or -errno raised with UPATCH_E_NOT_ELF or UPATCH_E_BAD_PATCHFILE.
 */
int container_parse(struct diag *d, const char *name, const uint8_t *bytes, size_t size,
		    struct container *ret);
void container_deinit(struct container *container);

/* The section of that name, or NULL. */
const struct container_section *container_find(const struct container *container, const char *name);

/**
 * container_format() - make the file
 * @machine: EM_* of the payloads
 * Return: 0 with malloc'ed bytes, or -ENOMEM, unraised.
 */
int container_format(const struct container_section *sections, size_t nr, uint16_t machine,
		     uint8_t **ret, size_t *ret_size);

#endif
