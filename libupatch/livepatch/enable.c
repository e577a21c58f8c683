/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/enable.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arch/arch.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "livepatch/agent.h"
#include "livepatch/callback.h"
#include "livepatch/complete.h"
#include "livepatch/ehframe.h"
#include "livepatch/hooks.h"
#include "livepatch/island.h"
#include "livepatch/late.h"
#include "livepatch/library.h"
#include "livepatch/meta.h"
#include "livepatch/plan.h"
#include "livepatch/region.h"
#include "livepatch/session.h"
#include "livepatch/state.h"
#include "livepatch/takeover.h"
#include "livepatch/template.h"
#include "livepatch/transition.h"
#include "livepatch/unload.h"
#include "patchfile/patchfile.h"
#include "target/place.h"
#include "target/target.h"

static int check_name(struct session *s, const char *name)
{
	int index = record_find_patch(&s->record, name);

	if (index < 0)
		return 0;
	if (s->record.head->patches[index].state == UPATCH_PATCH_KEPT)
		return diag_err(
			s->diag, -EEXIST, UPATCH_E_EXISTS, NULL,
			"a disabled patch of that name is kept, as something may still refer "
			"to its code");
	return diag_err(s->diag, -EEXIST, UPATCH_E_EXISTS, NULL, "it is enabled already");
}

/* A disabled patch of that name, which had to be kept, may be able to go by now. */
static int drop_kept(struct session *s, const char *name)
{
	int index = s->record.addr ? record_find_patch(&s->record, name) : -ENOENT;
	int r;

	if (index < 0 || s->record.head->patches[index].state != UPATCH_PATCH_KEPT)
		return 0;
	r = unload_patch(s, (size_t)index);
	return r < 0 ? r : 0; /* UNLOAD_KEPT: check_name() says so */
}

/* Announce the patch: from here on the next run knows about it. */
static int announce(struct session *s, pid_t tracee, uint64_t seq, size_t *ret_index)
{
	struct upatch_patch_entry *entry;
	int index = record_free_patch(&s->record);
	int r;

	if (index < 0)
		return index;
	entry = &s->record.head->patches[index];
	*entry = (struct upatch_patch_entry){ .seq = seq };
	r = record_store(&s->record, tracee, entry, sizeof(*entry));
	if (r >= 0) {
		s->record.head->next_seq = seq + 1;
		r = record_store(&s->record, tracee, &s->record.head->next_seq, sizeof(seq));
	}
	if (r >= 0)
		r = record_set_patch_state(&s->record, tracee, (size_t)index, UPATCH_PATCH_LOADING);
	if (r < 0)
		return r;
	*ret_index = (size_t)index;
	return 0;
}

static int map_payload(struct session *s, struct plan_object *o, uint64_t seq, struct rcall *rcall)
{
	const struct upatch_region want = {
		.kind = UPATCH_REGION_PAYLOAD,
		.patch_seq = seq,
		.size = o->load.size,
		.text_size = (uint32_t)o->load.text_size,
		.ro_size = (uint32_t)o->load.ro_size,
	};
	const struct place_near near = {
		.start = o->start,
		.end = o->end,
		.reach = s->target->arch->branch_reach,
	};
	int r;

	r = region_map(s, rcall, &want, &near, &o->payload_region);
	if (r < 0)
		return r;
	o->load.addr = s->record.head->regions[o->payload_region].addr;
	for (size_t i = 0; i < o->nr_funcs; i++)
		o->funcs[i].new_addr = load_symbol_addr(o, o->funcs[i].func->symbol);
	return 0;
}

static int map_template(struct session *s, struct template *t, uint64_t seq, struct rcall *rcall)
{
	const uint64_t size = ALIGN_UP((uint64_t)t->size, (uint64_t)UPATCH_PAGE_SIZE);
	const struct upatch_region want = {
		.kind = UPATCH_REGION_TEMPLATE,
		.patch_seq = seq,
		.size = size,
		.ro_size = (uint32_t)size,
	};

	return region_map(s, rcall, &want, NULL, &t->region);
}

