/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/agent.h"

/*
 * Blocks of a few sizes, from arenas; larger ones have a mapping each. An arena is unmapped as soon as
 * none of its blocks is in use, so that nothing is left when nothing is used.
 */

enum {
	PAGE_SIZE = 4096,
	ARENA_SIZE = 64 * 1024,
	NR_CLASSES = 8, /* 64, 128, ... 8192 bytes, header included */
	SMALLEST_BITS = 6,
};

struct block {
	struct arena *arena; /* NULL: has its own mapping */
	union {
		struct block *next; /* while it is free */
		size_t size;	    /* of its own mapping */
	};
};

/*
 * At the start of its mapping.
 * @first: of the free blocks that were in use before
 * @nr_fresh: blocks at the end that were never used, zero as mapped
 */
struct arena {
	struct arena *next, *previous; /* among those of its class with a free block */
	struct block *first;
	uint32_t class;
	uint32_t nr_used;
	uint32_t nr_fresh;
	uint32_t generation;
	uint64_t reserved;
};

_Static_assert(sizeof(struct block) % 16 == 0, "blocks are aligned");
_Static_assert(sizeof(struct arena) % 16 == 0, "blocks are aligned");

static struct arena *open_arenas[NR_CLASSES];
static uint32_t generation; /* arenas of an earlier one are not touched any more */

static size_t class_size(uint32_t class)
{
	return (size_t)1 << (SMALLEST_BITS + class);
}

static uint32_t class_capacity(uint32_t class)
{
	return (uint32_t)((ARENA_SIZE - sizeof(struct arena)) / class_size(class));
}

static void *map(size_t size)
{
	long addr = sys_mmap(NULL, size, SYS_PROT_READ | SYS_PROT_WRITE,
			     SYS_MAP_PRIVATE | SYS_MAP_ANONYMOUS, -1, 0);

	return addr < 0 && addr >= -4095 ? NULL : (void *)addr;
}

/* --- arenas ------------------------------------------------------------------------------------- */

static void open_arena(struct arena *arena)
{
	struct arena **head = &open_arenas[arena->class];

	arena->previous = NULL;
	arena->next = *head;
	if (*head)
		(*head)->previous = arena;
	*head = arena;
}

static void close_arena(struct arena *arena)
{
	if (arena->next)
		arena->next->previous = arena->previous;
	if (arena->previous)
		arena->previous->next = arena->next;
	else
		open_arenas[arena->class] = arena->next;
}

static struct arena *find_arena(uint32_t class)
{
	struct arena *arena = open_arenas[class];

	if (arena)
		return arena;
	arena = map(ARENA_SIZE);
	if (!arena)
		return NULL;
	arena->class = class;
	arena->nr_fresh = class_capacity(class);
	arena->generation = generation;
	open_arena(arena);
	return arena;
}

static bool is_full(const struct arena *arena)
{
	return arena->nr_used == class_capacity(arena->class);
}

static void clear(struct block *block, size_t size)
{
	uint64_t *words = (uint64_t *)(void *)block;

	for (size_t i = 0; i < size / sizeof(*words); i++)
		words[i] = 0;
}

static struct block *take_block(struct arena *arena)
{
	size_t size = class_size(arena->class);
	struct block *block = arena->first;

	if (block) {
		arena->first = block->next;
		clear(block, size);
	} else {
		block = (void *)((uint8_t *)arena + ARENA_SIZE - arena->nr_fresh * size);
		arena->nr_fresh--;
	}
	block->arena = arena;
	arena->nr_used++;
	if (is_full(arena))
		close_arena(arena);
	return block;
}

/* --- blocks ------------------------------------------------------------------------------------- */

static struct block *map_block(size_t size)
{
	struct block *block;

	size = (size + PAGE_SIZE - 1) & ~((size_t)PAGE_SIZE - 1);
	block = map(size);
	if (block)
		block->size = size;
	return block;
}

void *memory_alloc(size_t size)
{
	struct block *block = NULL;
	struct arena *arena;
	uint32_t class = 0;

	if (size > PTRDIFF_MAX - PAGE_SIZE - sizeof(*block))
		return NULL;
	size += sizeof(*block);
	while (class < NR_CLASSES && size > class_size(class))
		class ++;
	if (class == NR_CLASSES) {
		block = map_block(size);
	} else {
		arena = find_arena(class);
		if (arena)
			block = take_block(arena);
	}
	return block ? block + 1 : NULL;
}

void memory_free(void *memory)
{
	struct block *block = (struct block *)memory - 1;
	struct arena *arena = block->arena;

	if (!arena) {
		(void)sys_munmap(block, block->size); /* nothing can be done about it */
		return;
	}
	if (arena->generation != generation)
		return; /* see memory_abandon() */
	if (is_full(arena))
		open_arena(arena);
	block->next = arena->first;
	arena->first = block;
	if (--arena->nr_used > 0)
		return;
	close_arena(arena);
	(void)sys_munmap(arena, ARENA_SIZE); /* likewise */
}

void memory_abandon(void)
{
	for (uint32_t i = 0; i < NR_CLASSES; i++)
		open_arenas[i] = NULL;
	generation++;
}
