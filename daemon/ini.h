/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_INI_H
#define DAEMON_INI_H

/*
 * Files of sections and settings, as systemd's are: configuration and journal.
 *
 *	# comment
 *	[Section]
 *	Key=value
 */

#include <stddef.h>

struct failure;

enum {
	INI_SIZE_MAX = 1 << 20, /* bytes of a file */
};

/*
 * One line. For a section's head @key and @value are NULL.
 * @where: "FILE:LINE", for messages
 */
struct ini_line {
	const char *where;
	const char *section;
	const char *key;
	const char *value;
};

/* Return: 0, or -errno raised, which ends the parsing. */
typedef int (*ini_fn)(void *userdata, const struct ini_line *line, struct failure *f);

/**
 * ini_parse() - hand each line of @text to @fn
 * @text: of @size bytes, any
 * Return: 0, what @fn returned, or -EINVAL raised with UPATCH_E_CONFIG, naming @file and the line.
 */
int ini_parse(const char *text, size_t size, const char *file, ini_fn fn, void *userdata,
	      struct failure *f);

/**
 * ini_read() - all of a file
 * @ret: owned by the caller, 0-terminated
 * Return: 0, -ENOENT without raising when there is none, or -errno raised.
 */
int ini_read(const char *path, char **ret, size_t *ret_size, struct failure *f);

#endif
