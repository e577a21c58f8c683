/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PATCHFILE_MANIFEST_H
#define PATCHFILE_MANIFEST_H

/* The part of a patch file that people may read: JSON. The only door to json-c of the library. */

#include <stdbool.h>
#include <stddef.h>

#include "elf/image.h"

struct diag;

struct manifest_object {
	char *name;
	struct build_id build_id;
	char *payload; /* name of a section */
	char *code;    /* likewise, or NULL */
	bool is_executable;
	bool is_required; /* policy=require */
};

struct manifest {
	char *name;
	char *version;
	char *description;
	bool replace;
	bool strict; /* stack_order=strict */
	char **cves;
	size_t nr_cves;
	struct manifest_object *objects;
	size_t nr_objects;
	char **modules; /* names of sections, each with a klp module */
	size_t nr_modules;
	bool kernel_last; /* order=userspace-first */
};

/**
 * manifest_parse() - read and validate
 * Keys that we do not know are ignored; a greater format version is not.
 * Return: 0, or -errno raised with UPATCH_E_BAD_PATCHFILE or UPATCH_E_PATCHFILE_VERSION.
 */
int manifest_parse(struct diag *d, const void *text, size_t size, struct manifest *ret);
void manifest_deinit(struct manifest *manifest);

/* Return: malloc'ed text, NULL without memory. */
char *manifest_format(const struct manifest *manifest);

/* May a patch be called that? */
bool manifest_is_name(const char *name);

#endif
