/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
