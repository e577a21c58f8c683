/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "elf/debugfile.h"

#include <errno.h>
#include <fcntl.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "elf/image_private.h"
#include "elf/symtab_read.h"

static const uint64_t unpack_memory_max = 256ull << 20;
static const size_t unpack_size_max = 256ul << 20;

int debugfile_find(const struct image *image, struct diag *d, struct symtab_source *ret)
{
	char hex[2 * BUILD_ID_MAX + 1], path[2 * BUILD_ID_MAX + 64];
	struct image *debug;
	struct diag quiet;
	uint8_t *bytes;
	size_t size;
	int r;

	if (image->build_id.size < 2)
		return -ENOENT;
	(void)build_id_format(&image->build_id, hex);
	(void)snprintf(path, sizeof(path), "/usr/lib/debug/.build-id/%.2s/%s.debug", hex, hex + 2);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -ENOENT;
	/* Its segments have no contents, which is no fault here. */
	diag_init(&quiet);
	r = image_open_fd(&quiet, fd, path, &debug);
	diag_deinit(&quiet);
	if (r < 0) {
		diag_debug(d, "'%s' is no debug file", path);
		return -ENOENT;
	}
	if (!build_id_is_equal(&debug->build_id, &image->build_id)) {
		diag_debug(d, "'%s' is of another build", path);
		image_unref(debug);
		return -ENOENT;
	}
	bytes = take_ptr(debug->bytes);
	size = debug->size;
	image_unref(debug);
	r = symtab_source_own(bytes, size, ret);
	return r == -ENOMEM ? r : r < 0 ? -ENOENT : 0;
}

static Elf_Data *find_debugdata(Elf *elf)
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
		if (name && strcmp(name, ".gnu_debugdata") == 0)
			return elf_rawdata(scn, NULL);
	}
	return NULL;
}

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
	packed = find_debugdata(source.elf);
	r = packed && packed->d_buf && packed->d_size ? unpack(packed, &bytes, &size) : -ENOENT;
	symtab_source_deinit(&source);
	if (r < 0)
		return r;
	diag_debug(d, "'%s': symbols from .gnu_debugdata", image->name);
	r = symtab_source_own(bytes, size, ret);
	return r == -ENOMEM ? r : r < 0 ? -ENOENT : 0;
}
