/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PATCHFILE_PAYLOAD_H
#define PATCHFILE_PAYLOAD_H

/*
 * Reading one payload: an ET_REL object file with upatch's tables in it. docs/upatch-format.md says
 * what it may contain.
 */

#include "patchfile/patchfile.h"

struct diag;

#define PAYLOAD_OBJECT ".upatch.object"
#define PAYLOAD_FUNCS ".upatch.funcs"
#define PAYLOAD_CALLBACK_TABLE ".upatch.callbacks"
#define PAYLOAD_SYM ".upatch.sym."
#define PAYLOAD_ORIG ".upatch.orig."

enum {
	PAYLOAD_SHN_LIVEPATCH =
		0xff20, /* as in klp modules: known to the builder, not the linker */
	PAYLOAD_SHN_SIBLING =
		0xff21, /* undefined here, exported by the object of the payload st_value */
};

/* A payload and what its strings point into. */
struct payload_storage {
	struct payload payload; /* without object and build ID, which the manifest has */
	uint8_t *bytes;
	void *elf;
	char **strings; /* made while reading */
	size_t nr_strings;
};

/**
 * payload_parse() - read and validate
 * @bytes: copied
 * Return: 0, or -errno raised with UPATCH_E_BAD_PATCHFILE, UPATCH_E_ARCHITECTURE,
 * UPATCH_E_TLS_SYMBOL, UPATCH_E_NO_FUNCS.
 */
int payload_parse(struct diag *d, const uint8_t *bytes, size_t size, struct payload_storage **ret);
void payload_storage_free(struct payload_storage *storage);

#endif
