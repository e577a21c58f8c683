/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/unload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/diag.h"
#include "livepatch/agent.h"
#include "livepatch/callback.h"
#include "livepatch/ehframe.h"
#include "livepatch/hooks.h"
#include "livepatch/island.h"
#include "livepatch/late.h"
#include "livepatch/library.h"
#include "livepatch/refs.h"
#include "livepatch/region.h"
#include "livepatch/session.h"
#include "target/freeze.h"
#include "target/target.h"

static const uint64_t search_patience = 2 * NSEC_PER_SEC;

/* Does memory refer to the patch's code? Return: REFS_*, or -errno raised. */
static int search_refs(struct session *s, const struct upatch_meta *meta, uint64_t *ret_addr)
{
	_cleanup_free_ struct refs_range *ranges = calloc(meta->nr_objects + 1, sizeof(*ranges));
	size_t nr = 0;

	if (!ranges)
		return diag_oom(s->diag);
	for (uint32_t i = 0; i < meta->nr_objects; i++) {
		const struct upatch_meta_object *o = &meta_objects(meta)[i];

		if (meta_object_is_here(o))
			ranges[nr++] = (struct refs_range){
				.start = o->payload_addr + UPATCH_TEXT_LANDING,
				.end = o->payload_addr + o->text_size,
			};
	}
	if (!nr)
		return 0;
	return refs_search(s,
			   &(struct refs_query){
				   .ranges = ranges,
				   .nr = nr,
				   .deadline = deadline_in(search_patience),
			   },
			   ret_addr);
}

/*
 * A thread in the agent may be reading the meta of any patch, for its states. That takes no time; if a
 * constructor does, which must not, the patch is kept. Return: 0; -EAGAIN, unraised; or -errno raised.
 */
static int wait_for_readers(struct session *s, const struct upatch_meta *meta)
{
	uint64_t nr_states = 0;
	int r = 0;

	for (uint32_t i = 0; i < meta->nr_objects; i++)
		nr_states |= meta_objects(meta)[i].nr_states;
	if (nr_states && agent_region(s) >= 0)
		r = agent_wait_empty(s);
	return r;
}

static int unmap_regions(struct session *s, uint64_t seq, struct rcall *rcall)
{
	int r = 0;

	for (size_t i = 0; i < UPATCH_REGIONS_MAX && r >= 0; i++) {
		const struct upatch_region *region = &s->record.head->regions[i];

		if (region->state != UPATCH_REGION_FREE && region->patch_seq == seq)
			r = region_unmap(s, rcall, i);
	}
	return r;
}

static int forget(struct session *s, size_t index, pid_t tracee)
{
	free(s->record.metas[index]);
	s->record.metas[index] = NULL;
	return record_set_patch_state(&s->record, tracee, index, UPATCH_PATCH_FREE);
}

/* Islands that were made for a patch that never got further: nothing jumps to them. */
static void drop_islands(struct session *s, uint64_t seq)
{
	struct record *record = &s->record;

	for (size_t i = 0; i < record->nr_islands; i++) {
		if (record->head->regions[record->islands[i].region].patch_seq != seq)
			continue;
		free(record->islands[i].head);
		record->islands[i--] = record->islands[--record->nr_islands];
	}
}

static const char *describe(enum upatch_kept_reason reason)
{
	switch (reason) {
	case UPATCH_KEPT_FORCED:
		return "threads were forced, and may be in its code";
	case UPATCH_KEPT_REFERENCED:
		return "memory refers to its code";
	case UPATCH_KEPT_UNKNOWN:
		break;
	}
	return "too much memory to search for references";
}

static int keep(struct session *s, size_t index, enum upatch_kept_reason reason)
{
	struct record *record = &s->record;
	struct upatch_patch_entry *entry = &record->head->patches[index];
	int r;

	diag_info(s->diag, "target %d: patch '%s': kept, %s", (int)s->target->pid,
		  record->metas[index]->name, describe(reason));
	entry->kept_reason = reason;
	r = record_store(record, 0, &entry->kept_reason, sizeof(entry->kept_reason));
	if (r >= 0)
		r = record_set_patch_state(record, 0, index, UPATCH_PATCH_KEPT);
	return r < 0 ? r : UNLOAD_KEPT;
}

/* Is there a reason to keep a patch's code? Return: 0, enum upatch_kept_reason, or -errno raised. */
static int find_reason(struct session *s, size_t index)
{
	const struct upatch_patch_entry *entry = &s->record.head->patches[index];
	uint64_t addr;
	int r;

	if (entry->state == UPATCH_PATCH_LOADING || !s->record.metas[index])
		return 0; /* nothing ever referred to it; or it was searched, and is half unmapped */
	if (entry->flags & UPATCH_PATCH_FORCED)
		return UPATCH_KEPT_FORCED;
	r = wait_for_readers(s, s->record.metas[index]);
	if (r == -EAGAIN)
		return UPATCH_KEPT_REFERENCED;
	if (r < 0)
		return r;
	r = search_refs(s, s->record.metas[index], &addr);
	if (r == REFS_FOUND) {
		const struct mapping *m = maps_find(&s->maps, addr);

		diag_debug(s->diag, "target %d: the word at 0x%llx (%s) refers to its code",
			   (int)s->target->pid, (unsigned long long)addr,
			   m && *m->path ? m->path : "anonymous memory");
		return UPATCH_KEPT_REFERENCED;
	}
	return r == REFS_UNKNOWN ? UPATCH_KEPT_UNKNOWN : r;
}

