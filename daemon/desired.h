/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_DESIRED_H
#define DAEMON_DESIRED_H

/*
 * What was asked for by enable and disable: the list that the journal keeps. Strings are owned.
 *
 * The journal is a file of sections and settings, written as a whole: to a new file that is flushed
 * and then takes the old one's place, so that at any instant there is a complete one. Its last
 * section counts and sums up what is before it: a half-written file is told from a whole one.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rule.h"

struct failure;

enum {
	DESIRED_MAX = 1024, /* patches */
};

struct desired_patch {
	char *name;
	char *file;    /* in the store, without folder */
	char *drop_in; /* the file that a [Patch] section gave for it last, or NULL */
	struct rule rule;
	bool is_enabled; /* false: is being reverted, until it is in no process any more */
	uint64_t since;	 /* CLOCK_REALTIME, seconds */
	uint64_t order;	 /* of enabling, from 1 */
};

struct desired {
	struct desired_patch *patches;
	size_t nr;
};

void desired_deinit(struct desired *desired);
int desired_copy(const struct desired *from, struct desired *ret);

struct desired_patch *desired_find(const struct desired *desired, const char *name);
bool desired_is_enabled(const struct desired *desired, const char *name);
uint64_t desired_next_order(const struct desired *desired);

/* Add a patch, or put it in the place of the one of its name; takes it over. 0 or -ENOMEM. */
int desired_put(struct desired *desired, struct desired_patch *patch);

/*
 * A patch that the file of a [Patch] section has: it is remembered as one to be reverted, which counts
 * when no section asks for it any more. Return: 1, 0 when nothing has changed, or -ENOMEM.
 */
int desired_put_drop_in(struct desired *desired, const char *name, const char *file);

/* The patch that such a file had when it could be read last, or NULL. */
const struct desired_patch *desired_find_drop_in(const struct desired *desired, const char *file);

void desired_remove(struct desired *desired, const char *name);
void desired_patch_deinit(struct desired_patch *patch);

/* The journal's text. @ret: owned by the caller. 0 or -ENOMEM. */
int desired_format(const struct desired *desired, char **ret, size_t *ret_size);

/**
 * desired_parse() - read it back
 * @file: for messages
 * Return: 0, or -errno raised with UPATCH_E_CONFIG.
 */
int desired_parse(const char *text, size_t size, const char *file, struct desired *ret,
		  struct failure *f);

#endif
