/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_STACK_H
#define LIVEPATCH_STACK_H

/*
 * The rule that says whether a thread may switch. A pure function of its stack and of what is
 * looked for: klp_check_stack() of the kernel.
 *
 * A thread may switch when its stack was walked to its root and no frame of it is in code that the
 * transition takes out of use.
 */

#include <stddef.h>
#include <stdint.h>

#include "target/unwind.h"

enum stack_range_kind {
	STACK_RANGE_FUNC,    /* a function that goes out of use */
	STACK_RANGE_PAYLOAD, /* all code of a patch that does */
	STACK_RANGE_ENTRY, /* bytes behind the start of an entry that is about to be overwritten */
	STACK_RANGE_GATE,  /* dispatchers: a thread in one is on its way */
};

struct stack_range {
	uint64_t start;
	uint64_t end;
	enum stack_range_kind kind;
	const char *function; /* for messages; borrowed */
	uint64_t
		entry; /* FUNC: whoever stands exactly here has run nothing of it, and meets the jump */
};

/* Ranges sorted by start, kept apart by kind. */
struct stack_rule {
	struct stack_range *ranges;
	size_t nr;
	size_t alloc;
};

enum stack_verdict {
	STACK_CLEAN,
	STACK_IN_FUNCTION, /* a frame is in code that goes out of use */
	STACK_IN_ENTRY,	   /* a frame will return into bytes that are about to be overwritten */
	STACK_IN_GATE, /* a frame is in a dispatcher: it is about to call one version or the other */
	STACK_SUSPENDED,  /* no thread's: something is suspended in code that goes out of use */
	STACK_UNRELIABLE, /* the walk did not reach the stack's root */
};

/* Return: 0, or -ENOMEM, unraised. */
int stack_rule_add(struct stack_rule *rule, const struct stack_range *range);
void stack_rule_sort(struct stack_rule *rule);
void stack_rule_deinit(struct stack_rule *rule);

/* The range of that kind that an address is in, or NULL. */
const struct stack_range *stack_rule_find(const struct stack_rule *rule, enum stack_range_kind kind,
					  uint64_t addr);

/**
 * stack_check() - judge one thread
 * @ret_range: what was hit, NULL when nothing or nothing in particular
 *
 * A hit counts even when the walk was lost: what was found is real.
 */
enum stack_verdict stack_check(const struct stack_rule *rule, const struct unwind_stack *stack,
			       enum unwind_outcome outcome, const struct stack_range **ret_range);

#endif
