/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/dl_map.h"

#include "agent/agent.h"
#include "agent/bytes.h"

enum {
	NEEDED_MAX = 1024,
	ERROR_FAULT = -14,
};

struct dl_debug *dl_debug_next(const struct dl_debug *debug)
{
	if (!debug)
		return (struct dl_debug *)(uintptr_t)agent_data.r_debug_addr;
	return debug->version >= 2 ? debug->next : NULL;
}

struct dl_debug *dl_map_list(const void *map)
{
	int lists = 0;

	for (struct dl_debug *d = dl_debug_next(NULL); d && lists < DL_LISTS_MAX;
	     d = dl_debug_next(d), lists++)
		for (const struct dl_map *m = d->first; m; m = m->next)
			if (m == map)
				return d;
	return NULL;
}

/* --- one library ------------------------------------------------------------------------------- */

/* Without a system call of its own for it: who waits for a word that is not there gets EFAULT. */
static bool is_mapped(uint64_t addr)
{
	static const struct sys_timespec at_once;

	return sys_futex((uint32_t *)(uintptr_t)addr, SYS_FUTEX_WAIT_PRIVATE, 0, &at_once) !=
	       ERROR_FAULT;
}

static void find_build_id(const uint8_t *notes, uint64_t size, struct dl_image *ret)
{
	for (uint64_t at = 0; at + sizeof(Elf64_Nhdr) <= size;) {
		const Elf64_Nhdr *note = (const void *)(notes + at);
		uint64_t name = at + sizeof(*note);
		uint64_t desc = name + align_up(note->n_namesz, 4);

		if (desc > size || note->n_descsz > size - desc)
			return;
		if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 &&
		    memcmp(notes + name, "GNU", 4) == 0 && note->n_descsz <= UPATCH_BUILD_ID_SIZE) {
			ret->build_id = notes + desc;
			ret->build_id_size = note->n_descsz;
			return;
		}
		at = desc + align_up(note->n_descsz, 4);
	}
}

/* Is a segment in memory, and in the file, so that it can be read? */
static bool is_readable(const Elf64_Phdr *phdrs, int nr, const Elf64_Phdr *segment)
{
	for (int i = 0; i < nr; i++)
		if (phdrs[i].p_type == PT_LOAD && phdrs[i].p_flags & PF_R &&
		    segment->p_vaddr >= phdrs[i].p_vaddr &&
		    segment->p_vaddr - phdrs[i].p_vaddr <= phdrs[i].p_filesz &&
		    segment->p_memsz <= phdrs[i].p_filesz - (segment->p_vaddr - phdrs[i].p_vaddr))
			return true;
	return false;
}

bool dl_map_image(const struct dl_map *map, struct dl_image *ret)
{
	const Elf64_Ehdr *ehdr = (const void *)(uintptr_t)map->bias;
	const Elf64_Phdr *phdrs;

	*ret = (struct dl_image){ .start = UINT64_MAX };
	/* A library that is linked to an address has its headers elsewhere: nobody does that any more. */
	if (!map->bias || map->bias % UPATCH_PAGE_SIZE || !is_mapped(map->bias) ||
	    memcmp(ehdr->e_ident, ELFMAG, SELFMAG) != 0 || ehdr->e_phoff > UPATCH_PAGE_SIZE ||
	    ehdr->e_phoff + ehdr->e_phnum * sizeof(*phdrs) > UPATCH_PAGE_SIZE)
		return false;
	phdrs = (const void *)(uintptr_t)(map->bias + ehdr->e_phoff);
	for (int i = 0; i < ehdr->e_phnum; i++) {
		uint64_t start = map->bias + (phdrs[i].p_vaddr & ~(uint64_t)(UPATCH_PAGE_SIZE - 1));
		uint64_t end =
			map->bias + align_up(phdrs[i].p_vaddr + phdrs[i].p_memsz, UPATCH_PAGE_SIZE);

		if (phdrs[i].p_type == PT_LOAD) {
			ret->start = start < ret->start ? start : ret->start;
			ret->end = end > ret->end ? end : ret->end;
		}
		if (phdrs[i].p_type == PT_NOTE && !ret->build_id_size &&
		    is_readable(phdrs, ehdr->e_phnum, &phdrs[i]))
			find_build_id((const void *)(uintptr_t)(map->bias + phdrs[i].p_vaddr),
				      phdrs[i].p_memsz, ret);
	}
	return ret->end;
}

