/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"

DEFINE_CLEANUP(DIR *, closedir);

enum {
	PF_KTHREAD = 0x00200000, /* include/linux/sched.h; stat's flags field shows it */
};

int proc_read_file(int dirfd, const char *path, char **ret, size_t *ret_size)
{
	_cleanup_close_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *buf = NULL;
	size_t size = 0, room = 0;

	if (fd < 0)
		return -errno;
	for (;;) {
		if (room - size < 4096) {
			room = room ? room * 2 : 8192;
			char *p = realloc(buf, room);

			if (!p)
				return -ENOMEM;
			buf = p;
		}
		ssize_t n = read(fd, buf + size, room - size - 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		size += (size_t)n;
	}
	buf[size] = '\0';
	*ret = take_ptr(buf);
	if (ret_size)
		*ret_size = size;
	return 0;
}

int proc_parse_stat(const char *line, struct proc_stat *ret)
{
	/* The name may hold anything, parentheses and spaces too: it ends at the last ')'. */
	const char *open = strchr(line, '(');
	const char *close = strrchr(line, ')');
	struct proc_stat st = {};
	unsigned long long value;
	const char *p;

	if (!open || !close || close < open || close[1] != ' ')
		return -EBADMSG;
	(void)snprintf(st.comm, sizeof(st.comm), "%.*s", (int)(close - open - 1), open + 1);
	st.state = close[2];
	if (!st.state)
		return -EBADMSG;
	p = close + 3;
	/* Fields 4 to 28, numbered as in proc(5). */
	for (int field = 4; field <= 28; field++) {
		char *end;

		value = strtoull(p, &end, 10);
		if (end == p)
			return -EBADMSG;
		p = end;
		if (field == 4)
			st.parent = (pid_t)value;
		else if (field == 9)
			st.is_kernel_thread = value & PF_KTHREAD;
		else if (field == 22)
			st.start_time = value;
		else if (field == 28)
			st.start_stack = value;
	}
	*ret = st;
	return 0;
}

/* The text behind "\nkey:", or NULL. */
static const char *status_field(const char *text, const char *key)
{
	size_t len = strlen(key);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		if (*line == '\n')
			line++;
		if (strncmp(line, key, len) == 0 && line[len] == ':')
			return line + len + 1;
	}
	return NULL;
}

static bool status_number(const char *text, const char *key, int base, uint64_t *ret)
{
	const char *field = status_field(text, key);
	char *end;
	uint64_t value;

	if (!field)
		return false;
	value = strtoull(field, &end, base);
	if (end == field)
		return false;
	*ret = value;
	return true;
}

int proc_parse_status(const char *text, struct proc_status *ret)
{
	uint64_t tgid, tracer, uid, blocked, own, shared, seccomp = 0;
	const char *features;

	if (!status_number(text, "Tgid", 10, &tgid) ||
	    !status_number(text, "TracerPid", 10, &tracer) ||
	    !status_number(text, "Uid", 10, &uid) || !status_number(text, "SigBlk", 16, &blocked) ||
	    !status_number(text, "SigPnd", 16, &own) || !status_number(text, "ShdPnd", 16, &shared))
		return -EBADMSG;
	/* Absent without CONFIG_SECCOMP. */
	(void)status_number(text, "Seccomp", 10, &seccomp);
	features = status_field(text, "x86_Thread_features");
	*ret = (struct proc_status){
		.tgid = (pid_t)tgid,
		.tracer = (pid_t)tracer,
		.uid = (uint32_t)uid,
		.seccomp = (int)seccomp,
		.blocked = blocked,
		.pending = own | shared,
		.has_shadow_stack = features && strstr(features, "shstk") &&
				    (!strchr(features, '\n') ||
				     strstr(features, "shstk") < strchr(features, '\n')),
	};
	return 0;
}

static int read_of_thread(int dirfd, pid_t tid, const char *name, char **ret)
{
	char path[64];

	if (tid)
		(void)snprintf(path, sizeof(path), "task/%d/%s", (int)tid, name);
	else
		(void)snprintf(path, sizeof(path), "%s", name);
	return proc_read_file(dirfd, path, ret, NULL);
}

int proc_read_stat(int dirfd, pid_t tid, struct proc_stat *ret)
{
	_cleanup_free_ char *text = NULL;
	int r;

	r = read_of_thread(dirfd, tid, "stat", &text);
	if (r < 0)
		return r;
	return proc_parse_stat(text, ret);
}

int proc_read_status(int dirfd, pid_t tid, struct proc_status *ret)
{
	_cleanup_free_ char *text = NULL;
	int r;

	r = read_of_thread(dirfd, tid, "status", &text);
	if (r < 0)
		return r;
	return proc_parse_status(text, ret);
}

int proc_parse_wait(const char *line, struct proc_wait *ret)
{
	/* "running", or the number, six arguments, stack and program counter; "-1 SP PC": no call */
	const char *sp = NULL, *pc = NULL;
	char *end;

	if (strncmp(line, "running", 7) == 0)
		return -EAGAIN;
	for (const char *p = strchr(line, ' '); p; p = strchr(p + 1, ' ')) {
		sp = pc;
		pc = p;
	}
	if (!sp)
		return -EBADMSG;
	ret->sp = strtoull(sp, &end, 16);
	if (end != pc)
		return -EBADMSG;
	ret->pc = strtoull(pc, &end, 16);
	return *end == '\n' || !*end ? 0 : -EBADMSG;
}

int proc_read_wait(int dirfd, pid_t tid, struct proc_wait *ret)
{
	_cleanup_free_ char *text = NULL;
	int r;

	r = read_of_thread(dirfd, tid, "syscall", &text);
	if (r < 0)
		return r;
	return proc_parse_wait(text, ret);
}

int proc_read_tids(int dirfd, pid_t **ret, size_t *ret_nr)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	_cleanup_free_ pid_t *tids = NULL;
	size_t nr = 0, alloc = 0;
	struct dirent *entry;
	int fd;

	fd = openat(dirfd, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		closep(&fd);
		return -ENOMEM;
	}
	errno = 0;
	while ((entry = readdir(dir))) {
		long tid = strtol(entry->d_name, NULL, 10);

		if (tid <= 0)
			continue;
		if (!array_grow(tids, nr, alloc))
			return -ENOMEM;
		tids[nr++] = (pid_t)tid;
	}
	if (errno)
		return -errno;
	*ret = take_ptr(tids);
	*ret_nr = nr;
	return 0;
}

uint64_t proc_read_auxv(int dirfd, uint64_t type)
{
	_cleanup_free_ char *bytes = NULL;
	uint64_t pair[2];
	size_t size;

	if (proc_read_file(dirfd, "auxv", &bytes, &size) < 0)
		return 0;
	for (size_t i = 0; i + sizeof(pair) <= size; i += sizeof(pair)) {
		memcpy(pair, bytes + i, sizeof(pair));
		if (pair[0] == type)
			return pair[1];
	}
	return 0;
}
