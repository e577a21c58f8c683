/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "patchfile/payload.h"

#include <errno.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <upatch/livepatch.h>

#include "arch/arch.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/diag.h"

enum {
	ALIGN_MAX = 4096,
	SYMBOLS_MAX = 1 << 20,
	RELOCS_MAX = 1 << 22,
	FUNCS_MAX = 1 << 16,
	SYMPOS_MAX = 1 << 20,
	NOT_KEPT = -1,
};

static const uint64_t total_size_max = 64ull << 20;

/* While it is read. Section numbers are the file's; kept[] maps them to the payload's. */
struct reader {
	struct diag *d;
	struct payload_storage *storage;
	Elf *elf;
	size_t names; /* section index */
	size_t nr_scns;
	int *kept;
	Elf_Scn *symtab;
	size_t symtab_strings;
	Elf_Data *symbols;
	struct payload_section *sections;
	size_t nr_sections;
	struct payload_symbol *out_symbols;
	struct payload_reloc *relocs;
	size_t nr_relocs;
	size_t alloc_relocs;
	struct payload_func *funcs;
};

DEFINE_CLEANUP(struct payload_storage *, payload_storage_free);

void payload_storage_free(struct payload_storage *storage)
{
	if (!storage)
		return;
	for (size_t i = 0; i < storage->nr_strings; i++)
		free(storage->strings[i]);
	free(storage->strings);
	free((void *)storage->payload.sections);
	free((void *)storage->payload.symbols);
	free((void *)storage->payload.relocs);
	free((void *)storage->payload.funcs);
	(void)elf_end(storage->elf); /* a count of references */
	free(storage->bytes);
	free(storage);
}

static int raise_bad(struct reader *rd, const char *section, const char *what)
{
	return diag_err(rd->d, -EBADMSG, UPATCH_E_BAD_PATCHFILE, NULL, "payload section '%s' %s",
			section ? section : "?", what);
}

/* --- sections --------------------------------------------------------------------------------- */

static const char *section_name(struct reader *rd, const GElf_Shdr *shdr)
{
	const char *name = elf_strptr(rd->elf, rd->names, shdr->sh_name);

	return name ? name : "";
}

static int check_section(struct reader *rd, const GElf_Shdr *shdr, const char *name)
{
	uint64_t flags = shdr->sh_flags;

	if (flags & SHF_TLS)
		return diag_err(rd->d, -ENOTSUP, UPATCH_E_TLS_SYMBOL, NULL,
				"the payload has thread-local variables of its own (section '%s')",
				name);
	if ((flags & SHF_WRITE) && (flags & SHF_EXECINSTR))
		return raise_bad(rd, name, "is writable and executable");
	if (flags & SHF_COMPRESSED)
		return raise_bad(rd, name, "is compressed");
	if (shdr->sh_type == SHT_INIT_ARRAY || shdr->sh_type == SHT_FINI_ARRAY ||
	    shdr->sh_type == SHT_PREINIT_ARRAY || strncmp(name, ".ctors", 6) == 0 ||
	    strncmp(name, ".dtors", 6) == 0)
		return raise_bad(rd, name,
				 "has constructors or destructors, which nobody would call");
	if (shdr->sh_addralign > ALIGN_MAX || (shdr->sh_addralign & (shdr->sh_addralign - 1)))
		return raise_bad(rd, name, "has a bad alignment");
	return 0;
}

static bool is_kept(const GElf_Shdr *shdr, const char *name)
{
	return (shdr->sh_flags & SHF_ALLOC) && shdr->sh_type != SHT_NOTE &&
	       (strncmp(name, ".upatch.", 8) != 0 || strcmp(name, ".upatch.states") == 0);
}

