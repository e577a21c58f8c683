/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "manager_private.h"

/* --- entries ----------------------------------------------------------------------------------- */

static void set_state(struct manager *m, struct target *target, struct target_entry *entry,
		      enum status_state state)
{
	struct manager_event event = {
		.kind = MANAGER_EVENT_ENTRY,
		.pid = target->process.pid,
		.comm = target->process.comm,
		.patch = entry->patch,
		.state = state,
		.previous = entry->state,
		.error = entry->failure.error.message ? &entry->failure.error : NULL,
	};

	entry->is_current = true;
	if (entry->state == state)
		return;
	entry->state = state;
	manager_tell(m, &event);
}

static void forget_why(struct target_entry *entry)
{
	failure_clear(&entry->failure);
	target_entry_clear_threads(entry);
	entry->attempts = 0;
	entry->retry_at = 0;
	entry->has_given_up = false;
}

static struct target_entry *entry_for(struct target *target, const char *patch, const char *version)
{
	struct target_entry *entry = target_entry(target, patch);

	if (!entry && target_entry_new(target, patch, &entry) < 0)
		return NULL;
	if (!entry->version || strcmp(entry->version, version) != 0) {
		free(entry->version);
		entry->version = strdup(version);
	}
	return entry->version ? entry : NULL;
}

static void set_excluded(struct target *target, struct target_entry *entry,
			 const struct rule_condition *condition)
{
	forget_why(entry);
	failure_set(&entry->failure, -EPERM, UPATCH_E_EXCLUDED,
		    condition->is_exclusion ? "it is excluded by %s '%s'"
					    : "it is left alone: %s '%s'",
		    rule_key_name(condition->key), condition->value);
	entry->failure.error.pid = target->process.pid;
}

/* What an entry shows for a verdict. */
static enum status_state state_for(struct manager *m, struct target *target,
				   struct target_entry *entry,
				   const struct policy_decision *decision, bool is_enabled)
{
	const struct process_record *record = process_record(&target->process, entry->patch);

	switch (decision->verdict) {
	case POLICY_SATISFIED:
		forget_why(entry);
		return record && process_record_is_waiting(record) ? STATUS_WAITING
								   : STATUS_PATCHED;
	case POLICY_EXCLUDED:
		set_excluded(target, entry, decision->condition);
		return STATUS_SKIPPED;
	case POLICY_HELD:
		(void)failure_copy(&entry->failure, &m->config_failure.error);
		return STATUS_WAITING;
	case POLICY_FOREIGN:
	case POLICY_SUPERSEDED:
	case POLICY_UNRELATED:
		forget_why(entry);
		return STATUS_FOREIGN;
	case POLICY_CARRY_ON:
		return is_enabled ? STATUS_TRANSITION : STATUS_REVERTING;
	case POLICY_REVERT:
		if (!is_enabled)
			return STATUS_REVERTING;
		break;
	case POLICY_APPLY:
	case POLICY_STARTING:
		break;
	}
	return entry->has_given_up ? STATUS_RESTART : STATUS_WAITING;
}

/* What is applied and in nobody's list. */
static void show_foreign(struct manager *m, struct target *target)
{
	for (size_t i = 0; i < target->process.nr_records; i++) {
		const struct process_record *record = &target->process.records[i];
		struct target_entry *entry;

		if (patchset_find(&m->patches, record->name) >= 0 ||
		    strcmp(record->state, "kept") == 0)
			continue;
		entry = entry_for(target, record->name, record->version);
		if (!entry)
			continue;
		forget_why(entry);
		set_state(m, target, entry, STATUS_FOREIGN);
	}
}

static void drop_old(struct manager *m, struct target *target)
{
	size_t nr = 0;

	for (size_t i = 0; i < target->nr_entries; i++) {
		struct target_entry *entry = &target->entries[i];

		if (entry->is_current) {
			target->entries[nr++] = *entry;
			continue;
		}
		forget_why(entry);
		set_state(m, target, entry, STATUS_STATES);
		free(entry->patch);
		free(entry->version);
	}
	target->nr_entries = nr;
}

/* --- what to do -------------------------------------------------------------------------------- */

static bool is_open(const struct target *target, const char *patch)
{
	const struct process_record *record = process_record(&target->process, patch);

	return record &&
	       (strcmp(record->state, "enabling") == 0 || strcmp(record->state, "disabling") == 0);
}

