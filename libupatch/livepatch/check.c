/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/check.h"

#include "base/diag.h"
#include "livepatch/session.h"
#include "livepatch/state.h"
#include "patchfile/patchfile.h"

/* The code of the version that runs now. */
static int add_func(struct session *s, const struct plan_func *f, struct stack_rule *rule)
{
	const struct upatch_slot *slot = record_slot_at(&s->record, f->slot_addr);
	struct stack_range range = { .kind = STACK_RANGE_FUNC, .function = f->func->name };
	int r = 0;

	for (size_t i = 0; i < UPATCH_PATCHES_MAX && slot; i++) {
		const struct upatch_meta *meta = s->record.metas[i];

		for (uint32_t n = 0; meta && n < meta->nr_funcs; n++) {
			if (meta_funcs(meta)[n].new_addr != slot->winner)
				continue;
			range.start = range.entry = slot->winner;
			range.end = range.start + meta_funcs(meta)[n].new_size;
			return stack_rule_add(rule, &range);
		}
	}
	for (size_t i = 0; i < f->nr_ranges && r >= 0; i++) {
		range.start = f->ranges[i].addr;
		range.end = range.start + f->ranges[i].size;
		range.entry = f->old_addr;
		r = stack_rule_add(rule, &range);
	}
	return r;
}

static int add_object(struct session *s, const struct plan_object *o, struct stack_rule *rule)
{
	for (size_t i = 0; i < o->nr_funcs; i++)
		if (add_func(s, &o->funcs[i], rule) < 0)
			return diag_oom(s->diag);
	return 0;
}

static int make_rule(struct session *s, const struct plan *plan, struct stack_rule *rule)
{
	int r = 0;

	for (size_t i = 0; i < plan->nr_objects && r >= 0; i++)
		r = add_object(s, &plan->objects[i], rule);
	for (size_t i = 0; i < plan->nr_movables && r >= 0; i++)
		r = add_object(s, &plan->movables[i], rule);
	stack_rule_sort(rule);
	return r;
}

int check_patch(struct session *session, const struct patchfile *file,
		const struct plan_listener *listener, struct check *ret)
{
	struct stack_rule rule = {};
	struct check check = {};
	int r;

	r = state_check(session, file);
	if (r < 0)
		return r;
	r = plan_new(session, file, listener, &check.plan);
	if (r < 0)
		return r;
	r = session_prepare_unwinder(session);
	if (r >= 0)
		r = make_rule(session, &check.plan, &rule);
	if (r >= 0)
		r = threads_blocked(session, &rule, &check.threads);
	stack_rule_deinit(&rule);
	if (r < 0) {
		check_deinit(&check);
		return r;
	}
	*ret = check;
	return 0;
}

void check_deinit(struct check *check)
{
	threads_deinit(&check->threads);
	plan_deinit(&check->plan);
	*check = (struct check){};
}
