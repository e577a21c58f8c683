/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "elf/image.h"
#include "elf/image_private.h"

/* --- in a file ------------------------------------------------------------------------------- */

void build_id_from_notes(const uint8_t *notes, uint64_t size, uint64_t align, struct build_id *ret)
{
	Elf64_Nhdr nhdr;
	uint64_t at = 0;

	align = align == 8 ? 8 : 4;
	while (size - at >= sizeof(nhdr)) {
		memcpy(&nhdr, notes + at, sizeof(nhdr));
		at += sizeof(nhdr);
		uint64_t desc = ALIGN_UP((uint64_t)nhdr.n_namesz, align);

		if (align == 8) /* the name starts behind a header of 12 bytes */
			desc = ALIGN_UP(sizeof(nhdr) + nhdr.n_namesz, align) - sizeof(nhdr);
		if (desc > size - at || nhdr.n_descsz > size - at - desc)
			return;
		if (nhdr.n_type == NT_GNU_BUILD_ID && nhdr.n_namesz == 4 &&
		    memcmp(notes + at, "GNU", 4) == 0 && nhdr.n_descsz &&
		    nhdr.n_descsz <= BUILD_ID_MAX && !ret->size) {
			ret->size = (uint8_t)nhdr.n_descsz;
			memcpy(ret->bytes, notes + at + desc, nhdr.n_descsz);
		}
		desc += ALIGN_UP((uint64_t)nhdr.n_descsz, align);
		if (desc > size - at)
			return;
		at += desc;
	}
}

void build_id_from_sections(const uint8_t *bytes, size_t size, struct build_id *ret)
{
	Elf64_Ehdr ehdr;
	Elf64_Shdr shdr;

	if (size < sizeof(ehdr))
		return;
	memcpy(&ehdr, bytes, sizeof(ehdr));
	if (memcmp(ehdr.e_ident, ELFMAG, SELFMAG) != 0 || ehdr.e_ident[EI_CLASS] != ELFCLASS64 ||
	    ehdr.e_ident[EI_DATA] != ELFDATA2LSB || ehdr.e_shentsize != sizeof(shdr) ||
	    ehdr.e_shoff > size || ehdr.e_shnum * sizeof(shdr) > size - ehdr.e_shoff)
		return;
	for (unsigned int i = 0; i < ehdr.e_shnum && !ret->size; i++) {
		memcpy(&shdr, bytes + ehdr.e_shoff + i * sizeof(shdr), sizeof(shdr));
		if (shdr.sh_type == SHT_NOTE && shdr.sh_offset <= size &&
		    shdr.sh_size <= size - shdr.sh_offset)
			build_id_from_notes(bytes + shdr.sh_offset, shdr.sh_size, shdr.sh_addralign,
					    ret);
	}
}

enum {
	PHDRS_MAX = 1024,
	NOTES_MAX = 1 << 20, /* bytes of one segment: more than any linker makes */
};

static bool read_at(int fd, uint64_t offset, void *ret, size_t size)
{
	return offset <= INT64_MAX && pread(fd, ret, size, (off_t)offset) == (ssize_t)size;
}

static void read_notes(int fd, const Elf64_Phdr *phdr, struct build_id *ret)
{
	_cleanup_free_ uint8_t *notes = NULL;

	if (!phdr->p_filesz || phdr->p_filesz > NOTES_MAX)
		return;
	notes = malloc(phdr->p_filesz);
	if (notes && read_at(fd, phdr->p_offset, notes, phdr->p_filesz))
		build_id_from_notes(notes, phdr->p_filesz, phdr->p_align, ret);
}

bool build_id_read(int fd, struct build_id *ret)
{
	struct build_id id = {};
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr;

	if (!read_at(fd, 0, &ehdr, sizeof(ehdr)) || memcmp(ehdr.e_ident, ELFMAG, SELFMAG) != 0 ||
	    ehdr.e_ident[EI_CLASS] != ELFCLASS64 || ehdr.e_ident[EI_DATA] != ELFDATA2LSB ||
	    ehdr.e_phentsize != sizeof(phdr) || ehdr.e_phnum > PHDRS_MAX)
		return false;
	for (unsigned int i = 0; i < ehdr.e_phnum && !id.size; i++)
		if (read_at(fd, ehdr.e_phoff + i * sizeof(phdr), &phdr, sizeof(phdr)) &&
		    phdr.p_type == PT_NOTE)
			read_notes(fd, &phdr, &id);
	if (id.size)
		*ret = id;
	return id.size;
}

/* --- compared and spelled -------------------------------------------------------------------- */

bool build_id_is_equal(const struct build_id *a, const struct build_id *b)
{
	return a->size && a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

char *build_id_format(const struct build_id *id, char *buf)
{
	static const char digits[] = "0123456789abcdef";

	for (unsigned int i = 0; i < id->size; i++) {
		buf[2 * i] = digits[id->bytes[i] >> 4];
		buf[2 * i + 1] = digits[id->bytes[i] & 15];
	}
	buf[2 * id->size] = '\0';
	return buf;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int build_id_parse(const char *hex, struct build_id *ret)
{
	size_t len = strlen(hex);
	struct build_id id = {};

	if (!len || len % 2 || len / 2 > BUILD_ID_MAX)
		return -EINVAL;
	for (size_t i = 0; i < len / 2; i++) {
		int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		id.bytes[i] = (uint8_t)(high << 4 | low);
	}
	id.size = (uint8_t)(len / 2);
	*ret = id;
	return 0;
}
