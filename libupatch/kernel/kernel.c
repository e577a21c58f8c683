/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernel/kernel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/array.h"
#include "base/backoff.h"
#include "base/cleanup.h"
#include "base/deadline.h"

/* The kernel looks once a second; this only bounds how late we notice. */
static const uint64_t poll_interval = 20 * NSEC_PER_MSEC;

static int open_below(const char *root, const char *path, int flags)
{
	char full[PATH_MAX];
	int fd;

	if (snprintf(full, sizeof(full), "%s/%s", root, path) >= (int)sizeof(full))
		return -ENAMETOOLONG;
	fd = open(full, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

ssize_t kernel_read_bytes(const char *root, const char *path, void *ret, size_t size)
{
	_cleanup_close_ int fd = open_below(root, path, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = read(fd, ret, size);
	return n < 0 ? -errno : n;
}

int kernel_read(const char *root, const char *path, char *ret, size_t size)
{
	ssize_t n = kernel_read_bytes(root, path, ret, size - 1);

	if (n < 0)
		return (int)n;
	ret[n] = '\0';
	ret[strcspn(ret, "\n")] = '\0';
	return 0;
}

int kernel_read_number(const char *root, const char *path, int *ret)
{
	char text[KERNEL_TEXT_MAX];
	long number;
	char *end;
	int r;

	r = kernel_read(root, path, text, sizeof(text));
	if (r < 0)
		return r;
	errno = 0;
	number = strtol(text, &end, 10);
	if (errno || end == text || *end || number < INT_MIN || number > INT_MAX)
		return -EBADMSG;
	*ret = (int)number;
	return 0;
}

static int is_directory(const struct dirent *entry)
{
	return entry->d_type == DT_DIR && entry->d_name[0] != '.';
}

int kernel_scan(const char *root, const char *path, struct dirent ***ret)
{
	char full[PATH_MAX];
	int nr;

	if (snprintf(full, sizeof(full), "%s/%s", root, path) >= (int)sizeof(full))
		return -ENAMETOOLONG;
	nr = scandir(full, ret, is_directory, alphasort);
	return nr < 0 ? -errno : nr;
}

void kernel_scan_free(struct dirent **names, int nr)
{
	for (int i = 0; i < nr; i++)
		free(names[i]);
	free(names);
}

bool kernel_has(const char *root, const char *path)
{
	char full[PATH_MAX];

	return snprintf(full, sizeof(full), "%s/%s", root, path) < (int)sizeof(full) &&
	       access(full, F_OK) == 0;
}

bool kernel_pause(const struct kernel *kernel)
{
	if (deadline_is_over(kernel->deadline))
		return false;
	nap_for(MIN(deadline_left(kernel->deadline), poll_interval));
	return true;
}

static int write_below(void *userdata, const char *root, const char *path, const char *text)
{
	_cleanup_close_ int fd = open_below(root, path, O_WRONLY);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = write(fd, text, strlen(text));
	return n < 0 ? -errno : 0;
}

/* --- the machine's own ------------------------------------------------------------------------ */

static int native_load(void *userdata, const char *name, const uint8_t *bytes, size_t size)
{
	_cleanup_close_ int fd = memfd_create(name, MFD_CLOEXEC);
	size_t done = 0;

	if (fd < 0)
		return -errno;
	while (done < size) {
		ssize_t n = write(fd, bytes + done, size - done);

		if (n < 0 && errno != EINTR)
			return -errno;
		done += n > 0 ? (size_t)n : 0;
	}
	return syscall(SYS_finit_module, fd, "", 0) < 0 ? -errno : 0;
}

static int native_unload(void *userdata, const char *name)
{
	/* Never waits, and never forces: O_TRUNC would. */
	return syscall(SYS_delete_module, name, O_NONBLOCK) < 0 ? -errno : 0;
}

static int native_may_load(void *userdata)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};

	if (syscall(SYS_capget, &header, data) < 0)
		return -errno;
	return data[CAP_TO_INDEX(CAP_SYS_MODULE)].effective & CAP_TO_MASK(CAP_SYS_MODULE) ? 0
											  : -EPERM;
}

static int native_release(void *userdata, char *ret, size_t size)
{
	struct utsname names;

	if (uname(&names) < 0)
		return -errno;
	(void)snprintf(ret, size, "%s", names.release); /* 64 bytes at most */
	return 0;
}

const struct kernel_ops kernel_ops_native = {
	.load = native_load,
	.unload = native_unload,
	.may_load = native_may_load,
	.release = native_release,
	.write = write_below,
};

/* --- a tree that stands for it ---------------------------------------------------------------- */

static int refuse_load(void *userdata, const char *name, const uint8_t *bytes, size_t size)
{
	return -EOPNOTSUPP;
}

static int refuse_unload(void *userdata, const char *name)
{
	return -EOPNOTSUPP;
}

static int refuse_all(void *userdata)
{
	return -EOPNOTSUPP;
}

const struct kernel_ops kernel_ops_tree = {
	.load = refuse_load,
	.unload = refuse_unload,
	.may_load = refuse_all,
	.release = native_release,
	.write = write_below,
};