bool dl_map_stays(const struct dl_map *map)
{
	for (const Elf64_Dyn *d = map->dynamic; d && d->d_tag != DT_NULL; d++)
		if (d->d_tag == DT_FLAGS_1 && d->d_un.d_val & DF_1_NODELETE)
			return true;
	return false;
}

static const char *base_name(const char *path)
{
	const char *base = path;

	for (; *path; path++)
		if (*path == '/')
			base = path + 1;
	return base;
}

static const char *soname(const struct dl_map *map, const struct lookup_object *object)
{
	for (const Elf64_Dyn *d = map->dynamic; d->d_tag != DT_NULL; d++)
		if (d->d_tag == DT_SONAME)
			return object->strtab + d->d_un.d_val;
	return NULL;
}

bool dl_map_is_named(const struct dl_map *map, const char *name)
{
	struct lookup_object object;
	const char *own;

	if (map->name && str_is_equal(base_name(map->name), name))
		return true;
	if (!lookup_open(map->bias, map->dynamic, &object))
		return false;
	own = soname(map, &object);
	return own && str_is_equal(own, name);
}

/* --- symbols ----------------------------------------------------------------------------------- */

static int find_named(const struct dl_map *first, const char *name)
{
	int i = 0;

	for (const struct dl_map *m = first; m; m = m->next, i++)
		if (dl_map_is_named(m, name))
			return i;
	return -1;
}

/*
 * How many, from the first one on, came with the process: what the executable needs, what that needs,
 * and what lies between them, such as preloaded ones.
 */
static int count_initial(const struct dl_map *first)
{
	int last = 0, i = 0;

	for (const struct dl_map *m = first; m && i <= last; m = m->next, i++) {
		struct lookup_object object;
		int nr = 0;

		if (!lookup_open(m->bias, m->dynamic, &object))
			continue;
		for (const Elf64_Dyn *d = m->dynamic; d->d_tag != DT_NULL && nr < NEEDED_MAX;
		     d++, nr++) {
			int at = d->d_tag == DT_NEEDED
					 ? find_named(first, object.strtab + d->d_un.d_val)
					 : -1;

			last = at > last ? at : last;
		}
	}
	return last + 1;
}

static bool find_in(const struct dl_map *map, const char *name, const char *version,
		    struct lookup_symbol *ret)
{
	struct lookup_object object;

	return lookup_open(map->bias, map->dynamic, &object) &&
	       lookup_symbol(&object, name, version, ret);
}

void dl_scope_init(const struct dl_debug *list, const struct dl_map *map, struct dl_scope *ret)
{
	*ret = (struct dl_scope){ list, map, count_initial(list->first) };
}

bool dl_scope_find(const struct dl_scope *scope, const char *name, const char *version,
		   struct lookup_symbol *ret, const struct dl_map **ret_in)
{
	const struct dl_map *m = scope->list->first;
	int i = 0;

	for (; m && i < scope->nr_initial; m = m->next, i++) {
		*ret_in = m;
		if (find_in(m, name, version, ret))
			return true;
	}
	*ret_in = scope->map;
	if (find_in(scope->map, name, version, ret))
		return true;
	for (; m && i < DL_MAPS_MAX; m = m->next, i++) {
		*ret_in = m;
		if (find_in(m, name, version, ret))
			return true;
	}
	return false;
}
