/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_SESSION_H
#define LIVEPATCH_SESSION_H

/* What one operation knows about its target: mappings, objects, record, ways to unwind and call. */

#include <stdbool.h>
#include <stdint.h>

#include "livepatch/record.h"
#include "target/maps.h"
#include "target/object.h"
#include "target/rcall.h"

struct diag;
struct freeze;
struct image_cache;
struct target;
struct unwinder;

enum session_flags {
	SESSION_SCAN_MEMORY = 1, /* functions suspended on stacks of no thread count, too */
};

struct session {
	struct target *target;
	struct diag *diag;
	struct image_cache *cache;
	struct maps maps;
	struct object_list objects;
	struct record record;
	struct unwinder *unwinder;   /* NULL until session_prepare_unwinder() */
	struct rcall_sites sites;    /* 0 until session_borrow() */
	uint64_t deadline;	     /* ns */
	uint64_t generation;	     /* of the agent's changes, that the record includes */
	unsigned int flags;	     /* enum session_flags */
	bool idle_islands_are_empty; /* the last stop found no thread in an island */
	uint64_t loader_addr;	     /* code that relocates what is being loaded, 0: unknown */
	uint64_t loader_size;
	bool may_not_write;	  /* code, itself: it was tried */
	bool may_not_open;	  /* its memory file, itself: see filters_judge() */
	bool has_lost_call;	  /* what a thread was to run for us may still run */
	uint64_t *stack_pointers; /* of all threads in the last stop; NULL before */
	size_t nr_stack_pointers;
	uint64_t *thread_pointers; /* likewise, in the same order */
	uint64_t *registers;	   /* what these threads had in theirs */
	size_t nr_registers;
};

/**
 * session_open() - look at a target, which runs on
 * @deadline: for everything that waits
 * Return: 0, or -errno raised.
 */
int session_open(struct target *target, struct image_cache *cache, uint64_t deadline,
		 struct session *ret);
void session_close(struct session *session);

/* Read the record, as it is at one time. The mappings are known. Return: 0, or -errno raised. */
int session_read_record(struct session *session);

/* Look again: after mapping or unmapping something. Return: 0, or -errno raised. */
int session_reload_maps(struct session *session);

/* Make ready to walk stacks: objects and the payloads in the record. Return: 0, or raised. */
int session_prepare_unwinder(struct session *session);

/* freeze_all(), within the deadline, or within the second that a busy machine may need. */
int session_freeze(struct session *session, struct freeze *ret);

/*
 * Where the stacks of stopped threads end: below, a stack is dead; and what is in their registers.
 * Without memory: not known.
 */
void session_remember_stacks(struct session *session, const struct freeze *freeze);

/* Borrow a thread for rcalls, see rcall_borrow(). */
int session_borrow(struct session *session, struct rcall *ret);

#endif
