/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_CHECK_H
#define LIVEPATCH_CHECK_H

/* What enabling a patch would meet: a plan, and one look at all threads. */

#include "livepatch/plan.h"
#include "livepatch/threads.h"

struct patchfile;
struct session;

struct check {
	struct plan plan;
	struct threads threads; /* those that enabling would have to wait for */
};

/**
 * check_patch() - find out, changing nothing
 * @listener: told about every object and function
 * Return: 0, or -errno raised: enabling would be refused.
 */
int check_patch(struct session *session, const struct patchfile *file,
		const struct plan_listener *listener, struct check *ret);
void check_deinit(struct check *check);

#endif
