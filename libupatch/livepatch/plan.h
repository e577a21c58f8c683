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
	bool is_movable;      /* it may go: the agent places the payload */
};

struct plan {
	const struct patchfile *file; /* borrowed */
	struct plan_object *objects;
	size_t nr_objects;
	struct template *templates; /* for libraries that may come and go */
	size_t nr_templates;
	bool *waits;	     /* by payload of the file: its object is one that may come and go */
	struct hooks *hooks; /* of the dynamic linker, when there are templates */
	/* With a listener: libraries with a template that are here, whose parts the agent would place. */
	struct plan_object *movables;
	size_t nr_movables;
};

/* Where the object of a payload is. */
enum plan_presence {
	PLAN_LOADED,
	PLAN_WAITING,	 /* not loaded: it gets its part when it comes */
	PLAN_NOT_NEEDED, /* another build of it is loaded, which the patch is for as well */
	PLAN_ABSENT,	 /* not loaded, and nothing would wait for it */
};

/*
 * @is_exclusive: it waits, and another build of it that comes is not let in
 * @error: raised: why it cannot be patched, or not be waited for
 */
struct plan_finding {
	const struct payload *payload;
	enum plan_presence presence;
	bool is_exclusive;
	int error;
};

/*
 * Who wants to know all that there is to know.
 * @func:   told about every function; without an address where its object is not loaded. @error is 0, or
 *	    negative and raised: it clears the diag then
 * @object: told about every object, after its functions
 */
struct plan_listener {
	void (*func)(const struct payload *payload, const struct plan_func *func, int error,
		     void *userdata);
	void (*object)(const struct plan_finding *finding, void *userdata);
	void *userdata;
};

/**
 * plan_new() - match a patch with a target
 * @listener: or NULL; with one the first refusal does not end the search
 *
 * Return: 0, or -errno raised: UPATCH_E_NO_OBJECT, UPATCH_E_BUILD_ID, UPATCH_E_NO_FUNCTION,
 * UPATCH_E_FUNCTION_SIZE, UPATCH_E_BYTES_DIFFER, UPATCH_E_UNRESOLVED, and those of
 * arch_ops.entry_plan. With a listener nothing may be raised then: it was told.
 */
int plan_new(struct session *session, const struct patchfile *file,
	     const struct plan_listener *listener, struct plan *ret);
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
