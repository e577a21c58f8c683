/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_RECORD_CHECK_H
#define LIVEPATCH_RECORD_CHECK_H

/* Is a record what we would have written? It comes from memory that the target may have changed. */

#include <stdint.h>

struct record;
struct target;

/* Return: -EBADMSG raised with UPATCH_E_RECORD_CORRUPT. */
int record_raise_corrupt(struct target *target, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* What refers from one part to another. Return: 0, or raised. */
int record_check_links(const struct record *record);

#endif
