/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/takeover.h"

#include <errno.h>

#include "base/diag.h"
#include "livepatch/callback.h"
#include "livepatch/hooks.h"
#include "livepatch/island.h"
#include "livepatch/laggards.h"
#include "livepatch/library.h"
#include "livepatch/session.h"
#include "livepatch/slots.h"
#include "livepatch/transition.h"
#include "livepatch/unload.h"
#include "target/target.h"

/* Announced mappings that belong to no patch: an island on its way out. */
static bool has_stray_region(const struct record *record)
{
	for (size_t i = 0; i < UPATCH_REGIONS_MAX; i++)
		if (record->head->regions[i].state == UPATCH_REGION_RESERVED)
			return true;
	return false;
}

static bool is_leftover(const struct record *record, size_t index)
{
	enum upatch_patch_state state = record->head->patches[index].state;

	return state == UPATCH_PATCH_LOADING || state == UPATCH_PATCH_LOADED ||
	       state == UPATCH_PATCH_UNLOADING || record_is_superseded(record, index);
}

/* It is complete, but nobody has come to run what follows. */
static bool has_due_callbacks(const struct session *s, size_t index)
{
	return s->record.head->patches[index].state == UPATCH_PATCH_ENABLED &&
	       !record_is_superseded(&s->record, index) && callbacks_are_due(s, index);
}

bool takeover_is_due(const struct session *session)
{
	const struct record *record = &session->record;
	bool is_empty = true;

	if (!record->addr)
		return false;
	for (size_t i = 0; i < UPATCH_PATCHES_MAX; i++) {
		if (is_leftover(record, i) || has_due_callbacks(session, i))
			return true;
		if (record->head->patches[i].state != UPATCH_PATCH_FREE)
			is_empty = false;
	}
	for (size_t i = 0; i < record->nr_islands; i++)
		if (island_is_idle(session, i))
			return true;
	return is_empty || has_stray_region(record) ||
	       (hooks_exist(session) && !hooks_are_needed(session)) ||
	       record_find_open(record) >= 0 || slots_has_unsettled(session);
}

/*
 * A transition that is open is left to whoever waits for it; one that never started is undone.
 * Return: 0, or -errno raised.
 */
static int look_at_open(struct session *s, size_t index, bool *ret_is_open)
{
	bool is_enabling = s->record.head->patches[index].state == UPATCH_PATCH_ENABLING;
	struct laggards laggards;
	int r;

	r = laggards_read(s, &laggards);
	if (r < 0)
		return r;
	*ret_is_open = laggards.table;
	laggards_deinit(&laggards);
	if (*ret_is_open)
		return 0;
	diag_info(s->diag, "target %d: patch '%s': canceling interrupted %s transition",
		  (int)s->target->pid, s->record.metas[index]->name,
		  is_enabling ? "patching" : "unpatching");
	return record_set_patch_state(&s->record, 0, index,
				      is_enabling ? UPATCH_PATCH_UNLOADING : UPATCH_PATCH_ENABLED);
}

int takeover_run(struct session *session)
{
	struct record *record = &session->record;
	int index = record_find_open(record);
	bool is_open = false;
	int r = 0;

	/* 0. The agent has no business with it any more. */
	for (size_t i = 0; i < UPATCH_PATCHES_MAX && r >= 0; i++)
		r = library_claim(session, i);
	if (r < 0)
		return r;
	/* 1. A switch that did not happen, or did. */
	if (index >= 0)
		r = look_at_open(session, (size_t)index, &is_open);
	if (r >= 0 && !is_open && slots_has_unsettled(session))
		r = transition_repair(session);
	/* 2. What was to follow a switch that did happen. */
	for (size_t i = 0; i < UPATCH_PATCHES_MAX && record->addr && r >= 0; i++)
		if (has_due_callbacks(session, i))
			callbacks_post_patch(session, i);
	/* 3. Patches on their way out. */
	for (size_t i = 0; i < UPATCH_PATCHES_MAX && record->addr && r >= 0; i++)
		if (is_leftover(record, i))
			r = unload_patch(session, i);
	/* 4. What nobody uses any more. */
	return r < 0 ? r : unload_rest(session);
}
