/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "status.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "manager_private.h"
#include "watcher.h"

enum {
	UNREADABLE_MAX = 16, /* processes that are named */
};

const char *status_state_name(enum status_state state)
{
	static const char *const names[] = {
		[STATUS_PATCHED] = "patched", [STATUS_TRANSITION] = "transition",
		[STATUS_WAITING] = "waiting", [STATUS_SKIPPED] = "skipped",
		[STATUS_RESTART] = "restart", [STATUS_REVERTING] = "reverting",
		[STATUS_FOREIGN] = "foreign", [STATUS_STATES] = "none",
	};

	return state <= STATUS_STATES ? names[state] : "none";
}

void status_free(struct status *status)
{
	if (!status)
		return;
	for (size_t i = 0; i < status->nr_processes; i++) {
		const struct status_process *process = &status->processes[i];

		for (size_t n = 0; n < process->nr_entries; n++)
			free((void *)process->entries[n].objects);
		free((void *)process->entries);
	}
	free((void *)status->processes);
	free((void *)status->patches);
	free((void *)status->cves);
	free((void *)status->problems);
	free(status);
}

static void count(struct status_counts *counts, enum status_state state)
{
	counts->by_state[state]++;
	counts->total++;
}

/* --- processes --------------------------------------------------------------------------------- */

/* Libraries that the record waits for have a state of their own; the rest is as the entry is. */
static struct status_object make_object(const struct upatch_object_info *info,
					const struct target *target,
					const struct target_entry *entry)
{
	const struct process_record *record = process_record(&target->process, entry->patch);
	const struct process_payload *payload = record ? process_payload(record, info->build_id)
						       : NULL;
	bool is_mapped = process_maps(&target->process, info->build_id);
	struct status_object object = {
		.name = info->name,
		.build_id = info->build_id,
		.is_mapped = is_mapped,
		.state = payload || is_mapped ? status_state_name(entry->state) : "absent",
		.reason = "",
	};

	if (payload && !process_payload_is_patched(payload)) {
		object.state = payload->state;
		object.reason = payload->reason;
	} else if (!payload && entry->state == STATUS_PATCHED) {
		object.state = is_mapped ? status_state_name(STATUS_WAITING) : "absent";
	}
	return object;
}

static void fill_objects(const struct upatch_patch_info *info, const struct target *target,
			 const struct target_entry *from, struct status_entry *ret)
{
	struct status_object *objects = calloc(info->nr_objects, sizeof(*objects));

	ret->objects = objects;
	for (size_t i = 0; objects && i < info->nr_objects; i++)
		objects[ret->nr_objects++] = make_object(&info->objects[i], target, from);
}

static void fill_entry(const struct manager *m, const struct target *target,
		       const struct target_entry *from, struct status_entry *ret)
{
	int index = patchset_find(&m->patches, from->patch);
	uint64_t now = manager_now();

	*ret = (struct status_entry){
		.patch = from->patch,
		.version = from->version,
		.state = from->state,
		.error = from->failure.error.message ? &from->failure.error : NULL,
		.threads = from->threads,
		.nr_threads = from->nr_threads,
		.attempts = from->attempts,
		.retry_in_ms = from->retry_at > now ? (from->retry_at - now + 999) / 1000 : 0,
	};
	if (index >= 0 && m->patches.policy[index].info)
		fill_objects(m->patches.policy[index].info, target, from, ret);
}

static int fill_process(const struct manager *m, const struct target *target,
			struct status_process *ret)
{
	struct status_entry *entries = calloc(target->nr_entries + 1, sizeof(*entries));

	if (!entries)
		return -ENOMEM;
	*ret = (struct status_process){
		.pid = target->process.pid,
		.comm = target->process.comm,
		.exe = target->process.exe ? target->process.exe : "",
		.unit = process_unit(&target->process),
		.uid = target->process.uid,
		.entries = entries,
		.nr_entries = target->nr_entries,
	};
	for (size_t i = 0; i < target->nr_entries; i++) {
		fill_entry(m, target, &target->entries[i], &entries[i]);
		count(&ret->counts, entries[i].state);
	}
	return 0;
}

