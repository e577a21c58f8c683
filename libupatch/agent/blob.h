/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AGENT_BLOB_H
#define AGENT_BLOB_H

/*
 * The agent as bytes, for those who put it into a target: struct upatch_agent, the text it heads, the
 * first bytes of its data. The rest of its data is zero. Made by the build, see meson.build.
 */

#include <stddef.h>
#include <upatch/abi_agent.h>

extern const unsigned char agent_blob[];
extern const size_t agent_blob_size;

/* Its head, in place: the array is aligned for it. */
static inline const struct upatch_agent *agent_blob_head(void)
{
	return (const struct upatch_agent *)(const void *)agent_blob;
}

#endif
