/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AGENT_CALLS_H
#define AGENT_CALLS_H

/* Callbacks of a patch for an object that is here, and what the record says about them. */

#include <stdint.h>

#include "agent/dl_record.h"
#include "agent/poke.h"

/* enum upatch_callback_kind of <upatch/livepatch.h>, which is for programs with a C library. */
enum calls_kind {
	CALLS_PRE_PATCH = 1,
	CALLS_POST_PATCH,
	CALLS_PRE_UNPATCH,
	CALLS_POST_UNPATCH,
};

/* enum upatch_object_state, likewise */
enum calls_state {
	CALLS_LIVE,
	CALLS_COMING,
	CALLS_GOING,
};

struct calls {
	struct poke *poke;
	const struct upatch_patch_entry *entry;
	const struct upatch_meta *meta;
	const struct upatch_meta_object *object;
};

/* Run one, if there is one and it is its turn. Return: of pre-patch what it returned, else 0. */
int calls_run(const struct calls *calls, enum calls_kind kind);

/* What they are told about the object. */
void calls_tell(const struct calls *calls, enum calls_state state);

#endif