static int map_meta(struct session *s, const struct plan *plan, size_t index, struct rcall *rcall)
{
	struct upatch_patch_entry *entry = &s->record.head->patches[index];
	_cleanup_free_ struct upatch_meta *meta = NULL;
	struct upatch_region want = { .kind = UPATCH_REGION_META, .patch_seq = entry->seq };
	int region;
	int r;

	r = meta_new(s, plan, entry->seq, &meta);
	if (r < 0)
		return r;
	want.size = ALIGN_UP((uint64_t)meta->size, (uint64_t)UPATCH_PAGE_SIZE);
	want.ro_size = (uint32_t)want.size;
	r = region_map(s, rcall, &want, NULL, &region);
	if (r < 0)
		return r;
	entry->meta_addr = s->record.head->regions[region].addr;
	entry->meta_size = meta->size;
	return record_store(&s->record, rcall->thread->tid, &entry->meta_addr,
			    sizeof(entry->meta_addr) + sizeof(entry->meta_size));
}

/* What all else needs an address of: the record, and the agent. */
static int reserve_first(struct session *s, struct plan *plan, struct rcall *rcall,
			 size_t *ret_index)
{
	int r;

	r = region_map_record(s, rcall);
	if (r >= 0)
		r = announce(s, rcall->thread->tid, s->record.head->next_seq, ret_index);
	if (r >= 0)
		r = agent_map(s, plan, rcall);
	return r < 0 ? r : late_settle(s, plan);
}

static int reserve_rest(struct session *s, struct plan *plan, struct rcall *rcall, size_t index)
{
	uint64_t seq = s->record.head->patches[index].seq;
	int r = 0;

	for (size_t i = 0; i < plan->nr_objects && r >= 0; i++) {
		r = load_resolve_ifuncs(s, &plan->objects[i], rcall);
		if (r >= 0)
			r = map_payload(s, &plan->objects[i], seq, rcall);
		if (r >= 0)
			r = island_map(s, &plan->objects[i], seq, rcall);
	}
	for (size_t i = 0; i < plan->nr_templates && r >= 0; i++)
		r = map_template(s, &plan->templates[i], seq, rcall);
	if (r >= 0 && plan->hooks && !hooks_exist(s))
		r = hooks_map(s, plan->hooks, seq, rcall);
	return r < 0 ? r : map_meta(s, plan, index, rcall);
}

/* That takes a while: nobody is borrowed for it. */
static int make_templates(struct session *s, struct plan *plan)
{
	int r = 0;

	for (size_t i = 0; i < plan->nr_templates && r >= 0; i++)
		r = template_make(s, &plan->templates[i]);
	return r;
}

/* All that a thread of the target has to do for us, while the others go on. */
static int reserve(struct session *s, struct plan *plan, size_t *ret_index)
{
	struct rcall rcall;
	int r, end;

	r = session_borrow(s, &rcall);
	if (r < 0)
		return r;
	r = reserve_first(s, plan, &rcall, ret_index);
	if (r >= 0 && plan->nr_templates) {
		end = rcall_give_back(&rcall);
		r = end < 0 ? end : make_templates(s, plan);
		if (r >= 0)
			r = session_borrow(s, &rcall);
		if (r < 0)
			return r;
	}
	if (r >= 0)
		r = reserve_rest(s, plan, &rcall, *ret_index);
	end = rcall_give_back(&rcall);
	return r < 0 ? r : end;
}

/* Nothing refers to any of it yet: the target may run. */
static int write_payloads(struct session *s, struct plan *plan, size_t index)
{
	const struct upatch_patch_entry *entry = &s->record.head->patches[index];
	int r = 0;

	for (size_t i = 0; i < plan->nr_objects && r >= 0; i++) {
		struct plan_object *o = &plan->objects[i];

		r = load_relocate(s, o);
		if (r >= 0)
			r = target_write(s->target, 0, o->load.addr, o->load.bytes, o->load.size);
		if (r >= 0)
			r = island_write(s, o);
	}
	for (size_t i = 0; i < plan->nr_templates && r >= 0; i++)
		r = target_write(s->target, 0,
				 s->record.head->regions[plan->templates[i].region].addr,
				 plan->templates[i].bytes, plan->templates[i].size);
	if (r >= 0)
		r = late_write(s, plan, index);
	if (r >= 0 && plan->hooks && hooks_are_new(plan->hooks))
		r = hooks_write(s, plan->hooks);
	if (r >= 0)
		r = meta_new(s, plan, entry->seq, &s->record.metas[index]);
	if (r >= 0)
		r = target_write(s->target, 0, entry->meta_addr, s->record.metas[index],
				 entry->meta_size);
	return r;
}

