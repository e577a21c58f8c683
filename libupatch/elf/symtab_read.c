/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "elf/symtab_read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "elf/symtab.h"

enum {
	VERSION_HIDDEN = 0x8000, /* Solaris/GNU symbol versioning: foo@VER */
	VERSION_INDEX = 0x7fff,
	VERDEFS_MAX = 4096, /* looked through for each symbol */
};

int symtab_source_borrow(const void *bytes, size_t size, struct symtab_source *ret)
{
	Elf *elf;

	if (elf_version(EV_CURRENT) == EV_NONE)
		return -EINVAL;
	/* libelf changes nothing in memory that it reads. */
	elf = elf_memory((char *)bytes, size);
	if (!elf)
		return -EINVAL;
	*ret = (struct symtab_source){ .elf = elf };
	return 0;
}

int symtab_source_own(void *bytes, size_t size, struct symtab_source *ret)
{
	int r;

	r = symtab_source_borrow(bytes, size, ret);
	if (r < 0)
		free(bytes);
	else
		ret->owned = bytes;
	return r;
}

void symtab_source_deinit(struct symtab_source *source)
{
	(void)elf_end(source->elf); /* a count of references */
	free(source->owned);
	*source = (struct symtab_source){};
}

static Elf_Scn *find_section(Elf *elf, uint32_t type, GElf_Shdr *ret)
{
	Elf_Scn *scn = NULL;

	while ((scn = elf_nextscn(elf, scn)))
		if (gelf_getshdr(scn, ret) && ret->sh_type == type)
			return scn;
	return NULL;
}

int symtab_cursor_init(const struct symtab_source *source, uint32_t type, struct symtab_cursor *ret)
{
	struct symtab_cursor cursor = { .source = source };
	GElf_Shdr shdr;
	Elf_Scn *scn = find_section(source->elf, type, &shdr);

	if (!scn)
		return -ENOENT;
	cursor.symbols = elf_getdata(scn, NULL);
	if (!cursor.symbols || !shdr.sh_entsize)
		return -ENOENT;
	cursor.strings = shdr.sh_link;
	cursor.nr = cursor.symbols->d_size / sizeof(Elf64_Sym);
	cursor.is_dynamic = type == SHT_DYNSYM;
	if (cursor.is_dynamic) {
		scn = find_section(source->elf, SHT_GNU_versym, &shdr);
		cursor.versions = scn ? elf_getdata(scn, NULL) : NULL;
		cursor.verdef = find_section(source->elf, SHT_GNU_verdef, &shdr);
	}
	cursor.next = 1; /* the first symbol is always empty */
	*ret = cursor;
	return 0;
}

/* The name of a version that the file defines. */
static const char *version_name(const struct symtab_cursor *cursor, unsigned int index)
{
	Elf_Data *data = cursor->verdef ? elf_getdata(cursor->verdef, NULL) : NULL;
	GElf_Verdaux verdaux;
	GElf_Verdef verdef;
	GElf_Shdr shdr;
	size_t offset = 0;

	if (!data || !gelf_getshdr(cursor->verdef, &shdr))
		return NULL;
	for (unsigned int i = 0;
	     i < VERDEFS_MAX && offset < data->d_size && gelf_getverdef(data, (int)offset, &verdef);
	     i++) {
		if (verdef.vd_ndx == index && !(verdef.vd_flags & VER_FLG_BASE) &&
		    gelf_getverdaux(data, (int)(offset + verdef.vd_aux), &verdaux))
			return elf_strptr(cursor->source->elf, shdr.sh_link, verdaux.vda_name);
		if (!verdef.vd_next)
			break;
		offset += verdef.vd_next;
	}
	return NULL;
}

static void add_version(const struct symtab_cursor *cursor, size_t index, struct symbol *ret)
{
	GElf_Versym versym = 1;

	if (cursor->versions)
		(void)gelf_getversym(cursor->versions, (int)index, &versym); /* else unversioned */
	if ((versym & VERSION_INDEX) == 0)
		return; /* local to the object */
	if ((versym & VERSION_INDEX) > 1)
		ret->version = version_name(cursor, versym & VERSION_INDEX);
	ret->is_hidden_version = versym & VERSION_HIDDEN;
	ret->is_exported = !ret->is_hidden_version;
}

bool symtab_cursor_next(struct symtab_cursor *cursor, struct symbol *ret)
{
	GElf_Sym sym;

	for (; cursor->next < cursor->nr; cursor->next++) {
		const char *name;

		if (!gelf_getsym(cursor->symbols, (int)cursor->next, &sym))
			break;
		name = elf_strptr(cursor->source->elf, cursor->strings, sym.st_name);
		if (!name || sym.st_shndx == SHN_UNDEF)
			continue;
		*ret = (struct symbol){
			.name = name,
			.value = sym.st_value,
			.size = sym.st_size,
			.type = GELF_ST_TYPE(sym.st_info),
			.bind = GELF_ST_BIND(sym.st_info),
		};
		if (ret->type == STT_FILE) {
			cursor->next++;
			return true;
		}
		if (!*name || ret->type == STT_SECTION)
			continue;
		/* .symtab says nothing about exports. */
		if (cursor->is_dynamic && ret->bind != STB_LOCAL)
			add_version(cursor, cursor->next, ret);
		cursor->next++;
		return true;
	}
	return false;
}
