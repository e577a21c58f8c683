/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "elf/debugfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "base/file.h"
#include "elf/image_private.h"
#include "elf/symtab_read.h"

static const uint64_t unpack_memory_max = 256ull << 20;
static const size_t unpack_size_max = 256ul << 20;

/* .gnu_debuglink: a file's name and the CRC-32 of all of it. */
struct debuglink {
	char name[NAME_MAX + 1];
	uint32_t crc;
};

/* --- sections ---------------------------------------------------------------------------------- */

static const Elf_Data *find_section(Elf *elf, const char *wanted)
{
	Elf_Scn *scn = NULL;
	size_t names;

	if (elf_getshdrstrndx(elf, &names) < 0)
		return NULL;
	while ((scn = elf_nextscn(elf, scn))) {
		GElf_Shdr shdr;
		const char *name;

		if (!gelf_getshdr(scn, &shdr) || shdr.sh_type != SHT_PROGBITS)
			continue;
		name = elf_strptr(elf, names, shdr.sh_name);
		if (name && strcmp(name, wanted) == 0) {
			const Elf_Data *section = elf_rawdata(scn, NULL);

			return section && section->d_buf && section->d_size ? section : NULL;
		}
	}
	return NULL;
}

static bool read_debuglink(const struct image *image, struct debuglink *ret)
{
	struct symtab_source source;
	const Elf_Data *section;
	bool is_good = false;

	if (symtab_source_borrow(image->bytes, image->size, &source) < 0)
		return false;
	section = find_section(source.elf, ".gnu_debuglink");
	if (section) {
		size_t len = strnlen(section->d_buf, section->d_size);
		size_t crc_at = ALIGN_UP(len + 1, sizeof(ret->crc));

		if (len && len <= NAME_MAX && section->d_size >= sizeof(ret->crc) &&
		    crc_at <= section->d_size - sizeof(ret->crc)) {
			memcpy(ret->name, section->d_buf, len);
			ret->name[len] = '\0';
			memcpy(&ret->crc, (const char *)section->d_buf + crc_at, sizeof(ret->crc));
			/* It names a file, not a way to somewhere else. */
			is_good = !strchr(ret->name, '/');
		}
	}
	symtab_source_deinit(&source);
	return is_good;
}

/* --- a separate file --------------------------------------------------------------------------- */

/* @link: NULL when the path says which build it is of. Return: as debugfile_find(). */
static int open_candidate(const struct image *image, struct diag *d, const char *path,
			  const struct debuglink *link, struct symtab_source *ret)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	struct build_id id = {};
	size_t size;
	int r;

	/* Whoever owns the folder may have put a FIFO there. */
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -ENOENT;
	r = file_read(NULL, fd,
		      &(struct file_spec){ .name = path, .size_max = IMAGE_FILE_SIZE_MAX }, &bytes,
		      &size);
	if (r < 0)
		return r == -ENOMEM ? r : -ENOENT;
	if (link && lzma_crc32(bytes, size, 0) != link->crc) {
		diag_debug(d, "'%s' has another checksum than .gnu_debuglink says", path);
		return -ENOENT;
	}
	/* By its sections: its segments have no contents. */
	build_id_from_sections(bytes, size, &id);
	if (!build_id_is_equal(&id, &image->build_id) && (image->build_id.size || id.size)) {
		diag_debug(d, "'%s' is of another build", path);
		return -ENOENT;
	}
	r = symtab_source_own(take_ptr(bytes), size, ret);
	if (r < 0)
		return r == -ENOMEM ? r : -ENOENT;
	diag_debug(d, "'%s': symbols from '%s'", image->name, path);
	return 0;
}

static int find_by_build_id(const struct image *image, struct diag *d, struct symtab_source *ret)
{
	char hex[2 * BUILD_ID_MAX + 1], path[2 * BUILD_ID_MAX + 64];

	if (image->build_id.size < 2)
		return -ENOENT;
	(void)build_id_format(&image->build_id, hex);
	(void)snprintf(path, sizeof(path), "/usr/lib/debug/.build-id/%.2s/%s.debug", hex, hex + 2);
	return open_candidate(image, d, path, NULL, ret);
}

static int find_by_debuglink(const struct image *image, struct diag *d, struct symtab_source *ret)
{
	/* What stands before and behind the folder that the file is in. */
	static const struct {
		const char *before;
		const char *behind;
	} places[] = { { "", "" }, { "", "/.debug" }, { "/usr/lib/debug", "" } };
	struct debuglink link;
	int r = -ENOENT;

	if (!image->path || image->path[0] != '/' || !read_debuglink(image, &link))
		return -ENOENT;
	int folder_len = (int)(strrchr(image->path, '/') - image->path);

	for (size_t i = 0; i < ARRAY_SIZE(places) && r == -ENOENT; i++) {
		char path[PATH_MAX + NAME_MAX + 32];

		(void)snprintf(path, sizeof(path), "%s%.*s%s/%s", places[i].before, folder_len,
			       image->path, places[i].behind, link.name);
		r = open_candidate(image, d, path, &link, ret);
	}
	return r;
}

int debugfile_find(const struct image *image, struct diag *d, struct symtab_source *ret)
{
	int r;

	r = find_by_build_id(image, d, ret);
	return r == -ENOENT ? find_by_debuglink(image, d, ret) : r;
}

/* --- packed into the file ---------------------------------------------------------------------- */

/* Return: 0 with malloc'ed bytes; -ENOENT when they are no xz stream or too large; -ENOMEM. */
static int unpack(const Elf_Data *packed, uint8_t **ret, size_t *ret_size)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t room = packed->d_size * 4 + 4096;

	for (; room <= unpack_size_max; room *= 2) {
		uint64_t memory = unpack_memory_max;
		size_t in = 0, out = 0;
		uint8_t *p = realloc(bytes, room);
		lzma_ret r;

		if (!p)
			return -ENOMEM;
		bytes = p;
		r = lzma_stream_buffer_decode(&memory, 0, NULL, packed->d_buf, &in, packed->d_size,
					      bytes, &out, room);
		if (r == LZMA_OK) {
			*ret = take_ptr(bytes);
			*ret_size = out;
			return 0;
		}
		if (r == LZMA_MEM_ERROR)
			return -ENOMEM;
		if (r != LZMA_BUF_ERROR)
			return -ENOENT;
	}
	return -ENOENT;
}

int debugfile_unpack(const struct image *image, struct diag *d, struct symtab_source *ret)
{
	struct symtab_source source;
	const Elf_Data *packed;
	uint8_t *bytes;
	size_t size;
	int r;

	r = symtab_source_borrow(image->bytes, image->size, &source);
	if (r < 0)
		return r == -ENOMEM ? r : -ENOENT;
	packed = find_section(source.elf, ".gnu_debugdata");
	r = packed ? unpack(packed, &bytes, &size) : -ENOENT;
	symtab_source_deinit(&source);
	if (r < 0)
		return r;
	diag_debug(d, "'%s': symbols from .gnu_debugdata", image->name);
	r = symtab_source_own(bytes, size, ret);
	return r == -ENOMEM ? r : r < 0 ? -ENOENT : 0;
}
