/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "world.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arch/arch.h"

static const uint64_t slots_text = 0x7f0000000000;
static const uint64_t payloads = 0x7f1000000000;

static void *pages(size_t size)
{
	size_t all = (size + UPATCH_PAGE_SIZE - 1) / UPATCH_PAGE_SIZE * UPATCH_PAGE_SIZE;
	void *p = aligned_alloc(UPATCH_PAGE_SIZE, all);

	assert_non_null(p);
	memset(p, 0, all);
	return p;
}

static size_t island_size(const struct world *w)
{
	return sizeof(struct upatch_island) + w->nr_funcs * sizeof(struct upatch_slot);
}

/* Slots that lead to the original, of functions whose entries are as they were. */
static void fill_island(struct world *w, struct upatch_island *island)
{
	island->nr_slots = (uint32_t)w->nr_funcs;
	island->object_start = (uintptr_t)w->code;
	island->object_end = (uintptr_t)w->code + 2 * w->nr_funcs * WORLD_FUNC_SIZE;
	for (size_t i = 0; i < w->nr_funcs; i++) {
		struct upatch_slot *slot = &island->slots[i];
		uint8_t *code = w->code + i * WORLD_FUNC_SIZE;

		memset(code, (int)(i % 100) + 1, WORLD_FUNC_SIZE);
		*slot = (struct upatch_slot){
			.func_addr = (uintptr_t)code,
			.func_size = WORLD_FUNC_SIZE,
			.entry_addr = (uintptr_t)code,
			.text_addr = slots_text + i * arch_x86_64.slot->text_size,
			.entry_size = WORLD_ENTRY_SIZE,
			.covered = WORLD_COVERED,
			.nr_insns = 3,
			.insns = { { 0, 0 }, { 1, 2 }, { 4, 6 } },
			.is_armed = 1,
		};
		slot->winner = slot->old = slot->new = slot->text_addr + arch_x86_64.slot->gateway;
		memcpy(slot->original, code, sizeof(slot->original));
		memset(slot->jump, 0xe9, sizeof(slot->jump));
		slot->jump[1] = (uint8_t)i;
	}
}

void world_init(struct world *w, size_t nr_funcs)
{
	struct record *record = &w->session.record;
	struct upatch_island *copy;

	*w = (struct world){ .nr_funcs = nr_funcs };
	diag_init(&w->diag);
	w->record = pages(UPATCH_RECORD_SIZE);
	w->island = pages(island_size(w));
	w->code = pages(2 * nr_funcs * WORLD_FUNC_SIZE);
	fill_island(w, (void *)w->island);
	copy = malloc(island_size(w));
	assert_non_null(copy);
	memcpy(copy, w->island, island_size(w));
	w->target = (struct target){
		.diag = &w->diag,
		.pid = getpid(),
		.tid = getpid(),
		.memfd = open("/proc/self/mem", O_RDWR | O_CLOEXEC),
		.arch = &arch_x86_64,
	};
	assert_true(w->target.memfd >= 0);
	w->session.target = &w->target;
	w->session.diag = &w->diag;
	record->target = &w->target;
	record->addr = (uintptr_t)w->record;
	record->head = calloc(1, sizeof(*record->head));
	record->islands = calloc(1, sizeof(*record->islands));
	assert_non_null(record->head);
	assert_non_null(record->islands);
	record->head->regions[0] = (struct upatch_region){
		.addr = slots_text,
		.text_size = (uint32_t)(nr_funcs * arch_x86_64.slot->text_size),
		.kind = UPATCH_REGION_ISLAND,
		.state = UPATCH_REGION_MAPPED,
	};
	record->islands[0] = (struct island){ .addr = (uintptr_t)w->island, .head = copy };
	record->nr_islands = 1;
}

void world_deinit(struct world *w)
{
	close(w->target.memfd);
	record_deinit(&w->session.record);
	diag_deinit(&w->diag);
	free(w->record);
	free(w->island);
	free(w->code);
}

/* --- patches ------------------------------------------------------------------------------------- */

static size_t count(const int *funcs)
{
	size_t nr = 0;

	while (funcs[nr] >= 0)
		nr++;
	return nr;
}

static void fill_func(struct world *w, struct upatch_meta *meta, size_t patch, int func)
{
	struct upatch_meta_func *f = (struct upatch_meta_func *)meta_funcs(meta) + meta->nr_funcs;
	struct upatch_meta_range *ranges =
		(struct upatch_meta_range *)meta_ranges(meta) + meta->nr_ranges;

	*f = (struct upatch_meta_func){
		.name = 1,
		.first_range = meta->nr_ranges,
		.nr_ranges = 2,
		.old_addr = world_func(w, func),
		.old_size = WORLD_FUNC_SIZE,
		.new_addr = world_new(patch, func),
		.new_size = WORLD_NEW_SIZE,
		.slot_addr = (uintptr_t)w->island + sizeof(struct upatch_island) +
			     (size_t)func * sizeof(struct upatch_slot),
	};
	ranges[0] = (struct upatch_meta_range){ world_func(w, func), WORLD_FUNC_SIZE };
	ranges[1] = (struct upatch_meta_range){ world_piece(w, func), WORLD_FUNC_SIZE };
	meta->nr_funcs++;
	meta->nr_ranges += 2;
}