static int read_section(struct reader *rd, Elf_Scn *scn, size_t index, uint64_t *total)
{
	struct payload_section *section = &rd->sections[rd->nr_sections];
	const Elf_Data *bytes = NULL;
	GElf_Shdr shdr;
	const char *name;
	int r;

	if (!gelf_getshdr(scn, &shdr))
		return raise_bad(rd, NULL, "has no header");
	name = section_name(rd, &shdr);
	if (shdr.sh_type == SHT_SYMTAB) {
		rd->symtab = scn;
		rd->symtab_strings = shdr.sh_link;
	}
	if (!is_kept(&shdr, name))
		return 0;
	r = check_section(rd, &shdr, name);
	if (r < 0)
		return r;
	if (shdr.sh_size > total_size_max || (*total += shdr.sh_size) > total_size_max)
		return raise_bad(rd, name, "makes the payload too large");
	if (shdr.sh_type != SHT_NOBITS && shdr.sh_size) {
		bytes = elf_rawdata(scn, NULL);
		if (!bytes || !bytes->d_buf || bytes->d_size != shdr.sh_size)
			return raise_bad(rd, name, "is cut off");
	}
	*section = (struct payload_section){
		.name = name,
		.type = shdr.sh_type,
		.flags = shdr.sh_flags,
		.size = shdr.sh_size,
		.align = shdr.sh_addralign ? shdr.sh_addralign : 1,
		.bytes = bytes ? bytes->d_buf : NULL,
	};
	rd->kept[index] = (int)rd->nr_sections++;
	return 0;
}

static int read_sections(struct reader *rd)
{
	uint64_t total = 0;
	Elf_Scn *scn = NULL;
	int r = 0;

	if (elf_getshdrnum(rd->elf, &rd->nr_scns) < 0 || elf_getshdrstrndx(rd->elf, &rd->names) < 0)
		return raise_bad(rd, NULL, "headers are damaged");
	rd->kept = calloc(rd->nr_scns + 1, sizeof(*rd->kept));
	rd->sections = calloc(rd->nr_scns + 1, sizeof(*rd->sections));
	rd->storage->payload.sections = rd->sections;
	if (!rd->kept || !rd->sections)
		return diag_oom(rd->d);
	for (size_t i = 0; i <= rd->nr_scns; i++)
		rd->kept[i] = NOT_KEPT;
	while (r >= 0 && (scn = elf_nextscn(rd->elf, scn)))
		if (elf_ndxscn(scn) < rd->nr_scns)
			r = read_section(rd, scn, elf_ndxscn(scn), &total);
	rd->storage->payload.nr_sections = rd->nr_sections;
	return r;
}

/* --- symbols ----------------------------------------------------------------------------------- */

static const char *keep_string(struct reader *rd, char *s)
{
	struct payload_storage *st = rd->storage;
	char **p = s ? reallocarray(st->strings, st->nr_strings + 1, sizeof(*p)) : NULL;

	if (!p) {
		free(s);
		return NULL;
	}
	st->strings = p;
	st->strings[st->nr_strings++] = s;
	return s;
}

static bool is_printable(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s <= ' ' || *s == 0x7f)
			return false;
	return true;
}

/* "POSITION.NAME". False when it is something else. */
static bool split_position(const char *s, uint32_t *ret_sympos, const char **ret_name)
{
	char *end;
	unsigned long sympos;

	if (*s < '0' || *s > '9')
		return false;
	sympos = strtoul(s, &end, 10);
	if (*end != '.' || !end[1] || sympos > SYMPOS_MAX)
		return false;
	*ret_sympos = (uint32_t)sympos;
	*ret_name = end + 1;
	return true;
}

static int read_undefined(struct reader *rd, const GElf_Sym *sym, const char *name,
			  struct payload_symbol *ret)
{
	const char *at;

	ret->kind = PAYLOAD_SYMBOL_EXTERN;
	if (strncmp(name, PAYLOAD_SYM, strlen(PAYLOAD_SYM)) == 0) {
		ret->kind = PAYLOAD_SYMBOL_PRIVATE;
		ret->value = sym->st_shndx == PAYLOAD_SHN_LIVEPATCH ? sym->st_value : 0;
		return split_position(name + strlen(PAYLOAD_SYM), &ret->sympos, &ret->name)
			       ? 0
			       : raise_bad(rd, ".symtab", "has a malformed private symbol");
	}
	if (strncmp(name, PAYLOAD_ORIG, strlen(PAYLOAD_ORIG)) == 0) {
		ret->kind = PAYLOAD_SYMBOL_ORIGINAL;
		return split_position(name + strlen(PAYLOAD_ORIG), &ret->sympos, &ret->name)
			       ? 0
			       : raise_bad(rd, ".symtab", "has a malformed original symbol");
	}
	if (sym->st_shndx == PAYLOAD_SHN_LIVEPATCH) {
		/* A global one that the object does not export: the builder found it. */
		ret->kind = PAYLOAD_SYMBOL_PRIVATE;
		ret->value = sym->st_value;
		ret->name = name;
		return 0;
	}
	if (sym->st_shndx == PAYLOAD_SHN_SIBLING) {
		if (sym->st_value >= UINT32_MAX)
			return raise_bad(rd, ".symtab", "has a symbol of a payload out of range");
		ret->sibling = (uint32_t)sym->st_value + 1;
	}
	at = strchr(name, '@');
	if (at && at > name) {
		ret->version = at + strspn(at, "@");
		ret->name = keep_string(rd, strndup(name, (size_t)(at - name)));
		if (!ret->name)
			return diag_oom(rd->d);
	}
	return 0;
}