static int compare_pids(const void *a, const void *b)
{
	const struct status_process *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

static int fill_processes(struct manager *m, pid_t pid, struct status *status)
{
	struct status_process *processes = calloc(m->targets.nr + 1, sizeof(*processes));

	status->processes = processes;
	if (!processes)
		return -ENOMEM;
	TARGET_FOREACH(&m->targets, i, target, next)
	{
		if (target->is_kernel_thread || (pid && target->process.pid != pid))
			continue;
		status->nr_known++;
		status->nr_pending += target->is_unread || target->is_reading || !target->is_known;
		if (!target->nr_entries) {
			status->nr_unmatched++;
			continue;
		}
		if (fill_process(m, target, &processes[status->nr_processes]) < 0)
			return -ENOMEM;
		status->nr_processes++;
	}
	qsort(processes, status->nr_processes, sizeof(*processes), compare_pids);
	return 0;
}

/* --- by patch and by CVE ----------------------------------------------------------------------- */

struct sums {
	struct status_patch *patches;
	size_t nr_patches;
	struct status_cve *cves;
	size_t nr_cves;
};

static struct status_patch *patch_named(struct sums *sums, const char *name)
{
	for (size_t i = 0; i < sums->nr_patches; i++)
		if (strcmp(sums->patches[i].name, name) == 0)
			return &sums->patches[i];
	return NULL;
}

static struct status_cve *cve_named(struct sums *sums, const char *name)
{
	struct status_cve *cves;

	for (size_t i = 0; i < sums->nr_cves; i++)
		if (strcmp(sums->cves[i].cve, name) == 0)
			return &sums->cves[i];
	cves = reallocarray(sums->cves, sums->nr_cves + 1, sizeof(*cves));
	if (!cves)
		return NULL;
	sums->cves = cves;
	cves[sums->nr_cves] = (struct status_cve){ .cve = name };
	return &cves[sums->nr_cves++];
}

static int add_patch(struct sums *sums, const struct status_patch *patch)
{
	struct status_patch *patches =
		reallocarray(sums->patches, sums->nr_patches + 1, sizeof(*patches));

	if (!patches)
		return -ENOMEM;
	sums->patches = patches;
	patches[sums->nr_patches++] = *patch;
	for (size_t i = 0; i < patch->nr_cves; i++)
		if (!cve_named(sums, patch->cves[i]))
			return -ENOMEM;
	return 0;
}

static int add_desired(const struct manager *m, struct sums *sums)
{
	int r = 0;

	for (size_t i = 0; i < m->patches.nr && r >= 0; i++) {
		const struct policy_patch *policy = &m->patches.policy[i];

		r = add_patch(sums, &(struct status_patch){
					    .name = policy->name,
					    .version = policy->version,
					    .cves = policy->info ? policy->info->cves : NULL,
					    .nr_cves = policy->info ? policy->info->nr_cves : 0,
					    .is_enabled = policy->is_enabled,
				    });
	}
	return r;
}

static int add_entry(struct sums *sums, const struct status_entry *entry)
{
	struct status_patch *patch = patch_named(sums, entry->patch);
	int r = 0;

	if (!patch)
		r = add_patch(sums, &(struct status_patch){ .name = entry->patch,
							    .version = entry->version });
	if (r < 0)
		return r;
	patch = patch_named(sums, entry->patch);
	count(&patch->counts, entry->state);
	for (size_t i = 0; i < patch->nr_cves; i++)
		count(&cve_named(sums, patch->cves[i])->counts, entry->state);
	return 0;
}

static int compare_patches(const void *a, const void *b)
{
	const struct status_patch *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int compare_cves(const void *a, const void *b)
{
	const struct status_cve *x = a, *y = b;

	return strcmp(x->cve, y->cve);
}

static int fill_sums(const struct manager *m, struct status *status)
{
	struct sums sums = {};
	int r = add_desired(m, &sums);

	for (size_t i = 0; i < status->nr_processes && r >= 0; i++)
		for (size_t n = 0; n < status->processes[i].nr_entries && r >= 0; n++) {
			r = add_entry(&sums, &status->processes[i].entries[n]);
			count(&status->counts, status->processes[i].entries[n].state);
		}
	if (sums.nr_patches > 0)
		qsort(sums.patches, sums.nr_patches, sizeof(*sums.patches), compare_patches);
	if (sums.nr_cves > 0)
		qsort(sums.cves, sums.nr_cves, sizeof(*sums.cves), compare_cves);
	status->patches = sums.patches;
	status->nr_patches = sums.nr_patches;
	status->cves = sums.cves;
	status->nr_cves = sums.nr_cves;
	return r;
}

/* --- problems ---------------------------------------------------------------------------------- */

/* Those that are in no entry, for nothing is known of them. */
static void add_unreadable(const struct manager *m, struct status *status,
			   const struct upatch_error **problems)
{
	size_t nr = 0;

	TARGET_FOREACH(&m->targets, i, target, next)
	if (!target->is_known && target->failure.error.message && nr++ < UNREADABLE_MAX)
		problems[status->nr_problems++] = &target->failure.error;
}

static int fill_problems(const struct manager *m, struct status *status)
{
	const struct failure *const failures[] = { &m->config_failure, &m->journal_failure,
						   &m->watcher_failure };
	const struct upatch_error **problems =
		calloc(m->patches.nr + 3 + UNREADABLE_MAX, sizeof(*problems));

	status->problems = problems;
	if (!problems)
		return -ENOMEM;
	for (size_t i = 0; i < 3; i++)
		if (failures[i]->error.message)
			problems[status->nr_problems++] = &failures[i]->error;
	for (size_t i = 0; i < m->patches.nr; i++)
		if (m->patches.public[i].error)
			problems[status->nr_problems++] = m->patches.public[i].error;
	add_unreadable(m, status, problems);
	return 0;
}

int manager_status(struct manager *m, pid_t pid, struct failure *f, struct status **ret)
{
	struct status *status;
	int r;

	if (pid && !target_find(&m->targets, pid)) {
		r = failure_set(f, -ESRCH, UPATCH_E_NO_PROCESS, "there is no such process");
		f->error.pid = pid;
		return r;
	}
	status = calloc(1, sizeof(*status));
	if (!status)
		return failure_oom(f);
	r = fill_processes(m, pid, status);
	if (r >= 0)
		r = fill_sums(m, status);
	if (r >= 0)
		r = fill_problems(m, status);
	if (r < 0) {
		status_free(status);
		return failure_oom(f);
	}
	status->is_settled = manager_is_settled(m);
	status->nr_operations = m->nr_operations;
	status->longest_pause = m->longest_pause;
	status->watcher = watcher_source(m->watcher);
	*ret = status;
	return 0;
}
