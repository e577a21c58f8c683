/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/slots.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <upatch/abi.h>

#include "arch/arch.h"
#include "base/diag.h"
#include "livepatch/plan.h"
#include "livepatch/record_check.h"
#include "livepatch/session.h"
#include "target/freeze.h"
#include "target/target.h"

/* --- which ----------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	const struct slots_item *x = a, *y = b;

	return (x->slot > y->slot) - (x->slot < y->slot);
}

static bool is_concerned(const struct session *s, size_t patch, size_t index)
{
	if (index == patch)
		return true;
	return s->record.metas[patch]->flags & UPATCH_META_REPLACE &&
	       record_is_stacked(&s->record, index);
}

/* What runs with the patch that comes: it is the newest one, whether its entry says so yet or not. */
static uint64_t version_with(const struct record *record, size_t patch,
			     const struct upatch_slot *slot)
{
	const struct upatch_meta_func *func = record_func_of(record, patch, slot);

	if (func)
		return func->new_addr;
	return record_gateway(record, slot); /* a replace patch without it: klp's nop */
}

int slots_collect(struct session *session, size_t patch, int comes, int goes, struct slots *ret)
{
	const struct record *record = &session->record;
	struct slots slots = {};
	size_t room = 1, nr = 0;

	for (size_t i = 0; i < UPATCH_PATCHES_MAX; i++)
		if (is_concerned(session, patch, i))
			room += record->metas[i]->nr_funcs;
	slots.items = calloc(room, sizeof(*slots.items));
	if (!slots.items)
		return diag_oom(session->diag);
	for (size_t i = 0; i < UPATCH_PATCHES_MAX; i++) {
		const struct upatch_meta *meta = record->metas[i];

		for (uint32_t n = 0; is_concerned(session, patch, i) && n < meta->nr_funcs; n++) {
			if (!meta_func_is_here(meta, n))
				continue;
			slots.items[nr].slot =
				record_slot_at(record, meta_funcs(meta)[n].slot_addr);
			if (!slots.items[nr++].slot) {
				slots_deinit(&slots);
				return record_raise_corrupt(session->target,
							    "patch '%s', function %u has no slot",
							    meta->name, n);
			}
		}
	}
	qsort(slots.items, nr, sizeof(*slots.items), compare);
	for (size_t i = 0; i < nr; i++)
		if (!slots.nr || slots.items[slots.nr - 1].slot != slots.items[i].slot)
			slots.items[slots.nr++].slot = slots.items[i].slot;
	for (size_t i = 0; i < slots.nr; i++) {
		const struct upatch_slot *slot = slots.items[i].slot;

		slots.items[i].old = record_winner(record, slot, comes);
		slots.items[i].new = comes >= 0 ? version_with(record, patch, slot)
						: record_winner(record, slot, goes);
	}
	*ret = slots;
	return 0;
}

static bool is_unsettled(const struct record *record, const struct island *island,
			 const struct upatch_slot *slot)
{
	uint64_t winner = record_winner(record, slot, -1);

	if (record->head->regions[island->region].kind == UPATCH_REGION_HOOKS)
		return false;

	return slot->is_armed && (slot->winner != winner || winner == record_gateway(record, slot));
}

bool slots_has_unsettled(const struct session *session)
{
	const struct record *record = &session->record;

	for (size_t i = 0; i < record->nr_islands; i++)
		for (uint32_t n = 0; n < record->islands[i].head->nr_slots; n++)
			if (is_unsettled(record, &record->islands[i],
					 &record->islands[i].head->slots[n]))
				return true;
	return false;
}

