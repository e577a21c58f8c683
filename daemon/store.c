/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <upatch/error.h>

#include "cleanup.h"
#include "desired.h"
#include "failure.h"
#include "ini.h"

enum {
	PATCH_SIZE_MAX = 256 << 20,
	COPY_SIZE = 64 << 10,
};

static const char staged_prefix[] = ".new-";

static int raise_io(struct failure *f, const char *what, const char *path)
{
	int error = -errno;

	return failure_set(f, error, UPATCH_E_IO, "cannot %s '%s': %s", what, path,
			   strerror(-error));
}

/* --- life -------------------------------------------------------------------------------------- */

static int make_folder(const char *path, struct failure *f)
{
	_cleanup_free_ char *copy = strdup(path);

	if (!copy)
		return failure_oom(f);
	for (char *p = copy + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = 0;
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			return raise_io(f, "make the folder", copy);
		*p = '/';
	}
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return raise_io(f, "make the folder", path);
	return 0;
}

int store_init(struct store *store, const char *root, struct failure *f)
{
	int r;

	store->root = strdup(root);
	store->patches = NULL;
	if (!store->root || asprintf(&store->patches, "%s/patches", root) < 0)
		r = failure_oom(f);
	else
		r = make_folder(store->patches, f);
	if (r < 0)
		store_deinit(store);
	return r;
}

void store_deinit(struct store *store)
{
	free(store->root);
	free(store->patches);
	*store = (struct store){};
}

char *store_path(const struct store *store, const char *file)
{
	char *path;

	return asprintf(&path, "%s/%s", store->patches, file) < 0 ? NULL : path;
}

/* --- writing ----------------------------------------------------------------------------------- */

static int write_all(int fd, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, bytes, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes += n;
		size -= (size_t)n;
	}
	return 0;
}

/* A new name is on disk when its folder is. */
static int flush_folder(const char *path, struct failure *f)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? raise_io(f, "flush the folder", path) : 0;
}

static int copy_bytes(int from, int to, const char *label, const char *path, struct failure *f)
{
	static const char what[] = "copy the patch file to";
	_cleanup_free_ char *bytes = malloc(COPY_SIZE);
	off_t at = 0;

	if (!bytes)
		return failure_oom(f);
	for (;;) {
		ssize_t n = pread(from, bytes, COPY_SIZE, at);
		int r;

		if (n < 0)
			return raise_io(f, "read", label);
		if (n == 0)
			break;
		at += n;
		if (at > PATCH_SIZE_MAX)
			return failure_set(f, -EFBIG, UPATCH_E_BAD_PATCHFILE,
					   "'%s' is larger than %d bytes", label, PATCH_SIZE_MAX);
		r = write_all(to, bytes, (size_t)n);
		if (r < 0) {
			errno = -r;
			return raise_io(f, what, path);
		}
	}
	return fsync(to) < 0 ? raise_io(f, what, path) : 0;
}

int store_stage(const struct store *store, int fd, const char *label, char **ret, struct failure *f)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int to = -1;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return failure_set(f, -EINVAL, UPATCH_E_BAD_PATCHFILE, "'%s' is no regular file",
				   label);
	if (asprintf(&path, "%s/%sXXXXXX", store->patches, staged_prefix) < 0)
		return failure_oom(f);
	to = mkostemp(path, O_CLOEXEC);
	if (to < 0)
		return raise_io(f, "make a file in", store->patches);
	r = copy_bytes(fd, to, label, path, f);
	if (r < 0) {
		(void)unlink(path); /* else it is garbage at the next start */
		return r;
	}
	*ret = take_ptr(path);
	return 0;
}

int store_keep(const struct store *store, const char *staged, const char *name, uint64_t order,
	       char **ret_file, struct failure *f)
{
	_cleanup_free_ char *file = NULL, *path = NULL;
	int r;

	if (!*name || *name == '.' || strchr(name, '/') || strlen(name) > 128)
		return failure_set(f, -EINVAL, UPATCH_E_BAD_PATCHFILE,
				   "the patch's name '%s' is no file name", name);
	if (asprintf(&file, "%s@%" PRIu64 ".upatch", name, order) < 0 ||
	    !(path = store_path(store, file)))
		return failure_oom(f);
	if (rename(staged, path) < 0)
		return raise_io(f, "make", path);
	r = flush_folder(store->patches, f);
	if (r < 0)
		(void)unlink(path); /* nobody refers to it yet */
	else
		*ret_file = take_ptr(file);
	return r;
}

