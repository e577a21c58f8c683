/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/meta.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <upatch/abi.h>

#include "arch/arch.h"
#include "base/diag.h"
#include "livepatch/plan.h"
#include "livepatch/session.h"
#include "livepatch/template.h"
#include "patchfile/patchfile.h"
#include "target/target.h"

#include <cmocka.h>

/* A plan for an object that is there, and a library that is not: what the record will keep of it. */

enum {
	FUNCS = 3,
	LIBRARY_FUNCS = 2,
};

struct fixture {
	struct diag diag;
	struct target target;
	struct upatch_record head;
	struct session session;
	struct payload_section section;
	struct payload_symbol symbol;
	uint64_t section_offset;
	struct payload_func funcs[FUNCS];
	struct payload payload, library;
	struct plan_range ranges[2];
	struct plan_func plan_funcs[FUNCS], library_funcs[LIBRARY_FUNCS];
	struct plan_object objects[2], library_object; /* the first one twice */
	struct template template;
	struct patchfile file;
	struct plan plan;
	struct upatch_meta *meta;
};

static void set_plan(struct fixture *f)
{
	static const char *const names[FUNCS] = { "a", "bb", "ccc" };

	f->ranges[0] = (struct plan_range){ 0x401000, 64 };
	f->ranges[1] = (struct plan_range){ 0x402000, 16 };
	for (uint32_t i = 0; i < FUNCS; i++) {
		f->funcs[i] = (struct payload_func){ .name = names[i], .sympos = i };
		f->plan_funcs[i] = (struct plan_func){
			.func = &f->funcs[i],
			.old_addr = 0x401000 + i * 64,
			.old_size = 64,
			.new_addr = 0x301000 + i * 32,
			.new_size = 32,
			.slot_addr = 0x202000 + i * 8,
			.ranges = f->ranges,
			.nr_ranges = i % 2 ? 1 : 2,
		};
	}
	for (size_t i = 0; i < LIBRARY_FUNCS; i++)
		f->library_funcs[i] = (struct plan_func){
			.func = &f->funcs[i],
			.old_addr = 0x1000,
			.ranges = f->ranges,
			.nr_ranges = 2,
		};
	f->objects[0] = (struct plan_object){
		.payload = &f->payload,
		.start = 0x400000,
		.end = 0x500000,
		.funcs = f->plan_funcs,
		.nr_funcs = FUNCS,
		.load = { .addr = 0x300000,
			  .size = 0x4000,
			  .text_size = 0x2000,
			  .section_offsets = &f->section_offset },
	};
	f->objects[1] = f->objects[0];
	f->library_object = (struct plan_object){
		.payload = &f->library,
		.funcs = f->library_funcs,
		.nr_funcs = LIBRARY_FUNCS,
	};
	f->template = (struct template){
		.object = &f->library_object,
		.size = 12345,
		.region = 7,
		.nr_copies = UPATCH_COPIES_MAX,
	};
	f->plan = (struct plan){
		.file = &f->file,
		.objects = f->objects,
		.nr_objects = 2,
		.templates = &f->template,
		.nr_templates = 1,
	};
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	diag_init(&f->diag);
	f->target = (struct target){ .diag = &f->diag, .pid = 1, .arch = &arch_x86_64 };
	f->session = (struct session){
		.target = &f->target,
		.diag = &f->diag,
		.record = { .target = &f->target, .head = &f->head },
	};
	f->head.regions[7].addr = 0x7f0000007000;
	/* Where a region -1 would be. */
	memset(&f->head.patches[UPATCH_PATCHES_MAX - 2], 0x11, 2 * sizeof(f->head.patches[0]));
	f->section_offset = 0x100;
	f->symbol = (struct payload_symbol){ .kind = PAYLOAD_SYMBOL_DEFINED, .value = 0x20 };
	f->payload = (struct payload){
		.object = "program",
		.build_id = { .size = 2, .bytes = { 0xab, 0xcd } },
		.symbols = &f->symbol,
	};
	f->library = (struct payload){
		.object = "libx.so",
		.build_id = { .size = 3, .bytes = { 1, 2, 3 } },
		.is_required = true,
	};
	f->file = (struct patchfile){
		.name = "cve-1",
		.version = "2",
		.strict = true,
		.digest = 77,
	};
	set_plan(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	free(f->meta);
	diag_deinit(&f->diag);
	free(f);
	return 0;
}

static const struct upatch_meta *make(struct fixture *f)
{
	assert_int_equal(meta_new(&f->session, &f->plan, 42, &f->meta), 0);
	return f->meta;
}

static void assert_func(const struct upatch_meta *meta, const struct plan_func *from,
			const struct upatch_meta_func *func)
{
	const struct upatch_meta_range *ranges = &meta_ranges(meta)[func->first_range];

	assert_string_equal(meta_string(meta, func->name), from->func->name);
	assert_int_equal(func->sympos, from->func->sympos);
	assert_int_equal(func->old_addr, from->old_addr);
	assert_int_equal(func->old_size, from->old_size);
	assert_int_equal(func->new_addr, from->new_addr);
	assert_int_equal(func->new_size, from->new_size);
	assert_int_equal(func->slot_addr, from->slot_addr);
	assert_int_equal(func->nr_ranges, from->nr_ranges);
	for (size_t i = 0; i < from->nr_ranges; i++) {
		assert_int_equal(ranges[i].addr, from->ranges[i].addr);
		assert_int_equal(ranges[i].size, from->ranges[i].size);
	}
}

static void test_what_is_there_is_described(void **state)
{
	struct fixture *f = *state;
	const struct upatch_meta *meta = make(f);
	const struct upatch_meta_object *o = meta_objects(meta);

	assert_int_equal(record_check_meta(&f->target, meta, meta->size), 0);
	assert_string_equal(meta->name, "cve-1");
	assert_string_equal(meta->patch_version, "2");
	assert_int_equal(meta->seq, 42);
	assert_int_equal(meta->flags, UPATCH_META_STRICT);
	assert_int_equal(meta->digest, 77);
	assert_string_equal(meta_string(meta, o->name), "program");
	assert_int_equal(o->start, 0x400000);
	assert_int_equal(o->end, 0x500000);
	assert_int_equal(o->payload_addr, 0x300000);
	assert_int_equal(o->payload_size, 0x4000);
	assert_int_equal(o->text_size, 0x2000);
	assert_int_equal(o->template_addr, 0);
	assert_int_equal(o->flags, 0);
	assert_int_equal(o->build_id_size, 2);
	assert_memory_equal(o->build_id, f->payload.build_id.bytes, 2);
	for (uint32_t n = 0; n < 2; n++) {
		assert_int_equal(o[n].nr_funcs, FUNCS);
		assert_int_equal(o[n].first_func, n * FUNCS);
		for (uint32_t i = 0; i < FUNCS; i++) {
			const struct upatch_meta_func *func = &meta_funcs(meta)[n * FUNCS + i];

			assert_int_equal(func->object, n);
			assert_func(meta, &f->plan_funcs[i], func);
		}
	}
}

static void test_what_may_come_has_room_for_each_copy(void **state)
{
	struct fixture *f = *state;
	const struct upatch_meta *meta = make(f);
	uint32_t next_func = 2 * FUNCS, next_range = 2 * 5;

	assert_int_equal(meta->nr_objects, 2 + UPATCH_COPIES_MAX);
	for (uint32_t i = 2; i < meta->nr_objects; i++) {
		const struct upatch_meta_object *o = &meta_objects(meta)[i];

		assert_false(meta_object_is_here(o));
		assert_string_equal(meta_string(meta, o->name), "libx.so");
		assert_int_equal(o->build_id_size, 3);
		assert_int_equal(o->template_addr, 0x7f0000007000);
		assert_int_equal(o->template_size, 12345);
		assert_int_equal(o->flags, UPATCH_OBJECT_REQUIRED);
		assert_int_equal(o->first_func, next_func);
		assert_int_equal(o->nr_funcs, LIBRARY_FUNCS);
		for (uint32_t n = 0; n < LIBRARY_FUNCS; n++) {
			const struct upatch_meta_func *func = &meta_funcs(meta)[next_func + n];

			assert_int_equal(func->object, i);
			assert_int_equal(func->first_range, next_range);
			assert_int_equal(func->nr_ranges, 2);
			assert_int_equal(func->old_addr, 0);
			next_range += 2;
		}
		next_func += LIBRARY_FUNCS;
	}
	assert_int_equal(meta->nr_funcs, next_func);
	assert_int_equal(meta->nr_ranges, next_range);
}

static void test_callbacks_and_frames_are_told_when_there_are_some(void **state)
{
	struct fixture *f = *state;
	const struct upatch_meta_object *o;

	o = meta_objects(make(f));
	assert_int_equal(o->callback_arg_addr, 0);
	assert_int_equal(o->eh_frame_hdr_addr, 0);
	assert_int_equal(o->frame_object_addr, 0);
	free(f->meta);
	/* Symbol 1 of two that are the same. */
	f->payload.symbols = (const struct payload_symbol[]){ f->symbol, f->symbol };
	f->payload.callbacks[2] = 1;
	f->objects[0].load.callback_arg_offset = 0x2100;
	f->objects[0].load.eh_frame_offset = 0x2200;
	f->objects[0].load.eh_frame_hdr_offset = 0x2300;
	f->objects[0].load.eh_frame_hdr_size = 24;
	f->objects[0].load.frame_object_offset = 0x3000;
	f->objects[1].load = f->objects[0].load;
	o = meta_objects(make(f));
	assert_int_equal(record_check_meta(&f->target, f->meta, f->meta->size), 0);
	assert_int_equal(o->callbacks[2], 0x300000 + 0x100 + 0x20);
	assert_int_equal(o->callbacks[0], 0);
	assert_int_equal(o->callback_arg_addr, 0x302100);
	assert_int_equal(o->eh_frame_addr, 0x302200);
	assert_int_equal(o->eh_frame_hdr_addr, 0x302300);
	assert_int_equal(o->eh_frame_hdr_size, 24);
	assert_int_equal(o->frame_object_addr, 0x303000);
}

static void test_its_size_does_not_depend_on_addresses(void **state)
{
	struct fixture *f = *state;
	uint32_t size = make(f)->size;

	free(f->meta);
	f->objects[0].load.addr = 0;
	for (size_t i = 0; i < FUNCS; i++)
		f->plan_funcs[i].new_addr = f->plan_funcs[i].slot_addr = 0;
	f->template.region = -1;
	assert_int_equal(make(f)->size, size);
	assert_int_equal(meta_objects(f->meta)[2].template_addr, 0);
}

static void test_what_nobody_would_read_is_refused(void **state)
{
	/* Just too large; and so large that 32 bits would not hold it. */
	static const size_t too_many[] = {
		RECORD_METAS_SIZE_MAX / sizeof(struct upatch_meta_range),
		(1ull << 32) / sizeof(struct upatch_meta_range) + 1,
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(too_many) / sizeof(too_many[0]); i++) {
		f->plan_funcs[1].nr_ranges = too_many[i];
		assert_int_equal(meta_new(&f->session, &f->plan, 42, &f->meta), -EFBIG);
		assert_int_equal(f->diag.error.reason, UPATCH_E_NO_ROOM);
		assert_null(f->meta);
		diag_clear(&f->diag);
	}
}

#define STORY(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORY(test_what_is_there_is_described),
		STORY(test_what_may_come_has_room_for_each_copy),
		STORY(test_callbacks_and_frames_are_told_when_there_are_some),
		STORY(test_its_size_does_not_depend_on_addresses),
		STORY(test_what_nobody_would_read_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
