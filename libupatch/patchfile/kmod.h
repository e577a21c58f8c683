/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef PATCHFILE_KMOD_H
#define PATCHFILE_KMOD_H

/*
 * A klp module (.ko), as kbuild, kpatch-build and klp-build make them: what it says about itself in
 * its section .modinfo. It is carried as it is; nothing in it is changed.
 */

#include <stddef.h>
#include <stdint.h>

struct diag;

enum {
	KMOD_NAME_MAX = 55,    /* MODULE_NAME_LEN of the kernel, less the 0 */
	KMOD_RELEASE_MAX = 64, /* what uname(2) has room for, less the 0 */
};

/*
 * @name:     of the module, and so of its directory in sysfs
 * @vermagic: release and options of the kernel that it was built for
 * @release:  its first word
 * @note:     with its build ID, as the kernel shows it in sysfs; within the bytes, NULL: it has none
 */
struct kmod {
	char *name;
	char *vermagic;
	char *release;
	uint8_t *bytes;
	size_t size;
	const uint8_t *note;
	size_t note_size;
};

/**
 * kmod_parse() - read what a module says about itself
 * @file: its name, for messages
 * @bytes: borrowed; copied
 * Return: 0, or -errno raised with UPATCH_E_BAD_MODULE.
 */
int kmod_parse(struct diag *d, const char *file, const uint8_t *bytes, size_t size,
	       struct kmod *ret);
void kmod_deinit(struct kmod *kmod);

#endif
