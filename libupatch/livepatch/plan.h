/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_PLAN_H
#define LIVEPATCH_PLAN_H

/*
 * What enabling a patch will change in a target, found out while it runs: which objects, which
 * functions, where and how they will be entered. Nothing in it changes the target.
 */

#include <stddef.h>
#include <stdint.h>

#include "arch/arch.h"
#include "livepatch/load.h"

struct hooks;
struct image;
struct object;
struct patchfile;
struct payload;
struct payload_func;
struct session;
struct symbol;
struct template;
struct upatch_slot;

struct plan_range {
	uint64_t addr;
	uint64_t size;
};

struct plan_func {
	const struct payload_func *func; /* borrowed from the patch file */
	uint64_t old_addr;
	uint64_t old_size;
	uint64_t new_addr; /* once the payload has its place */
	uint64_t new_size;
	struct arch_entry entry;
	struct plan_range *ranges; /* body and pieces */
	size_t nr_ranges;
	uint64_t slot_addr; /* of struct upatch_slot */
	uint64_t gateway_addr;
	bool is_patched; /* a slot exists: another patch is on it */
};

/* One payload for one mapped object. An object that is mapped twice has two. */
struct plan_object {
	const struct payload *payload; /* borrowed from the patch file */
	struct object *object;	       /* borrowed from the session */
	uint64_t start, end, bias;     /* of the object */
	struct plan_func *funcs;
	size_t nr_funcs;
	size_t nr_new_slots;
	struct load load;
	int payload_region; /* index in the record, -1 before */
	int island_region;
	uint64_t island_text; /* 0: no new slots */
	const bool *waits;    /* by payload: it has a template; borrowed from the plan */
	bool is_hooks;	      /* its slots lead to the agent */
};

struct plan {
	const struct patchfile *file; /* borrowed */
	struct plan_object *objects;
	size_t nr_objects;
	struct template *templates; /* for libraries that may come and go */
	size_t nr_templates;
	bool *waits;	     /* by payload of the file: its object is one that may come and go */
	struct hooks *hooks; /* of the dynamic linker, when there are templates */
};

/* Called with what was found out about each function; @error is 0 or negative. */
typedef void (*plan_func_fn)(const struct plan_object *object, const struct plan_func *func,
			     int error, void *userdata);

/**
 * plan_new() - match a patch with a target
 * @fn: NULL, or is told about every function; then the first refusal does not end the search
 *
 * Return: 0, or -errno raised: UPATCH_E_NO_OBJECT, UPATCH_E_BUILD_ID, UPATCH_E_NO_FUNCTION,
 * UPATCH_E_FUNCTION_SIZE, UPATCH_E_BYTES_DIFFER, UPATCH_E_UNRESOLVED, and those of
 * arch_ops.entry_plan.
 */
int plan_new(struct session *session, const struct patchfile *file, plan_func_fn fn, void *userdata,
	     struct plan *ret);
void plan_deinit(struct plan *plan);

/* Plan the entry of one function, by its symbol: f->entry and f->ranges. Return: 0, or raised. */
int plan_entry(struct session *session, struct plan_object *object, struct image *image,
	       const struct symbol *symbol, struct plan_func *f);

/* A payload without an object: by the code in the patch file. To be freed by plan_object_free(). */
int plan_object_new(struct session *session, const struct payload *payload,
		    struct plan_object **ret);
void plan_object_free(struct plan_object *object);

/* The bytes at the entry of each function still are what they were. Return: 0, or raised. */
int plan_verify_entries(struct session *session, const struct plan *plan);

#endif
