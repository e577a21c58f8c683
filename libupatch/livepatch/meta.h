/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_META_H
#define LIVEPATCH_META_H

/* Describing a planned patch as the record will keep it. */

#include <stdint.h>

struct plan;
struct session;
struct upatch_meta;

/**
 * meta_new() - build it
 * Of a library that may come and go there are several objects, absent ones.
 * Before the payloads have their places all addresses are 0; the size does not depend on them.
 * Return: 0 with malloc'ed memory of @ret->size bytes, or raised: -ENOMEM; -EFBIG UPATCH_E_NO_ROOM, when
 * nobody would read it.
 */
int meta_new(const struct session *session, const struct plan *plan, uint64_t seq,
	     struct upatch_meta **ret);

#endif
