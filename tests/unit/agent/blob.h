/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TEST_AGENT_BLOB_H
#define TEST_AGENT_BLOB_H

/* The agent, mapped into the test as the host maps it into a target. */

#include <stddef.h>
#include <stdint.h>
#include <upatch/abi_agent.h>
#include <upatch/livepatch.h>

struct agent {
	uint8_t *base;
	const struct upatch_agent *head;
	struct upatch_agent_data *data;
	void *(*get)(void *obj, unsigned long id);
	void *(*alloc)(void *obj, unsigned long id, size_t size, upatch_shadow_ctor ctor,
		       void *ctor_data);
	void *(*get_or_alloc)(void *obj, unsigned long id, size_t size, upatch_shadow_ctor ctor,
			      void *ctor_data);
	void (*free)(void *obj, unsigned long id, upatch_shadow_dtor dtor);
	void (*free_all)(unsigned long id, upatch_shadow_dtor dtor);
	struct upatch_state *(*state_get)(const void *in_payload, unsigned long id);
	struct upatch_state *(*state_get_prev)(const void *in_payload, unsigned long id);
};

void agent_map(struct agent *ret);
void agent_unmap(struct agent *agent);

#endif