static int read_symbol(struct reader *rd, size_t index, struct payload_symbol *ret)
{
	GElf_Sym sym;
	const char *name;
	uint64_t size;

	if (!gelf_getsym(rd->symbols, (int)index, &sym))
		return raise_bad(rd, ".symtab", "is cut off");
	name = elf_strptr(rd->elf, rd->symtab_strings, sym.st_name);
	if (!name || !is_printable(name))
		return raise_bad(rd, ".symtab", "has a symbol with a bad name");
	*ret = (struct payload_symbol){
		.name = name,
		.type = GELF_ST_TYPE(sym.st_info),
		.bind = GELF_ST_BIND(sym.st_info),
		.size = sym.st_size,
	};
	switch (sym.st_shndx) {
	case SHN_UNDEF:
	case PAYLOAD_SHN_LIVEPATCH:
	case PAYLOAD_SHN_SIBLING:
		return read_undefined(rd, &sym, name, ret);
	case SHN_ABS:
		ret->kind = PAYLOAD_SYMBOL_ABSOLUTE;
		ret->value = sym.st_value;
		return 0;
	case SHN_COMMON:
		return raise_bad(rd, ".symtab", "has a common symbol: compile with -fno-common");
	}
	if (sym.st_shndx >= rd->nr_scns)
		return raise_bad(rd, ".symtab", "has a symbol in a section that does not exist");
	if (rd->kept[sym.st_shndx] == NOT_KEPT) {
		/* In a table of ours, or in debugging data: nothing that is kept refers to it. */
		ret->kind = PAYLOAD_SYMBOL_ABSOLUTE;
		return 0;
	}
	ret->kind = PAYLOAD_SYMBOL_DEFINED;
	ret->section = (uint32_t)rd->kept[sym.st_shndx];
	ret->value = sym.st_value;
	size = rd->sections[ret->section].size;
	if (ret->value > size || ret->size > size - ret->value)
		return raise_bad(rd, ".symtab", "has a symbol outside of its section");
	return 0;
}

static int read_symbols(struct reader *rd)
{
	size_t nr;
	int r = 0;

	rd->symbols = rd->symtab ? elf_getdata(rd->symtab, NULL) : NULL;
	if (!rd->symbols || rd->symbols->d_type != ELF_T_SYM)
		return raise_bad(rd, ".symtab", "is missing or cut off");
	nr = rd->symbols->d_size / sizeof(Elf64_Sym);
	if (nr > SYMBOLS_MAX)
		return raise_bad(rd, ".symtab", "is too large");
	rd->out_symbols = calloc(nr + 1, sizeof(*rd->out_symbols));
	rd->storage->payload.symbols = rd->out_symbols;
	if (!rd->out_symbols)
		return diag_oom(rd->d);
	rd->storage->payload.nr_symbols = nr;
	if (nr)
		rd->out_symbols[0] = (struct payload_symbol){
			.name = "",
			.kind = PAYLOAD_SYMBOL_ABSOLUTE,
		};
	for (size_t i = 1; i < nr && r >= 0; i++)
		r = read_symbol(rd, i, &rd->out_symbols[i]);
	return r;
}

/* --- relocations ------------------------------------------------------------------------------- */

