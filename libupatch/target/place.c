/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target/place.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/array.h"
#include "target/maps.h"

enum {
	PAGE = 4096,
	MARGIN = PAGE,
	/* Places among which the random number chooses: enough to be hard to guess, few enough that
	 * page tables stay small and calls short. */
	CHOICES_MAX = 4096,
};

static const uint64_t lowest_addr = 0x100000;	     /* far above vm.mmap_min_addr */
static const uint64_t highest_addr = 0x7ffffffff000; /* 47 bits less a page */
static const uint64_t stack_distance = 256ull << 20; /* room that stacks may want below them */
static const uint64_t heap_distance = 1ull << 30;    /* room that brk(2) may want above it */

struct gap {
	uint64_t start;
	uint64_t end;
};

/* Shrink the gap between two mappings by what its neighbours may grow into. */
static bool trim(const struct mapping *below, const struct mapping *above, struct gap *gap)
{
	uint64_t low = MARGIN, high = MARGIN;

	if (below && strcmp(below->path, "[heap]") == 0)
		low = heap_distance;
	if (above && strncmp(above->path, "[stack", 6) == 0)
		high = stack_distance;
	gap->start = MAX(gap->start + low, lowest_addr);
	if (gap->end < high || gap->end - high <= gap->start)
		return false;
	gap->end -= high;
	return true;
}

/* The part of a gap that is in reach of all of @near, or false. */
static bool clip(const struct place_near *near, uint64_t size, struct gap *gap)
{
	uint64_t low = near->end > near->reach ? near->end - near->reach : 0;
	uint64_t high = near->start + near->reach;

	gap->start = MAX(gap->start, ALIGN_UP(low, (uint64_t)PAGE));
	gap->end = MIN(gap->end, ALIGN_DOWN(high, (uint64_t)PAGE));
	return gap->start < gap->end && gap->end - gap->start >= size;
}

static uint64_t distance(const struct place_near *near, const struct gap *gap)
{
	if (gap->end <= near->start)
		return near->start - gap->end;
	/* Above counts as farther: that is where heaps and growing data are. */
	return gap->start - near->end + near->reach;
}

static uint64_t choose(const struct place_near *near, const struct gap *gap, uint64_t size,
		       uint64_t random)
{
	uint64_t choices = (gap->end - gap->start - size) / PAGE + 1;
	uint64_t step;

	if (choices > CHOICES_MAX)
		choices = CHOICES_MAX;
	step = random % choices * PAGE;
	return gap->end <= near->start ? gap->end - size - step : gap->start + step;
}

int place_find(const struct maps *maps, const struct place_near *near, uint64_t size,
	       uint64_t random, uint64_t *ret_addr)
{
	struct gap best = {};
	uint64_t best_distance = UINT64_MAX;

	for (size_t i = 0; i <= maps->nr; i++) {
		const struct mapping *below = i ? &maps->mappings[i - 1] : NULL;
		const struct mapping *above = i < maps->nr ? &maps->mappings[i] : NULL;
		struct gap gap = { below ? below->end : 0, above ? above->start : highest_addr };

		if (gap.start >= highest_addr)
			break;
		gap.end = MIN(gap.end, highest_addr);
		if (!trim(below, above, &gap) || !clip(near, size, &gap))
			continue;
		if (distance(near, &gap) < best_distance) {
			best = gap;
			best_distance = distance(near, &gap);
		}
	}
	if (best_distance == UINT64_MAX)
		return -ENOSPC;
	*ret_addr = choose(near, &best, size, random);
	return 0;
}
