/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_ISLAND_H
#define LIVEPATCH_ISLAND_H

/*
 * Making the slots for functions that nobody has patched yet, and taking islands away whose slots
 * nobody uses any more.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arch_regs;
struct plan_object;
struct rcall;
struct session;
struct unwind_stack;

/**
 * island_map() - room for an object's new slots, within reach of it
 * Sets slot and gateway addresses of its functions. Return: 0, or -errno raised.
 */
int island_map(struct session *session, struct plan_object *object, uint64_t seq,
	       struct rcall *rcall);

/**
 * island_write() - slots whose calls go to the dispatcher, and from there to the original
 * Nothing jumps to them yet; the target may run. Adds the island to the record's copy.
 * Return: 0, or -errno raised: UPATCH_E_RELOC_RANGE.
 */
int island_write(struct session *session, struct plan_object *object);

/* Does no slot of the island have its jump written? */
bool island_is_idle(const struct session *session, size_t index);

/* Is a stopped thread in, or will it return to, the code of any island? */
bool island_has_thread(const struct session *session, const struct arch_regs *regs,
		       const struct unwind_stack *stack);

/**
 * island_wait_empty() - wait until no thread is in an island
 * Return: 0; -EAGAIN, unraised, after five seconds; or -errno raised.
 */
int island_wait_empty(struct session *session);

#endif
