/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/room.h"

#include "agent/agent.h"

/* Between any two points of both. x86-64: a jump's 32 bits, less what is added to addresses. */
static const uint64_t reach = 0x7fff0000;

/* Not side by side: the heap, or a stack, may want to grow. */
static const uint64_t first_distance = 64 * 1024;

static const uint64_t scatter = 256 * 1024 * 1024;

static bool is_within_reach(uint64_t start, uint64_t end, uint64_t addr, uint64_t size)
{
	uint64_t low = addr < start ? addr : start, high = addr + size > end ? addr + size : end;

	return addr >= first_distance && addr + size > addr && high - low <= reach;
}

static long take_at(const struct poke *poke, uint64_t addr, uint64_t size, uint64_t *ret)
{
	long r = poke_reserve(poke, addr, size);

	if (!r)
		*ret = addr;
	return r;
}

/*
 * Outwards, in steps that grow: the kernel puts libraries below one another, so that there is room
 * soon. What it has once been refused for another reason will be refused again.
 */
long room_take(const struct poke *poke, uint64_t start, uint64_t end, uint64_t size, uint64_t *ret)
{
	struct sys_timespec now = {};
	uint64_t first;

	/* Not always the same place: words that were left on stacks refer to the last one. */
	(void)sys_clock_gettime(SYS_CLOCK_REALTIME, &now); /* 0 is as good */
	first = first_distance +
		((uint64_t)now.nsec * 37 % scatter & ~(uint64_t)(UPATCH_PAGE_SIZE - 1));
	for (uint64_t d = first; d < reach;
	     d += first_distance + (d / 16 & ~(uint64_t)(UPATCH_PAGE_SIZE - 1))) {
		long r = AGENT_EEXIST;

		if (d + size < start && is_within_reach(start, end, start - d - size, size))
			r = take_at(poke, start - d - size, size, ret);
		if (r == AGENT_EEXIST && is_within_reach(start, end, end + d, size))
			r = take_at(poke, end + d, size, ret);
		if (r != AGENT_EEXIST)
			return r;
	}
	return AGENT_ENOSPC;
}
