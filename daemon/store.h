/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_STORE_H
#define DAEMON_STORE_H

/*
 * What must survive, below the state folder: patch files, and the journal of what is desired.
 *
 *	patches/NAME@ORDER.upatch
 *	journal, journal.old
 *
 * Whatever is written goes to a new file first, is flushed, and then gets its name, whose folder is
 * flushed, too: kill -9, a full disk or a power cut leaves the old or the new, never a part. A patch
 * file gets its name before the journal refers to it; what no journal refers to is removed at start.
 */

#include <stddef.h>
#include <stdint.h>

struct desired;
struct failure;

struct store {
	char *root;
	char *patches; /* the folder */
};

/* Make the folders. Return: 0, or -errno raised with UPATCH_E_IO. */
int store_init(struct store *store, const char *root, struct failure *f);
void store_deinit(struct store *store);

/* Path of a patch file: owned by the caller, or NULL when out of memory. */
char *store_path(const struct store *store, const char *file);

/**
 * store_stage() - copy a patch file into the store, under a passing name
 * @fd:	   borrowed, read from its beginning
 * @label: for messages
 * @ret:   path, owned by the caller, who removes it or calls store_keep()
 */
int store_stage(const struct store *store, int fd, const char *label, char **ret,
		struct failure *f);

/* Give it its name. @ret_file: owned by the caller, without folder. */
int store_keep(const struct store *store, const char *staged, const char *name, uint64_t order,
	       char **ret_file, struct failure *f);

/* Remove one, whatever becomes of that: it is garbage at the next start. */
void store_drop(const struct store *store, const char *file);

/* Remove all that @desired does not refer to. */
void store_tidy(const struct store *store, const struct desired *desired);

/* Return: 0 when it is on disk, or -errno raised: the old journal is in force. */
int store_write_journal(const struct store *store, const struct desired *desired,
			struct failure *f);

enum store_outcome {
	STORE_READ = 0,
	STORE_READ_OLD = 1, /* the newest is damaged, as raised; this is the one before it */
};

/**
 * store_read_journal() - what was asked for
 * A first start has none: it is empty.
 * Return: enum store_outcome, or -errno raised: neither can be read, @ret is untouched.
 */
int store_read_journal(const struct store *store, struct desired *ret, struct failure *f);

#endif
