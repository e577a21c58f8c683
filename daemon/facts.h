/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_FACTS_H
#define DAEMON_FACTS_H

/*
 * Reading what a process is from /proc: its mappings with their build IDs, its user, its cgroup.
 * May block as long as the process, or a file system that it maps from, likes: for the reader only.
 *
 * Files are opened through /proc/PID/map_files, so that files in other mount namespaces and files
 * that were deleted, as by an upgrade, are the mapped ones. What was read of a file is remembered by
 * device, inode and change time: a thousand processes cost one look into each library.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct facts_cache;
struct process;

int facts_cache_new(struct facts_cache **ret);
void facts_cache_free(struct facts_cache *cache);

/* Files that were looked into so far. */
uint64_t facts_cache_nr_reads(const struct facts_cache *cache);

enum facts_outcome {
	FACTS_READ = 0,
	FACTS_NOBODY = 1, /* no process, or none any more: a zombie */
	FACTS_KERNEL_THREAD = 2,
};

/**
 * facts_read() - what a process is, but for its record
 * @ret: owned by the caller
 * Return: enum facts_outcome, or -errno.
 */
int facts_read(struct facts_cache *cache, pid_t pid, struct process *ret);

/* --- parsing, for itself ----------------------------------------------------------------------- */

struct facts_stat {
	char comm[16];
	char state;
	unsigned long flags;
	uint64_t start_time;
};

/* /proc/PID/stat. Return: 0 or -EBADMSG. */
int facts_parse_stat(const char *text, struct facts_stat *ret);

/* The same of a process now. Return: 0, -EBADMSG, or the errno of reading it. */
int facts_read_stat(pid_t pid, struct facts_stat *ret);

struct facts_mapping {
	uint64_t start;
	uint64_t end;
	char prot[5]; /* "r-xp" */
	uint64_t offset;
	uint64_t dev;
	uint64_t inode;
};

/* A line of /proc/PID/maps. Return: 0 or -EBADMSG. */
int facts_parse_mapping(const char *line, struct facts_mapping *ret);

/* The path in the line of the unified hierarchy, or of systemd's, in /proc/PID/cgroup; cut there. */
const char *facts_parse_cgroup(char *text);

#endif
