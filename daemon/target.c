/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "operation.h"

/* --- the table --------------------------------------------------------------------------------- */

struct target *target_find(const struct target_table *table, pid_t pid)
{
	struct target *target;

	LIST_FOREACH(target, &table->buckets[(unsigned int)pid % TARGET_BUCKETS], in_bucket)
	if (target->process.pid == pid)
		return target;
	return NULL;
}

int target_new(struct target_table *table, struct manager *manager, pid_t pid, struct target **ret)
{
	struct target *target = calloc(1, sizeof(*target));

	if (!target)
		return -ENOMEM;
	target->manager = manager;
	target->process.pid = pid;
	LIST_INSERT_HEAD(&table->buckets[(unsigned int)pid % TARGET_BUCKETS], target, in_bucket);
	table->nr++;
	*ret = target;
	return 0;
}

void target_free(struct target_table *table, struct target *target)
{
	LIST_REMOVE(target, in_bucket);
	table->nr--;
	sd_event_source_disable_unref(target->timer);
	sd_event_source_disable_unref(target->end);
	target_drop_entries(target);
	failure_clear(&target->failure);
	process_deinit(&target->process);
	free(target);
}

/* --- entries ----------------------------------------------------------------------------------- */

struct target_entry *target_entry(const struct target *target, const char *patch)
{
	for (size_t i = 0; i < target->nr_entries; i++)
		if (strcmp(target->entries[i].patch, patch) == 0)
			return &target->entries[i];
	return NULL;
}

int target_entry_new(struct target *target, const char *patch, struct target_entry **ret)
{
	struct target_entry *entries =
		reallocarray(target->entries, target->nr_entries + 1, sizeof(*entries));
	struct target_entry entry = { .patch = strdup(patch), .state = STATUS_STATES };

	if (entries)
		target->entries = entries;
	if (!entries || !entry.patch) {
		free(entry.patch);
		return -ENOMEM;
	}
	entries[target->nr_entries] = entry;
	*ret = &entries[target->nr_entries++];
	return 0;
}

void target_entry_clear_threads(struct target_entry *entry)
{
	for (size_t i = 0; i < entry->nr_threads; i++)
		free((char *)entry->threads[i].function);
	free(entry->threads);
	entry->threads = NULL;
	entry->nr_threads = 0;
}

void target_entry_set_threads(struct target_entry *entry, struct job_result *result)
{
	struct status_thread *threads = calloc(result->nr_threads + 1, sizeof(*threads));

	target_entry_clear_threads(entry);
	if (!threads)
		return; /* the entry's error names one of them */
	for (size_t i = 0; i < result->nr_threads; i++) {
		threads[i] = (struct status_thread){
			.tid = result->threads[i].tid,
			.function = result->threads[i].function,
			.reason = result->threads[i].reason,
		};
		result->threads[i].function = NULL;
	}
	entry->threads = threads;
	entry->nr_threads = result->nr_threads;
}

void target_forget_attempts(struct target *target)
{
	for (size_t i = 0; i < target->nr_entries; i++) {
		target->entries[i].attempts = 0;
		target->entries[i].retry_at = 0;
		target->entries[i].has_given_up = false;
	}
}

static void entry_deinit(struct target_entry *entry)
{
	target_entry_clear_threads(entry);
	failure_clear(&entry->failure);
	free(entry->patch);
	free(entry->version);
}

void target_drop_entries(struct target *target)
{
	for (size_t i = 0; i < target->nr_entries; i++)
		entry_deinit(&target->entries[i]);
	free(target->entries);
	target->entries = NULL;
	target->nr_entries = 0;
}
