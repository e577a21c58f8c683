/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "elf/image_cache.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/diag.h"
#include "elf/image.h"

struct cached {
	struct image *image; /* NULL: unused */
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec changed; /* unlike the time of modification nobody can set it */
	uint64_t used;		 /* when, in calls */
};

struct image_cache {
	size_t max;
	uint64_t calls;
	struct cached entries[];
};

int image_cache_new(size_t max, struct image_cache **ret)
{
	struct image_cache *cache = calloc(1, sizeof(*cache) + max * sizeof(cache->entries[0]));

	if (!cache)
		return -ENOMEM;
	cache->max = max;
	*ret = cache;
	return 0;
}

void image_cache_free(struct image_cache *cache)
{
	if (!cache)
		return;
	for (size_t i = 0; i < cache->max; i++)
		image_unref(cache->entries[i].image);
	free(cache);
}

static bool is_same(const struct cached *entry, const struct stat *st)
{
	return entry->image && entry->dev == st->st_dev && entry->ino == st->st_ino &&
	       entry->size == st->st_size && entry->changed.tv_sec == st->st_ctim.tv_sec &&
	       entry->changed.tv_nsec == st->st_ctim.tv_nsec;
}

/* An unused entry, or else the one that was used longest ago. */
static struct cached *find_victim(struct image_cache *cache)
{
	struct cached *victim = NULL;

	for (size_t i = 0; i < cache->max; i++) {
		if (!cache->entries[i].image)
			return &cache->entries[i];
		if (!victim || cache->entries[i].used < victim->used)
			victim = &cache->entries[i];
	}
	return victim;
}

int image_cache_get(struct image_cache *cache, struct diag *d, int fd, const char *name,
		    struct image **ret)
{
	struct cached *victim;
	struct image *image;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return diag_err(d, -errno, UPATCH_E_IO, NULL, "cannot stat '%s': %s", name,
				strerror(errno));
	cache->calls++;
	for (size_t i = 0; i < cache->max; i++) {
		if (!is_same(&cache->entries[i], &st))
			continue;
		cache->entries[i].used = cache->calls;
		*ret = image_ref(cache->entries[i].image);
		return 0;
	}
	r = image_open_fd(d, fd, name, &image);
	if (r < 0)
		return r;
	victim = find_victim(cache);
	if (victim) {
		image_unref(victim->image);
		*victim = (struct cached){
			.image = image_ref(image),
			.dev = st.st_dev,
			.ino = st.st_ino,
			.size = st.st_size,
			.changed = st.st_ctim,
			.used = cache->calls,
		};
	}
	*ret = image;
	return 0;
}