/*
 * Have the target run what it must have run before the switch. From here on its threads may be in
 * the payload: the state says so first.
 */
static int prepare(struct session *s, const struct plan *plan, size_t index)
{
	int r;

	if (!ehframe_is_due(s, index) && !callbacks_exist(s, index) && !plan->nr_templates)
		return 0;
	r = record_set_patch_state(&s->record, 0, index, UPATCH_PATCH_LOADED);
	if (r >= 0 && plan->nr_templates)
		r = library_probe(s);
	if (r >= 0)
		r = ehframe_register(s, index);
	if (r >= 0)
		r = callbacks_pre_patch(s, index);
	/* From here on libraries that come get their part, and then those that are here do. */
	if (r >= 0 && plan->hooks && hooks_are_new(plan->hooks))
		r = hooks_arm(s, plan->hooks);
	if (r >= 0 && plan->nr_templates)
		r = library_scan(s, index);
	return r;
}

/* Undo prepare(). Where no code of the payload has run, nothing can refer to it. */
static int unprepare(struct session *s, size_t index)
{
	int r;

	if (!s->record.metas[index] || s->record.head->patches[index].state != UPATCH_PATCH_LOADED)
		return 0;
	callbacks_post_unpatch(s, index);
	r = library_claim(s, index);
	if (r >= 0)
		r = ehframe_deregister(s, index);
	if (r == 0 && !callbacks_exist(s, index) && !s->has_lost_call)
		r = record_set_patch_state(&s->record, 0, index, UPATCH_PATCH_LOADING);
	return r;
}

/* Go, as far as threads let us. Return: TRANSITION_DONE, TRANSITION_PENDING, or -errno raised. */
static int switch_to(struct session *s, size_t index, enum rule_goal goal, const struct plan *plan)
{
	struct transition transition;
	int r;

	r = session_prepare_unwinder(s);
	if (r >= 0)
		r = transition_init(s, index, goal, plan, &transition);
	if (r < 0)
		return r;
	r = transition_start(&transition);
	if (r >= 0)
		r = complete_transition(&transition, r);
	transition_deinit(&transition);
	return r;
}

/* Undo as far as it went. What fails is left to the next run, which the record tells about it. */
static void undo(struct session *s, size_t index)
{
	if (index != SIZE_MAX && s->record.head->patches[index].state != UPATCH_PATCH_FREE &&
	    unprepare(s, index) >= 0)
		(void)unload_patch(s, index); /* see above */
	(void)unload_rest(s);		      /* see above */
}

static void tell(struct session *s, const char *patch, const char *what)
{
	diag_info(s->diag, "target %d: patch '%s': %s", (int)s->target->pid, patch, what);
}

/* Has the transition started, so that there is no way back but to reverse it? */
static bool has_started(const struct session *s, size_t index)
{
	return index != SIZE_MAX && record_is_stacked(&s->record, index);
}

static int enable_new(struct session *s, const struct patchfile *file)
{
	size_t index = SIZE_MAX;
	struct plan plan;
	int r;

	/* 1. Find everything, verify everything: the target runs, nothing is written. */
	r = state_check(s, file);
	if (r >= 0)
		r = plan_new(s, file, NULL, &plan);
	if (r < 0)
		return r;
	tell(s, file->name, "enabling patch");
	/* 2. Reserve memory, through one borrowed thread. */
	r = reserve(s, &plan, &index);
	/* 3. Fill it, while the target runs. */
	if (r >= 0)
		r = write_payloads(s, &plan, index);
	if (r >= 0)
		tell(s, file->name, "initializing patching transition");
	/* 4. Run what is to run before, in a borrowed thread. */
	if (r >= 0)
		r = prepare(s, &plan, index);
	/* 5. Switch everybody who may in one stop, the others as they leave the old code. */
	if (r >= 0)
		r = switch_to(s, index, RULE_PATCHED, &plan);
	plan_deinit(&plan);
	if (r < 0 && !has_started(s, index)) {
		const struct upatch_error cause = diag_set_aside(s->diag);

		tell(s, file->name, "failed to enable patch");
		tell(s, file->name, "canceling patching transition, going to unpatch");
		tell(s, file->name, "completing unpatching transition");
		undo(s, index);
		tell(s, file->name, "unpatching complete");
		diag_put_back(s->diag, &cause);
	}
	return r;
}

