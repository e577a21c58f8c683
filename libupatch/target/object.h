/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TARGET_OBJECT_H
#define TARGET_OBJECT_H

/*
 * The ELF files that a target has mapped, and where.
 *
 * Found from the mappings, not from the dynamic linker's list, so that static programs, objects in
 * other link namespaces and programs that overwrote that list are seen as they are. Build IDs are
 * read from the target's memory; a file is opened when more is needed, through /proc/PID/map_files
 * or its path below /proc/PID/root, and counts only if its build ID is the same.
 */

#include <stddef.h>
#include <stdint.h>

#include "elf/image.h"

struct image;
struct image_cache;
struct maps;
struct mapping;
struct target;

struct object {
	const char *path;	     /* as mapped, borrowed from the maps; "[vdso]" */
	const char *name;	     /* last component of it, without " (deleted)"; owned */
	uint64_t start;		     /* of its first mapping */
	uint64_t end;		     /* of its last */
	uint64_t bias;		     /* address = link-time address + bias */
	uint64_t map_start, map_end; /* of its first mapping, for map_files */
	uint64_t dev, inode;
	struct build_id build_id;
	struct image *image;	/* NULL until object_image() */
	int load_order;		/* position in the dynamic linker's list, or -1 */
	uint64_t link_map_addr; /* or 0 */
	bool is_executable;	/* the program itself */
	bool has_no_image;	/* object_image() failed before */
};

struct object_list {
	struct target *target;
	struct image_cache *cache;
	struct maps *maps;
	struct object *objects; /* by address */
	size_t nr;
};

/**
 * object_list_read() - find all objects
 * @maps: borrowed, must outlive the list
 * Return: 0, or -errno raised.
 */
int object_list_read(struct target *target, struct image_cache *cache, struct maps *maps,
		     struct object_list *ret);
void object_list_deinit(struct object_list *list);

/* The object that holds @addr, or NULL. */
struct object *object_list_at(struct object_list *list, uint64_t addr);

/**
 * object_image() - its image, opened at first use
 * Return: 0 with a borrowed image, or -errno raised with UPATCH_E_IO, UPATCH_E_BUILD_ID (the file
 * is another one than was mapped), UPATCH_E_NOT_ELF, ...
 */
int object_image(struct object_list *list, struct object *object, struct image **ret);

/**
 * object_is_named() - does the object go by this name?
 * Its file name, its soname, or the whole path.
 */
bool object_is_named(struct object_list *list, struct object *object, const char *name);

#endif
