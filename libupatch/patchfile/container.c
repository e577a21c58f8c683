/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "patchfile/container.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/diag.h"

enum {
	SECTION_ALIGN = 16,
};

static bool is_inside(uint64_t offset, uint64_t size, size_t total)
{
	return offset <= total && size <= total - offset;
}

static int raise_bad(struct diag *d, const char *name, const char *what)
{
	return diag_err(d, -EBADMSG, UPATCH_E_BAD_PATCHFILE, NULL, "'%s': %s", name, what);
}

static int check_ehdr(struct diag *d, const char *name, const uint8_t *bytes, size_t size,
		      Elf64_Ehdr *ret)
{
	if (size < SELFMAG || memcmp(bytes, ELFMAG, SELFMAG) != 0)
		return diag_err(d, -ENOEXEC, UPATCH_E_NOT_ELF, NULL, "'%s' is not an ELF file",
				name);
	if (size < sizeof(*ret))
		return raise_bad(d, name, "the file is cut off in its header");
	memcpy(ret, bytes, sizeof(*ret));
	if (ret->e_ident[EI_CLASS] != ELFCLASS64 || ret->e_ident[EI_DATA] != ELFDATA2LSB ||
	    ret->e_type != ET_REL || ret->e_shentsize != sizeof(Elf64_Shdr))
		return raise_bad(d, name, "this ELF file is no patch file");
	if (!ret->e_shnum || ret->e_shnum > CONTAINER_SECTIONS_MAX ||
	    ret->e_shstrndx >= ret->e_shnum ||
	    !is_inside(ret->e_shoff, ret->e_shnum * sizeof(Elf64_Shdr), size))
		return raise_bad(d, name, "its section headers are damaged or cut off");
	return 0;
}

static Elf64_Shdr read_shdr(const uint8_t *bytes, const Elf64_Ehdr *ehdr, unsigned int n)
{
	Elf64_Shdr shdr;

	memcpy(&shdr, bytes + ehdr->e_shoff + n * sizeof(shdr), sizeof(shdr));
	return shdr;
}

int container_parse(struct diag *d, const char *name, const uint8_t *bytes, size_t size,
		    struct container *ret)
{
	struct container container = {};
	Elf64_Shdr names;
	Elf64_Ehdr ehdr;
	int r;

	r = check_ehdr(d, name, bytes, size, &ehdr);
	if (r < 0)
		return r;
	names = read_shdr(bytes, &ehdr, ehdr.e_shstrndx);
	if (names.sh_type != SHT_STRTAB || !is_inside(names.sh_offset, names.sh_size, size) ||
	    !names.sh_size || bytes[names.sh_offset + names.sh_size - 1])
		return raise_bad(d, name, "its section names are damaged or cut off");
	container.sections = calloc(ehdr.e_shnum, sizeof(*container.sections));
	if (!container.sections)
		return diag_oom(d);
	for (unsigned int i = 1; i < ehdr.e_shnum; i++) {
		Elf64_Shdr shdr = read_shdr(bytes, &ehdr, i);

		if (shdr.sh_type == SHT_NOBITS)
			shdr.sh_offset = shdr.sh_size = 0;
		if (shdr.sh_name >= names.sh_size ||
		    !is_inside(shdr.sh_offset, shdr.sh_size, size)) {
			r = diag_err(d, -EBADMSG, UPATCH_E_BAD_PATCHFILE, NULL,
				     "'%s': its section %u is damaged or cut off", name, i);
			container_deinit(&container);
			return r;
		}
		container.sections[container.nr++] = (struct container_section){
			.name = (const char *)bytes + names.sh_offset + shdr.sh_name,
			.bytes = bytes + shdr.sh_offset,
			.size = shdr.sh_size,
		};
	}
	*ret = container;
	return 0;
}

void container_deinit(struct container *container)
{
	free(container->sections);
	*container = (struct container){};
}

const struct container_section *container_find(const struct container *container, const char *name)
{
	for (size_t i = 0; i < container->nr; i++)
		if (strcmp(container->sections[i].name, name) == 0)
			return &container->sections[i];
	return NULL;
}

/* Header, contents, names, section headers. */
struct layout {
	uint64_t names_offset;
	uint64_t names_size;
	uint64_t shdrs_offset;
	uint64_t size;
};

static struct layout measure(const struct container_section *sections, size_t nr)
{
	struct layout l = { .names_size = 1 + sizeof(".shstrtab") };
	uint64_t at = sizeof(Elf64_Ehdr);

	for (size_t i = 0; i < nr; i++) {
		at = ALIGN_UP(at, (uint64_t)SECTION_ALIGN) + sections[i].size;
		l.names_size += strlen(sections[i].name) + 1;
	}
	l.names_offset = at;
	l.shdrs_offset = ALIGN_UP(at + l.names_size, (uint64_t)8);
	l.size = l.shdrs_offset + (nr + 2) * sizeof(Elf64_Shdr);
	return l;
}

static uint32_t put_name(uint8_t *buf, const struct layout *l, uint64_t *at, const char *name)
{
	uint32_t offset = (uint32_t)*at;

	memcpy(buf + l->names_offset + offset, name, strlen(name) + 1);
	*at += strlen(name) + 1;
	return offset;
}

int container_format(const struct container_section *sections, size_t nr, uint16_t machine,
		     uint8_t **ret, size_t *ret_size)
{
	struct layout l = measure(sections, nr);
	uint8_t *buf = calloc(1, l.size);
	uint64_t at = sizeof(Elf64_Ehdr), name_at = 1;
	Elf64_Shdr *shdrs;
	Elf64_Ehdr ehdr = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			     EV_CURRENT },
		.e_type = ET_REL,
		.e_machine = machine,
		.e_version = EV_CURRENT,
		.e_ehsize = sizeof(ehdr),
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shnum = (uint16_t)(nr + 2),
		.e_shstrndx = (uint16_t)(nr + 1),
		.e_shoff = l.shdrs_offset,
	};

	if (!buf)
		return -ENOMEM;
	memcpy(buf, &ehdr, sizeof(ehdr));
	shdrs = (Elf64_Shdr *)(void *)(buf + l.shdrs_offset);
	for (size_t i = 0; i < nr; i++) {
		at = ALIGN_UP(at, (uint64_t)SECTION_ALIGN);
		memcpy(buf + at, sections[i].bytes, sections[i].size);
		shdrs[i + 1] = (Elf64_Shdr){
			.sh_name = put_name(buf, &l, &name_at, sections[i].name),
			.sh_type = SHT_PROGBITS,
			.sh_offset = at,
			.sh_size = sections[i].size,
			.sh_addralign = SECTION_ALIGN,
		};
		at += sections[i].size;
	}
	shdrs[nr + 1] = (Elf64_Shdr){
		.sh_name = put_name(buf, &l, &name_at, ".shstrtab"),
		.sh_type = SHT_STRTAB,
		.sh_offset = l.names_offset,
		.sh_size = l.names_size,
		.sh_addralign = 1,
	};
	*ret = buf;
	*ret_size = l.size;
	return 0;
}
