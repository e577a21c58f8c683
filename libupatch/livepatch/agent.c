/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/agent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <upatch/abi_agent.h>

#include "agent/blob.h"
#include "arch/arch.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "livepatch/plan.h"
#include "livepatch/region.h"
#include "livepatch/session.h"
#include "livepatch/template.h"
#include "livepatch/walk.h"
#include "patchfile/patchfile.h"
#include "target/freeze.h"
#include "target/target.h"
#include "target/unwind.h"

static const struct upatch_agent_export *find_export(const struct upatch_agent *head,
						     const char *name)
{
	for (uint32_t i = 0; i < head->nr_exports; i++)
		if (strncmp(head->exports[i].name, name, UPATCH_AGENT_NAME_SIZE) == 0)
			return &head->exports[i];
	return NULL;
}

bool agent_has_export(const char *name)
{
	return strncmp(name, "upatch_", strlen("upatch_")) == 0 &&
	       find_export(agent_blob_head(), name);
}

static const struct upatch_region *region_of(const struct session *s)
{
	int index = agent_region(s);

	return index < 0 ? NULL : &s->record.head->regions[index];
}

int agent_region(const struct session *session)
{
	const struct upatch_record *head = session->record.head;

	for (int i = 0; head && i < UPATCH_REGIONS_MAX; i++)
		if (head->regions[i].kind == UPATCH_REGION_AGENT &&
		    head->regions[i].state == UPATCH_REGION_MAPPED)
			return i;
	return -ENOENT;
}

bool agent_has_addr(const struct session *session, uint64_t addr)
{
	const struct upatch_region *region = region_of(session);

	return region && addr >= region->addr && addr - region->addr < region->text_size;
}

int agent_wait_empty(struct session *session)
{
	return walk_wait_outside(session, agent_has_addr, WALK_DOUBT_INSIDE);
}

/* --- its head: from the target's memory, so every number is checked ------------------------- */

static bool is_valid(const struct upatch_agent *head, const struct upatch_region *region)
{
	if (memcmp(head->magic, UPATCH_AGENT_MAGIC, sizeof(head->magic)) != 0 ||
	    head->text_size != region->text_size ||
	    head->data_size != region->size - region->text_size ||
	    head->data_size < sizeof(struct upatch_agent_data) ||
	    head->eh_frame_hdr_offset > head->text_size ||
	    head->eh_frame_hdr_size > head->text_size - head->eh_frame_hdr_offset ||
	    head->fork_offset < head->text_size || head->fork_offset > region->size ||
	    head->fork_offset % UPATCH_PAGE_SIZE ||
	    sizeof(struct upatch_agent_fork) > region->size - head->fork_offset ||
	    head->fork_size > region->size - head->fork_offset ||
	    head->nr_exports > UPATCH_AGENT_EXPORTS_MAX)
		return false;
	for (uint32_t i = 0; i < head->nr_exports; i++)
		if (head->exports[i].offset >= head->text_size)
			return false;
	return true;
}

/* Return: 0; 1 when there is none, or one that was not completed; -errno raised. */
static int read_head(struct session *s, struct upatch_agent *ret)
{
	const struct upatch_region *region = region_of(s);

	if (!region || target_read(s->target, region->addr, ret, sizeof(*ret)) < 0 ||
	    !is_valid(ret, region))
		return 1;
	if (ret->version != UPATCH_AGENT_VERSION)
		return diag_err(s->diag, -EPROTO, UPATCH_E_RECORD_VERSION, NULL,
				"its agent has version %u, we know %d", ret->version,
				UPATCH_AGENT_VERSION);
	return 0;
}

/* --- mapping ------------------------------------------------------------------------------------ */

static bool is_needed(const struct plan *plan)
{
	if (plan->nr_templates)
		return true;
	for (size_t i = 0; i < plan->nr_objects; i++)
		for (size_t n = 0; n < plan->objects[i].payload->nr_symbols; n++)
			if (plan->objects[i].load.symbols[n].is_agent)
				return true;
	return false;
}

static int settle_object(struct session *s, const struct plan_object *o,
			 const struct upatch_agent *head)
{
	for (size_t n = 0; n < o->payload->nr_symbols; n++) {
		const char *name = o->payload->symbols[n].name;
		const struct upatch_agent_export *export = find_export(head, name);

		if (!o->load.symbols[n].is_agent)
			continue;
		if (!export)
			return diag_err(s->diag, -EPROTO, UPATCH_E_RECORD_VERSION, NULL,
					"its agent does not offer '%s'", name);
		o->load.symbols[n].value = region_of(s)->addr + export->offset;
	}
	return 0;
}

static int settle_symbols(struct session *s, const struct plan *plan,
			  const struct upatch_agent *head)
{
	int r = 0;

	for (size_t i = 0; i < plan->nr_objects && r >= 0; i++)
		r = settle_object(s, &plan->objects[i], head);
	for (size_t i = 0; i < plan->nr_templates && r >= 0; i++)
		r = settle_object(s, plan->templates[i].object, head);
	return r;
}

/* A forked child must find the lock free: see agent/agent.h. */
static int wipe_on_fork(struct session *s, struct rcall *rcall, uint64_t addr)
{
	const struct upatch_agent *head = agent_blob_head();
	const uint64_t args[6] = { addr + head->fork_offset, head->fork_size, MADV_WIPEONFORK };
	int64_t result;
	int r;

	r = rcall_syscall(rcall, SYS_madvise, args, &result);
	if (r >= 0 && result < 0)
		return diag_err(s->diag, (int)result, UPATCH_E_RCALL, NULL,
				"madvise(2) failed in it: %s", strerror((int)-result));
	return r;
}