static int read_rela(struct reader *rd, Elf_Data *rela, int section)
{
	size_t nr = rela->d_size / sizeof(Elf64_Rela);

	for (size_t i = 0; i < nr; i++) {
		struct payload_reloc *reloc;
		GElf_Rela entry;

		if (!gelf_getrela(rela, (int)i, &entry) || rd->nr_relocs >= RELOCS_MAX)
			return raise_bad(rd, rd->sections[section].name, "has damaged relocations");
		if (!array_grow(rd->relocs, rd->nr_relocs, rd->alloc_relocs))
			return diag_oom(rd->d);
		rd->storage->payload.relocs = rd->relocs;
		reloc = &rd->relocs[rd->nr_relocs];
		*reloc = (struct payload_reloc){
			.section = (uint32_t)section,
			.symbol = (uint32_t)GELF_R_SYM(entry.r_info),
			.type = (uint32_t)GELF_R_TYPE(entry.r_info),
			.offset = entry.r_offset,
			.addend = entry.r_addend,
		};
		if (reloc->symbol >= rd->storage->payload.nr_symbols ||
		    reloc->offset >= rd->sections[section].size)
			return raise_bad(rd, rd->sections[section].name,
					 "has a relocation outside of it");
		rd->storage->payload.nr_relocs = ++rd->nr_relocs;
	}
	return 0;
}

static int compare_relocs(const void *a, const void *b)
{
	const struct payload_reloc *x = a, *y = b;

	if (x->section != y->section)
		return x->section < y->section ? -1 : 1;
	return (x->offset > y->offset) - (x->offset < y->offset);
}

static int read_relocs(struct reader *rd)
{
	Elf_Scn *scn = NULL;
	int r = 0;

	while (r >= 0 && (scn = elf_nextscn(rd->elf, scn))) {
		GElf_Shdr shdr;
		Elf_Data *rela;

		if (!gelf_getshdr(scn, &shdr) ||
		    (shdr.sh_type != SHT_RELA && shdr.sh_type != SHT_REL) ||
		    shdr.sh_info >= rd->nr_scns || rd->kept[shdr.sh_info] == NOT_KEPT)
			continue;
		rela = elf_getdata(scn, NULL);
		if (shdr.sh_type == SHT_REL || !rela || rela->d_type != ELF_T_RELA)
			return raise_bad(rd, section_name(rd, &shdr),
					 "holds no readable relocations");
		r = read_rela(rd, rela, rd->kept[shdr.sh_info]);
	}
	if (r >= 0 && rd->nr_relocs)
		qsort(rd->relocs, rd->nr_relocs, sizeof(*rd->relocs), compare_relocs);
	return r;
}

/* --- funcs --------------------------------------------------------------------------------------- */

static Elf_Scn *find_scn(struct reader *rd, const char *name, GElf_Shdr *ret)
{
	Elf_Scn *scn = NULL;

	while ((scn = elf_nextscn(rd->elf, scn)))
		if (gelf_getshdr(scn, ret) && strcmp(section_name(rd, ret), name) == 0)
			return scn;
	return NULL;
}

static Elf_Data *find_rela(struct reader *rd, size_t target)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;

	while ((scn = elf_nextscn(rd->elf, scn)))
		if (gelf_getshdr(scn, &shdr) && shdr.sh_type == SHT_RELA && shdr.sh_info == target)
			return elf_getdata(scn, NULL);
	return NULL;
}

/* The pointer at an offset of the table: symbol and addend of its relocation. */
static bool find_pointer(struct reader *rd, Elf_Data *rela, uint64_t offset, uint32_t *ret_symbol,
			 int64_t *ret_addend)
{
	size_t nr = rela && rela->d_type == ELF_T_RELA ? rela->d_size / sizeof(Elf64_Rela) : 0;

	for (size_t i = 0; i < nr; i++) {
		GElf_Rela entry;

		if (!gelf_getrela(rela, (int)i, &entry) || entry.r_offset != offset)
			continue;
		*ret_symbol = (uint32_t)GELF_R_SYM(entry.r_info);
		*ret_addend = entry.r_addend;
		return *ret_symbol < rd->storage->payload.nr_symbols &&
		       rd->out_symbols[*ret_symbol].kind == PAYLOAD_SYMBOL_DEFINED;
	}
	return false;
}

static const char *string_at(struct reader *rd, uint32_t symbol, int64_t addend)
{
	const struct payload_symbol *s = &rd->out_symbols[symbol];
	const struct payload_section *section = &rd->sections[s->section];
	uint64_t offset = s->value + (uint64_t)addend;
	const char *string;

	if (!section->bytes || offset >= section->size)
		return NULL;
	string = (const char *)section->bytes + offset;
	return memchr(string, '\0', section->size - offset) && *string && is_printable(string)
		       ? string
		       : NULL;
}

