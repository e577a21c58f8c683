/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_CONFIG_H
#define DAEMON_CONFIG_H

/*
 * upatchd.conf(5): upatchd.conf and, in the order of their names, those in upatchd.conf.d/ below the
 * configuration folder. Strings are owned.
 */

#include <stdbool.h>
#include <stddef.h>

#include "rule.h"

struct failure;

/* A [Patch] section. */
struct config_patch {
	char *path;   /* of the .upatch file */
	char *source; /* the file that asks for it */
	struct rule rule;
};

struct config {
	unsigned int workers;	 /* at most, at a time */
	unsigned int deadline_s; /* of a worker, for one job */
	unsigned int rescan_s;	 /* only where the kernel does not tell of new processes */
	bool is_rescanning;	 /* do not ask the kernel to tell */
	struct rule opt_out;	 /* [Exclude] */
	struct config_patch *patches;
	size_t nr_patches;
};

/* What holds without a file. */
void config_init(struct config *config);
void config_deinit(struct config *config);

/**
 * config_load() - read all files below @root; none is fine
 * Return: 0, or -errno raised, naming file and line; @ret is untouched.
 */
int config_load(const char *root, struct config *ret, struct failure *f);

/* One file's text, added to @config. @file: for messages, and where relative paths begin. */
int config_parse(const char *text, size_t size, const char *file, struct config *config,
		 struct failure *f);

#endif
