/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_PATCHSET_H
#define DAEMON_PATCHSET_H

/*
 * The patches to care about, opened: those that the journal names and those that drop-in files ask
 * for. Made anew whenever one of both changes.
 */

#include <stdbool.h>
#include <stddef.h>
#include <upatch/upatch.h>

#include "failure.h"
#include "manager.h"
#include "policy.h"

struct config;
struct desired;
struct job;
struct store;

struct patchset_item {
	struct upatch_patch *patch; /* or NULL */
	char *name;
	char *path; /* of the file */
	char *source;
	struct rule rule;
	struct failure failure; /* why it cannot be acted upon */
};

/* Three views of the same, in the order of names. */
struct patchset {
	struct patchset_item *items;
	struct policy_patch *policy;
	struct manager_patch *public;
	size_t nr;
};

/* What it is made from, borrowed for the call. */
struct patchset_sources {
	struct upatch_ctx *ctx; /* outlives the set */
	const struct store *store;
	const struct desired *desired;
	const struct config *config; /* NULL: it cannot be read */
};

/* A file that cannot be opened is an item with a failure. Return: 0 or -ENOMEM. */
int patchset_init(struct patchset *set, const struct patchset_sources *sources);
void patchset_deinit(struct patchset *set);

/* Is one of them for the object? */
bool patchset_concerns(const struct patchset *set, const char *build_id);

/* Index by name, or -ENOENT. */
int patchset_find(const struct patchset *set, const char *name);

/* Was the job about what the patch is now? It may have been enabled anew since, from another file. */
bool patchset_means(const struct patchset *set, const struct job *job);

#endif
