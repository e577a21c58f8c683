/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AGENT_POKE_H
#define AGENT_POKE_H

/*
 * Writing to memory of this process that is not mapped writable: code, and the record.
 *
 * Through /proc/self/mem, as the host does from outside, which works under policies that forbid memory
 * that was writable to become executable. A process that is not dumpable, has no /proc, or a seccomp filter
 * that does not permit it, has the mappings' protection changed instead for the time of the write.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct poke {
	long fd; /* of /proc/self/mem, negative: none */
};

void poke_open(struct poke *ret);
void poke_close(struct poke *poke);

/* What a range is to be, in this order; multiples of a page. */
struct poke_parts {
	uint64_t text_size; /* r-x */
	uint64_t ro_size;   /* r-- */
	uint64_t rw_size;   /* rw- */
};

static inline uint64_t poke_size(const struct poke_parts *parts)
{
	return parts->text_size + parts->ro_size + parts->rw_size;
}

/* Take an address range, for poke_fill(). Return: 0; -EEXIST when something is there; or -errno. */
long poke_reserve(const struct poke *poke, uint64_t addr, uint64_t size);

/**
 * poke_fill() - make it what it is to be
 * @bytes: of all its parts
 * Return: 0, or -errno.
 */
long poke_fill(const struct poke *poke, uint64_t addr, const struct poke_parts *parts,
	       const void *bytes);

/* To memory of one mapping that is @prot (SYS_PROT_*). Return: 0, or -errno. */
long poke_write(const struct poke *poke, uint64_t addr, const void *bytes, size_t size, long prot);

#endif
