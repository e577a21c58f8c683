/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_STATE_H
#define LIVEPATCH_STATE_H

/* System states that patches declare, and klp's rule of which patches go together. */

#include <stddef.h>
#include <stdint.h>

struct diag;
struct patchfile;
struct payload;
struct payload_section;
struct session;

/* Of a patch that is enabled. */
struct state {
	uint64_t id;
	uint32_t version;
	const char *patch;
};

/* The section of a payload that declares states, or NULL. Its index is that of the payload's. */
const struct payload_section *state_section(const struct payload *payload);

/**
 * state_compare() - may a patch be enabled beside, or instead of, others?
 * As klp_is_patch_compatible(): it needs each state of theirs in the same or a later version; one that
 * it does not know is none of its business, unless it supersedes them (replace).
 *
 * Return: 0, or -EINVAL raised with UPATCH_E_STATE, UPATCH_E_BAD_PATCHFILE.
 */
int state_compare(struct diag *d, const struct patchfile *file, const struct state *states,
		  size_t nr);

/* The same, with what the target has. Reads only. Return: 0, or -errno raised as above. */
int state_check(struct session *session, const struct patchfile *file);

#endif