/* The function symbol at a place: the table may refer to it through its section. */
static bool find_function(struct reader *rd, uint32_t symbol, int64_t addend, uint32_t *ret)
{
	const struct payload_symbol *s = &rd->out_symbols[symbol];
	uint64_t value = s->value + (uint64_t)addend;

	if (!(rd->sections[s->section].flags & SHF_EXECINSTR))
		return false;
	for (uint32_t i = 1; i < rd->storage->payload.nr_symbols; i++) {
		const struct payload_symbol *f = &rd->out_symbols[i];

		if (f->kind != PAYLOAD_SYMBOL_DEFINED || f->type != STT_FUNC || !f->size ||
		    f->section != s->section || f->value != value)
			continue;
		*ret = i;
		return true;
	}
	return false;
}

static int read_func(struct reader *rd, const struct upatch_func_entry *entry, uint64_t offset,
		     Elf_Data *rela, struct payload_func *ret)
{
	uint32_t name, replacement;
	int64_t name_addend, addend;

	if (!find_pointer(rd, rela, offset + offsetof(struct upatch_func_entry, name), &name,
			  &name_addend) ||
	    !find_pointer(rd, rela, offset + offsetof(struct upatch_func_entry, replacement),
			  &replacement, &addend))
		return raise_bad(rd, PAYLOAD_FUNCS, "has an entry without name or replacement");
	*ret = (struct payload_func){
		.name = string_at(rd, name, name_addend),
		.sympos = (uint32_t)entry->sympos,
		.old_value = entry->old_value,
		.old_size = entry->old_size,
	};
	if (!ret->name || entry->sympos > SYMPOS_MAX)
		return raise_bad(rd, PAYLOAD_FUNCS, "has an entry with a bad name or position");
	if (!find_function(rd, replacement, addend, &ret->symbol))
		return raise_bad(rd, PAYLOAD_FUNCS,
				 "has a replacement that is no function of the payload");
	return 0;
}

static int read_funcs(struct reader *rd)
{
	struct payload *p = &rd->storage->payload;
	struct upatch_func_entry entry;
	GElf_Shdr shdr;
	Elf_Scn *scn = find_scn(rd, PAYLOAD_FUNCS, &shdr);
	Elf_Data *table = scn ? elf_rawdata(scn, NULL) : NULL, *rela;
	size_t nr;
	int r = 0;

	if (!table || !table->d_buf || !table->d_size) {
		/* klp: an object may have callbacks alone. */
		for (size_t i = 0; i < PAYLOAD_CALLBACKS; i++)
			if (p->callbacks[i])
				return 0;
		return diag_err(rd->d, -EINVAL, UPATCH_E_NO_FUNCS, NULL,
				"the payload replaces no function");
	}
	nr = table->d_size / sizeof(entry);
	if (table->d_size % sizeof(entry) || nr > FUNCS_MAX)
		return raise_bad(rd, PAYLOAD_FUNCS, "has a bad size");
	rd->funcs = calloc(nr, sizeof(*rd->funcs));
	p->funcs = rd->funcs;
	if (!rd->funcs)
		return diag_oom(rd->d);
	rela = find_rela(rd, elf_ndxscn(scn));
	for (size_t i = 0; i < nr && r >= 0; i++) {
		memcpy(&entry, (const uint8_t *)table->d_buf + i * sizeof(entry), sizeof(entry));
		r = read_func(rd, &entry, i * sizeof(entry), rela, &rd->funcs[i]);
		/* klp: positions 0 and 1 are the same. */
		for (size_t n = 0; n < i && r >= 0; n++)
			if (strcmp(p->funcs[n].name, p->funcs[i].name) == 0 &&
			    MAX(p->funcs[n].sympos, 1u) == MAX(p->funcs[i].sympos, 1u))
				r = raise_bad(rd, PAYLOAD_FUNCS, "replaces a function twice");
		if (r >= 0)
			p->nr_funcs = i + 1;
	}
	return r;
}

