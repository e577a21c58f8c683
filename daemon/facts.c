/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "facts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <upatch/upatch.h>

#include "cleanup.h"
#include "process.h"
#include "startup.h"

enum {
	CACHE_SIZE = 4096,	  /* files; a power of two */
	MAPPINGS_MAX = 65530,	  /* vm.max_map_count's default */
	KERNEL_THREAD = 0x200000, /* PF_KTHREAD of <linux/sched.h> */
};

/* --- what is known of files -------------------------------------------------------------------- */

struct cached {
	uint64_t dev;
	uint64_t inode; /* 0: free */
	struct timespec changed;
	char build_id[UPATCH_BUILD_ID_MAX]; /* "" when it has none */
};

/* Each file has one place; who comes later takes it over. */
struct facts_cache {
	uint64_t nr_reads;
	struct cached files[CACHE_SIZE];
};

int facts_cache_new(struct facts_cache **ret)
{
	struct facts_cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return -ENOMEM;
	*ret = cache;
	return 0;
}

void facts_cache_free(struct facts_cache *cache)
{
	free(cache);
}

uint64_t facts_cache_nr_reads(const struct facts_cache *cache)
{
	return cache->nr_reads;
}

static bool is_file(const struct cached *cached, const struct facts_mapping *m,
		    const struct stat *st)
{
	return cached->inode == m->inode && cached->dev == m->dev &&
	       cached->changed.tv_sec == st->st_ctim.tv_sec &&
	       cached->changed.tv_nsec == st->st_ctim.tv_nsec;
}

/* Return: borrowed, "" for what has none; NULL when it cannot be looked into. */
static const char *build_id_of(struct facts_cache *cache, int procfd, const struct facts_mapping *m)
{
	struct cached *cached =
		&cache->files[(m->inode * 0x9e3779b97f4a7c15ull ^ m->dev * 31) % CACHE_SIZE];
	_cleanup_close_ int fd = -1;
	struct stat st;
	char path[64];

	(void)snprintf(path, sizeof(path), "map_files/%" PRIx64 "-%" PRIx64, m->start, m->end);
	if (fstatat(procfd, path, &st, 0) < 0 || !S_ISREG(st.st_mode))
		return NULL;
	if (is_file(cached, m, &st))
		return cached->build_id;
	fd = openat(procfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return NULL;
	cache->nr_reads++;
	*cached = (struct cached){ .dev = m->dev, .inode = m->inode, .changed = st.st_ctim };
	(void)upatch_file_build_id(fd, cached->build_id); /* "" when it has none */
	return cached->build_id;
}

/* --- parsing ----------------------------------------------------------------------------------- */

/* proc(5): the name is in parentheses and may hold any byte, parentheses too. */
int facts_parse_stat(const char *text, struct facts_stat *ret)
{
	const char *open = strchr(text, '('), *close = strrchr(text, ')');
	struct facts_stat stat = {};
	size_t length;

	if (!open || !close || close < open)
		return -EBADMSG;
	length = (size_t)(close - open - 1);
	if (length >= sizeof(stat.comm))
		length = sizeof(stat.comm) - 1;
	memcpy(stat.comm, open + 1, length);
	if (sscanf(close + 1,
		   " %c %*s %*s %*s %*s %*s %lu %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
		   "%" SCNu64,
		   &stat.state, &stat.flags, &stat.start_time) != 3)
		return -EBADMSG;
	*ret = stat;
	return 0;
}

int facts_parse_mapping(const char *line, struct facts_mapping *ret)
{
	struct facts_mapping m = {};
	unsigned int major, minor;

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64, &m.start, &m.end,
		   m.prot, &m.offset, &major, &minor, &m.inode) != 7 ||
	    m.start >= m.end || strlen(m.prot) != 4)
		return -EBADMSG;
	m.dev = makedev(major, minor);
	*ret = m;
	return 0;
}

const char *facts_parse_cgroup(char *text)
{
	static const char *const hierarchies[] = { "0::", ":name=systemd:" };
	char *found = NULL;

	for (size_t i = 0; i < 2 && !found; i++) {
		found = strstr(text, hierarchies[i]);
		if (found)
			found += strlen(hierarchies[i]);
	}
	if (!found)
		return "";
	found[strcspn(found, "\n")] = 0;
	return found;
}

/* --- reading ----------------------------------------------------------------------------------- */

static int read_text(int procfd, const char *name, char *ret, size_t size)
{
	_cleanup_close_ int fd = openat(procfd, name, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, ret, size - 1);
	if (n < 0)
		return -errno;
	ret[n] = 0;
	return 0;
}

static int read_stat(int procfd, struct facts_stat *ret)
{
	char text[1024];
	int r;

	r = read_text(procfd, "stat", text, sizeof(text));
	return r < 0 ? r : facts_parse_stat(text, ret);
}

int facts_read_stat(pid_t pid, struct facts_stat *ret)
{
	_cleanup_close_ int procfd = -1;
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	procfd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return procfd < 0 ? -errno : read_stat(procfd, ret);
}

static int add_object(struct process *process, const char *build_id)
{
	if (!*build_id || process_maps(process, build_id) ||
	    process->nr_objects >= PROCESS_OBJECTS_MAX)
		return 0;
	process->objects[process->nr_objects] = strdup(build_id);
	if (!process->objects[process->nr_objects])
		return -ENOMEM;
	process->nr_objects++;
	return 0;
}

