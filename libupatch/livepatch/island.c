/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/island.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "arch/arch.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/diag.h"
#include "livepatch/plan.h"
#include "livepatch/region.h"
#include "livepatch/session.h"
#include "livepatch/walk.h"
#include "patchfile/patchfile.h"
#include "target/freeze.h"
#include "target/place.h"
#include "target/target.h"
#include "target/unwind.h"

static uint64_t text_bytes(const struct session *s, size_t nr)
{
	return ALIGN_UP((uint64_t)s->target->arch->slot->text_size * nr,
			(uint64_t)UPATCH_PAGE_SIZE);
}

static uint64_t ro_bytes(size_t nr)
{
	return ALIGN_UP(sizeof(struct upatch_island) + nr * sizeof(struct upatch_slot),
			(uint64_t)UPATCH_PAGE_SIZE);
}

int island_map(struct session *session, struct plan_object *object, uint64_t seq,
	       struct rcall *rcall)
{
	const struct arch_slot_layout *layout = session->target->arch->slot;
	const struct upatch_region want = {
		.kind = object->is_hooks ? UPATCH_REGION_HOOKS : UPATCH_REGION_ISLAND,
		.patch_seq = seq,
		.text_size = (uint32_t)text_bytes(session, object->nr_new_slots),
		.ro_size = (uint32_t)ro_bytes(object->nr_new_slots),
		.size = text_bytes(session, object->nr_new_slots) + ro_bytes(object->nr_new_slots),
	};
	const struct place_near near = {
		.start = object->start,
		.end = object->end,
		.reach = session->target->arch->branch_reach,
	};
	size_t n = 0;
	int r;

	if (!object->nr_new_slots)
		return 0;
	r = region_map(session, rcall, &want, &near, &object->island_region);
	if (r < 0)
		return r;
	object->island_text = session->record.head->regions[object->island_region].addr;
	for (size_t i = 0; i < object->nr_funcs; i++) {
		struct plan_func *f = &object->funcs[i];

		if (f->is_patched)
			continue;
		f->slot_addr = object->island_text + want.text_size + sizeof(struct upatch_island) +
			       n * sizeof(struct upatch_slot);
		f->gateway_addr = object->island_text + n * layout->text_size + layout->gateway;
		n++;
	}
	return 0;
}

static void fill_slot(const struct arch_ops *arch, struct plan_func *f, struct upatch_slot *slot)
{
	*slot = (struct upatch_slot){
		.winner = slot->text_addr + arch->slot->dispatcher,
		.old = f->gateway_addr,
		.new = f->new_addr,
		.func_addr = f->old_addr,
		.func_size = f->old_size,
		.entry_addr = f->entry.addr,
		.text_addr = slot->text_addr,
		.entry_size = f->entry.size,
		.covered = f->entry.covered,
		.nr_insns = f->entry.nr_insns,
		.gateway_size = f->entry.gateway_size,
		.is_armed = 1,
	};
	memcpy(slot->original, f->entry.old, sizeof(slot->original));
	for (size_t i = 0; i < f->entry.nr_insns; i++)
		slot->insns[i] = (struct upatch_slot_insn){
			.old_offset = f->entry.insns[i].old_offset,
			.new_offset = f->entry.insns[i].new_offset,
		};
}

static int write_slot(struct session *s, struct plan_func *f, struct upatch_slot *slot,
		      uint8_t *text)
{
	const struct arch_ops *arch = s->target->arch;
	struct diag_where where = { .function = f->func->name };
	uint64_t switch_addr = s->record.addr + UPATCH_SWITCH_OFFSET;
	int r;

	r = arch->gateway_write(&f->entry, f->gateway_addr, text + arch->slot->gateway);
	if (r >= 0)
		r = arch->slot_write(slot->text_addr, f->slot_addr, switch_addr,
				     (enum arch_slot_flags)s->record.head->slot_flags, text);
	if (r >= 0) {
		fill_slot(arch, f, slot);
		r = arch->entry_jump(&f->entry, slot->text_addr + arch->slot->stub, slot->jump);
	}
	if (r < 0)
		return diag_err(
			s->diag, r, UPATCH_E_RELOC_RANGE, &where,
			"its entry or a piece of it is out of reach of the island at 0x%llx",
			(unsigned long long)slot->text_addr);
	return 0;
}

int island_write(struct session *session, struct plan_object *object)
{
	const struct arch_slot_layout *layout = session->target->arch->slot;
	uint64_t text_size = text_bytes(session, object->nr_new_slots);
	uint64_t ro_size = ro_bytes(object->nr_new_slots);
	_cleanup_free_ uint8_t *text = NULL;
	_cleanup_free_ struct upatch_island *head = NULL;
	struct record *record = &session->record;
	size_t n = 0, alloc = record->nr_islands;
	int r;

	if (!object->nr_new_slots)
		return 0;
	text = malloc(text_size);
	head = calloc(1, ro_size);
	if (!text || !head)
		return diag_oom(session->diag);
	memset(text, session->target->arch->trap_byte, text_size);
	memcpy(head->magic, UPATCH_ISLAND_MAGIC, sizeof(head->magic));
	head->version = UPATCH_ABI_VERSION;
	head->nr_slots = (uint32_t)object->nr_new_slots;
	head->object_start = object->start;
	head->object_end = object->end;
	for (size_t i = 0; i < object->nr_funcs; i++) {
		if (object->funcs[i].is_patched)
			continue;
		head->slots[n].text_addr = object->island_text + n * layout->text_size;
		r = write_slot(session, &object->funcs[i], &head->slots[n],
			       text + n * layout->text_size);
		if (r < 0)
			return r;
		n++;
	}
	r = target_write(session->target, 0, object->island_text, text, text_size);
	if (r >= 0)
		r = target_write(session->target, 0, object->island_text + text_size, head,
				 ro_size);
	if (r < 0)
		return r;
	if (!array_grow(record->islands, record->nr_islands, alloc))
		return diag_oom(session->diag);
	record->islands[record->nr_islands++] = (struct island){
		.region = (size_t)object->island_region,
		.addr = object->island_text + text_size,
		.head = take_ptr(head),
	};
	return 0;
}

bool island_is_idle(const struct session *session, size_t index)
{
	const struct upatch_island *head = session->record.islands[index].head;

	for (uint32_t i = 0; i < head->nr_slots; i++)
		if (head->slots[i].is_armed)
			return false;
	return true;
}

static bool is_in_island(const struct session *s, uint64_t addr)
{
	for (size_t i = 0; i < s->record.nr_islands; i++) {
		const struct upatch_region *region =
			&s->record.head->regions[s->record.islands[i].region];

		if (addr >= region->addr && addr - region->addr < region->text_size)
			return true;
	}
	return false;
}

bool island_has_thread(const struct session *session, const struct arch_regs *regs,
		       const struct unwind_stack *stack)
{
	if (is_in_island(session, regs_pc(regs)))
		return true;
	for (size_t i = 0; i < stack->nr; i++)
		if (is_in_island(session, stack->frames[i].pc))
			return true;
	return false;
}

int island_wait_empty(struct session *session)
{
	int r;

	if (session->idle_islands_are_empty)
		return 0;
	r = walk_wait_outside(session, is_in_island, WALK_DOUBT_INSIDE);
	session->idle_islands_are_empty = r == 0;
	return r;
}
