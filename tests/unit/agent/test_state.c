/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "blob.h"

#include <cmocka.h>

enum { ID = 7, NR_PATCHES = 4 };

/* What the agent reads of a patch; and its payload, of which only the states matter. */
struct patch {
	struct {
		struct upatch_meta head;
		struct upatch_meta_object objects[2];
	} meta;
	struct upatch_state states[2];
};

struct fixture {
	struct agent agent;
	struct upatch_record record;
	struct patch patches[NR_PATCHES];
};

static void enable(struct fixture *f, size_t index, enum upatch_patch_state state)
{
	f->record.patches[index].state = state;
}

/* Patch n has the sequence number n + 1, and its second object has the state in version n. */
static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	_Static_assert(sizeof(struct upatch_state) == sizeof(struct upatch_meta_state), "layout");
	assert_non_null(f);
	agent_map(&f->agent);
	f->agent.data->record_addr = (uintptr_t)&f->record;
	for (uint32_t i = 0; i < NR_PATCHES; i++) {
		struct patch *p = &f->patches[i];

		p->states[0] = (struct upatch_state){ .id = ID + 1 + i };
		p->states[1] = (struct upatch_state){ .id = ID, .version = i };
		p->meta.head.nr_objects = 2;
		p->meta.head.objects_offset = sizeof(struct upatch_meta);
		p->meta.objects[1].states_addr = (uintptr_t)p->states;
		p->meta.objects[1].nr_states = 2;
		f->record.patches[i] = (struct upatch_patch_entry){
			.seq = i + 1,
			.meta_addr = (uintptr_t)&p->meta,
			.state = UPATCH_PATCH_ENABLED,
		};
		f->record.regions[10 + i] = (struct upatch_region){
			.addr = (uintptr_t)p->states,
			.size = sizeof(p->states),
			.patch_seq = i + 1,
			.kind = UPATCH_REGION_PAYLOAD,
			.state = UPATCH_REGION_MAPPED,
		};
	}
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	agent_unmap(&f->agent);
	free(f);
	return 0;
}

static void test_each_patch_has_its_own_state(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < NR_PATCHES; i++)
		assert_ptr_equal(f->agent.state_get(&f->patches[i].states[1], ID),
				 &f->patches[i].states[1]);
	assert_ptr_equal(f->agent.state_get(&f->patches[2].states[1], ID + 3),
			 &f->patches[2].states[0]);
}

static void test_what_a_patch_does_not_declare_it_does_not_have(void **state)
{
	struct fixture *f = *state;

	assert_null(f->agent.state_get(&f->patches[0].states[1], ID + 2));
	assert_null(f->agent.state_get(&f->patches[0].states[1], 0));
	/* The caller is in no payload, or in one that has gone. */
	assert_null(f->agent.state_get(f, ID));
	f->record.regions[10].state = UPATCH_REGION_RESERVED;
	assert_null(f->agent.state_get(&f->patches[0].states[1], ID));
}

static void test_a_disabled_patch_that_still_runs_has_its_state(void **state)
{
	struct fixture *f = *state;

	enable(f, 1, UPATCH_PATCH_KEPT);
	assert_ptr_equal(f->agent.state_get(&f->patches[1].states[1], ID),
			 &f->patches[1].states[1]);
}

static void test_there_is_no_previous_state_without_a_transition(void **state)
{
	struct fixture *f = *state;

	assert_null(f->agent.state_get_prev(&f->patches[3].states[1], ID));
}

static void test_the_previous_state_is_the_latest_before_the_transition(void **state)
{
	struct fixture *f = *state;

	enable(f, 2, UPATCH_PATCH_ENABLING);
	assert_ptr_equal(f->agent.state_get_prev(&f->patches[2].states[1], ID),
			 &f->patches[1].states[1]);
	/* One that does not have it is passed over, and so is one that is disabled. */
	f->patches[1].states[1].id = 99;
	assert_ptr_equal(f->agent.state_get_prev(&f->patches[2].states[1], ID),
			 &f->patches[0].states[1]);
	enable(f, 0, UPATCH_PATCH_UNLOADING);
	assert_null(f->agent.state_get_prev(&f->patches[2].states[1], ID));
	enable(f, 2, UPATCH_PATCH_DISABLING);
	enable(f, 0, UPATCH_PATCH_ENABLED);
	assert_ptr_equal(f->agent.state_get_prev(&f->patches[2].states[1], ID),
			 &f->patches[0].states[1]);
}

/* All have switched; what the patch superseded is there until its post callbacks have run. */
static void test_post_callbacks_still_find_the_state_of_what_was_superseded(void **state)
{
	struct fixture *f = *state;

	enable(f, 0, UPATCH_PATCH_UNLOADING);
	enable(f, 1, UPATCH_PATCH_UNLOADING);
	enable(f, 2, UPATCH_PATCH_ENABLED);
	assert_ptr_equal(f->agent.state_get_prev(&f->patches[2].states[1], ID),
			 &f->patches[1].states[1]);
	enable(f, 1, UPATCH_PATCH_FREE);
	assert_ptr_equal(f->agent.state_get_prev(&f->patches[2].states[1], ID),
			 &f->patches[0].states[1]);
	assert_null(f->agent.state_get_prev(&f->patches[0].states[1], ID));
	/* In no payload: nobody's callback. */
	assert_null(f->agent.state_get_prev(f, ID));
}

static void test_entries_of_the_record_are_in_no_order(void **state)
{
	struct fixture *f = *state;

	f->record.patches[0].seq = 20;
	f->record.patches[3].seq = 30;
	enable(f, 3, UPATCH_PATCH_ENABLING);
	assert_ptr_equal(f->agent.state_get_prev(f, ID), &f->patches[0].states[1]);
}

static void test_without_a_record_there_are_no_states(void **state)
{
	struct fixture *f = *state;

	f->agent.data->record_addr = 0;
	assert_null(f->agent.state_get(&f->patches[0].states[1], ID));
	assert_null(f->agent.state_get_prev(&f->patches[0].states[1], ID));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_each_patch_has_its_own_state),
		TEST(test_what_a_patch_does_not_declare_it_does_not_have),
		TEST(test_a_disabled_patch_that_still_runs_has_its_state),
		TEST(test_there_is_no_previous_state_without_a_transition),
		TEST(test_the_previous_state_is_the_latest_before_the_transition),
		TEST(test_post_callbacks_still_find_the_state_of_what_was_superseded),
		TEST(test_entries_of_the_record_are_in_no_order),
		TEST(test_without_a_record_there_are_no_states),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
