/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/suspended.h"

#include <stdlib.h>
#include <upatch/abi.h>

#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/diag.h"
#include "livepatch/refs.h"
#include "livepatch/session.h"
#include "livepatch/stack.h"
#include "target/target.h"

/* Everybody is stopped meanwhile: whoever asked for it knows. */
static const uint64_t search_patience = 2 * NSEC_PER_SEC;

/*
 * Pointers to a function's start are everywhere, and nobody returns there: what counts is behind it. A
 * payload's first bytes are no code.
 */
static size_t fill_ranges(const struct stack_rule *rule, struct refs_range *ranges)
{
	size_t nr = 0;

	for (size_t i = 0; i < rule->nr; i++) {
		const struct stack_range *range = &rule->ranges[i];

		if (range->kind == STACK_RANGE_FUNC && range->end > range->start + 1)
			ranges[nr++] = (struct refs_range){ range->start + 1, range->end };
	}
	return nr;
}

static const struct stack_range *range_of(struct session *s, const struct stack_rule *rule,
					  uint64_t addr)
{
	uint64_t word;

	if (target_read(s->target, addr, &word, sizeof(word)) < 0)
		return NULL;
	return stack_rule_find(rule, STACK_RANGE_FUNC, word - 1);
}

int suspended_find(struct session *session, const struct stack_rule *rule,
		   const struct stack_range **ret)
{
	_cleanup_free_ struct refs_range *ranges = calloc(rule->nr + 1, sizeof(*ranges));
	struct refs_query query = {
		.ranges = ranges,
		.deadline = deadline_in(search_patience),
		.flags = REFS_SUSPENDED,
	};
	uint64_t addr = 0;
	int r;

	if (!ranges)
		return diag_oom(session->diag);
	query.nr = fill_ranges(rule, ranges);
	r = refs_search(session, &query, &addr);
	if (r < 0 || r == REFS_NONE)
		return r;
	*ret = r == REFS_FOUND ? range_of(session, rule, addr) : NULL;
	return SUSPENDED_FOUND;
}
