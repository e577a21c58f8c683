/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "arch/arch.h"
#include "base/diag.h"
#include "livepatch/record.h"
#include "target/target.h"

/* Records as a hostile target would show them: no process is needed to judge them. */

static const uint64_t addr = 0x123475a000;

struct fixture {
	struct diag diag;
	struct target target;
	struct upatch_record *head;
	struct upatch_meta *meta;
};

static struct upatch_meta *make_meta(void)
{
	enum { SIZE = 1024 };
	struct upatch_meta *meta = calloc(1, SIZE);
	struct upatch_meta_object *o;
	struct upatch_meta_func *f;
	struct upatch_meta_range *range;

	*meta = (struct upatch_meta){
		.version = UPATCH_ABI_VERSION,
		.size = SIZE,
		.seq = 1,
		.name = "cve-1",
		.nr_objects = 1,
		.nr_funcs = 1,
		.nr_ranges = 1,
		.objects_offset = 256,
		.funcs_offset = 512,
		.ranges_offset = 640,
		.strings_offset = 768,
		.strings_size = 256,
	};
	memcpy(meta->magic, UPATCH_META_MAGIC, sizeof(meta->magic));
	o = (void *)((char *)meta + meta->objects_offset);
	*o = (struct upatch_meta_object){
		.name = 1,
		.start = 0x400000,
		.end = 0x500000,
		.payload_addr = 0x300000,
		.payload_size = 0x3000,
		.text_size = 0x1000,
	};
	f = (void *)((char *)meta + meta->funcs_offset);
	*f = (struct upatch_meta_func){
		.name = 6,
		.nr_ranges = 1,
		.old_addr = 0x401000,
		.old_size = 32,
		.new_addr = 0x300010,
		.new_size = 16,
	};
	range = (void *)((char *)meta + meta->ranges_offset);
	*range = (struct upatch_meta_range){ 0x401000, 32 };
	memcpy((char *)meta + meta->strings_offset, "\0libx\0func", 11);
	return meta;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	diag_init(&f->diag);
	f->target = (struct target){ .diag = &f->diag, .pid = 1, .arch = &arch_x86_64 };
	f->head = calloc(1, sizeof(*f->head));
	memcpy(f->head->magic, UPATCH_RECORD_MAGIC, sizeof(f->head->magic));
	f->head->version = UPATCH_ABI_VERSION;
	f->head->size = sizeof(*f->head);
	f->head->self = addr;
	f->meta = make_meta();
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	diag_deinit(&f->diag);
	free(f->head);
	free(f->meta);
	free(f);
	return 0;
}

static void assert_head_refused(struct fixture *f, enum upatch_reason reason)
{
	assert_true(record_check_head(&f->target, f->head, addr) < 0);
	assert_int_equal(f->diag.error.reason, reason);
	diag_clear(&f->diag);
}

static void assert_meta_refused(struct fixture *f, enum upatch_reason reason)
{
	assert_true(record_check_meta(&f->target, f->meta, f->meta->size) < 0);
	assert_int_equal(f->diag.error.reason, reason);
	diag_clear(&f->diag);
}

static void test_a_sound_record_is_accepted(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(record_check_head(&f->target, f->head, addr), 0);
	assert_int_equal(record_check_meta(&f->target, f->meta, f->meta->size), 0);
}

static void test_a_record_without_magic_is_refused(void **state)
{
	struct fixture *f = *state;

	f->head->magic[3] ^= 1;
	assert_head_refused(f, UPATCH_E_RECORD_CORRUPT);
}

static void test_a_record_of_another_version_is_refused(void **state)
{
	struct fixture *f = *state;

	f->head->version++;
	assert_head_refused(f, UPATCH_E_RECORD_VERSION);
}

static void test_a_record_that_was_moved_is_refused(void **state)
{
	struct fixture *f = *state;

	f->head->self += 4096;
	assert_head_refused(f, UPATCH_E_RECORD_CORRUPT);
}

static void test_a_region_in_the_kernel_is_refused(void **state)
{
	struct fixture *f = *state;

	f->head->regions[7] = (struct upatch_region){
		.addr = 0xffffffff81000000,
		.size = 4096,
		.kind = UPATCH_REGION_PAYLOAD,
		.state = UPATCH_REGION_MAPPED,
	};
	assert_head_refused(f, UPATCH_E_RECORD_CORRUPT);
}

static void test_parts_of_a_region_must_fit_into_it(void **state)
{
	struct fixture *f = *state;

	f->head->regions[0] = (struct upatch_region){
		.addr = 0x400000,
		.size = 8192,
		.text_size = 4096,
		.ro_size = 8192,
		.kind = UPATCH_REGION_PAYLOAD,
		.state = UPATCH_REGION_MAPPED,
	};
	assert_head_refused(f, UPATCH_E_RECORD_CORRUPT);
}

static void test_a_patch_in_an_unknown_state_is_refused(void **state)
{
	struct fixture *f = *state;

	f->head->patches[3].state = 99;
	assert_head_refused(f, UPATCH_E_RECORD_CORRUPT);
}

