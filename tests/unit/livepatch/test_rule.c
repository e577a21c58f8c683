/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/rule.h"

#include <stdlib.h>

#include "arch/arch.h"
#include "livepatch/slots.h"
#include "world.h"

/* Which code nobody may be in when he switches: by patches on four functions. */

enum {
	FUNCS = 4,
};

struct fixture {
	struct world world;
	struct slots slots;
	struct stack_rule rule;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	world_init(&f->world, FUNCS);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	slots_deinit(&f->slots);
	stack_rule_deinit(&f->rule);
	world_deinit(&f->world);
	free(f);
	return 0;
}

static void make(struct fixture *f, size_t patch, enum rule_goal goal)
{
	int index = (int)patch;

	assert_int_equal(slots_collect(&f->world.session, patch, goal == RULE_PATCHED ? index : -1,
				       goal == RULE_PATCHED ? -1 : index, &f->slots),
			 0);
	assert_int_equal(rule_new(&f->world.session, patch, goal, &f->slots, &f->rule), 0);
}

static bool is_hit(const struct fixture *f, enum stack_range_kind kind, uint64_t addr)
{
	return stack_rule_find(&f->rule, kind, addr);
}

/* All of [start, start + size), and nothing beside it. */
static void assert_range(const struct fixture *f, enum stack_range_kind kind, uint64_t start,
			 uint64_t size)
{
	assert_false(is_hit(f, kind, start - 1));
	assert_true(is_hit(f, kind, start));
	assert_true(is_hit(f, kind, start + size - 1));
	assert_false(is_hit(f, kind, start + size));
}

static void assert_in_use(const struct fixture *f, uint64_t addr)
{
	for (uint64_t i = 0; i < WORLD_FUNC_SIZE; i++)
		assert_false(is_hit(f, STACK_RANGE_FUNC, addr + i));
}

static uint64_t entry_of(const struct fixture *f, uint64_t addr)
{
	const struct stack_range *range = stack_rule_find(&f->rule, STACK_RANGE_FUNC, addr);

	assert_non_null(range);
	assert_string_equal(range->function, "func");
	return range->entry;
}

static void test_a_patch_that_comes_puts_the_original_out_of_use(void **state)
{
	struct fixture *f = *state;
	size_t p = world_add(&f->world, UPATCH_PATCH_LOADED, 0, (const int[]){ 1, -1 });

	make(f, p, RULE_PATCHED);
	assert_range(f, STACK_RANGE_FUNC, world_func(&f->world, 1), WORLD_FUNC_SIZE);
	assert_range(f, STACK_RANGE_FUNC, world_piece(&f->world, 1), WORLD_FUNC_SIZE);
	/* Who stands at the very start has run nothing of it; the piece has no such place. */
	assert_int_equal(entry_of(f, world_func(&f->world, 1)), world_func(&f->world, 1));
	assert_int_equal(entry_of(f, world_piece(&f->world, 1)), world_func(&f->world, 1));
	assert_in_use(f, world_func(&f->world, 0));
	assert_in_use(f, world_func(&f->world, 2));
	assert_in_use(f, world_new(p, 1));
	assert_false(is_hit(f, STACK_RANGE_PAYLOAD, world_payload(p)));
}

static void test_a_patch_on_another_puts_that_ones_function_out_of_use(void **state)
{
	struct fixture *f = *state;
	size_t a = world_add(&f->world, UPATCH_PATCH_ENABLED, 0, (const int[]){ 1, 2, -1 });
	size_t b = world_add(&f->world, UPATCH_PATCH_LOADED, 0, (const int[]){ 2, 3, -1 });

	make(f, b, RULE_PATCHED);
	assert_range(f, STACK_RANGE_FUNC, world_new(a, 2), WORLD_NEW_SIZE);
	assert_int_equal(entry_of(f, world_new(a, 2)), world_new(a, 2));
	assert_in_use(f, world_func(&f->world, 2));
	assert_in_use(f, world_new(a, 1));
	assert_range(f, STACK_RANGE_FUNC, world_func(&f->world, 3), WORLD_FUNC_SIZE);
	/* Of the older patch only that function: the rest of it stays in use. */
	assert_false(is_hit(f, STACK_RANGE_PAYLOAD, world_payload(a)));
}

