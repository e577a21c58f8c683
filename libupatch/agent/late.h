/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AGENT_LATE_H
#define AGENT_LATE_H

/*
 * Symbols of libraries that may come and go, which payloads of other objects refer to: struct upatch_late
 * in <upatch/abi_agent.h>. Whoever calls one that is not there is told of, and stopped, rather than sent to 0.
 */

#include <stdbool.h>
#include <stdint.h>

struct dl_image;
struct dl_map;
struct poke;

bool late_is_any(void);

/* A library has come, or is there: what it has is found. */
void late_resolve(const struct poke *poke, const struct dl_map *map);

/* A library goes: what was found in it is lost. */
void late_lose(const struct poke *poke, const struct dl_image *image);

/* Called by the @index-th trap, which then has the process stopped: SIGILL. */
void late_trapped(uint64_t index);

#endif
