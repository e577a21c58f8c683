/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef API_MEMBER_H
#define API_MEMBER_H

/* A part of a pair: the kernel, or a process. */

#include <stdbool.h>
#include <upatch/kernel.h>
#include <upatch/pair.h>

#include "api/transaction.h"
#include "base/deadline.h"
#include "patchfile/kmod.h"

enum {
	MEMBER_NAME_MAX = 32,
};

/* What all parts of one call share. */
struct pair {
	struct upatch_ctx *ctx;
	struct upatch_patch *patch;
	struct upatch_pair_options opts;
	struct kmod kmod; /* where the kernel is a part */
	bool is_check;	  /* look, and no more */
};

/*
 * @public:	the caller's
 * @target:	of a process, from its look on
 * @is_first, @is_last: in the order in which they are enabled
 */
struct member {
	struct pair *pair;
	struct upatch_pair_part *public;
	struct upatch_target *target;
	bool is_first;
	bool is_last;
	char name[MEMBER_NAME_MAX];
	char *remedy; /* of the part */
};

extern const struct part_ops member_process_ops;
extern const struct part_ops member_kernel_ops;

/* The kernel's patch is disabled: unload its module, where nobody uses it. The error raised stays. */
void member_unload(struct member *member);

/* May it go there and, when another part does not, have to go back all the way? The last one to go need not. */
static inline bool member_may_go_back(const struct member *m, enum transaction_goal goal)
{
	return goal == TRANSACTION_ENABLE ? !m->is_last : !m->is_first;
}

static inline unsigned int member_ms_left(uint64_t deadline)
{
	return (unsigned int)(deadline_left(deadline) / NSEC_PER_MSEC);
}

#endif
