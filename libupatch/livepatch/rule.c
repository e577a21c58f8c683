/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/rule.h"

#include <stdbool.h>
#include <upatch/abi.h>

#include "arch/arch.h"
#include "base/diag.h"
#include "livepatch/session.h"
#include "livepatch/slots.h"
#include "target/target.h"

struct making {
	struct session *session;
	size_t patch;
	struct stack_rule rule;
};

/* The original code of a function, split-off pieces included. */
static int add_original(struct making *m, const struct upatch_meta *meta,
			const struct upatch_meta_func *func)
{
	int r = 0;

	for (uint32_t i = 0; i < func->nr_ranges && r >= 0; i++) {
		const struct upatch_meta_range *range = &meta_ranges(meta)[func->first_range + i];

		r = stack_rule_add(&m->rule, &(struct stack_range){
						     .start = range->addr,
						     .end = range->addr + range->size,
						     .kind = STACK_RANGE_FUNC,
						     .function = meta_string(meta, func->name),
						     .entry = func->old_addr,
					     });
	}
	return r;
}

/* The version that the patch's function replaces. */
static int add_replaced(struct making *m, const struct upatch_meta_func *func)
{
	const struct record *record = &m->session->record;
	const struct upatch_meta *meta = record->metas[m->patch];
	const struct upatch_slot *slot = record_slot_at(record, func->slot_addr);
	const struct upatch_meta_func *now = record_winning_func(record, slot, (int)m->patch);

	if (!now)
		return add_original(m, meta, func);
	/* klp looks for just that function, too. */
	return stack_rule_add(&m->rule, &(struct stack_range){
						.start = now->new_addr,
						.end = now->new_addr + now->new_size,
						.kind = STACK_RANGE_FUNC,
						.function = meta_string(meta, func->name),
						.entry = now->new_addr,
					});
}

/* The replacements by name, and all other code of the patch. */
static int add_payloads(struct making *m, const struct upatch_meta *meta)
{
	int r = 0;

	for (uint32_t i = 0; i < meta->nr_funcs && r >= 0; i++) {
		const struct upatch_meta_func *func = &meta_funcs(meta)[i];

		if (!meta_func_is_here(meta, i))
			continue;
		r = stack_rule_add(&m->rule, &(struct stack_range){
						     .start = func->new_addr,
						     .end = func->new_addr + func->new_size,
						     .kind = STACK_RANGE_FUNC,
						     .function = meta_string(meta, func->name),
					     });
	}
	for (uint32_t i = 0; i < meta->nr_objects && r >= 0; i++) {
		const struct upatch_meta_object *o = &meta_objects(meta)[i];

		if (!meta_object_is_here(o))
			continue;
		r = stack_rule_add(&m->rule, &(struct stack_range){
						     .start = o->payload_addr,
						     .end = o->payload_addr + o->text_size,
						     .kind = STACK_RANGE_PAYLOAD,
						     .function = meta_string(meta, o->name),
					     });
	}
	return r;
}

static int add_slots(struct making *m, const struct slots *slots)
{
	const struct arch_slot_layout *layout = m->session->target->arch->slot;
	int r = 0;

	for (size_t i = 0; i < slots->nr && r >= 0; i++) {
		const struct upatch_slot *slot = slots->items[i].slot;

		r = stack_rule_add(&m->rule, &(struct stack_range){
						     .start = slot->text_addr + layout->dispatcher,
						     .end = slot->text_addr + layout->gateway,
						     .kind = STACK_RANGE_GATE,
					     });
		/* Behind the first of the bytes that the jump overwrites. */
		if (r >= 0)
			r = stack_rule_add(&m->rule,
					   &(struct stack_range){
						   .start = slot->entry_addr + 1,
						   .end = slot->entry_addr + slot->covered,
						   .kind = STACK_RANGE_ENTRY,
					   });
	}
	return r;
}

static int add_goal(struct making *m, enum rule_goal goal)
{
	const struct record *record = &m->session->record;
	const struct upatch_meta *meta = record->metas[m->patch];
	int r = 0;

	if (goal == RULE_UNPATCHED)
		return add_payloads(m, meta);
	for (uint32_t i = 0; i < meta->nr_funcs && r >= 0; i++)
		if (meta_func_is_here(meta, i))
			r = add_replaced(m, &meta_funcs(meta)[i]);
	for (size_t i = 0; i < UPATCH_PATCHES_MAX && r >= 0; i++)
		if (meta->flags & UPATCH_META_REPLACE && record_is_stacked(record, i) &&
		    record->head->patches[i].seq < record->head->patches[m->patch].seq)
			r = add_payloads(m, record->metas[i]);
	return r;
}

int rule_new(struct session *session, size_t patch, enum rule_goal goal, const struct slots *slots,
	     struct stack_rule *ret)
{
	struct making m = { .session = session, .patch = patch };
	int r;

	r = add_slots(&m, slots);
	if (r >= 0)
		r = add_goal(&m, goal);
	if (r < 0) {
		stack_rule_deinit(&m.rule);
		return diag_oom(session->diag);
	}
	stack_rule_sort(&m.rule);
	*ret = m.rule;
	return 0;
}
