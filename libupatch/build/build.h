/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef BUILD_BUILD_H
#define BUILD_BUILD_H

/* From source files to a .upatch file. */

struct diag;
struct upatch_build_options;

/**
 * build_run() - upatch_build()
 * Return: 0, or -errno raised with UPATCH_E_USAGE, UPATCH_E_COMPILER, UPATCH_E_NO_FUNCS,
 * UPATCH_E_IO, or whatever applying the patch would be refused for.
 */
int build_run(struct diag *d, const struct upatch_build_options *opts);

#endif