static int read_callbacks(struct reader *rd)
{
	struct upatch_callback_entry entry;
	GElf_Shdr shdr;
	Elf_Scn *scn = find_scn(rd, PAYLOAD_CALLBACK_TABLE, &shdr);
	Elf_Data *table = scn ? elf_rawdata(scn, NULL) : NULL, *rela;
	uint32_t *callbacks = rd->storage->payload.callbacks, symbol;
	int64_t addend;

	if (!scn || !shdr.sh_size)
		return 0;
	if (!table || !table->d_buf || table->d_size % sizeof(entry))
		return raise_bad(rd, PAYLOAD_CALLBACK_TABLE, "has a bad size");
	rela = find_rela(rd, elf_ndxscn(scn));
	for (size_t at = 0; at < table->d_size; at += sizeof(entry)) {
		memcpy(&entry, (const uint8_t *)table->d_buf + at, sizeof(entry));
		if (entry.kind < 1 || entry.kind > PAYLOAD_CALLBACKS)
			return raise_bad(rd, PAYLOAD_CALLBACK_TABLE, "has a callback of no kind");
		if (callbacks[entry.kind - 1])
			return raise_bad(rd, PAYLOAD_CALLBACK_TABLE,
					 "has two callbacks of one kind for one object");
		if (!find_pointer(rd, rela, at + offsetof(struct upatch_callback_entry, fn),
				  &symbol, &addend) ||
		    !find_function(rd, symbol, addend, &callbacks[entry.kind - 1]))
			return raise_bad(rd, PAYLOAD_CALLBACK_TABLE,
					 "has a callback that is no function of the payload");
	}
	return 0;
}

static int check_originals(struct reader *rd)
{
	const struct payload *p = &rd->storage->payload;

	for (size_t i = 0; i < p->nr_symbols; i++) {
		bool is_replaced = false;

		if (p->symbols[i].kind != PAYLOAD_SYMBOL_ORIGINAL)
			continue;
		for (size_t n = 0; n < p->nr_funcs; n++)
			is_replaced = is_replaced ||
				      (strcmp(p->funcs[n].name, p->symbols[i].name) == 0 &&
				       p->funcs[n].sympos == p->symbols[i].sympos);
		if (!is_replaced)
			return raise_bad(
				rd, ".symtab",
				"refers to the original of a function it does not replace");
	}
	return 0;
}

/* --- all ------------------------------------------------------------------------------------------ */

static int open_elf(struct reader *rd, size_t size)
{
	GElf_Ehdr ehdr;

	if (elf_version(EV_CURRENT) == EV_NONE)
		return raise_bad(rd, NULL, "needs another libelf");
	rd->elf = elf_memory((char *)rd->storage->bytes, size);
	rd->storage->elf = rd->elf;
	if (!rd->elf || elf_kind(rd->elf) != ELF_K_ELF || !gelf_getehdr(rd->elf, &ehdr) ||
	    gelf_getclass(rd->elf) != ELFCLASS64 || ehdr.e_ident[EI_DATA] != ELFDATA2LSB ||
	    ehdr.e_type != ET_REL)
		return raise_bad(rd, NULL, "is no relocatable ELF file");
	if (!arch_by_machine(ehdr.e_machine))
		return diag_err(rd->d, -ENOEXEC, UPATCH_E_ARCHITECTURE, NULL,
				"the payload is for machine %u, which we do not know",
				ehdr.e_machine);
	rd->storage->payload.machine = ehdr.e_machine;
	rd->storage->payload.file_size = size;
	return 0;
}

int payload_parse(struct diag *d, const uint8_t *bytes, size_t size, struct payload_storage **ret)
{
	_cleanup_(payload_storage_freep) struct payload_storage *storage =
		calloc(1, sizeof(*storage));
	struct reader rd = { .d = d, .storage = storage };
	int r;

	if (!storage)
		return diag_oom(d);
	storage->bytes = malloc(size + 1);
	if (!storage->bytes)
		return diag_oom(d);
	memcpy(storage->bytes, bytes, size);
	r = open_elf(&rd, size);
	if (r >= 0)
		r = read_sections(&rd);
	if (r >= 0)
		r = read_symbols(&rd);
	if (r >= 0)
		r = read_relocs(&rd);
	if (r >= 0)
		r = read_callbacks(&rd);
	if (r >= 0)
		r = read_funcs(&rd);
	if (r >= 0)
		r = check_originals(&rd);
	free(rd.kept);
	if (r < 0)
		return r;
	*ret = take_ptr(storage);
	return 0;
}
