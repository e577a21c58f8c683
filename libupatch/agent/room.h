/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AGENT_ROOM_H
#define AGENT_ROOM_H

/* Free address space within a branch's reach of a library. */

#include <stdint.h>

#include "agent/poke.h"

/* Return: 0 with @ret reserved; or -errno: of the last try, -ENOSPC when there is none. */
long room_take(const struct poke *poke, uint64_t start, uint64_t end, uint64_t size, uint64_t *ret);

#endif
