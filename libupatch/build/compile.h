/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef BUILD_COMPILE_H
#define BUILD_COMPILE_H

/* Compiling and joining the sources of one payload. */

#include <stddef.h>

struct diag;
struct upatch_build_options;

/**
 * compile_source() - one source file to one object file
 * Return: 0, or -errno raised with UPATCH_E_COMPILER; the detail is what the compiler said.
 */
int compile_source(struct diag *d, const struct upatch_build_options *opts, const char *source,
		   const char *output);

/* Join object files into one. Return: likewise. */
int compile_join(struct diag *d, char *const *objects, size_t nr, const char *output);

#endif
