/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef ELF_DEBUGFILE_H
#define ELF_DEBUGFILE_H

/* Symbols of a stripped file that are kept elsewhere. */

struct diag;
struct image;
struct symtab_source;

/**
 * debugfile_find() - a separate file with the symbols of the same build
 * Where debuggers look: below /usr/lib/debug/.build-id, then for the name in .gnu_debuglink beside
 * the file, in .debug there, and in its folder's twin below /usr/lib/debug. It must have the same
 * build ID; one that was found by its name must have the checksum that .gnu_debuglink says, too.
 *
 * Return: 0 with an owned source; -ENOENT, unraised, when there is none that fits; -ENOMEM.
 */
int debugfile_find(const struct image *image, struct diag *d, struct symtab_source *ret);

/**
 * debugfile_unpack() - the compressed symbols in .gnu_debugdata ("MiniDebugInfo")
 * Return: likewise.
 */
int debugfile_unpack(const struct image *image, struct diag *d, struct symtab_source *ret);

#endif