/* Its post-unpatch callbacks, where nobody came to run them; klp: those of replaced patches never are. */
static bool has_due_callbacks(const struct session *s, size_t index)
{
	const struct record *record = &s->record;
	const struct upatch_patch_entry *entries = record->head->patches;

	if (!record->metas[index] || entries[index].state == UPATCH_PATCH_KEPT)
		return false;
	for (size_t i = 0; i < UPATCH_PATCHES_MAX; i++)
		if (entries[i].state == UPATCH_PATCH_ENABLED &&
		    entries[i].seq > entries[index].seq && record->metas[i] &&
		    record->metas[i]->flags & UPATCH_META_REPLACE)
			return false;
	return true;
}

int unload_patch(struct session *session, size_t index)
{
	uint64_t seq = session->record.head->patches[index].seq;
	struct rcall rcall;
	int r;

	if (has_due_callbacks(session, index))
		callbacks_post_unpatch(session, index);
	r = find_reason(session, index);
	if (r != 0)
		return r < 0 ? r : keep(session, index, (enum upatch_kept_reason)r);
	/* Until here its frames can be unwound. */
	if (session->record.metas[index])
		r = ehframe_deregister(session, index);
	if (r > 0)
		return keep(session, index, UPATCH_KEPT_REFERENCED);
	if (r >= 0)
		r = late_clear(session, index);
	if (r >= 0)
		r = session_borrow(session, &rcall);
	if (r < 0)
		return r;
	drop_islands(session, seq);
	r = unmap_regions(session, seq, &rcall);
	if (r >= 0)
		r = forget(session, index, rcall.thread->tid);
	int end = rcall_give_back(&rcall);

	return r < 0 ? r : end;
}

int unload_kept(struct session *session, unsigned int *ret_freed, unsigned int *ret_kept)
{
	struct record *record = &session->record;
	unsigned int freed = 0, kept = 0;
	int r = 0;

	for (size_t i = 0; record->addr && i < UPATCH_PATCHES_MAX && r >= 0; i++) {
		if (record->head->patches[i].state != UPATCH_PATCH_KEPT)
			continue;
		r = unload_patch(session, i);
		if (r >= 0)
			*(r == UNLOAD_KEPT ? &kept : &freed) += 1;
	}
	if (r >= 0)
		r = unload_rest(session);
	*ret_freed = freed;
	*ret_kept = kept;
	return r;
}

static bool is_empty(const struct record *record)
{
	for (size_t i = 0; i < UPATCH_PATCHES_MAX; i++)
		if (record->head->patches[i].state != UPATCH_PATCH_FREE)
			return false;
	for (size_t i = 0; i < UPATCH_REGIONS_MAX; i++)
		if (record->head->regions[i].state != UPATCH_REGION_FREE)
			return false;
	return true;
}

static int unmap_idle_islands(struct session *s, struct rcall *rcall)
{
	struct record *record = &s->record;
	int r = 0;

	for (size_t i = 0; i < record->nr_islands && r >= 0; i++) {
		if (!island_is_idle(s, i))
			continue;
		r = region_unmap(s, rcall, record->islands[i].region);
		if (r < 0)
			break;
		free(record->islands[i].head);
		record->islands[i--] = record->islands[--record->nr_islands];
	}
	return r;
}

/* The agent looks into islands of its own, for those of a library that goes: not into these any more. */
static int take_idle_islands(struct session *s)
{
	struct record *record = &s->record;
	struct freeze freeze;
	int r;

	if (agent_region(s) < 0)
		return 0;
	r = library_freeze(s, &freeze);
	if (r < 0)
		return r;
	r = library_sync(s);
	for (size_t i = 0; i < record->nr_islands && r >= 0; i++)
		if (island_is_idle(s, i))
			r = record_set_region_state(record, freeze_any(&freeze),
						    record->islands[i].region,
						    UPATCH_REGION_RESERVED);
	freeze_thaw(&freeze);
	return r < 0 ? r : 0;
}

/* Announced, but of no patch: an island on its way out when we died. */
static bool is_stray(const struct upatch_region *region)
{
	return region->state == UPATCH_REGION_RESERVED && !region->patch_seq;
}

int unload_rest(struct session *session)
{
	struct record *record = &session->record;
	bool has_idle = false, has_stray = false, has_agent;
	struct rcall rcall;
	int r = 0;

	if (!record->addr)
		return 0;
	if (hooks_exist(session) && !hooks_are_needed(session))
		r = hooks_disarm(session);
	if (r < 0)
		return r;
	has_agent = agent_is_idle(session);
	for (size_t i = 0; i < record->nr_islands; i++)
		has_idle = has_idle || island_is_idle(session, i);
	for (size_t i = 0; i < UPATCH_REGIONS_MAX; i++)
		has_stray = has_stray || is_stray(&record->head->regions[i]);
	if (!has_idle && !has_stray && !has_agent && !is_empty(record))
		return 0;
	if (has_idle)
		r = take_idle_islands(session);
	if (r >= 0 && has_idle)
		r = island_wait_empty(session);
	if (r >= 0 && has_agent)
		r = agent_wait_empty(session);
	if (r == -EAGAIN) {
		diag_debug(session->diag, "target %d: a thread stays in an island or the agent",
			   (int)session->target->pid);
		return 0; /* the next run tries again */
	}
	if (r >= 0)
		r = session_borrow(session, &rcall);
	if (r < 0)
		return r;
	r = unmap_idle_islands(session, &rcall);
	if (r >= 0 && has_agent)
		r = region_unmap(session, &rcall, (size_t)agent_region(session));
	for (size_t i = 0; i < UPATCH_REGIONS_MAX && r >= 0; i++)
		if (is_stray(&record->head->regions[i]))
			r = region_unmap(session, &rcall, i);
	if (r >= 0 && is_empty(record))
		r = region_unmap_record(session, &rcall);
	int end = rcall_give_back(&rcall);

	return r < 0 ? r : end;
}