size_t world_add(struct world *w, enum upatch_patch_state state, uint32_t flags, const int *funcs)
{
	static const char strings[] = "\0func\0object";
	struct upatch_record *head = w->session.record.head;
	size_t nr = count(funcs), size;
	int index = record_free_patch(&w->session.record);
	struct upatch_meta *meta;

	assert_true(index >= 0);
	size = sizeof(*meta) + sizeof(struct upatch_meta_object) +
	       nr * (sizeof(struct upatch_meta_func) + 2 * sizeof(struct upatch_meta_range)) +
	       sizeof(strings);
	meta = calloc(1, size);
	assert_non_null(meta);
	meta->flags = flags;
	meta->seq = ++head->next_seq;
	strcpy(meta->name, "p");
	meta->nr_objects = 1;
	meta->objects_offset = sizeof(*meta);
	meta->funcs_offset = meta->objects_offset + (uint32_t)sizeof(struct upatch_meta_object);
	meta->ranges_offset = meta->funcs_offset + (uint32_t)(nr * sizeof(struct upatch_meta_func));
	meta->strings_offset =
		meta->ranges_offset + (uint32_t)(2 * nr * sizeof(struct upatch_meta_range));
	memcpy((char *)meta + meta->strings_offset, strings, sizeof(strings));
	*(struct upatch_meta_object *)meta_objects(meta) = (struct upatch_meta_object){
		.name = 6,
		.start = (uintptr_t)w->code,
		.end = (uintptr_t)w->code + 2 * w->nr_funcs * WORLD_FUNC_SIZE,
		.payload_addr = world_payload((size_t)index),
		.payload_size = 2 * WORLD_PAYLOAD_TEXT,
		.text_size = WORLD_PAYLOAD_TEXT,
		.nr_funcs = (uint32_t)nr,
	};
	for (size_t i = 0; i < nr; i++)
		fill_func(w, meta, (size_t)index, funcs[i]);
	head->patches[index] = (struct upatch_patch_entry){
		.seq = meta->seq,
		.state = state,
	};
	w->session.record.metas[index] = meta;
	return (size_t)index;
}

void world_set_state(struct world *w, size_t patch, enum upatch_patch_state state)
{
	w->session.record.head->patches[patch].state = state;
}

/* --- addresses ----------------------------------------------------------------------------------- */

uint64_t world_func(const struct world *w, int func)
{
	return (uintptr_t)w->code + (size_t)func * WORLD_FUNC_SIZE;
}

uint64_t world_piece(const struct world *w, int func)
{
	return world_func(w, func) + w->nr_funcs * WORLD_FUNC_SIZE;
}

uint64_t world_payload(size_t patch)
{
	return payloads + patch * 4 * WORLD_PAYLOAD_TEXT;
}

uint64_t world_new(size_t patch, int func)
{
	return world_payload(patch) + UPATCH_TEXT_LEAD + (uint64_t)func * WORLD_FUNC_SIZE;
}

struct upatch_slot *world_slot(struct world *w, int func)
{
	return &w->session.record.islands[0].head->slots[func];
}

const struct upatch_slot *world_target_slot(const struct world *w, int func)
{
	return &((const struct upatch_island *)(const void *)w->island)->slots[func];
}

uint64_t world_gateway(struct world *w, int func)
{
	return world_slot(w, func)->text_addr + arch_x86_64.slot->gateway;
}

uint64_t world_dispatcher(struct world *w, int func)
{
	return world_slot(w, func)->text_addr + arch_x86_64.slot->dispatcher;
}

/* --- entries ------------------------------------------------------------------------------------- */

static void assert_entry(const struct world *w, int func, const uint8_t *bytes)
{
	const uint8_t *code = w->code + (size_t)func * WORLD_FUNC_SIZE;

	assert_memory_equal(code, bytes, WORLD_ENTRY_SIZE);
	/* And nothing behind it. */
	for (size_t i = WORLD_ENTRY_SIZE; i < WORLD_FUNC_SIZE; i++)
		assert_int_equal(code[i], func % 100 + 1);
}

void world_assert_original(const struct world *w, int func)
{
	assert_entry(w, func, world_target_slot(w, func)->original);
}

void world_assert_jump(const struct world *w, int func)
{
	assert_entry(w, func, world_target_slot(w, func)->jump);
}

void world_write_jump(struct world *w, int func)
{
	memcpy(w->code + (size_t)func * WORLD_FUNC_SIZE, world_slot(w, func)->jump,
	       WORLD_ENTRY_SIZE);
}
