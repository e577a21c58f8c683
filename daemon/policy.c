/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "policy.h"

#include <string.h>

#include "process.h"
#include "rule.h"

enum {
	BACKOFF_FIRST_MS = 50,
	BACKOFF_MAX_MS = 30000,
	LOOK_FIRST_MS = 1000,
	LOOK_MAX_MS = 600000,
};

/*
 * A patch is applied where one of its objects is mapped: that decision is made here and nowhere
 * else. Payloads for the others wait in the target until their objects come; when all have been
 * unloaded, what waits for them stays.
 */
bool policy_matches(const struct upatch_patch_info *info, const struct process *process)
{
	for (size_t i = 0; info && i < info->nr_objects; i++)
		if (process_maps(process, info->objects[i].build_id))
			return true;
	return false;
}

static bool is_superseded(const struct policy_input *input, size_t index,
			  const struct process *process)
{
	const struct policy_patch *patch = &input->patches[index];

	for (size_t i = 0; i < input->nr_patches; i++) {
		const struct policy_patch *other = &input->patches[i];

		if (other->is_enabled && other->since > patch->since && other->info &&
		    other->info->replace && policy_matches(other->info, process) &&
		    !rule_stops(other->rule, process))
			return true;
	}
	return false;
}

/* A build is told from another of its version by its digest, where the record has one. */
static bool is_same_build(const struct policy_patch *patch, const struct process_record *record)
{
	return strcmp(record->version, patch->version) == 0 &&
	       (!record->digest || !patch->info || record->digest == patch->info->digest);
}

static enum policy_verdict take_back(const struct process_record *record)
{
	if (!record || strcmp(record->state, "kept") == 0)
		return POLICY_UNRELATED;
	return strcmp(record->state, "disabling") == 0 ? POLICY_CARRY_ON : POLICY_REVERT;
}

/* What is in the record, seen from a patch that is wanted. */
static enum policy_verdict compare(const struct policy_patch *patch,
				   const struct process_record *record)
{
	if (!record || strcmp(record->state, "kept") == 0)
		return POLICY_APPLY;
	if (!is_same_build(patch, record))
		return take_back(record); /* what was enabled under that name before */
	if (strcmp(record->state, "enabled") == 0)
		return POLICY_SATISFIED;
	if (strcmp(record->state, "enabling") == 0)
		return POLICY_CARRY_ON;
	return POLICY_APPLY; /* disabling is reversed, what was interrupted is finished */
}

struct policy_decision policy_decide(const struct policy_input *input, size_t index,
				     const struct process *process)
{
	const struct policy_patch *patch = &input->patches[index];
	const struct process_record *record = process_record(process, patch->name);
	struct policy_decision decision = { .verdict = POLICY_UNRELATED };
	bool is_meant = patch->is_enabled && (policy_matches(patch->info, process) ||
					      (record && process_record_is_waiting(record)));

	if (!is_meant && !record)
		return decision;
	if (input->is_held) {
		decision.verdict = POLICY_HELD;
		return decision;
	}
	decision.condition = rule_finds(input->opt_out, process);
	if (!decision.condition && is_meant)
		decision.condition = rule_stops(patch->rule, process);
	if (decision.condition)
		decision.verdict = POLICY_EXCLUDED;
	else if (!patch->is_enabled)
		decision.verdict = take_back(record);
	else if (!is_meant || !patch->info)
		decision.verdict = POLICY_FOREIGN;
	else if (is_superseded(input, index, process))
		decision.verdict = POLICY_SUPERSEDED;
	else
		decision.verdict = compare(patch, record);
	if (decision.verdict == POLICY_APPLY && process->startup == PROCESS_STARTUP_OPEN)
		decision.verdict = POLICY_STARTING;
	return decision;
}

enum policy_retry policy_retry(enum upatch_reason reason)
{
	switch (reason) {
	case UPATCH_E_NO_PROCESS:
	case UPATCH_E_GONE:
	case UPATCH_E_ZOMBIE:
		return POLICY_GONE;
	case UPATCH_E_NO_MEMORY:
	case UPATCH_E_IO:
	case UPATCH_E_TRACED:
	case UPATCH_E_UNINTERRUPTIBLE:
	case UPATCH_E_NO_SYSCALL_SITE: /* a process that is just beginning has none yet */
	case UPATCH_E_RCALL:
	case UPATCH_E_WORKER:
	case UPATCH_E_EXISTS:
	case UPATCH_E_NOT_APPLIED:
	case UPATCH_E_BUSY:
	case UPATCH_E_NO_TRANSITION:
	case UPATCH_E_IN_FUNCTION:
	case UPATCH_E_UNRELIABLE:
	case UPATCH_E_SUSPENDED:
	case UPATCH_E_STACK_ORDER:
	case UPATCH_E_CALLBACK:
	case UPATCH_E_LOADING:
		return POLICY_RETRY;
	default:
		return POLICY_GIVE_UP;
	}
}

static uint64_t back_off(unsigned int attempts, uint64_t first, uint64_t max)
{
	uint64_t ms = first;

	for (unsigned int i = 1; i < attempts && ms < max; i++)
		ms *= 2;
	return ms < max ? ms : max;
}

uint64_t policy_backoff_ms(unsigned int attempts)
{
	return back_off(attempts, BACKOFF_FIRST_MS, BACKOFF_MAX_MS);
}

uint64_t policy_look_ms(unsigned int misses)
{
	return back_off(misses, LOOK_FIRST_MS, LOOK_MAX_MS);
}
