/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "build/fixup.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <upatch/livepatch.h>

#include "arch/arch.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "elf/function.h"
#include "elf/image.h"
#include "elf/symtab.h"
#include "patchfile/container.h"
#include "patchfile/payload.h"

DEFINE_CLEANUP(struct payload_storage *, payload_storage_free);

static int raise_no_object(struct diag *d)
{
	return diag_err(
		d, -EINVAL, UPATCH_E_NO_FUNCS, NULL,
		"a source file says not which object it is for: UPATCH_OBJECT() is missing");
}

int fixup_object_name(struct diag *d, const uint8_t *bytes, size_t size, char **ret)
{
	const struct container_section *section;
	struct container container;
	const char *name;
	size_t len;
	int r;

	/* An object file is laid out as our container is: sections by name. */
	r = container_parse(d, "what the compiler made", bytes, size, &container);
	if (r < 0)
		return r;
	section = container_find(&container, PAYLOAD_OBJECT);
	name = section ? (const char *)section->bytes : NULL;
	len = section ? strnlen(name, section->size) : 0;
	if (!section || !len || len == section->size) {
		container_deinit(&container);
		return raise_no_object(d);
	}
	*ret = strdup(name);
	container_deinit(&container);
	return *ret ? 0 : diag_oom(d);
}

/* --- looking at the object -------------------------------------------------------------------- */

static int plan_entry(struct diag *d, const struct arch_ops *arch, struct image *image,
		      const struct symbol *symbol)
{
	_cleanup_free_ struct arch_code *codes = NULL;
	struct function function;
	struct arch_entry entry;
	int r;

	r = function_find(d, image, symbol, arch->find_branches, &function);
	if (r < 0)
		return r;
	codes = calloc(function.nr, sizeof(*codes));
	for (size_t i = 0; codes && i < function.nr; i++)
		codes[i] = (struct arch_code){ function.pieces[i].vaddr, function.pieces[i].bytes,
					       function.pieces[i].size };
	const struct arch_func func = { codes, function.nr, function.padding };

	r = codes ? arch->entry_plan(d, &func, &entry) : diag_oom(d);
	function_deinit(&function);
	return r;
}

static int fixup_func(struct diag *d, struct image *image, const char *object,
		      const struct payload_func *func, struct upatch_func_entry *entry)
{
	struct diag_where where = { .object = object, .function = func->name };
	const struct arch_ops *arch = arch_by_machine(image_machine(image));
	struct diag_where saved = d->scope;
	const struct symtab *symtab;
	struct symbol symbol;
	int r;

	r = image_symtab(image, d, &symtab);
	if (r >= 0)
		r = symtab_find(symtab, d, object, func->name, func->sympos, SYMBOL_FUNC, &symbol);
	if (r < 0)
		return r;
	if (symbol.type == STT_GNU_IFUNC)
		return diag_err(d, -EINVAL, UPATCH_E_IS_IFUNC, &where,
				"it is an indirect function");
	if (!symbol.size)
		return diag_err(d, -EINVAL, UPATCH_E_FUNCTION_SIZE, &where,
				"its symbol does not tell its size");
	d->scope.object = object;
	d->scope.function = func->name;
	r = arch ? plan_entry(d, arch, image, &symbol) : 0;
	d->scope = saved;
	if (r < 0)
		return r;
	entry->old_value = symbol.value;
	entry->old_size = symbol.size;
	return 0;
}

static int fixup_symbol(struct diag *d, struct image *image, const char *object,
			const struct payload_symbol *wanted, Elf64_Sym *sym)
{
	const struct symtab *symtab;
	struct symbol symbol;
	int r;

	r = image_symtab(image, d, &symtab);
	if (r >= 0)
		r = symtab_find(symtab, wanted->kind == PAYLOAD_SYMBOL_EXTERN ? NULL : d, object,
				wanted->name, wanted->sympos, SYMBOL_ANY, &symbol);
	/* Of another object, then, or of none. */
	if (r < 0 && r != -ENOMEM && wanted->kind == PAYLOAD_SYMBOL_EXTERN)
		return 0;
	if (r < 0)
		return r;
	if (wanted->kind == PAYLOAD_SYMBOL_EXTERN &&
	    (symbol.is_exported || symbol.bind == STB_LOCAL))
		return 0;
	sym->st_shndx = PAYLOAD_SHN_LIVEPATCH;
	sym->st_value = symbol.value;
	sym->st_size = symbol.size;
	sym->st_info = ELF64_ST_INFO(ELF64_ST_BIND(sym->st_info), symbol.type);
	return 0;
}

/* --- changing the payload ---------------------------------------------------------------------- */