static int collect_unsettled(struct session *s, struct slots *ret)
{
	const struct record *record = &s->record;
	struct slots slots = {};
	size_t room = 1;

	for (size_t i = 0; i < record->nr_islands; i++)
		room += record->islands[i].head->nr_slots;
	slots.items = calloc(room, sizeof(*slots.items));
	if (!slots.items)
		return diag_oom(s->diag);
	for (size_t i = 0; i < record->nr_islands; i++) {
		struct upatch_island *head = record->islands[i].head;

		for (uint32_t n = 0; n < head->nr_slots; n++) {
			uint64_t winner;

			if (!is_unsettled(record, &record->islands[i], &head->slots[n]))
				continue;
			winner = record_winner(record, &head->slots[n], -1);
			slots.items[slots.nr++] =
				(struct slots_item){ &head->slots[n], winner, winner };
		}
	}
	qsort(slots.items, slots.nr, sizeof(*slots.items), compare);
	*ret = slots;
	return 0;
}

void slots_deinit(struct slots *slots)
{
	free(slots->items);
	*slots = (struct slots){};
}

/* --- storing --------------------------------------------------------------------------------- */

/*
 * They lie side by side: one write for most or all of them, because everybody waits. A kill may
 * leave any leading pages of it written, so that between two of these stores slots may change only
 * in ways that do not depend on each other.
 */
static int store(struct session *s, const struct slots *slots, pid_t tracee)
{
	size_t end;
	int r = 0;

	for (size_t i = 0; i < slots->nr && r >= 0; i = end) {
		const struct upatch_slot *first = slots->items[i].slot;

		end = i + 1;
		while (end < slots->nr && slots->items[end].slot == first + (end - i))
			end++;
		r = record_store_slot(&s->record, tracee, first, first, (end - i) * sizeof(*first));
	}
	return r;
}

int slots_open(struct session *session, const struct slots *slots, pid_t tracee)
{
	const uint16_t dispatcher = session->target->arch->slot->dispatcher;
	int r;

	for (size_t i = 0; i < slots->nr; i++) {
		slots->items[i].slot->old = slots->items[i].old;
		slots->items[i].slot->new = slots->items[i].new;
	}
	r = store(session, slots, tracee);
	if (r < 0)
		return r;
	for (size_t i = 0; i < slots->nr; i++) {
		struct upatch_slot *slot = slots->items[i].slot;

		slot->winner = slot->text_addr + dispatcher;
	}
	return store(session, slots, tracee);
}

/* Its library may have gone unnoticed, and something else be there; or it was never written. */
static bool has_jump(struct session *s, const struct upatch_slot *slot)
{
	uint8_t now[UPATCH_ENTRY_MAX];

	return target_read(s->target, slot->entry_addr, now, slot->entry_size) >= 0 &&
	       memcmp(now, slot->jump, slot->entry_size) == 0;
}

static int restore_entries(struct session *s, const struct slots *slots, pid_t tracee)
{
	int r = 0;

	for (size_t i = 0; i < slots->nr && r >= 0; i++) {
		struct upatch_slot *slot = slots->items[i].slot;

		if (slot->winner != record_gateway(&s->record, slot) || !slot->is_armed)
			continue;
		if (has_jump(s, slot))
			r = target_write(s->target, tracee, slot->entry_addr, slot->original,
					 slot->entry_size);
		if (r >= 0)
			slot->is_armed = 0;
	}
	return r;
}

int slots_settle(struct session *session, const struct slots *slots, enum slots_version version,
		 pid_t tracee)
{
	int r;

	/* All three words: a thread that stands in a dispatcher after all goes the same way. */
	for (size_t i = 0; i < slots->nr; i++) {
		struct upatch_slot *slot = slots->items[i].slot;

		slot->winner = version == SLOTS_NEW ? slots->items[i].new : slots->items[i].old;
		slot->old = slot->new = slot->winner;
	}
	r = store(session, slots, tracee);
	if (r >= 0)
		r = restore_entries(session, slots, tracee);
	if (r >= 0)
		r = store(session, slots, tracee);
	return r;
}

int slots_settle_all(struct session *session, pid_t tracee)
{
	struct slots slots = {};
	int r;

	r = collect_unsettled(session, &slots);
	if (r < 0)
		return r;
	r = slots_settle(session, &slots, SLOTS_NEW, tracee);
	slots_deinit(&slots);
	return r;
}