static void test_tables_of_a_meta_must_be_inside_of_it(void **state)
{
	struct fixture *f = *state;

	f->meta->nr_funcs = 0x10000000;
	assert_meta_refused(f, UPATCH_E_RECORD_CORRUPT);
	f->meta->nr_funcs = 1;
	f->meta->funcs_offset = 0xfffffff8;
	assert_meta_refused(f, UPATCH_E_RECORD_CORRUPT);
	f->meta->funcs_offset = 8;
	assert_meta_refused(f, UPATCH_E_RECORD_CORRUPT);
}

static void test_states_must_be_inside_of_the_payload(void **state)
{
	struct fixture *f = *state;
	struct upatch_meta_object *o = (void *)((char *)f->meta + f->meta->objects_offset);

	o->states_addr = o->payload_addr + o->payload_size - 48;
	o->nr_states = 2;
	assert_int_equal(record_check_meta(&f->target, f->meta, f->meta->size), 0);
	o->nr_states = 3;
	assert_meta_refused(f, UPATCH_E_RECORD_CORRUPT);
	o->nr_states = UINT64_MAX / 24 + 2;
	assert_meta_refused(f, UPATCH_E_RECORD_CORRUPT);
	o->nr_states = 1;
	o->states_addr += 4;
	assert_meta_refused(f, UPATCH_E_RECORD_CORRUPT);
	o->states_addr = o->payload_addr - 8;
	assert_meta_refused(f, UPATCH_E_RECORD_CORRUPT);
}

static void test_a_name_must_end_and_be_printable(void **state)
{
	struct fixture *f = *state;

	f->meta->name[2] = '\033';
	assert_meta_refused(f, UPATCH_E_RECORD_CORRUPT);
	memset(f->meta->name, 'x', sizeof(f->meta->name));
	assert_meta_refused(f, UPATCH_E_RECORD_CORRUPT);
}

static void test_a_string_beyond_the_table_is_refused(void **state)
{
	struct fixture *f = *state;
	struct upatch_meta_func *func = (void *)((char *)f->meta + f->meta->funcs_offset);

	func->name = 256;
	assert_meta_refused(f, UPATCH_E_RECORD_CORRUPT);
}

static void test_a_replacement_outside_of_the_payload_is_refused(void **state)
{
	struct fixture *f = *state;
	struct upatch_meta_func *func = (void *)((char *)f->meta + f->meta->funcs_offset);

	func->new_addr = 0x301000;
	assert_meta_refused(f, UPATCH_E_RECORD_CORRUPT);
}

static void test_calls_outside_of_the_payload_are_refused(void **state)
{
	struct fixture *f = *state;
	struct upatch_meta_object *o = (void *)((char *)f->meta + f->meta->objects_offset);

	o->callback_arg_addr = 0x301000;
	o->callbacks[2] = 0x300040;
	o->eh_frame_addr = 0x301100;
	o->frame_object_addr = 0x302000;
	o->frame_registered = 1;
	assert_int_equal(record_check_meta(&f->target, f->meta, f->meta->size), 0);
	o->callbacks[2] = 0x301000; /* not in its text */
	assert_meta_refused(f, UPATCH_E_RECORD_CORRUPT);
	o->callbacks[2] = 0x300000; /* no code */
	assert_meta_refused(f, UPATCH_E_RECORD_CORRUPT);
	o->callbacks[2] = 0x300040;
	o->callback_arg_addr = 0x402000;
	assert_meta_refused(f, UPATCH_E_RECORD_CORRUPT);
	o->callback_arg_addr = 0x301000;
	o->frame_object_addr = 0x302f08; /* ends outside */
	assert_meta_refused(f, UPATCH_E_RECORD_CORRUPT);
	o->frame_object_addr = 0;
	assert_meta_refused(f, UPATCH_E_RECORD_CORRUPT);
	o->frame_registered = 0;
	o->is_post_unpatch_armed = 2;
	assert_meta_refused(f, UPATCH_E_RECORD_CORRUPT);
}

static void test_an_island_with_too_many_slots_is_refused(void **state)
{
	struct fixture *f = *state;
	struct upatch_island *island = calloc(1, 4096);

	memcpy(island->magic, UPATCH_ISLAND_MAGIC, sizeof(island->magic));
	island->version = UPATCH_ABI_VERSION;
	island->nr_slots = 1000;
	assert_true(record_check_island(&f->target, &arch_x86_64, island, 4096) < 0);
	assert_int_equal(f->diag.error.reason, UPATCH_E_RECORD_CORRUPT);
	free(island);
}

#define record_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* --- the sum of all parts ---------------------------------------------------------------------- */

enum {
	PART_SIZE = 16 << 20,
};

/* This process as one that shows a record: what it maps, as /proc/PID/maps would tell of it. */
struct shown {
	struct target target;
	struct mapping mapping;
	struct maps maps;
	struct upatch_record *head;
	void *part; /* PART_SIZE bytes, nearly all of them never touched */
};

