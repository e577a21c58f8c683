/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/linkmap.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <string.h>

#include "base/array.h"
#include "base/diag.h"
#include "elf/image.h"
#include "elf/symtab.h"
#include "target/object.h"
#include "target/target.h"

static const char tls_module_field[] = "_thread_db_link_map_l_tls_modid";
static const char tls_offset_field[] = "_thread_db_link_map_l_tls_offset";

enum {
	LINKMAP_MAX = 4096, /* entries; the list is the target's and may be a circle */
	DYNAMIC_MAX = 512,
};

static uint64_t find_r_debug(struct object_list *list, struct object *exe)
{
	struct target *t = list->target;
	Elf64_Phdr phdr;
	Elf64_Dyn dyn;
	uint64_t addr = proc_read_auxv(t->threadfd, AT_PHDR);
	uint64_t nr = proc_read_auxv(t->threadfd, AT_PHNUM);

	for (uint64_t i = 0; i < MIN(nr, (uint64_t)128); i++) {
		if (target_read(t, addr + i * sizeof(phdr), &phdr, sizeof(phdr)) < 0)
			return 0;
		if (phdr.p_type == PT_DYNAMIC)
			break;
		phdr.p_type = PT_NULL;
	}
	if (!nr || phdr.p_type != PT_DYNAMIC)
		return 0;
	for (uint64_t i = 0; i < DYNAMIC_MAX; i++) {
		if (target_read(t, exe->bias + phdr.p_vaddr + i * sizeof(dyn), &dyn, sizeof(dyn)) <
			    0 ||
		    dyn.d_tag == DT_NULL)
			return 0;
		if (dyn.d_tag == DT_DEBUG)
			return dyn.d_un.d_ptr;
	}
	return 0;
}

static struct object *find_executable(struct object_list *list)
{
	for (size_t i = 0; i < list->nr; i++)
		if (list->objects[i].is_executable)
			return &list->objects[i];
	return NULL;
}

uint64_t linkmap_debug_addr(struct object_list *list)
{
	struct object *exe = find_executable(list);

	return exe ? find_r_debug(list, exe) : 0;
}

static struct object *at_position(struct object_list *list, int order)
{
	for (size_t i = 0; i < list->nr; i++)
		if (list->objects[i].load_order == order)
			return &list->objects[i];
	return NULL;
}

static int last_named(struct object_list *list, const char *name)
{
	int last = -1;

	for (size_t i = 0; i < list->nr; i++) {
		struct object *o = &list->objects[i];

		if (o->load_order > last && object_is_named(list, o, name))
			last = o->load_order;
	}
	return last;
}

int linkmap_count_initial(struct object_list *list)
{
	int last = 0;

	for (int i = 0; i <= last; i++) {
		struct object *o = at_position(list, i);
		struct image *image;
		const char *name;

		if (!o || object_image(list, o, &image) < 0)
			continue;
		for (size_t n = 0; (name = image_needed(image, n)); n++)
			last = MAX(last, last_named(list, name));
	}
	return last + 1;
}

int linkmap_length(struct object_list *list)
{
	uint64_t addr = linkmap_debug_addr(list);
	struct r_debug debug;
	struct link_map map;
	int nr = 0;

	if (!addr || target_read(list->target, addr, &debug, sizeof(debug)) < 0)
		return 0;
	addr = (uint64_t)(uintptr_t)debug.r_map;
	for (; addr && nr < LINKMAP_MAX; nr++) {
		if (target_read(list->target, addr, &map, sizeof(map)) < 0)
			break;
		addr = (uint64_t)(uintptr_t)map.l_next;
	}
	return nr;
}