/* --- entries --------------------------------------------------------------------------------- */

/* It does the same in the gateway, which comes back behind the entry. Harmless on its own. */
static void move_to_gateway(struct session *s, const struct upatch_slot *slot,
			    struct thread *thread)
{
	uint64_t pc = regs_pc(&thread->regs);

	if (pc <= slot->entry_addr || pc >= slot->entry_addr + slot->covered)
		return;
	for (int i = 0; i < slot->nr_insns; i++) {
		if (slot->entry_addr + slot->insns[i].old_offset != pc)
			continue;
		regs_set_pc(&thread->regs,
			    record_gateway(&s->record, slot) + slot->insns[i].new_offset);
		(void)thread_store_regs(thread); /* fails only if it was killed */
	}
}

/* Lead one function to its slot; nobody stands in what is overwritten then. */
static int write_entry(struct session *s, const struct upatch_slot *slot, struct freeze *freeze,
		       pid_t tracee)
{
	for (size_t i = 0; i < freeze->nr; i++)
		if (freeze->threads[i].state != THREAD_GONE)
			move_to_gateway(s, slot, &freeze->threads[i]);
	return target_write(s->target, tracee, slot->entry_addr, slot->jump, slot->entry_size);
}

int slots_write_entries(struct session *session, const struct plan *plan, struct freeze *freeze,
			pid_t tracee)
{
	int r = 0;

	for (size_t i = 0; i < plan->nr_objects; i++) {
		for (size_t n = 0; n < plan->objects[i].nr_funcs && r >= 0; n++) {
			const struct plan_func *f = &plan->objects[i].funcs[n];

			if (!f->is_patched)
				r = write_entry(session,
						record_slot_at(&session->record, f->slot_addr),
						freeze, tracee);
		}
	}
	return r;
}

/* Of one function: its slot, unless its jump is written already. Return: 0 with @ret, or raised. */
static int find_unwritten(struct session *s, const struct upatch_meta *meta,
			  const struct upatch_meta_func *func, const struct upatch_slot **ret)
{
	const struct upatch_slot *slot = record_slot_at(&s->record, func->slot_addr);
	struct diag_where where = {
		.object = meta_string(meta, meta_objects(meta)[func->object].name),
		.function = meta_string(meta, func->name),
	};
	uint8_t now[UPATCH_ENTRY_MAX];

	*ret = NULL;
	if (!slot)
		return record_raise_corrupt(s->target, "patch '%s': '%s' has no slot", meta->name,
					    where.function);
	if (target_read(s->target, slot->entry_addr, now, slot->entry_size) < 0)
		return diag_err(s->diag, -EFAULT, UPATCH_E_NO_OBJECT, &where,
				"its code at 0x%llx is not mapped any more",
				(unsigned long long)slot->entry_addr);
	if (memcmp(now, slot->jump, slot->entry_size) == 0)
		return 0;
	if (memcmp(now, slot->original, slot->entry_size) != 0)
		return diag_err(s->diag, -EILSEQ, UPATCH_E_BYTES_DIFFER, &where,
				"its entry at 0x%llx is not what it was",
				(unsigned long long)slot->entry_addr);
	*ret = slot;
	return 0;
}

int slots_write_libraries(struct session *session, size_t patch, struct freeze *freeze)
{
	const struct upatch_meta *meta = session->record.metas[patch];
	pid_t tracee = freeze ? freeze_any(freeze) : 0;
	int r = 0;

	for (uint32_t i = 0; i < meta->nr_funcs && r >= 0; i++) {
		const struct upatch_meta_func *func = &meta_funcs(meta)[i];
		const struct upatch_slot *slot;

		if (!meta_func_is_here(meta, i) || !meta_objects(meta)[func->object].template_addr)
			continue;
		r = find_unwritten(session, meta, func, &slot);
		if (r >= 0 && slot && freeze)
			r = write_entry(session, slot, freeze, tracee);
	}
	return r;
}
