/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef ELF_IMAGE_CACHE_H
#define ELF_IMAGE_CACHE_H

/*
 * Images kept by (device, inode, size, mtime), bounded in number, least recently used goes first.
 * A thousand processes that map the same library cost one read of it.
 */

#include <stddef.h>

struct diag;
struct image;
struct image_cache;

/* @max: number of images kept; in-use ones live on until their last reference goes. */
int image_cache_new(size_t max, struct image_cache **ret);
void image_cache_free(struct image_cache *cache);

/**
 * image_cache_get() - image of an open file
 * @fd: borrowed
 *
 * Return: 0 with a reference in @ret, or -errno as image_open_fd().
 */
int image_cache_get(struct image_cache *cache, struct diag *d, int fd, const char *name,
		    struct image **ret);

#endif
