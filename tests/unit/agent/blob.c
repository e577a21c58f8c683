/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "blob.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "agent/blob.h"

#include <cmocka.h>

static void *find(const struct agent *agent, const char *name)
{
	for (uint32_t i = 0; i < agent->head->nr_exports; i++)
		if (strcmp(agent->head->exports[i].name, name) == 0)
			return agent->base + agent->head->exports[i].offset;
	fail_msg("the agent does not export %s", name);
	return NULL;
}

void agent_map(struct agent *ret)
{
	const struct upatch_agent *head = agent_blob_head();
	size_t size = head->text_size + head->data_size;
	uint8_t *base =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(base, MAP_FAILED);
	assert_true(agent_blob_size <= size);
	memcpy(base, agent_blob, agent_blob_size);
	assert_int_equal(mprotect(base, head->text_size, PROT_READ | PROT_EXEC), 0);
	assert_int_equal(madvise(base + head->fork_offset, head->fork_size, MADV_WIPEONFORK), 0);
	*ret = (struct agent){
		.base = base,
		.head = (void *)base,
		.data = (void *)(base + head->text_size),
	};
	ret->get = find(ret, "upatch_shadow_get");
	ret->alloc = find(ret, "upatch_shadow_alloc");
	ret->get_or_alloc = find(ret, "upatch_shadow_get_or_alloc");
	ret->free = find(ret, "upatch_shadow_free");
	ret->free_all = find(ret, "upatch_shadow_free_all");
	ret->state_get = find(ret, "upatch_state_get_at");
	ret->state_get_prev = find(ret, "upatch_state_get_prev_at");
}

void agent_unmap(struct agent *agent)
{
	assert_int_equal(munmap(agent->base, agent->head->text_size + agent->head->data_size), 0);
	*agent = (struct agent){};
}