int enable_patch(struct session *session, const struct patchfile *file)
{
	struct session *s = session;
	int r = 0;

	if (takeover_is_due(s))
		r = takeover_run(s);
	if (r < 0)
		return r;
	if (s->record.addr) {
		int open = record_find_open(&s->record);

		if (open >= 0 && open == record_find_patch(&s->record, file->name))
			return complete_open(s, (size_t)open, RULE_PATCHED);
		r = complete_busy(s);
	}
	if (r >= 0)
		r = drop_kept(s, file->name);
	if (r >= 0)
		r = check_name(s, file->name);
	if (r >= 0)
		r = enable_new(s, file);
	/* Now that this is known: is there something to do without libraries that come? */
	if (r == -ENOTSUP && s->may_not_write)
		r = enable_new(s, file);
	return r;
}

/* --- disable --------------------------------------------------------------------------------- */

/* Does @upper sit on @lower, on any function of both? */
static bool is_on(const struct record *record, size_t upper, size_t lower)
{
	const struct upatch_meta *meta = record->metas[lower];

	if (record->head->patches[upper].seq <= record->head->patches[lower].seq)
		return false;
	for (uint32_t i = 0; i < meta->nr_funcs; i++)
		if (meta_func_is_here(meta, i) &&
		    record_func_of(record, upper,
				   record_slot_at(record, meta_funcs(meta)[i].slot_addr)))
			return true;
	return false;
}

/* Is it not on top of its functions, where it has to be? */
static int check_order(struct session *s, size_t index, unsigned int flags)
{
	const struct record *record = &s->record;

	for (size_t i = 0; i < UPATCH_PATCHES_MAX; i++) {
		if (!record_is_stacked(record, i) || !is_on(record, i, index))
			continue;
		/* stack_order=strict, of the patch itself or of one that is on it */
		if ((record->metas[i]->flags | record->metas[index]->flags) & UPATCH_META_STRICT)
			return diag_err(
				s->diag, -EBUSY, UPATCH_E_STACK_ORDER, NULL,
				"patch '%s' was enabled after it for the same function, and %s "
				"asks for strict order",
				record->metas[i]->name,
				record->metas[i]->flags & UPATCH_META_STRICT ? "that one"
									     : "this one");
		if (flags & DISABLE_MAY_BE_UNDONE)
			return diag_err(s->diag, -EBUSY, UPATCH_E_STACK_ORDER, NULL,
					"patch '%s' was enabled after it for the same function: if "
					"another part failed this one would come back on top of it",
					record->metas[i]->name);
	}
	return 0;
}

int disable_check(struct session *session, const char *name, unsigned int flags)
{
	const struct record *record = &session->record;
	int index = record->addr ? record_find_patch(record, name) : -ENOENT;
	int r;

	if (index < 0 || record->head->patches[index].state == UPATCH_PATCH_KEPT ||
	    record_find_open(record) == index)
		return 0;
	r = complete_raise_busy(session);
	return r < 0 ? r : check_order(session, (size_t)index, flags);
}

int disable_patch(struct session *session, const char *name)
{
	struct session *s = session;
	int index, open;
	int r = 0;

	if (takeover_is_due(s))
		r = takeover_run(s);
	if (r < 0)
		return r;
	index = s->record.addr ? record_find_patch(&s->record, name) : -ENOENT;
	if (index < 0)
		return diag_err(s->diag, -ENOENT, UPATCH_E_NOT_APPLIED, NULL,
				"no patch of that name is enabled");
	if (s->record.head->patches[index].state == UPATCH_PATCH_KEPT) {
		/* Disabled before; see whether it can go now. */
		r = unload_patch(s, (size_t)index);
		return r < 0 ? r : unload_rest(s);
	}
	open = record_find_open(&s->record);
	if (open == index)
		return complete_open(s, (size_t)index, RULE_UNPATCHED);
	r = complete_busy(s);
	/* The one that was open may have been a replace patch, and this one has gone with it. */
	if (r >= 0 && open >= 0)
		return disable_patch(s, name);
	if (r >= 0)
		r = check_order(s, (size_t)index, 0);
	if (r < 0)
		return r;
	tell(s, name, "initializing unpatching transition");
	callbacks_pre_unpatch(s, (size_t)index);
	return switch_to(s, (size_t)index, RULE_UNPATCHED, NULL);
}
