/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/late.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <upatch/abi_agent.h>

#include "base/diag.h"
#include "livepatch/agent.h"
#include "livepatch/library.h"
#include "livepatch/plan.h"
#include "livepatch/session.h"
#include "patchfile/patchfile.h"
#include "target/freeze.h"
#include "target/target.h"

static bool is_known(const struct session *s, uint64_t seq)
{
	const struct upatch_record *head = s->record.head;

	for (size_t i = 0; i < UPATCH_PATCHES_MAX; i++)
		if (head->patches[i].state != UPATCH_PATCH_FREE && head->patches[i].seq == seq)
			return true;
	return false;
}

/* The next one that nobody has; what a run that was killed left behind counts as that. */
static int take(struct session *s, const struct upatch_agent_data *data, int *at)
{
	while (++*at < UPATCH_LATE_MAX)
		if (!data->late[*at].seq || !is_known(s, data->late[*at].seq))
			return *at;
	return diag_err(s->diag, -ENOSPC, UPATCH_E_RECORD_FULL, NULL,
			"more than %d symbols of libraries that may come and go are referred to",
			UPATCH_LATE_MAX);
}

int late_settle(struct session *session, struct plan *plan)
{
	struct session *s = session;
	uint64_t traps = agent_export_addr(s, "dl_traps");
	struct upatch_agent_data data;
	int at = -1, r;

	if (!plan->nr_templates)
		return 0;
	r = agent_read_data(s, &data);
	for (size_t i = 0; i < plan->nr_objects && r >= 0; i++) {
		struct plan_object *o = &plan->objects[i];

		for (uint32_t n = 0; n < o->payload->nr_symbols && r >= 0; n++) {
			if (!o->load.symbols[n].is_late || !o->load.symbols[n].got)
				continue;
			r = take(s, &data, &at);
			o->load.symbols[n].trap = (uint32_t)at;
			o->load.symbols[n].value = traps + (uint64_t)at * UPATCH_TRAP_SIZE;
		}
	}
	return r < 0 ? r : 0;
}

/* In the agent's data. */
static size_t offset_of(size_t trap)
{
	return offsetof(struct upatch_agent_data, late) + trap * sizeof(struct upatch_late);
}

static int write_one(struct session *s, const struct plan *plan, const struct plan_object *o,
		     uint32_t symbol, uint64_t seq)
{
	const struct payload_symbol *from = &o->payload->symbols[symbol];
	const struct payload *sibling = &plan->file->payloads[from->sibling - 1];
	size_t offset = offset_of(o->load.symbols[symbol].trap);
	struct upatch_late late = { .word = load_late_word(o, symbol) };
	struct diag_where where = { .object = o->payload->object };
	int r;

	if (strlen(from->name) >= sizeof(late.name) ||
	    strlen(sibling->object) >= sizeof(late.object))
		return diag_err(s->diag, -ENAMETOOLONG, UPATCH_E_RECORD_FULL, &where,
				"'%s' of '%s' has too long a name", from->name, sibling->object);
	strcpy(late.name, from->name);
	strcpy(late.object, sibling->object);
	r = agent_store_data(s, offset, &late, sizeof(late));
	if (r >= 0)
		r = agent_store_data(s, offset + offsetof(struct upatch_late, seq), &seq,
				     sizeof(seq));
	return r;
}

int late_write(struct session *session, const struct plan *plan, size_t patch)
{
	uint64_t seq = session->record.head->patches[patch].seq;
	int r = 0;

	for (size_t i = 0; i < plan->nr_objects && r >= 0; i++) {
		const struct plan_object *o = &plan->objects[i];

		for (uint32_t n = 0; n < o->payload->nr_symbols && r >= 0; n++)
			if (load_late_word(o, n))
				r = write_one(session, plan, o, n, seq);
	}
	return r;
}

static int clear(struct session *s, const struct upatch_agent_data *data, uint64_t seq)
{
	const uint64_t nobody = 0;
	int r = 0;

	for (size_t i = 0; i < UPATCH_LATE_MAX && r >= 0; i++)
		if (data->late[i].seq == seq)
			r = agent_store_data(s, offset_of(i) + offsetof(struct upatch_late, seq),
					     &nobody, sizeof(nobody));
	return r;
}

int late_clear(struct session *session, size_t patch)
{
	uint64_t seq = session->record.head->patches[patch].seq;
	struct upatch_agent_data data;
	struct freeze freeze;
	bool has_some = false;
	int r;

	if (agent_region(session) < 0)
		return 0;
	r = agent_read_data(session, &data);
	for (size_t i = 0; i < UPATCH_LATE_MAX && r >= 0; i++)
		has_some = has_some || data.late[i].seq == seq;
	if (r < 0 || !has_some)
		return r;
	/* The agent is not reading one. */
	r = library_freeze(session, &freeze);
	if (r < 0)
		return r;
	r = clear(session, &data, seq);
	freeze_thaw(&freeze);
	return r;
}
