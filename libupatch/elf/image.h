/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef ELF_IMAGE_H
#define ELF_IMAGE_H

/*
 * An ELF executable or shared library as it stands in a file (or was read from memory, as the
 * vDSO), seen through its program headers. Addresses are link-time addresses ("vaddr").
 *
 * The bytes are hostile: everything is bounds-checked, the file is read and not mapped, so that
 * nobody can raise SIGBUS in us by truncating it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct diag;
struct image;
struct symtab;

enum {
	BUILD_ID_MAX = 64,
};

struct build_id {
	uint8_t size; /* 0: the object has none */
	uint8_t bytes[BUILD_ID_MAX];
};

struct image_segment {
	uint64_t vaddr;
	uint64_t memsz;
	uint64_t filesz;
	uint64_t offset;
	uint64_t align;
	uint32_t flags; /* PF_* */
};

struct image_range {
	uint64_t vaddr;
	uint64_t size;
};

/* PT_TLS */
struct image_tls {
	uint64_t vaddr;
	uint64_t filesz;
	uint64_t memsz;
	uint64_t align;
};

/**
 * image_open_fd() - read an ELF file
 * @fd:	  borrowed, read with pread()
 * @name: for messages, copied
 *
 * Return: 0, or -errno raised in @d with UPATCH_E_NOT_ELF, UPATCH_E_BAD_ELF, UPATCH_E_ARCHITECTURE
 * (32-bit, big-endian; the machine is the caller's business) or UPATCH_E_IO.
 */
int image_open_fd(struct diag *d, int fd, const char *name, struct image **ret);

/* The same over bytes in memory, copied: file layout, as the vDSO has it. */
int image_open_bytes(struct diag *d, const void *bytes, size_t size, const char *name,
		     struct image **ret);

struct image *image_ref(struct image *image);
void image_unref(struct image *image);

const char *image_name(const struct image *image);
const struct build_id *image_build_id(const struct image *image);
uint16_t image_machine(const struct image *image);
uint16_t image_type(const struct image *image); /* ET_EXEC or ET_DYN */
uint64_t image_entry(const struct image *image);
bool image_has_interp(const struct image *image);
bool image_is_executable(const struct image *image); /* ET_EXEC, or position independent */

/* PT_LOAD segments, in file order. */
size_t image_segments(const struct image *image, const struct image_segment **ret);

/* First byte after the last PT_LOAD, and the first one's page, as vaddr. */
struct image_range image_extent(const struct image *image);

/**
 * image_bytes() - file-backed bytes at a link-time address
 *
 * Return: pointer into the image, valid as long as it is, or NULL when [vaddr, vaddr + size) is
 * not inside the file-backed part of one PT_LOAD segment.
 */
const uint8_t *image_bytes(const struct image *image, uint64_t vaddr, size_t size);

/* Where .eh_frame_hdr (PT_GNU_EH_FRAME) is. False when there is none. */
bool image_eh_frame_hdr(const struct image *image, struct image_range *ret);

/*
 * The search table that an image without PT_GNU_EH_FRAME would have had, as static programs do
 * that were linked without --eh-frame-hdr: made from its .eh_frame at first use.
 */
struct image_fde_table {
	uint64_t base;		/* what both offsets of an entry are relative to, a vaddr */
	const uint8_t *entries; /* pairs of 32-bit offsets: code, its record */
	size_t nr;
};

/* False when there is no .eh_frame that could be read. */
bool image_fde_table(struct image *image, struct image_fde_table *ret);

/* The piece of code around @vaddr, as unwind information tells. False when that does not. */
bool image_code_at(struct image *image, uint64_t vaddr, struct image_range *ret);

/* False when the object has no thread-local storage. */
bool image_tls(const struct image *image, struct image_tls *ret);

/* Address of the dynamic section as vaddr, and the value of one tag. False when absent. */
bool image_dynamic(const struct image *image, struct image_range *ret);
bool image_dynamic_tag(const struct image *image, int64_t tag, uint64_t *ret);

/* DT_SONAME, or NULL. */
const char *image_soname(const struct image *image);

/* The @index-th library that it needs (DT_NEEDED), or NULL. */
const char *image_needed(const struct image *image, size_t index);

/**
 * image_symtab() - the symbols of the image, loaded at first use
 *
 * Merges, in this order of preference for names that are not exported: .symtab of the file itself,
 * .symtab of a separate debug file with the same build ID (looked up below /usr/lib/debug, by build
 * ID and by .gnu_debuglink), the compressed .gnu_debugdata, and .dynsym.
 *
 * Return: 0, or -errno raised in @d. A file without any symbols gives an empty table.
 */
int image_symtab(struct image *image, struct diag *d, const struct symtab **ret);

/* Of an ELF file, without reading more than its headers and notes. False when it has none. */
bool build_id_read(int fd, struct build_id *ret);

bool build_id_is_equal(const struct build_id *a, const struct build_id *b);

/* Lower-case hex, NUL-terminated; @buf holds 2 * BUILD_ID_MAX + 1 bytes. */
char *build_id_format(const struct build_id *id, char *buf);

/* Return: 0, or -EINVAL when @hex is not an even number of hex digits of a legal length. */
int build_id_parse(const char *hex, struct build_id *ret);

#endif
