/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <upatch/upatch.h>

#include "base/export.h"

/* Words that all who report use, so that one thing has one name. */

EXPORT const char *upatch_outcome_name(int outcome, enum upatch_exit status)
{
	if (outcome < 0)
		return status == UPATCH_EXIT_NOTHING ? "nothing" : "refused";
	return outcome == UPATCH_PENDING ? "pending" : "done";
}

EXPORT const char *upatch_thread_state_name(int state)
{
	if (state < 0)
		return "no transition";
	return state ? "patched" : "unpatched";
}
