/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_UNIT_LIVEPATCH_WORLD_H
#define TESTS_UNIT_LIVEPATCH_WORLD_H

/*
 * A target that is this process: a record, functions, an island with their slots, patches. What the
 * library stores arrives here, in @target_slots and in @code; what it believes is in @session.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <upatch/abi.h>

#include "base/diag.h"
#include "livepatch/session.h"
#include "target/target.h"

#include <cmocka.h>

enum {
	WORLD_FUNC_SIZE = 64, /* bytes of each function, and of its split-off piece */
	WORLD_ENTRY_SIZE = 5,
	WORLD_COVERED = 7,
	WORLD_NEW_SIZE = 48,
};

struct world {
	struct diag diag;
	struct target target;
	struct session session;
	uint8_t *record; /* as the target has it */
	uint8_t *island; /* likewise: its read-only part */
	uint8_t *code;	 /* of the functions, one behind the other, then their pieces */
	size_t nr_funcs;
};

void world_init(struct world *w, size_t nr_funcs);
void world_deinit(struct world *w);

/*
 * A patch for the functions listed, to a negative one; none of them has a slot yet. @flags: enum
 * upatch_meta_flags. Return: its index in the record. The later, the newer.
 */
size_t world_add(struct world *w, enum upatch_patch_state state, uint32_t flags, const int *funcs);

void world_set_state(struct world *w, size_t patch, enum upatch_patch_state state);

/* Addresses: of a function, of its split-off piece, of what a patch has instead, of all its code. */
uint64_t world_func(const struct world *w, int func);
uint64_t world_piece(const struct world *w, int func);
uint64_t world_new(size_t patch, int func);
uint64_t world_payload(size_t patch);

enum {
	WORLD_PAYLOAD_TEXT = 0x40000,
};

/* A slot: as the library believes it is, as it is in the target, and where parts of its code are. */
struct upatch_slot *world_slot(struct world *w, int func);
const struct upatch_slot *world_target_slot(const struct world *w, int func);
uint64_t world_gateway(struct world *w, int func);
uint64_t world_dispatcher(struct world *w, int func);

/* A function has its own bytes, or the jump, at its entry. */
void world_assert_original(const struct world *w, int func);
void world_assert_jump(const struct world *w, int func);
void world_write_jump(struct world *w, int func);

#endif
