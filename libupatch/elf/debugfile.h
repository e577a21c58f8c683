/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef ELF_DEBUGFILE_H
#define ELF_DEBUGFILE_H

/* Symbols of a stripped file that are kept elsewhere. */

struct diag;
struct image;
struct symtab_source;

/**
 * debugfile_find() - a separate file with the same build ID
 * Below /usr/lib/debug/.build-id, as debuggers look there.
 * Return: 0 with an owned source; -ENOENT, unraised, when there is none that fits; -ENOMEM.
 */
int debugfile_find(const struct image *image, struct diag *d, struct symtab_source *ret);

/**
 * debugfile_unpack() - the compressed symbols in .gnu_debugdata ("MiniDebugInfo")
 * Return: likewise.
 */
int debugfile_unpack(const struct image *image, struct diag *d, struct symtab_source *ret);

#endif
