/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_PROCESS_H
#define DAEMON_PROCESS_H

/*
 * What is known of one process: facts that a reader found, the patches that its record tells of.
 * Strings are owned.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <upatch/abi.h>

struct failure;
struct wire;

enum {
	PROCESS_COMM_MAX = 16,
	PROCESS_OBJECTS_MAX = 1024,
	PROCESS_RECORDS_MAX = UPATCH_PATCHES_MAX, /* none may be missed: the last is the newest */
	PROCESS_PAYLOADS_MAX = 64,
	PROCESS_THREADS_MAX = 4096,
};

/* How far the process is in its start: before its end most of what a patch needs is not there. */
enum process_startup {
	PROCESS_STARTUP_UNKNOWN, /* it cannot be told by its mappings */
	PROCESS_STARTUP_OPEN,	 /* the dynamic linker is at work */
	PROCESS_STARTUP_DONE,
};

/* What a patch is to one object: fields as those of struct upatch_status_object. */
struct process_payload {
	char *build_id;
	char *state;
	char *reason; /* "": none */
};

/* One patch in the process's record. */
struct process_record {
	char *name;
	char *version;
	char *state;  /* as upatch_status_patch.state */
	char *reason; /* why it is kept, or "" */
	uint64_t seq;
	uint32_t digest;		  /* as upatch_status_patch.digest */
	struct process_payload *payloads; /* an object that is mapped twice has two */
	size_t nr_payloads;
};

struct process {
	pid_t pid;
	uint64_t start_time; /* clock ticks since boot: with the PID it names one process */
	uid_t uid;	     /* effective */
	char comm[PROCESS_COMM_MAX];
	char *exe;	 /* "" when it cannot be read */
	char *cgroup;	 /* path in the unified hierarchy, or "" */
	bool lacks_main; /* its main thread has exited */
	enum process_startup startup;
	char **objects; /* build IDs of what it maps, lower-case hex */
	size_t nr_objects;
	struct process_record *records; /* oldest first */
	size_t nr_records;
};

void process_deinit(struct process *process);

/* Take over @from's facts, which is empty afterwards. */
void process_replace(struct process *process, struct process *from);

/* Copy facts, as fork() does. Return: 0 or -ENOMEM. */
int process_copy(const struct process *from, struct process *ret);

bool process_maps(const struct process *process, const char *build_id);

/* The patch in its record, or NULL. */
const struct process_record *process_record(const struct process *process, const char *name);

/* What the patch is to an object, or NULL; one that is patched comes before others of the object. */
const struct process_payload *process_payload(const struct process_record *record,
					      const char *build_id);

bool process_payload_is_patched(const struct process_payload *payload);

/* Nothing is patched: all that there is of the patch waits for libraries. */
bool process_record_is_waiting(const struct process_record *record);

/* Last component of the cgroup's path that names a unit ("redis.service"), or "". */
const char *process_unit(const struct process *process);

/* To and from another process. Return: 0, or -EBADMSG for what is no process. */
void process_put(struct wire *w, const struct process *process);
int process_get(struct wire *w, struct process *ret);
void process_put_records(struct wire *w, const struct process *process);
int process_get_records(struct wire *w, struct process *ret);

#endif
