/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "wire.h"

static void free_payloads(struct process_record *record)
{
	for (size_t i = 0; i < record->nr_payloads; i++) {
		free(record->payloads[i].build_id);
		free(record->payloads[i].state);
		free(record->payloads[i].reason);
	}
	free(record->payloads);
}

static void free_records(struct process *process)
{
	for (size_t i = 0; i < process->nr_records; i++) {
		free(process->records[i].name);
		free(process->records[i].version);
		free(process->records[i].state);
		free(process->records[i].reason);
		free_payloads(&process->records[i]);
	}
	free(process->records);
	process->records = NULL;
	process->nr_records = 0;
}

void process_deinit(struct process *process)
{
	free_records(process);
	for (size_t i = 0; i < process->nr_objects; i++)
		free(process->objects[i]);
	free(process->objects);
	free(process->exe);
	free(process->cgroup);
	*process = (struct process){};
}

void process_replace(struct process *process, struct process *from)
{
	process_deinit(process);
	*process = *from;
	*from = (struct process){};
}

int process_copy(const struct process *from, struct process *ret)
{
	struct wire w;
	int r;

	r = wire_init(&w);
	if (r < 0)
		return r;
	process_put(&w, from);
	r = w.has_failed ? -ENOMEM : process_get(&w, ret);
	wire_deinit(&w);
	return r;
}

bool process_maps(const struct process *process, const char *build_id)
{
	for (size_t i = 0; i < process->nr_objects; i++)
		if (strcmp(process->objects[i], build_id) == 0)
			return true;
	return false;
}

const struct process_record *process_record(const struct process *process, const char *name)
{
	for (size_t i = 0; i < process->nr_records; i++)
		if (strcmp(process->records[i].name, name) == 0)
			return &process->records[i];
	return NULL;
}

bool process_payload_is_patched(const struct process_payload *payload)
{
	return strcmp(payload->state, "patched") == 0;
}

const struct process_payload *process_payload(const struct process_record *record,
					      const char *build_id)
{
	const struct process_payload *found = NULL;

	for (size_t i = 0; i < record->nr_payloads; i++) {
		const struct process_payload *payload = &record->payloads[i];

		if (strcmp(payload->build_id, build_id) != 0)
			continue;
		if (process_payload_is_patched(payload))
			return payload;
		found = payload;
	}
	return found;
}

bool process_record_is_waiting(const struct process_record *record)
{
	for (size_t i = 0; i < record->nr_payloads; i++)
		if (process_payload_is_patched(&record->payloads[i]))
			return false;
	return record->nr_payloads > 0;
}

/* systemd.unit(5): a component with one of these suffixes; slices only group. */
const char *process_unit(const struct process *process)
{
	const char *path = process->cgroup ? process->cgroup : "";
	const char *last = strrchr(path, '/');
	const char *name = last ? last + 1 : path;

	return strstr(name, ".service") || strstr(name, ".scope") ? name : "";
}

/* --- to and from another process --------------------------------------------------------------- */

static void put_payloads(struct wire *w, const struct process_record *record)
{
	wire_put(w, record->nr_payloads);
	for (size_t i = 0; i < record->nr_payloads; i++) {
		wire_put_string(w, record->payloads[i].build_id);
		wire_put_string(w, record->payloads[i].state);
		wire_put_string(w, record->payloads[i].reason);
	}
}

void process_put_records(struct wire *w, const struct process *process)
{
	wire_put(w, process->nr_records);
	for (size_t i = 0; i < process->nr_records; i++) {
		wire_put_string(w, process->records[i].name);
		wire_put_string(w, process->records[i].version);
		wire_put_string(w, process->records[i].state);
		wire_put_string(w, process->records[i].reason);
		wire_put(w, process->records[i].seq);
		wire_put(w, process->records[i].digest);
		put_payloads(w, &process->records[i]);
	}
}

static char *get_copy(struct wire *w)
{
	const char *string = wire_get_string(w);
	char *copy = strdup(string ? string : "");

	if (!copy)
		w->has_failed = true; /* what else is wrong with it does not matter any more */
	return copy;
}

static int get_payloads(struct wire *w, struct process_record *ret)
{
	size_t nr = wire_get_max(w, PROCESS_PAYLOADS_MAX);

	ret->payloads = calloc(nr + 1, sizeof(*ret->payloads));
	if (!ret->payloads)
		return -ENOMEM;
	for (size_t i = 0; i < nr; i++) {
		ret->payloads[i].build_id = get_copy(w);
		ret->payloads[i].state = get_copy(w);
		ret->payloads[i].reason = get_copy(w);
		ret->nr_payloads++;
	}
	return 0;
}

int process_get_records(struct wire *w, struct process *ret)
{
	size_t nr = wire_get_max(w, PROCESS_RECORDS_MAX);

	free_records(ret);
	ret->records = calloc(nr + 1, sizeof(*ret->records));
	if (!ret->records)
		return -ENOMEM;
	for (size_t i = 0; i < nr; i++) {
		struct process_record *record = &ret->records[ret->nr_records++];

		record->name = get_copy(w);
		record->version = get_copy(w);
		record->state = get_copy(w);
		record->reason = get_copy(w);
		record->seq = wire_get(w);
		record->digest = (uint32_t)wire_get_max(w, UINT32_MAX);
		if (get_payloads(w, record) < 0)
			return -ENOMEM;
	}
	return w->has_failed ? -EBADMSG : 0;
}

void process_put(struct wire *w, const struct process *process)
{
	wire_put(w, (uint64_t)process->pid);
	wire_put(w, process->start_time);
	wire_put(w, process->uid);
	wire_put_string(w, process->comm);
	wire_put_string(w, process->exe);
	wire_put_string(w, process->cgroup);
	wire_put(w, process->lacks_main);
	wire_put(w, process->startup);
	wire_put(w, process->nr_objects);
	for (size_t i = 0; i < process->nr_objects; i++)
		wire_put_string(w, process->objects[i]);
	process_put_records(w, process);
}

static int get_objects(struct wire *w, struct process *ret)
{
	size_t nr = wire_get_max(w, PROCESS_OBJECTS_MAX);

	ret->objects = calloc(nr + 1, sizeof(*ret->objects));
	if (!ret->objects)
		return -ENOMEM;
	for (size_t i = 0; i < nr; i++)
		ret->objects[ret->nr_objects++] = get_copy(w);
	return 0;
}

int process_get(struct wire *w, struct process *ret)
{
	struct process process = {
		.pid = (pid_t)wire_get_max(w, INT32_MAX),
		.start_time = wire_get(w),
		.uid = (uid_t)wire_get_max(w, UINT32_MAX),
	};
	const char *comm = wire_get_string(w);
	int r;

	if (comm)
		(void)memccpy(process.comm, comm, 0, sizeof(process.comm) - 1);
	process.exe = get_copy(w);
	process.cgroup = get_copy(w);
	process.lacks_main = wire_get_max(w, 1);
	process.startup = (enum process_startup)wire_get_max(w, PROCESS_STARTUP_DONE);
	r = get_objects(w, &process);
	if (r >= 0)
		r = process_get_records(w, &process);
	if (r >= 0 && w->has_failed)
		r = -EBADMSG;
	if (r < 0)
		process_deinit(&process);
	else
		*ret = process;
	return r;
}
