/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TARGET_MAPS_H
#define TARGET_MAPS_H

/* The mappings of a target, a snapshot of /proc/PID/maps, sorted by address. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct diag;

struct mapping {
	uint64_t start;
	uint64_t end;
	uint64_t offset; /* in the file */
	uint64_t dev;	 /* as stat(2)'s st_dev */
	uint64_t inode;	 /* 0: no file */
	int prot;	 /* PROT_* */
	bool is_shared;
	const char *path; /* "" without a name; "[stack]", "[anon:...]", "/x (deleted)" */
};

struct maps {
	struct mapping *mappings;
	size_t nr;
	char *text; /* owns the paths */
};

/**
 * maps_read() - take a snapshot
 * @dirfd: /proc/PID
 * Return: 0, or -errno, unraised; -EBADMSG when a line is not what proc(5) says.
 */
int maps_read(int dirfd, struct maps *ret);
void maps_deinit(struct maps *maps);

/* The mapping that holds @addr, or NULL. */
const struct mapping *maps_find(const struct maps *maps, uint64_t addr);

/* Takes over @text; for maps_read() and tests. */
int maps_parse(char *text, struct maps *ret);

#endif