static void test_a_patch_that_is_on_its_way_out_counts_as_nothing(void **state)
{
	struct fixture *f = *state;
	size_t a = world_add(&f->world, UPATCH_PATCH_UNLOADING, 0, (const int[]){ 1, -1 });
	size_t b = world_add(&f->world, UPATCH_PATCH_LOADED, 0, (const int[]){ 1, -1 });

	make(f, b, RULE_PATCHED);
	assert_in_use(f, world_new(a, 1));
	assert_range(f, STACK_RANGE_FUNC, world_func(&f->world, 1), WORLD_FUNC_SIZE);
}

static void test_a_patch_that_goes_takes_all_its_code_along(void **state)
{
	struct fixture *f = *state;
	size_t a = world_add(&f->world, UPATCH_PATCH_ENABLED, 0, (const int[]){ 1, -1 });
	size_t b = world_add(&f->world, UPATCH_PATCH_ENABLED, 0, (const int[]){ 1, 2, -1 });

	make(f, b, RULE_UNPATCHED);
	assert_range(f, STACK_RANGE_FUNC, world_new(b, 1), WORLD_NEW_SIZE);
	assert_range(f, STACK_RANGE_FUNC, world_new(b, 2), WORLD_NEW_SIZE);
	/* Its first instruction goes, too. */
	assert_int_equal(entry_of(f, world_new(b, 1)), 0);
	assert_range(f, STACK_RANGE_PAYLOAD, world_payload(b), WORLD_PAYLOAD_TEXT);
	assert_in_use(f, world_new(a, 1));
	assert_in_use(f, world_func(&f->world, 1));
	assert_in_use(f, world_func(&f->world, 2));
	assert_false(is_hit(f, STACK_RANGE_PAYLOAD, world_payload(a)));
}

static void test_a_replace_patch_puts_all_older_ones_out_of_use(void **state)
{
	struct fixture *f = *state;
	size_t a = world_add(&f->world, UPATCH_PATCH_ENABLED, 0, (const int[]){ 1, -1 });
	size_t kept = world_add(&f->world, UPATCH_PATCH_KEPT, 0, (const int[]){ 1, -1 });
	size_t b = world_add(&f->world, UPATCH_PATCH_ENABLED, 0, (const int[]){ 2, -1 });
	size_t r = world_add(&f->world, UPATCH_PATCH_LOADED, UPATCH_META_REPLACE,
			     (const int[]){ 2, 3, -1 });

	make(f, r, RULE_PATCHED);
	assert_range(f, STACK_RANGE_PAYLOAD, world_payload(a), WORLD_PAYLOAD_TEXT);
	assert_range(f, STACK_RANGE_PAYLOAD, world_payload(b), WORLD_PAYLOAD_TEXT);
	assert_false(is_hit(f, STACK_RANGE_PAYLOAD, world_payload(kept)));
	assert_false(is_hit(f, STACK_RANGE_PAYLOAD, world_payload(r)));
	assert_range(f, STACK_RANGE_FUNC, world_new(a, 1), WORLD_NEW_SIZE);
	assert_range(f, STACK_RANGE_FUNC, world_new(b, 2), WORLD_NEW_SIZE);
	assert_range(f, STACK_RANGE_FUNC, world_func(&f->world, 3), WORLD_FUNC_SIZE);
	/* What it goes back to. */
	assert_in_use(f, world_func(&f->world, 1));
}

static void test_a_patch_whose_transition_is_open_does_not_stand_in_its_own_way(void **state)
{
	struct fixture *f = *state;
	size_t a = world_add(&f->world, UPATCH_PATCH_ENABLED, 0, (const int[]){ 1, -1 });
	size_t r = world_add(&f->world, UPATCH_PATCH_ENABLING, UPATCH_META_REPLACE,
			     (const int[]){ 1, 2, -1 });

	/* Turned around twice. */
	make(f, r, RULE_PATCHED);
	assert_in_use(f, world_new(r, 1));
	assert_false(is_hit(f, STACK_RANGE_PAYLOAD, world_payload(r)));
	assert_range(f, STACK_RANGE_FUNC, world_new(a, 1), WORLD_NEW_SIZE);
	assert_range(f, STACK_RANGE_FUNC, world_func(&f->world, 2), WORLD_FUNC_SIZE);
}

