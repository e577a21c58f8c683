/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TARGET_LINKMAP_H
#define TARGET_LINKMAP_H

/*
 * The dynamic linker's list of objects (<link.h>, struct r_debug), which gives the order in which it
 * looks symbols up, and each object's thread-local storage.
 */

#include <stdbool.h>
#include <stdint.h>

struct object;
struct object_list;

/* Fill in load_order and link_map_addr. A program without a (sane) list keeps -1 and 0. */
void linkmap_read(struct object_list *list);

/* Address of its struct r_debug, 0: none is known. */
uint64_t linkmap_debug_addr(struct object_list *list);

/* How many objects it has now. */
int linkmap_length(struct object_list *list);

/**
 * linkmap_count_initial() - how many of the list came with the process
 * What the executable needs, what that needs, and what lies between: those never go.
 */
int linkmap_count_initial(struct object_list *list);

/* Offset in the dynamic linker's struct link_map of a field by which linkmap_tls() finds out, 0: unknown. */
struct linkmap_offsets {
	uint32_t tls_module;
	uint32_t tls_offset;
};
struct linkmap_offsets linkmap_offsets(struct object_list *list);

struct linkmap_tls {
	uint64_t module; /* ID for __tls_get_addr() */
	int64_t tpoff;	 /* of the block's start, from the thread pointer */
	bool has_tpoff;	 /* false: allocated per thread on demand */
};

/**
 * linkmap_tls() - where an object's thread-local storage is
 *
 * glibc tells through the descriptors that it exports for libthread_db
 * (_thread_db_link_map_l_tls_modid and ..._offset); the executable's block is known without them,
 * psABI "Thread-Local Storage", variant II.
 *
 * Return: 0, or -errno raised with UPATCH_E_TLS_SYMBOL.
 */
int linkmap_tls(struct object_list *list, struct object *object, struct linkmap_tls *ret);

#endif