/* The first section of a type, or of a name. The file was validated. */
static bool find_shdr(const uint8_t *bytes, uint32_t type, const char *name, Elf64_Shdr *ret)
{
	Elf64_Shdr names;
	Elf64_Ehdr ehdr;

	memcpy(&ehdr, bytes, sizeof(ehdr));
	memcpy(&names, bytes + ehdr.e_shoff + ehdr.e_shstrndx * sizeof(names), sizeof(names));
	for (unsigned int i = 1; i < ehdr.e_shnum; i++) {
		memcpy(ret, bytes + ehdr.e_shoff + i * sizeof(*ret), sizeof(*ret));
		if (name ? strcmp((const char *)bytes + names.sh_offset + ret->sh_name, name) == 0
			 : ret->sh_type == type)
			return true;
	}
	return false;
}

static int fixup_funcs(struct diag *d, struct image *image, const char *object,
		       const struct payload *payload, uint8_t *bytes)
{
	struct upatch_func_entry entry;
	Elf64_Shdr table;
	int r = 0;

	if (!payload->nr_funcs)
		return 0; /* callbacks alone */
	if (!find_shdr(bytes, 0, PAYLOAD_FUNCS, &table))
		return raise_no_object(d);
	for (size_t i = 0; i < payload->nr_funcs && r >= 0; i++) {
		uint8_t *at = bytes + table.sh_offset + i * sizeof(entry);

		memcpy(&entry, at, sizeof(entry));
		r = fixup_func(d, image, object, &payload->funcs[i], &entry);
		memcpy(at, &entry, sizeof(entry));
	}
	return r;
}

/* Private ones, and what may be a global one that the object keeps to itself. */
static bool is_looked_up(const struct payload_symbol *symbol)
{
	return symbol->kind == PAYLOAD_SYMBOL_PRIVATE ||
	       (symbol->kind == PAYLOAD_SYMBOL_EXTERN && *symbol->name && !symbol->version);
}

static int fixup_symbols(struct diag *d, struct image *image, const char *object,
			 const struct payload *payload, uint8_t *bytes)
{
	Elf64_Shdr table;
	Elf64_Sym sym;
	int r = 0;

	if (!find_shdr(bytes, SHT_SYMTAB, NULL, &table))
		return 0;
	for (size_t i = 0; i < payload->nr_symbols && r >= 0; i++) {
		uint8_t *at = bytes + table.sh_offset + i * sizeof(sym);

		if (!is_looked_up(&payload->symbols[i]))
			continue;
		memcpy(&sym, at, sizeof(sym));
		r = fixup_symbol(d, image, object, &payload->symbols[i], &sym);
		memcpy(at, &sym, sizeof(sym));
	}
	return r;
}

int fixup_payload(struct diag *d, struct image *image, const char *object, uint8_t *bytes,
		  size_t size)
{
	_cleanup_(payload_storage_freep) struct payload_storage *storage = NULL;
	struct diag_where where = { .object = object };
	int r;

	r = payload_parse(d, bytes, size, &storage);
	if (r < 0)
		return r;
	if (storage->payload.machine != image_machine(image))
		return diag_err(d, -ENOEXEC, UPATCH_E_ARCHITECTURE, &where,
				"it is for machine %u, the compiler makes code for %u",
				image_machine(image), storage->payload.machine);
	r = fixup_funcs(d, image, object, &storage->payload, bytes);
	return r < 0 ? r : fixup_symbols(d, image, object, &storage->payload, bytes);
}

static bool does_export(struct diag *d, struct image *image, const char *name)
{
	const struct symtab *symtab;
	struct symbol ignored;

	return image_symtab(image, d, &symtab) >= 0 &&
	       symtab_find_export(symtab, name, NULL, &ignored) == 0;
}

static bool find_sibling(struct diag *d, const struct fixup_sibling *siblings, size_t nr,
			 const char *name, size_t *ret)
{
	for (*ret = 0; *ret < nr; (*ret)++)
		if (does_export(d, siblings[*ret].image, name))
			return true;
	return false;
}

int fixup_siblings(struct diag *d, const struct fixup_sibling *siblings, size_t nr, size_t index)
{
	_cleanup_(payload_storage_freep) struct payload_storage *storage = NULL;
	uint8_t *bytes = siblings[index].bytes;
	Elf64_Shdr table;
	Elf64_Sym sym;
	int r;

	r = payload_parse(d, bytes, siblings[index].size, &storage);
	if (r < 0 || !find_shdr(bytes, SHT_SYMTAB, NULL, &table))
		return r;
	for (size_t i = 0; i < storage->payload.nr_symbols; i++) {
		const struct payload_symbol *symbol = &storage->payload.symbols[i];
		uint8_t *at = bytes + table.sh_offset + i * sizeof(sym);
		size_t sibling;

		if (symbol->kind != PAYLOAD_SYMBOL_EXTERN || !*symbol->name || symbol->version ||
		    does_export(d, siblings[index].image, symbol->name) ||
		    !find_sibling(d, siblings, nr, symbol->name, &sibling))
			continue;
		memcpy(&sym, at, sizeof(sym));
		sym.st_shndx = PAYLOAD_SHN_SIBLING;
		sym.st_value = sibling;
		memcpy(at, &sym, sizeof(sym));
	}
	return 0;
}
