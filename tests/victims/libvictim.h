/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VICTIMS_LIBVICTIM_H
#define VICTIMS_LIBVICTIM_H

/* A shared library with the kinds of symbols that the dynamic linker treats differently. */

extern __thread int lib_calls; /* of lib_exported(), by this thread; general dynamic model */

int lib_exported(int x);   /* x + 1 */
int lib_by_hidden(int x);  /* calls a hidden function: x + 10 */
int lib_by_static(int x);  /* calls a static function: x + 100 */
int lib_ifunc(int x);	   /* its resolver takes lib_ifunc_chosen(): x + 1000 */
int lib_versioned(void);   /* 2; as lib_versioned@VICTIM_1: 1 */
int lib_old_version(void); /* what lib_versioned@VICTIM_1 gives */
int lib_straddling(int x); /* its entry lies across two pages: x + 5 */

#endif
