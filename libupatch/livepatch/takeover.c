/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/takeover.h"

#include <errno.h>

#include "base/array.h"
#include "base/deadline.h"
#include "base/diag.h"
#include "livepatch/island.h"
#include "livepatch/session.h"
#include "livepatch/transition.h"
#include "livepatch/unload.h"
#include "target/freeze.h"
#include "target/target.h"

/* Announced mappings that belong to no patch: an island on its way out. */
static bool has_stray_region(const struct record *record)
{
	for (size_t i = 0; i < UPATCH_REGIONS_MAX; i++)
		if (record->head->regions[i].state == UPATCH_REGION_RESERVED)
			return true;
	return false;
}

static bool is_half_done(enum upatch_patch_state state)
{
	return state == UPATCH_PATCH_LOADING || state == UPATCH_PATCH_ENABLING ||
	       state == UPATCH_PATCH_DISABLING || state == UPATCH_PATCH_UNLOADING;
}

bool takeover_is_due(const struct session *session)
{
	const struct record *record = &session->record;
	bool is_empty = true;

	if (!record->addr)
		return false;
	for (size_t i = 0; i < UPATCH_PATCHES_MAX; i++) {
		if (is_half_done(record->head->patches[i].state))
			return true;
		if (record->head->patches[i].state != UPATCH_PATCH_FREE)
			is_empty = false;
	}
	for (size_t i = 0; i < record->nr_islands; i++)
		if (island_is_idle(session, i))
			return true;
	return is_empty || has_stray_region(record);
}

/* Which way an interrupted transition goes: transition.h has the table. */
static int settle_open(struct session *s, size_t index)
{
	bool is_enabling = s->record.head->patches[index].state == UPATCH_PATCH_ENABLING;
	struct upatch_laggards laggards;
	struct freeze freeze;
	int r;

	r = target_read(s->target, s->record.addr + UPATCH_LAGGARDS_OFFSET, &laggards,
			sizeof(laggards));
	if (r < 0)
		return diag_err(s->diag, r, UPATCH_E_GONE, NULL, "cannot read its record");
	r = freeze_all(s->target, MAX(s->deadline, deadline_in(NSEC_PER_SEC)), &freeze);
	if (r < 0)
		return r;
	r = transition_settle(s, index,
			      is_enabling == !!laggards.armed ? TRANSITION_PATCHED
							      : TRANSITION_UNPATCHED,
			      &freeze);
	freeze_thaw(&freeze);
	diag_info(s->diag, "target %d: patch '%s': interrupted %s was %s", (int)s->target->pid,
		  s->record.metas[index]->name, is_enabling ? "patching" : "unpatching",
		  laggards.armed ? "completed" : "undone");
	return r;
}

int takeover_run(struct session *session)
{
	struct record *record = &session->record;
	int r = 0;

	for (size_t i = 0; i < UPATCH_PATCHES_MAX && record->addr && r >= 0; i++) {
		if (record->head->patches[i].state == UPATCH_PATCH_ENABLING ||
		    record->head->patches[i].state == UPATCH_PATCH_DISABLING)
			r = settle_open(session, i);
	}
	for (size_t i = 0; i < UPATCH_PATCHES_MAX && record->addr && r >= 0; i++) {
		if (record->head->patches[i].state == UPATCH_PATCH_LOADING ||
		    record->head->patches[i].state == UPATCH_PATCH_UNLOADING)
			r = unload_patch(session, i);
	}
	if (r >= 0 && record->addr)
		r = island_disarm_orphans(session);
	return r < 0 ? r : unload_rest(session);
}
