/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "livepatch/session.h"
#include "patchfile/patchfile.h"
#include "target/target.h"

const struct payload_section *state_section(const struct payload *payload)
{
	for (size_t i = 0; i < payload->nr_sections; i++)
		if (strcmp(payload->sections[i].name, ".upatch.states") == 0)
			return &payload->sections[i];
	return NULL;
}

static int check_section(struct diag *d, const struct payload *payload)
{
	const struct payload_section *section = state_section(payload);
	struct diag_where where = { .object = payload->object };
	struct upatch_meta_state state;

	if (!section)
		return 0;
	if (!section->bytes || section->size % sizeof(state))
		return diag_err(d, -EINVAL, UPATCH_E_BAD_PATCHFILE, &where,
				"its section of states has %llu bytes",
				(unsigned long long)section->size);
	for (uint64_t at = 0; at < section->size; at += sizeof(state)) {
		memcpy(&state, section->bytes + at, sizeof(state));
		if (!state.id)
			return diag_err(d, -EINVAL, UPATCH_E_BAD_PATCHFILE, &where,
					"it declares a state with the ID 0");
	}
	return 0;
}

static bool find_state(const struct patchfile *file, uint64_t id, uint32_t *ret_version)
{
	struct upatch_meta_state state;

	for (size_t i = 0; i < file->nr_payloads; i++) {
		const struct payload_section *section = state_section(&file->payloads[i]);

		for (uint64_t at = 0; section && at < section->size; at += sizeof(state)) {
			memcpy(&state, section->bytes + at, sizeof(state));
			if (state.id != id)
				continue;
			*ret_version = state.version;
			return true;
		}
	}
	return false;
}

static int compare_one(struct diag *d, const struct patchfile *file, const struct state *state)
{
	uint32_t version;

	if (!find_state(file, state->id, &version)) {
		if (!file->replace)
			return 0;
		return diag_err(
			d, -EINVAL, UPATCH_E_STATE, NULL,
			"patch is not compatible with the already installed livepatches: it "
			"supersedes '%s' and lacks its state %llu, version %u",
			state->patch, (unsigned long long)state->id, state->version);
	}
	if (version >= state->version)
		return 0;
	return diag_err(d, -EINVAL, UPATCH_E_STATE, NULL,
			"patch is not compatible with the already installed livepatches: it has "
			"version %u of state %llu, '%s' has version %u",
			version, (unsigned long long)state->id, state->patch, state->version);
}

int state_compare(struct diag *d, const struct patchfile *file, const struct state *states,
		  size_t nr)
{
	int r = 0;

	for (size_t i = 0; i < file->nr_payloads && r >= 0; i++)
		r = check_section(d, &file->payloads[i]);
	for (size_t i = 0; i < nr && r >= 0; i++)
		r = compare_one(d, file, &states[i]);
	return r;
}

/* Compare as they come: a target may claim many. */
static int check_object(struct session *s, const struct patchfile *file,
			const struct upatch_meta *meta, const struct upatch_meta_object *o)
{
	int r = 0;

	for (uint64_t i = 0; i < o->nr_states && r >= 0; i++) {
		struct state state = { .patch = meta->name };
		struct upatch_meta_state found;

		r = target_read(s->target, o->states_addr + i * sizeof(found), &found,
				sizeof(found));
		if (r < 0)
			return diag_err(s->diag, r, UPATCH_E_RECORD_CORRUPT, NULL,
					"its record is damaged: the states of patch '%s' are not "
					"mapped",
					meta->name);
		state.id = found.id;
		state.version = found.version;
		r = compare_one(s->diag, file, &state);
	}
	return r;
}

static bool is_listed(uint32_t state)
{
	return state == UPATCH_PATCH_ENABLING || state == UPATCH_PATCH_ENABLED ||
	       state == UPATCH_PATCH_DISABLING;
}

int state_check(struct session *session, const struct patchfile *file)
{
	const struct record *record = &session->record;
	int r;

	r = state_compare(session->diag, file, NULL, 0);
	for (size_t i = 0; i < UPATCH_PATCHES_MAX && r >= 0; i++) {
		const struct upatch_meta *meta = record->metas[i];

		if (!meta || !is_listed(record->head->patches[i].state))
			continue;
		for (uint32_t n = 0; n < meta->nr_objects && r >= 0; n++)
			r = check_object(session, file, meta, &meta_objects(meta)[n]);
	}
	return r;
}
