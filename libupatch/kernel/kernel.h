/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KERNEL_KERNEL_H
#define KERNEL_KERNEL_H

/*
 * The running kernel as a target: where its sysfs and proc are, and how modules get in and out of it.
 * Everything that reads or changes it goes through here, so that tests can put a directory tree and
 * functions of their own in its place.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct diag;
struct dirent;

enum {
	KERNEL_TEXT_MAX = 128, /* of an attribute */
};

/* All return 0 or a negative errno, unraised. */
struct kernel_ops {
	int (*load)(void *userdata, const char *name, const uint8_t *bytes, size_t size);
	int (*unload)(void *userdata, const char *name);
	int (*may_load)(void *userdata); /* -EPERM: without CAP_SYS_MODULE; -EOPNOTSUPP */
	int (*release)(void *userdata, char *ret, size_t size); /* of the running kernel */
	int (*write)(void *userdata, const char *root, const char *path, const char *text);
};

/* The machine's own kernel: finit_module(2), delete_module(2), uname(2). */
extern const struct kernel_ops kernel_ops_native;

/* Loads and unloads nothing: sysfs of another machine says nothing about the kernel of this one. */
extern const struct kernel_ops kernel_ops_tree;

/*
 * @sysfs, @proc: directories, borrowed
 * @deadline:     when waiting ends, see base/deadline.h
 * @is_patient:   waits for the open transition of another patch, which is a refusal otherwise
 */
struct kernel {
	struct diag *diag;
	const char *sysfs;
	const char *proc;
	const struct kernel_ops *ops;
	void *userdata; /* of the ops */
	uint64_t deadline;
	bool is_patient;
};

/**
 * kernel_read() - a short text file below @root, without its newline
 * Return: 0, or -errno, unraised.
 */
int kernel_read(const char *root, const char *path, char *ret, size_t size);

/* A number; likewise. -EBADMSG: it is none. */
int kernel_read_number(const char *root, const char *path, int *ret);

/* At most so many bytes of it, as they are. Return: how many, or -errno, unraised. */
ssize_t kernel_read_bytes(const char *root, const char *path, void *ret, size_t size);

/**
 * kernel_scan() - the directories in a directory, by name; not those that begin with a dot
 * @ret: freed by kernel_scan_free()
 * Return: how many, or -errno, unraised.
 */
int kernel_scan(const char *root, const char *path, struct dirent ***ret);
void kernel_scan_free(struct dirent **names, int nr);

bool kernel_has(const char *root, const char *path);

/** kernel_pause() - let a little time pass, never beyond the deadline; false when it is over */
bool kernel_pause(const struct kernel *kernel);

#endif