/* The magic last: without it the next run does it again. Nothing refers to it yet. */
static int write_blob(struct session *s, pid_t tracee, uint64_t addr)
{
	const struct upatch_agent *head = agent_blob_head();
	const struct upatch_agent_data data = { .record_addr = s->record.addr };
	const size_t skip = sizeof(head->magic);
	int r;

	r = target_write(s->target, tracee, addr + skip, agent_blob + skip, agent_blob_size - skip);
	if (r >= 0)
		r = target_write(s->target, tracee, addr + head->text_size, &data, sizeof(data));
	if (r >= 0)
		r = target_write(s->target, tracee, addr, head->magic, skip);
	return r;
}

int agent_map(struct session *session, const struct plan *plan, struct rcall *rcall)
{
	const struct upatch_agent *blob = agent_blob_head();
	const struct upatch_region want = {
		.kind = UPATCH_REGION_AGENT,
		.size = (uint64_t)blob->text_size + blob->data_size,
		.text_size = blob->text_size,
	};
	int index = agent_region(session);
	struct upatch_agent head;
	int r;

	if (!is_needed(plan))
		return 0;
	r = read_head(session, &head);
	if (r == 0)
		return settle_symbols(session, plan, &head);
	if (r < 0)
		return r;
	/* What an earlier run did not complete may be of another size. */
	if (index >= 0)
		r = region_unmap(session, rcall, (size_t)index);
	if (r >= 0)
		r = region_map(session, rcall, &want, NULL, &index);
	if (r < 0)
		return r;
	r = wipe_on_fork(session, rcall, session->record.head->regions[index].addr);
	if (r >= 0)
		r = write_blob(session, rcall->thread->tid,
			       session->record.head->regions[index].addr);
	return r < 0 ? r : settle_symbols(session, plan, blob);
}

uint64_t agent_export_addr(struct session *session, const char *name)
{
	const struct upatch_agent_export *export;
	struct upatch_agent head;

	if (read_head(session, &head) != 0)
		return 0;
	export = find_export(&head, name);
	return export ? region_of(session)->addr + export->offset : 0;
}

int agent_load_data(struct session *session, size_t offset, void *field, size_t size)
{
	const struct upatch_region *region = region_of(session);
	int r;

	r = region ? target_read(session->target, region->addr + region->text_size + offset, field,
				 size)
		   : -ENOENT;
	return r < 0 ? diag_err(session->diag, r, UPATCH_E_GONE, NULL, "cannot read its agent") : 0;
}

int agent_read_data(struct session *session, struct upatch_agent_data *ret)
{
	return agent_load_data(session, 0, ret, sizeof(*ret));
}

int agent_store_data(struct session *session, size_t offset, const void *field, size_t size)
{
	const struct upatch_region *region = region_of(session);

	return target_write(session->target, 0, region->addr + region->text_size + offset, field,
			    size);
}

static int read_fork(struct session *s, struct upatch_agent_fork *ret, uint64_t *ret_addr)
{
	struct upatch_agent head;

	if (read_head(s, &head) != 0)
		return -ENOENT;
	*ret_addr = region_of(s)->addr + head.fork_offset;
	return target_read(s->target, *ret_addr, ret, sizeof(*ret));
}

bool agent_is_busy(struct session *session)
{
	struct upatch_agent_fork shared;
	uint64_t addr;

	return read_fork(session, &shared, &addr) == 0 && shared.dl_lock;
}

/* @tid: 0: any; between taking the lock and saying so a thread is nobody in particular. */
static bool is_inside(struct session *s, const struct freeze *freeze, uint32_t tid)
{
	_cleanup_free_ struct unwind_stack *stack = malloc(sizeof(*stack));

	for (size_t i = 0; stack && i < freeze->nr; i++) {
		const struct thread *thread = &freeze->threads[i];

		if ((tid && (uint32_t)thread->tid != tid) || thread->state == THREAD_GONE)
			continue;
		if (walk_thread(s, thread, stack) != UNWIND_COMPLETE && tid)
			return true;
		for (size_t n = 0; n < stack->nr; n++)
			if (agent_has_addr(s, stack->frames[n].pc))
				return true;
	}
	return !stack;
}

int agent_break_lock(struct session *session)
{
	struct upatch_agent_fork shared;
	struct freeze freeze;
	uint64_t addr;
	int r;

	r = session_prepare_unwinder(session);
	if (r >= 0)
		r = session_freeze(session, &freeze);
	if (r < 0)
		return r;
	if (read_fork(session, &shared, &addr) == 0 && shared.dl_lock &&
	    !is_inside(session, &freeze, shared.dl_owner)) {
		shared.dl_lock = shared.dl_owner = shared.dl_depth = 0;
		r = target_write(session->target, freeze_any(&freeze), addr, &shared,
				 sizeof(shared));
	}
	freeze_thaw(&freeze);
	return r;
}

bool agent_is_idle(struct session *session)
{
	const struct upatch_region *region = region_of(session);
	struct upatch_agent_data data;

	if (!region)
		return false;
	for (size_t i = 0; i < UPATCH_PATCHES_MAX; i++)
		if (session->record.head->patches[i].state != UPATCH_PATCH_FREE)
			return false;
	return target_read(session->target, region->addr + region->text_size, &data,
			   sizeof(data)) == 0 &&
	       data.nr_shadows == 0;
}

int agent_add_code(struct session *session)
{
	const struct upatch_region *region = region_of(session);
	struct upatch_agent head;

	/* One that nobody completed has no frames. */
	if (!region || target_read(session->target, region->addr, &head, sizeof(head)) < 0 ||
	    !is_valid(&head, region))
		return 0;
	return unwinder_add_code(session->unwinder, region->addr, region->addr + region->text_size,
				 region->addr + head.eh_frame_hdr_offset, head.eh_frame_hdr_size);
}