static int add_objects(struct facts_cache *cache, int procfd, const struct facts_mapping *mappings,
		       size_t nr, struct process *process)
{
	const struct facts_mapping *last = NULL;

	process->objects = calloc(PROCESS_OBJECTS_MAX, sizeof(*process->objects));
	if (!process->objects)
		return -ENOMEM;
	for (size_t i = 0; i < nr; i++) {
		const struct facts_mapping *m = &mappings[i];
		const char *build_id;

		/* An object maps its headers first; files that are only read are none. */
		if (!m->inode || m->offset ||
		    (last && last->inode == m->inode && last->dev == m->dev))
			continue;
		last = m;
		build_id = build_id_of(cache, procfd, m);
		if (build_id && add_object(process, build_id) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int read_mappings(int procfd, struct facts_mapping **ret, size_t *ret_nr)
{
	int fd = openat(procfd, "maps", O_RDONLY | O_CLOEXEC);
	_cleanup_(fclosep) FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
	_cleanup_free_ struct facts_mapping *mappings = NULL;
	_cleanup_free_ char *line = NULL;
	size_t nr = 0, room = 0, size = 0;

	if (!file) {
		int r = -errno;

		closep(&fd);
		return r;
	}
	while (nr < MAPPINGS_MAX && getline(&line, &size, file) > 0) {
		if (nr == room) {
			struct facts_mapping *more =
				reallocarray(mappings, room + 128, sizeof(*more));

			if (!more)
				return -ENOMEM;
			mappings = more;
			room += 128;
		}
		if (facts_parse_mapping(line, &mappings[nr]) == 0)
			nr++;
	}
	*ret = take_ptr(mappings);
	*ret_nr = nr;
	return 0;
}

static int read_identity(int procfd, struct process *process)
{
	char path[PATH_MAX], cgroup[PATH_MAX];
	ssize_t length = readlinkat(procfd, "exe", path, sizeof(path) - 1);
	static const char deleted[] = " (deleted)";
	char status[4096];
	const char *uid;

	path[length > 0 ? length : 0] = 0;
	/* An upgrade does not change whose process it is. */
	if (length > (ssize_t)sizeof(deleted) &&
	    strcmp(path + length - (ssize_t)sizeof(deleted) + 1, deleted) == 0)
		path[length - (ssize_t)sizeof(deleted) + 1] = 0;
	if (read_text(procfd, "status", status, sizeof(status)) < 0)
		return -ESRCH;
	uid = strstr(status, "\nUid:"); /* the name above it has its newlines escaped */
	if (!uid || sscanf(uid, "\nUid: %*u %u", &process->uid) != 1)
		return -EBADMSG;
	process->exe = strdup(path);
	if (read_text(procfd, "cgroup", cgroup, sizeof(cgroup)) < 0)
		*cgroup = 0;
	process->cgroup = strdup(facts_parse_cgroup(cgroup));
	return process->exe && process->cgroup ? 0 : -ENOMEM;
}

/* Is the entry of /proc a thread of the process, and at work? */
static bool is_living_thread(int fd, pid_t pid)
{
	struct facts_stat stat;
	char status[4096];
	const char *tgid;
	int number;

	if (read_stat(fd, &stat) < 0 || stat.state == 'Z' || stat.state == 'X' ||
	    read_text(fd, "status", status, sizeof(status)) < 0)
		return false;
	tgid = strstr(status, "\nTgid:");
	return tgid && sscanf(tgid, "\nTgid: %d", &number) == 1 && number == pid;
}

/*
 * A main thread that has exited is a zombie without memory, while the process lives on in the others: any
 * of them shows it. Of /proc/PID/task/TID they do not, for there is no map_files below.
 * Return: an entry of /proc, owned by the caller, or -ESRCH.
 */
static int open_living_thread(int procfd, pid_t pid)
{
	int taskfd = openat(procfd, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(closedirp) DIR *dir = taskfd >= 0 ? fdopendir(taskfd) : NULL;
	struct dirent *entry;

	if (!dir)
		closep(&taskfd);
	while (dir && (entry = readdir(dir))) {
		_cleanup_close_ int fd = -1;
		char path[300];

		(void)snprintf(path, sizeof(path), "/proc/%s", entry->d_name);
		if (*entry->d_name != '.')
			fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0 && is_living_thread(fd, pid))
			return take_fd(fd);
	}
	return -ESRCH;
}

static int read_process(struct facts_cache *cache, int procfd, struct process *process)
{
	_cleanup_close_ int living = -1;
	_cleanup_free_ struct facts_mapping *mappings = NULL;
	struct facts_stat before, after;
	size_t nr = 0;
	int r;

	r = read_stat(procfd, &before);
	if (r < 0)
		return r;
	if (before.flags & KERNEL_THREAD)
		return FACTS_KERNEL_THREAD;
	if (before.state == 'Z' || before.state == 'X') {
		process->lacks_main = true;
		procfd = living = open_living_thread(procfd, process->pid);
		if (living < 0)
			return FACTS_NOBODY;
	}
	memcpy(process->comm, before.comm, sizeof(process->comm));
	process->start_time = before.start_time;
	r = read_identity(procfd, process);
	if (r >= 0)
		r = read_mappings(procfd, &mappings, &nr);
	if (r >= 0)
		r = add_objects(cache, procfd, mappings, nr, process);
	if (r < 0)
		return r;
	process->startup = startup_of(procfd, mappings, nr);
	/* While it was looked at it may have become somebody else, but for the descriptor of /proc. */
	return read_stat(procfd, &after);
}

int facts_read(struct facts_cache *cache, pid_t pid, struct process *ret)
{
	struct process process = { .pid = pid };
	_cleanup_close_ int procfd = -1;
	char path[32];
	int r;

	(void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	procfd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (procfd < 0)
		return errno == ENOENT ? FACTS_NOBODY : -errno;
	r = read_process(cache, procfd, &process);
	if (r == -ESRCH || r == -ENOENT)
		r = FACTS_NOBODY;
	if (r != FACTS_READ)
		process_deinit(&process);
	else
		*ret = process;
	return r;
}
