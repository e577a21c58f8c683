/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "process.h"

static int fill_payloads(const struct upatch_status_patch *patch, struct process_record *record)
{
	size_t nr = patch->nr_objects;

	if (nr > PROCESS_PAYLOADS_MAX)
		nr = PROCESS_PAYLOADS_MAX;
	record->payloads = calloc(nr + 1, sizeof(*record->payloads));
	if (!record->payloads)
		return -ENOMEM;
	for (size_t i = 0; i < nr; i++) {
		const struct upatch_status_object *object = &patch->objects[i];
		struct process_payload *payload = &record->payloads[record->nr_payloads++];

		payload->build_id = strdup(object->build_id);
		payload->state = strdup(object->state);
		payload->reason = strdup(object->reason ? object->reason : "");
		if (!payload->build_id || !payload->state || !payload->reason)
			return -ENOMEM;
	}
	return 0;
}

static int fill(const struct upatch_status *status, struct process *process)
{
	size_t nr = status->nr_patches;

	if (nr > PROCESS_RECORDS_MAX)
		nr = PROCESS_RECORDS_MAX;
	process->records = calloc(nr + 1, sizeof(*process->records));
	if (!process->records)
		return -ENOMEM;
	for (size_t i = 0; i < nr; i++) {
		const struct upatch_status_patch *patch = &status->patches[i];
		struct process_record *record = &process->records[process->nr_records++];

		record->name = strdup(patch->name);
		record->version = strdup(patch->version);
		record->state = strdup(patch->state);
		record->reason = strdup(patch->reason ? patch->reason : "");
		record->seq = patch->seq;
		record->digest = patch->digest;
		if (!record->name || !record->version || !record->state || !record->reason ||
		    fill_payloads(patch, record) < 0)
			return -ENOMEM;
	}
	return 0;
}

int record_fill(struct upatch_target *target, struct process *process)
{
	struct upatch_status *status = NULL;
	int r;

	r = upatch_target_status(target, &status);
	if (r >= 0)
		r = fill(status, process);
	upatch_status_free(status);
	return r;
}