static void test_without_replace_others_stay_in_use(void **state)
{
	struct fixture *f = *state;
	size_t a = world_add(&f->world, UPATCH_PATCH_ENABLED, 0, (const int[]){ 1, -1 });
	size_t b = world_add(&f->world, UPATCH_PATCH_LOADED, 0, (const int[]){ 2, -1 });

	make(f, b, RULE_PATCHED);
	assert_in_use(f, world_new(a, 1));
	assert_false(is_hit(f, STACK_RANGE_PAYLOAD, world_payload(a)));
}

static void test_a_replace_patch_that_goes_takes_its_own_code_only(void **state)
{
	struct fixture *f = *state;
	/* Turned around: what it was to replace is still there. */
	size_t a = world_add(&f->world, UPATCH_PATCH_ENABLED, 0, (const int[]){ 1, -1 });
	size_t r = world_add(&f->world, UPATCH_PATCH_ENABLING, UPATCH_META_REPLACE,
			     (const int[]){ 1, -1 });

	make(f, r, RULE_UNPATCHED);
	assert_range(f, STACK_RANGE_PAYLOAD, world_payload(r), WORLD_PAYLOAD_TEXT);
	assert_false(is_hit(f, STACK_RANGE_PAYLOAD, world_payload(a)));
	assert_in_use(f, world_new(a, 1));
}

static void test_dispatchers_and_entries_are_those_of_the_slots_concerned(void **state)
{
	const struct arch_slot_layout *layout = arch_x86_64.slot;
	struct fixture *f = *state;
	size_t p = world_add(&f->world, UPATCH_PATCH_LOADED, 0, (const int[]){ 0, 2, -1 });

	make(f, p, RULE_PATCHED);
	for (int i = 0; i < FUNCS; i++) {
		uint64_t text = world_slot(&f->world, i)->text_addr;
		uint64_t entry = world_func(&f->world, i);

		if (i % 2) {
			assert_false(is_hit(f, STACK_RANGE_GATE, text + layout->dispatcher));
			assert_false(is_hit(f, STACK_RANGE_ENTRY, entry + 1));
			continue;
		}
		/* The stub decides nothing, and the gateway is the original. */
		assert_range(f, STACK_RANGE_GATE, text + layout->dispatcher,
			     (uint64_t)layout->gateway - layout->dispatcher);
		/* Who stands at the first byte meets the jump. */
		assert_range(f, STACK_RANGE_ENTRY, entry + 1, WORLD_COVERED - 1);
	}
}

static void test_what_an_absent_library_would_have_is_nowhere(void **state)
{
	struct fixture *f = *state;
	size_t p = world_add(&f->world, UPATCH_PATCH_ENABLED, 0, (const int[]){ 1, -1 });
	struct upatch_meta_object *o =
		(struct upatch_meta_object *)meta_objects(f->world.session.record.metas[p]);

	o->start = o->end = o->payload_addr = o->payload_size = o->text_size = 0;
	make(f, p, RULE_UNPATCHED);
	assert_int_equal(f->slots.nr, 0);
	assert_int_equal(f->rule.nr, 0);
	stack_rule_deinit(&f->rule);
	assert_int_equal(rule_new(&f->world.session, p, RULE_PATCHED, &f->slots, &f->rule), 0);
	assert_int_equal(f->rule.nr, 0);
}

#define STORY(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORY(test_a_patch_that_comes_puts_the_original_out_of_use),
		STORY(test_a_patch_on_another_puts_that_ones_function_out_of_use),
		STORY(test_a_patch_that_is_on_its_way_out_counts_as_nothing),
		STORY(test_a_patch_that_goes_takes_all_its_code_along),
		STORY(test_a_replace_patch_puts_all_older_ones_out_of_use),
		STORY(test_a_patch_whose_transition_is_open_does_not_stand_in_its_own_way),
		STORY(test_without_replace_others_stay_in_use),
		STORY(test_a_replace_patch_that_goes_takes_its_own_code_only),
		STORY(test_dispatchers_and_entries_are_those_of_the_slots_concerned),
		STORY(test_what_an_absent_library_would_have_is_nowhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
