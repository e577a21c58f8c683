/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/object.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "elf/image_cache.h"
#include "target/linkmap.h"
#include "target/maps.h"
#include "target/target.h"

enum {
	PHDRS_MAX = 128,
	NOTES_MAX = 65536,
};

/* --- what memory tells ----------------------------------------------------------------------- */

/* The GNU build ID among the notes, if it is there. gABI "Note Section". */
static void find_build_id(const uint8_t *notes, size_t size, struct build_id *ret)
{
	Elf64_Nhdr nhdr;
	size_t at = 0;

	while (size - at >= sizeof(nhdr)) {
		memcpy(&nhdr, notes + at, sizeof(nhdr));
		at += sizeof(nhdr);
		uint64_t name = ALIGN_UP((uint64_t)nhdr.n_namesz, 4);
		uint64_t desc = ALIGN_UP((uint64_t)nhdr.n_descsz, 4);

		if (name > size - at || desc > size - at - name)
			return;
		if (nhdr.n_type == NT_GNU_BUILD_ID && nhdr.n_namesz == 4 &&
		    memcmp(notes + at, "GNU", 4) == 0 && nhdr.n_descsz &&
		    nhdr.n_descsz <= BUILD_ID_MAX) {
			ret->size = (uint8_t)nhdr.n_descsz;
			memcpy(ret->bytes, notes + at + name, nhdr.n_descsz);
			return;
		}
		at += name + desc;
	}
}

static void read_notes(struct target *t, uint64_t addr, uint64_t size, struct build_id *ret)
{
	_cleanup_free_ uint8_t *notes = NULL;

	if (size > NOTES_MAX)
		return;
	notes = malloc(size);
	if (notes && target_read(t, addr, notes, size) == 0)
		find_build_id(notes, size, ret);
}

/* Headers of an object at its first mapping. False: what is there is no ELF object. */
static bool read_headers(struct target *t, struct object *o)
{
	Elf64_Phdr phdrs[PHDRS_MAX];
	Elf64_Ehdr ehdr;
	bool has_load = false;

	if (target_read(t, o->start, &ehdr, sizeof(ehdr)) < 0 ||
	    memcmp(ehdr.e_ident, ELFMAG, SELFMAG) != 0 || ehdr.e_ident[EI_CLASS] != ELFCLASS64 ||
	    ehdr.e_phentsize != sizeof(phdrs[0]) || ehdr.e_phnum > PHDRS_MAX ||
	    ehdr.e_phoff > o->end - o->start ||
	    target_read(t, o->start + ehdr.e_phoff, phdrs, ehdr.e_phnum * sizeof(phdrs[0])) < 0)
		return false;
	for (unsigned int i = 0; i < ehdr.e_phnum && !has_load; i++) {
		if (phdrs[i].p_type != PT_LOAD)
			continue;
		/* The first one holds the headers, and starts at the first mapping's page. */
		o->bias = o->start - ALIGN_DOWN(phdrs[i].p_vaddr, (uint64_t)4096);
		has_load = true;
	}
	for (unsigned int i = 0; i < ehdr.e_phnum && !o->build_id.size; i++)
		if (phdrs[i].p_type == PT_NOTE)
			read_notes(t, o->bias + phdrs[i].p_vaddr, phdrs[i].p_memsz, &o->build_id);
	return has_load;
}

static char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *name = strdup(slash ? slash + 1 : path);
	char *deleted = name ? strstr(name, " (deleted)") : NULL;

	if (deleted)
		*deleted = '\0';
	return name;
}

/* Does this mapping go on with the object before it? */
static bool continues(const struct object *o, const struct mapping *m)
{
	return m->inode && o->inode == m->inode && o->dev == m->dev && m->offset != 0;
}

static int find_objects(struct object_list *list)
{
	struct target *t = list->target;
	bool in_object = false;
	size_t alloc = 0;

	for (size_t i = 0; i < list->maps->nr; i++) {
		const struct mapping *m = &list->maps->mappings[i];
		struct object *last = list->nr ? &list->objects[list->nr - 1] : NULL;
		bool is_vdso = strcmp(m->path, "[vdso]") == 0;

		if (in_object && continues(last, m)) {
			last->end = m->end;
			continue;
		}
		/* Its .bss: anonymous, right behind its last mapping. */
		if (in_object && !m->inode && !*m->path && m->start == last->end) {
			last->end = m->end;
			continue;
		}
		if ((!m->inode || m->offset != 0 || !(m->prot & PROT_READ)) && !is_vdso) {
			in_object = in_object && !m->inode;
			continue;
		}
		if (!array_grow(list->objects, list->nr, alloc))
			return diag_oom(t->diag);
		last = &list->objects[list->nr];
		*last = (struct object){
			.path = m->path,
			.start = m->start,
			.end = m->end,
			.map_start = m->start,
			.map_end = m->end,
			.dev = m->dev,
			.inode = m->inode,
			.load_order = -1,
		};
		/* The same file's data may be mapped at offset 0 by a linker that pads no pages. */
		in_object = read_headers(t, last);
		if (!in_object)
			continue;
		last->name = name_of(m->path);
		if (!last->name)
			return diag_oom(t->diag);
		list->nr++;
	}
	return 0;
}

