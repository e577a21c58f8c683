/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/maps.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "target/proc.h"

static int parse_line(char *line, struct mapping *ret)
{
	unsigned long long start, end, offset, inode;
	unsigned int major, minor;
	char perms[5];
	int path = 0;

	if (sscanf(line, "%llx-%llx %4s %llx %x:%x %llu %n", &start, &end, perms, &offset, &major,
		   &minor, &inode, &path) < 7 ||
	    start >= end || strlen(perms) != 4)
		return -EBADMSG;
	*ret = (struct mapping){
		.start = start,
		.end = end,
		.offset = offset,
		.dev = makedev(major, minor),
		.inode = inode,
		.prot = (perms[0] == 'r' ? PROT_READ : 0) | (perms[1] == 'w' ? PROT_WRITE : 0) |
			(perms[2] == 'x' ? PROT_EXEC : 0),
		.is_shared = perms[3] == 's',
		.path = path ? line + path : "",
	};
	return 0;
}

int maps_parse(char *text, struct maps *ret)
{
	struct maps maps = { .text = text };
	size_t alloc = 0;
	int r;

	for (char *line = text, *next; *line; line = next) {
		next = strchrnul(line, '\n');
		if (*next)
			*next++ = '\0';
		r = -ENOMEM;
		if (!array_grow(maps.mappings, maps.nr, alloc))
			goto err;
		r = parse_line(line, &maps.mappings[maps.nr]);
		if (r < 0)
			goto err;
		if (maps.nr && maps.mappings[maps.nr].start < maps.mappings[maps.nr - 1].end) {
			/* A change between two reads of the file may repeat a mapping. */
			continue;
		}
		maps.nr++;
	}
	*ret = maps;
	return 0;

err:
	maps_deinit(&maps);
	return r;
}

int maps_read(int dirfd, struct maps *ret)
{
	char *text;
	int r;

	r = proc_read_file(dirfd, "maps", &text, NULL);
	if (r < 0)
		return r;
	return maps_parse(text, ret);
}

void maps_deinit(struct maps *maps)
{
	free(maps->mappings);
	free(maps->text);
	*maps = (struct maps){};
}

const struct mapping *maps_find(const struct maps *maps, uint64_t addr)
{
	size_t lo = 0, hi = maps->nr;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (maps->mappings[mid].end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == maps->nr || maps->mappings[lo].start > addr)
		return NULL;
	return &maps->mappings[lo];
}