static void show(struct fixture *f, struct shown *ret)
{
	void *at = MAP_FAILED;

	/* Above the shadow of a sanitizer. */
	for (uint64_t i = 0x2000; i < 0x6000 && at == MAP_FAILED; i++)
		at = mmap((void *)(uintptr_t)((i << 32) | UPATCH_RECORD_ADDR_LOW),
			  UPATCH_RECORD_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	assert_ptr_not_equal(at, MAP_FAILED);
	*ret = (struct shown){
		.target = { .diag = &f->diag,
			    .pid = getpid(),
			    .tid = getpid(),
			    .memfd = -1,
			    .arch = &arch_x86_64 },
		.mapping = { .start = (uintptr_t)at,
			     .end = (uintptr_t)at + UPATCH_RECORD_SIZE,
			     .prot = PROT_READ,
			     .path = "" },
		.head = at,
	};
	ret->maps = (struct maps){ .mappings = &ret->mapping, .nr = 1 };
	*ret->head = *f->head;
	ret->head->self = (uintptr_t)at;
	ret->part = mmap(NULL, PART_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(ret->part, MAP_FAILED);
}

static void hide(struct shown *shown)
{
	assert_int_equal(munmap(shown->part, PART_SIZE), 0);
	assert_int_equal(munmap(shown->head, UPATCH_RECORD_SIZE), 0);
}

static int read_shown(struct shown *shown)
{
	struct record record;
	int r = record_read(&shown->target, &shown->maps, &record);

	if (r >= 0)
		record_deinit(&record);
	return r;
}

/* Some pages of a target that are shown again and again are not to cost us gigabytes. */
static void test_metas_that_are_too_large_together_are_refused(void **state)
{
	struct fixture *f = *state;
	struct upatch_meta *meta;
	struct shown shown;

	show(f, &shown);
	meta = shown.part;
	*meta = *f->meta;
	meta->size = PART_SIZE;
	meta->nr_objects = meta->nr_funcs = meta->nr_ranges = 0;
	meta->strings_size = 1;
	for (size_t i = 0; i < UPATCH_PATCHES_MAX; i++) {
		shown.head->patches[i] = (struct upatch_patch_entry){
			.seq = meta->seq,
			.meta_addr = (uintptr_t)meta,
			.meta_size = PART_SIZE,
			.state = i == 0 ? UPATCH_PATCH_ENABLED : UPATCH_PATCH_FREE,
		};
	}
	assert_int_equal(read_shown(&shown), 0);
	for (size_t i = 0; i < UPATCH_PATCHES_MAX; i++)
		shown.head->patches[i].state = i < 8 ? UPATCH_PATCH_ENABLED : UPATCH_PATCH_FREE;
	assert_int_equal(read_shown(&shown), -EBADMSG);
	assert_int_equal(f->diag.error.reason, UPATCH_E_RECORD_CORRUPT);
	hide(&shown);
}

static void test_islands_that_are_too_large_together_are_refused(void **state)
{
	struct upatch_island *island;
	struct fixture *f = *state;
	struct shown shown;

	show(f, &shown);
	island = shown.part;
	memcpy(island->magic, UPATCH_ISLAND_MAGIC, sizeof(island->magic));
	island->version = UPATCH_ABI_VERSION;
	for (size_t i = 0; i < UPATCH_REGIONS_MAX; i++)
		shown.head->regions[i] = (struct upatch_region){
			.addr = (uintptr_t)island,
			.size = PART_SIZE,
			.ro_size = PART_SIZE,
			.kind = UPATCH_REGION_ISLAND,
			.state = i == 0 ? UPATCH_REGION_MAPPED : UPATCH_REGION_FREE,
		};
	assert_int_equal(read_shown(&shown), 0);
	for (size_t i = 0; i < 8; i++)
		shown.head->regions[i].state = UPATCH_REGION_MAPPED;
	assert_int_equal(read_shown(&shown), -EBADMSG);
	assert_int_equal(f->diag.error.reason, UPATCH_E_RECORD_CORRUPT);
	hide(&shown);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		record_test(test_a_sound_record_is_accepted),
		record_test(test_a_record_without_magic_is_refused),
		record_test(test_a_record_of_another_version_is_refused),
		record_test(test_a_record_that_was_moved_is_refused),
		record_test(test_a_region_in_the_kernel_is_refused),
		record_test(test_parts_of_a_region_must_fit_into_it),
		record_test(test_a_patch_in_an_unknown_state_is_refused),
		record_test(test_tables_of_a_meta_must_be_inside_of_it),
		record_test(test_states_must_be_inside_of_the_payload),
		record_test(test_a_name_must_end_and_be_printable),
		record_test(test_a_string_beyond_the_table_is_refused),
		record_test(test_a_replacement_outside_of_the_payload_is_refused),
		record_test(test_calls_outside_of_the_payload_are_refused),
		record_test(test_an_island_with_too_many_slots_is_refused),
		record_test(test_metas_that_are_too_large_together_are_refused),
		record_test(test_islands_that_are_too_large_together_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