void store_drop(const struct store *store, const char *file)
{
	_cleanup_free_ char *path = store_path(store, file);

	if (path)
		(void)unlink(path); /* see the header */
}

static bool is_wanted(const struct desired *desired, const char *file)
{
	for (size_t i = 0; i < desired->nr; i++)
		if (strcmp(desired->patches[i].file, file) == 0)
			return true;
	return false;
}

void store_tidy(const struct store *store, const struct desired *desired)
{
	_cleanup_(closedirp) DIR *dir = opendir(store->patches);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (entry->d_type == DT_REG && !is_wanted(desired, entry->d_name))
			store_drop(store, entry->d_name);
}

/* --- the journal ------------------------------------------------------------------------------- */

struct journal_paths {
	char *now;
	char *new;
	char *old;
};

static void paths_deinit(struct journal_paths *paths)
{
	free(paths->now);
	free(paths->new);
	free(paths->old);
}

static int paths_init(struct journal_paths *paths, const struct store *store)
{
	*paths = (struct journal_paths){};
	if (asprintf(&paths->now, "%s/journal", store->root) < 0 ||
	    asprintf(&paths->new, "%s/journal.new", store->root) < 0 ||
	    asprintf(&paths->old, "%s/journal.old", store->root) < 0)
		return -ENOMEM;
	return 0;
}

static int write_new(const char *path, const char *text, size_t size, struct failure *f)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return raise_io(f, "write the journal", path);
	r = write_all(fd, text, size);
	if (r >= 0 && fsync(fd) < 0)
		r = -errno;
	if (r < 0) {
		errno = -r;
		return raise_io(f, "write the journal", path);
	}
	return 0;
}

/* What is refused has not happened, also when the next start reads it. */
static void put_back(const struct journal_paths *paths)
{
	if (rename(paths->old, paths->now) == 0)
		(void)link(paths->now, paths->old); /* a second name, as before */
	else
		(void)unlink(paths->now); /* there was none */
}

int store_write_journal(const struct store *store, const struct desired *desired, struct failure *f)
{
	_cleanup_(paths_deinit) struct journal_paths paths;
	_cleanup_free_ char *text = NULL;
	size_t size;
	int r;

	if (paths_init(&paths, store) < 0 || desired_format(desired, &text, &size) < 0)
		return failure_oom(f);
	r = write_new(paths.new, text, size, f);
	if (r >= 0) {
		/* The one before stays readable under a second name, should this one be damaged. */
		(void)unlink(paths.old);
		(void)link(paths.now, paths.old);
		if (rename(paths.new, paths.now) < 0)
			r = raise_io(f, "make", paths.now);
	}
	if (r < 0) {
		(void)unlink(paths.new); /* else it is overwritten by the next */
		return r;
	}
	r = flush_folder(store->root, f);
	if (r < 0)
		put_back(&paths);
	return r;
}

static int read_one(const char *path, struct desired *ret, struct failure *f)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	int r;

	r = ini_read(path, &text, &size, f);
	return r < 0 ? r : desired_parse(text, size, path, ret, f);
}

int store_read_journal(const struct store *store, struct desired *ret, struct failure *f)
{
	_cleanup_(paths_deinit) struct journal_paths paths;
	int r;

	if (paths_init(&paths, store) < 0)
		return failure_oom(f);
	r = read_one(paths.now, ret, f);
	if (r == 0)
		return STORE_READ;
	if (r == -ENOENT && access(paths.old, F_OK) < 0) {
		*ret = (struct desired){};
		return STORE_READ;
	}
	if (r == -ENOENT)
		failure_set(f, r, UPATCH_E_CONFIG, "'%s' is missing", paths.now);
	/* What the newest says goes to the admin; why the older one fails, too, adds nothing. */
	return read_one(paths.old, ret, NULL) < 0 ? r : STORE_READ_OLD;
}
