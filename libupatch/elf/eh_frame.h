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
