/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_RULE_H
#define LIVEPATCH_RULE_H

/* What must not be on a thread's stack when it switches, for a patch in a record. */

#include <stddef.h>

#include "livepatch/stack.h"

struct session;
struct slots;

enum rule_goal {
	RULE_UNPATCHED, /* the patch goes */
	RULE_PATCHED,	/* it comes */
};

/**
 * rule_new() - the code that goes out of use, dispatchers, and entries that are not written yet
 * @slots: those concerned
 *
 * Coming: what its functions replace, the original or another patch's function; of a replace patch
 * everything that the others brought. Going: everything that it brought.
 *
 * Return: 0, or -ENOMEM raised. Strings are borrowed from the record.
 */
int rule_new(struct session *session, size_t patch, enum rule_goal goal, const struct slots *slots,
	     struct stack_rule *ret);

#endif