void linkmap_read(struct object_list *list)
{
	struct object *exe = find_executable(list);
	struct r_debug debug;
	struct link_map map;
	uint64_t addr;

	if (!exe)
		return;
	exe->load_order = 0;
	addr = find_r_debug(list, exe);
	if (!addr || target_read(list->target, addr, &debug, sizeof(debug)) < 0)
		return;
	addr = (uint64_t)(uintptr_t)debug.r_map;
	for (int order = 0; addr && order < LINKMAP_MAX; order++) {
		if (target_read(list->target, addr, &map, sizeof(map)) < 0)
			return;
		/* By its dynamic section: the load address of an executable is 0 or a bias. */
		struct object *o = object_list_at(list, (uint64_t)(uintptr_t)map.l_ld);

		if (o && !o->link_map_addr) {
			o->load_order = order;
			o->link_map_addr = addr;
		}
		addr = (uint64_t)(uintptr_t)map.l_next;
	}
}

/* A field of struct link_map, described by an exported { size in bits, elements, offset }. */
static int find_described(struct object_list *list, const char *descriptor, uint32_t *ret)
{
	struct diag *d = list->target->diag;
	const struct symtab *symtab;
	struct symbol symbol;
	struct image *image;
	uint32_t fields[3];

	for (size_t i = 0; i < list->nr; i++) {
		struct object *o = &list->objects[i];

		if (!o->link_map_addr || strncmp(o->name, "libc", 4) != 0 ||
		    object_image(list, o, &image) < 0 || image_symtab(image, d, &symtab) < 0 ||
		    symtab_find_export(symtab, descriptor, "GLIBC_PRIVATE", &symbol) < 0)
			continue;
		if (target_read(list->target, o->bias + symbol.value, fields, sizeof(fields)) < 0 ||
		    fields[0] != 64 || fields[2] > 65536)
			return -EINVAL;
		*ret = fields[2];
		return 0;
	}
	return -ENOENT;
}

static int read_described(struct object_list *list, const char *descriptor, uint64_t link_map_addr,
			  uint64_t *ret)
{
	uint32_t offset;
	int r;

	r = find_described(list, descriptor, &offset);
	return r < 0 ? r : target_read(list->target, link_map_addr + offset, ret, sizeof(*ret));
}

struct linkmap_offsets linkmap_offsets(struct object_list *list)
{
	struct linkmap_offsets offsets = {};

	if (find_described(list, tls_module_field, &offsets.tls_module) < 0 ||
	    find_described(list, tls_offset_field, &offsets.tls_offset) < 0)
		return (struct linkmap_offsets){};
	return offsets;
}

int linkmap_tls(struct object_list *list, struct object *object, struct linkmap_tls *ret)
{
	struct diag_where where = { .object = object->name };
	struct diag *d = list->target->diag;
	struct linkmap_tls tls = {};
	struct image_tls block;
	struct image *image;
	uint64_t offset;
	int r;

	r = object_image(list, object, &image);
	if (r < 0)
		return r;
	if (!image_tls(image, &block))
		return diag_err(d, -ENOENT, UPATCH_E_TLS_SYMBOL, &where,
				"it has no thread-local storage");
	if (object->is_executable) {
		/* psABI: the executable is module 1, its block ends at the thread pointer. */
		tls.module = 1;
		tls.tpoff = -(int64_t)ALIGN_UP(block.memsz + (block.vaddr & (block.align - 1)),
					       block.align ? block.align : 1) +
			    (int64_t)(block.vaddr & (block.align - 1));
		tls.has_tpoff = true;
		*ret = tls;
		return 0;
	}
	if (!object->link_map_addr ||
	    read_described(list, tls_module_field, object->link_map_addr, &tls.module) < 0 ||
	    read_described(list, tls_offset_field, object->link_map_addr, &offset) < 0)
		return diag_err(d, -ENOTSUP, UPATCH_E_TLS_SYMBOL, &where,
				"the C library does not tell where its thread-local storage is");
	/* glibc, include/link.h: 0 not decided yet, -1 never in the static block. */
	tls.has_tpoff = offset != 0 && offset != UINT64_MAX;
	tls.tpoff = -(int64_t)offset;
	*ret = tls;
	return 0;
}