static void mark_executable(struct object_list *list)
{
	struct target *t = list->target;
	struct object *o = object_list_at(list, proc_read_auxv(t->threadfd, AT_PHDR));

	if (o)
		o->is_executable = true;
}

int object_list_read(struct target *target, struct image_cache *cache, struct maps *maps,
		     struct object_list *ret)
{
	struct object_list list = { .target = target, .cache = cache, .maps = maps };
	int r;

	r = find_objects(&list);
	if (r < 0) {
		object_list_deinit(&list);
		return r;
	}
	mark_executable(&list);
	linkmap_read(&list);
	*ret = list;
	return 0;
}

void object_list_deinit(struct object_list *list)
{
	for (size_t i = 0; i < list->nr; i++) {
		free((char *)list->objects[i].name);
		image_unref(list->objects[i].image);
	}
	free(list->objects);
	*list = (struct object_list){};
}

struct object *object_list_at(struct object_list *list, uint64_t addr)
{
	size_t lo = 0, hi = list->nr;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (list->objects[mid].end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == list->nr || list->objects[lo].start > addr)
		return NULL;
	return &list->objects[lo];
}

/* --- its file ----------------------------------------------------------------------------------- */

/* The vDSO has no file, but its memory is laid out as one. vdso(7). */
static int open_vdso(struct object_list *list, struct object *o, struct image **ret)
{
	size_t size = o->map_end - o->map_start;
	_cleanup_free_ uint8_t *bytes = malloc(size);

	if (!bytes)
		return diag_oom(list->target->diag);
	if (target_read(list->target, o->map_start, bytes, size) < 0)
		return diag_err(list->target->diag, -EFAULT, UPATCH_E_GONE, NULL,
				"cannot read the vDSO");
	return image_open_bytes(list->target->diag, bytes, size, o->name, ret);
}

static int open_file(struct object_list *list, struct object *o)
{
	struct target *t = list->target;
	struct diag_where where = { .object = o->name };
	char path[4096 + 64];
	struct stat st;

	/* The very inode that is mapped, in whatever mount namespace, deleted or not. proc(5). */
	(void)snprintf(path, sizeof(path), "map_files/%llx-%llx", (unsigned long long)o->map_start,
		       (unsigned long long)o->map_end);
	_cleanup_close_ int fd = openat(t->procfd, path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		/* Needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE; the path needs nothing. */
		(void)snprintf(path, sizeof(path), "root%s", o->path);
		fd = openat(t->threadfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	}
	if (fd < 0)
		return diag_err(t->diag, -errno, UPATCH_E_IO, &where, "cannot open '%s': %s",
				o->path, strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return diag_err(t->diag, -EINVAL, UPATCH_E_IO, &where, "'%s' is not a file",
				o->path);
	return take_fd(&fd);
}

static int open_image(struct object_list *list, struct object *o, struct image **ret)
{
	struct diag *d = list->target->diag;
	struct diag_where where = { .object = o->name };
	struct image *image;
	int r;

	if (!o->inode)
		return open_vdso(list, o, ret);
	r = open_file(list, o);
	if (r < 0)
		return r;
	_cleanup_close_ int fd = r;

	r = image_cache_get(list->cache, d, fd, o->name, &image);
	if (r < 0)
		return r;
	if (!build_id_is_equal(image_build_id(image), &o->build_id)) {
		image_unref(image);
		return diag_err(d, -ESTALE, UPATCH_E_BUILD_ID, &where,
				"'%s' is not the file that is mapped: its build ID differs",
				o->path);
	}
	*ret = image;
	return 0;
}

int object_image(struct object_list *list, struct object *object, struct image **ret)
{
	int r;

	if (!object->image) {
		r = open_image(list, object, &object->image);
		if (r < 0) {
			object->has_no_image = true;
			return r;
		}
	}
	*ret = object->image;
	return 0;
}

bool object_is_named(struct object_list *list, struct object *object, const char *name)
{
	struct diag quiet;
	struct image *image;
	const char *soname;
	bool is_named;

	if (strcmp(object->name, name) == 0 || strcmp(object->path, name) == 0)
		return true;
	/* Only the file tells its soname; without it the other names are all there is. */
	diag_init(&quiet);
	struct diag *saved = list->target->diag;
	list->target->diag = &quiet;
	is_named = object_image(list, object, &image) == 0 && (soname = image_soname(image)) &&
		   strcmp(soname, name) == 0;
	list->target->diag = saved;
	diag_deinit(&quiet);
	return is_named;
}