/* First what holds a transition, for nothing else can be begun; then away with what must go. */
static int rank_of(const struct target *target, const struct policy_patch *patch,
		   enum policy_verdict verdict)
{
	switch (verdict) {
	case POLICY_CARRY_ON:
	case POLICY_REVERT:
	case POLICY_APPLY:
		if (is_open(target, patch->name))
			return 3;
		return verdict == POLICY_REVERT ? 2 : 1;
	default:
		return 0;
	}
}

static enum manager_verb verb_of(enum policy_verdict verdict)
{
	switch (verdict) {
	case POLICY_CARRY_ON:
		return MANAGER_WAIT;
	case POLICY_REVERT:
		return MANAGER_REVERT;
	default:
		return MANAGER_APPLY;
	}
}

struct choice {
	struct decide_action action;
	int rank;
	uint64_t order;
};

static void consider(struct choice *choice, const struct policy_patch *patch, size_t index,
		     const struct target_entry *entry, int rank, uint64_t now)
{
	struct decide_action *action = &choice->action;

	if (entry->retry_at > now) {
		if (!action->retry_at || entry->retry_at < action->retry_at)
			action->retry_at = entry->retry_at;
		return;
	}
	/* Of equals the oldest: patches go in the order in which they were enabled. */
	if (rank < choice->rank || (rank == choice->rank && patch->since >= choice->order))
		return;
	choice->rank = rank;
	choice->order = patch->since;
	action->patch = index;
}

struct decide_action decide(struct manager *m, struct target *target, uint64_t now)
{
	const struct policy_input input = {
		.patches = m->patches.policy,
		.nr_patches = m->patches.nr,
		.opt_out = &m->config.opt_out,
		.is_held = m->is_held,
	};
	struct choice choice = { .action = { .verb = MANAGER_VERBS }, .order = UINT64_MAX };

	for (size_t i = 0; i < target->nr_entries; i++)
		target->entries[i].is_current = false;
	for (size_t i = 0; i < input.nr_patches && target->is_known; i++) {
		const struct policy_patch *patch = &input.patches[i];
		struct policy_decision decision = policy_decide(&input, i, &target->process);
		struct target_entry *entry;
		int rank;

		if (decision.verdict == POLICY_UNRELATED ||
		    (decision.verdict == POLICY_SUPERSEDED &&
		     !process_record(&target->process, patch->name)))
			continue;
		entry = entry_for(target, patch->name, patch->version);
		if (!entry)
			continue;
		if (target->failure.error.message && decision.verdict == POLICY_APPLY) {
			(void)failure_copy(&entry->failure, &target->failure.error);
			entry->has_given_up = policy_retry(target->failure.error.reason) ==
					      POLICY_GIVE_UP;
		}
		set_state(m, target, entry,
			  state_for(m, target, entry, &decision, patch->is_enabled));
		/* What is in its record is not known: a look comes first. */
		rank = entry->has_given_up || target->misses
			       ? 0
			       : rank_of(target, patch, decision.verdict);
		if (rank <= 0)
			continue;
		consider(&choice, patch, i, entry, rank, now);
		if (choice.rank == rank && choice.action.patch == i && entry->retry_at <= now)
			choice.action.verb = verb_of(decision.verdict);
	}
	show_foreign(m, target);
	drop_old(m, target);
	return choice.action;
}

/* --- what became of it ------------------------------------------------------------------------- */

void decide_result(struct manager *m, struct target *target, const char *patch,
		   struct job_result *result)
{
	struct target_entry *entry = target_entry(target, patch);
	const struct upatch_error *error = &result->failure.error;

	if (!entry)
		return;
	target_entry_set_threads(entry, result);
	if (result->outcome == UPATCH_DONE) {
		forget_why(entry);
		return;
	}
	(void)failure_copy(&entry->failure, error);
	entry->attempts++;
	entry->has_given_up = policy_retry(error->reason) == POLICY_GIVE_UP;
	/* While the process begins, what is missing may still come. */
	if (target->is_young && error->reason == UPATCH_E_UNRESOLVED)
		entry->has_given_up = false;
	entry->retry_at = manager_now() + policy_backoff_ms(entry->attempts) * 1000;
}
