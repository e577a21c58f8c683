/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef API_OPERATION_H
#define API_OPERATION_H

/* The frame around each call that looks into a target: session, deadline, error, cost. */

#include <stdbool.h>
#include <stdint.h>
#include <upatch/upatch.h>

#include "livepatch/session.h"

struct operation {
	struct upatch_target *target; /* borrowed */
	uint64_t begun;		      /* ns */
	struct session session;
	bool has_session;
};

/**
 * operation_begin() - open a session
 * @patch: what it is about, or NULL; borrowed
 * @opts: or NULL for the defaults
 * Return: 0, or -errno raised; operation_end() follows in either case.
 */
int operation_begin(struct operation *op, struct upatch_target *target, const char *patch,
		    const struct upatch_options *opts);

/* Close it. @cost: or NULL. Return: @r. */
int operation_end(struct operation *op, int r, struct upatch_cost *cost);

#endif
