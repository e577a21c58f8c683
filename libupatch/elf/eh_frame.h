/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef ELF_EH_FRAME_H
#define ELF_EH_FRAME_H

/*
 * Makes the binary search table (.eh_frame_hdr) that the linker would make for an .eh_frame, so
 * that unwinders find the frames of a payload. LSB 5.0 Core, 10.6.2.
 */

#include <stddef.h>
#include <stdint.h>

struct diag;

/* The code that one record (FDE) describes. */
struct eh_frame_range {
	uint64_t start;
	uint64_t size;
};

/**
 * eh_frame_ranges() - all pieces of code that an .eh_frame describes, sorted by address
 * @addr: of the section
 * Return: their number with a malloc'ed array, or -EINVAL, -ENOMEM, unraised.
 */
int64_t eh_frame_ranges(const uint8_t *eh_frame, size_t size, uint64_t addr,
			struct eh_frame_range **ret);

/**
 * eh_frame_hdr_size() - bytes that eh_frame_hdr_build() will need at most
 * Return: size, or -EINVAL raised with UPATCH_E_BAD_PATCHFILE when the records are malformed.
 */
int64_t eh_frame_hdr_size(struct diag *d, const uint8_t *eh_frame, size_t size);

/**
 * eh_frame_hdr_build() - write the search table
 * @eh_frame:	   relocated contents; may lack the terminating zero word
 * @eh_frame_addr: where they will be
 * @hdr_addr:	   where the table will be; within 2 GiB of the rest
 * @buf:	   of @capacity bytes
 *
 * Handles the pointer encodings that gcc and clang emit: absolute, pcrel, with udata4, sdata4,
 * udata8, sdata8 and absptr.
 *
 * Return: bytes written, or -EINVAL raised with UPATCH_E_BAD_PATCHFILE.
 */
int64_t eh_frame_hdr_build(struct diag *d, const uint8_t *eh_frame, size_t size,
			   uint64_t eh_frame_addr, uint64_t hdr_addr, uint8_t *buf,
			   size_t capacity);

#endif
