/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_META_H
#define LIVEPATCH_META_H

/* Describing a planned patch as the record will keep it. */

#include <stdint.h>

struct diag;
struct plan;
struct upatch_meta;

/**
 * meta_new() - build it
 * Before the payloads have their places all addresses are 0; the size does not depend on them.
 * Return: 0 with malloc'ed memory of @ret->size bytes, or -ENOMEM raised.
 */
int meta_new(struct diag *d, const struct plan *plan, uint64_t seq, struct upatch_meta **ret);

#endif
