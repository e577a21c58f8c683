/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef BASE_FILE_H
#define BASE_FILE_H

/* Whole files in memory. */

#include <stddef.h>
#include <stdint.h>
#include <upatch/error.h>

struct diag;

/*
 * @name:      for messages
 * @size_max:  bytes; beyond them the file is refused
 * @too_large: for this reason
 */
struct file_spec {
	const char *name;
	size_t size_max;
	enum upatch_reason too_large;
};

/**
 * file_read() - all of a regular file
 * @fd: borrowed; its position does not matter
 * @ret: owned by the caller, with room for one byte more
 *
 * What is cut off meanwhile is missing: whoever looks into it finds out. Return: 0, or -errno raised:
 * UPATCH_E_NOT_ELF when it is no regular file, UPATCH_E_IO, @too_large.
 */
int file_read(struct diag *d, int fd, const struct file_spec *spec, uint8_t **ret,
	      size_t *ret_size);

#endif
