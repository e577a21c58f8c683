/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/slots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arch/arch.h"
#include "livepatch/plan.h"
#include "target/freeze.h"
#include "world.h"

/* Where calls go, and what is at functions' entries: by patches on some functions of this process. */

enum {
	FUNCS = 4,
	MANY = 200, /* more slots than fit in a page */
};

struct fixture {
	struct world world;
	struct slots slots;
};

static int setup_many(void **state, size_t nr_funcs)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	world_init(&f->world, nr_funcs);
	*state = f;
	return 0;
}

static int setup(void **state)
{
	return setup_many(state, FUNCS);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	slots_deinit(&f->slots);
	world_deinit(&f->world);
	free(f);
	return 0;
}

/* As a transition does: of a patch that comes, or that goes. */
static void collect(struct fixture *f, size_t patch, bool comes)
{
	int index = (int)patch;

	slots_deinit(&f->slots);
	assert_int_equal(slots_collect(&f->world.session, patch, comes ? index : -1,
				       comes ? -1 : index, &f->slots),
			 0);
}

static const struct slots_item *item_of(struct fixture *f, int func)
{
	for (size_t i = 0; i < f->slots.nr; i++)
		if (f->slots.items[i].slot == world_slot(&f->world, func))
			return &f->slots.items[i];
	return NULL;
}

static void assert_leads(struct fixture *f, int func, uint64_t old, uint64_t new)
{
	const struct slots_item *item = item_of(f, func);

	assert_non_null(item);
	assert_int_equal(item->old, old);
	assert_int_equal(item->new, new);
}

/* --- which --------------------------------------------------------------------------------------- */

static void test_a_first_patch_leads_from_the_original_to_its_own(void **state)
{
	struct fixture *f = *state;
	size_t p = world_add(&f->world, UPATCH_PATCH_LOADED, 0, (const int[]){ 2, 0, -1 });

	collect(f, p, true);
	assert_int_equal(f->slots.nr, 2);
	assert_leads(f, 0, world_gateway(&f->world, 0), world_new(p, 0));
	assert_leads(f, 2, world_gateway(&f->world, 2), world_new(p, 2));
	/* In order, so that neighbours are one store. */
	assert_true(f->slots.items[0].slot < f->slots.items[1].slot);
}

static void test_a_patch_that_goes_leads_back_to_what_was(void **state)
{
	struct fixture *f = *state;
	size_t a = world_add(&f->world, UPATCH_PATCH_ENABLED, 0, (const int[]){ 0, 1, -1 });
	size_t b = world_add(&f->world, UPATCH_PATCH_ENABLED, 0, (const int[]){ 1, 2, -1 });

	collect(f, b, false);
	assert_int_equal(f->slots.nr, 2);
	assert_leads(f, 1, world_new(b, 1), world_new(a, 1));
	assert_leads(f, 2, world_new(b, 2), world_gateway(&f->world, 2));
	/* From below: what runs stays. */
	collect(f, a, false);
	assert_leads(f, 0, world_new(a, 0), world_gateway(&f->world, 0));
	assert_leads(f, 1, world_new(b, 1), world_new(b, 1));
}

static void test_the_newest_enabled_one_wins_whatever_its_place(void **state)
{
	struct fixture *f = *state;
	struct upatch_record *head = f->world.session.record.head;
	size_t a = world_add(&f->world, UPATCH_PATCH_ENABLED, 0, (const int[]){ 0, -1 });
	size_t b = world_add(&f->world, UPATCH_PATCH_ENABLED, 0, (const int[]){ 0, -1 });
	size_t c = world_add(&f->world, UPATCH_PATCH_LOADED, 0, (const int[]){ 0, -1 });

	head->patches[a].seq = head->patches[b].seq + 10;
	collect(f, c, true);
	assert_leads(f, 0, world_new(a, 0), world_new(c, 0));
}

static void test_who_is_not_enabled_has_no_say(void **state)
{
	static const enum upatch_patch_state states[] = {
		UPATCH_PATCH_LOADED,
		UPATCH_PATCH_UNLOADING,
		UPATCH_PATCH_KEPT,
	};
	struct fixture *f = *state;
	size_t p, q;

	p = world_add(&f->world, UPATCH_PATCH_ENABLED, 0, (const int[]){ 0, -1 });
	q = world_add(&f->world, UPATCH_PATCH_ENABLED, 0, (const int[]){ 0, -1 });
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		world_set_state(&f->world, q, states[i]);
		collect(f, p, false);
		assert_leads(f, 0, world_new(p, 0), world_gateway(&f->world, 0));
	}
}

static void test_an_open_transition_is_found_as_it_was_started(void **state)
{
	struct fixture *f = *state;
	size_t a = world_add(&f->world, UPATCH_PATCH_ENABLED, 0, (const int[]){ 0, -1 });
	size_t b = world_add(&f->world, UPATCH_PATCH_ENABLING, 0, (const int[]){ 0, -1 });

	collect(f, b, true);
	assert_leads(f, 0, world_new(a, 0), world_new(b, 0));
	world_set_state(&f->world, b, UPATCH_PATCH_DISABLING);
	collect(f, b, false);
	assert_leads(f, 0, world_new(b, 0), world_new(a, 0));
}

static void test_a_replace_patch_concerns_what_it_lacks(void **state)
{
	struct fixture *f = *state;
	size_t r;

	world_add(&f->world, UPATCH_PATCH_ENABLED, 0, (const int[]){ 0, 1, -1 });
	world_add(&f->world, UPATCH_PATCH_UNLOADING, 0, (const int[]){ 3, -1 });
	r = world_add(&f->world, UPATCH_PATCH_LOADED, UPATCH_META_REPLACE,
		      (const int[]){ 1, 2, -1 });
	collect(f, r, true);
	assert_int_equal(f->slots.nr, 3);
	assert_leads(f, 0, world_new(0, 0), world_gateway(&f->world, 0));
	assert_leads(f, 1, world_new(0, 1), world_new(r, 1));
	assert_leads(f, 2, world_gateway(&f->world, 2), world_new(r, 2));
}

static void test_what_an_enabled_replace_patch_lacks_is_original(void **state)
{
	struct fixture *f = *state;
	size_t p;

	world_add(&f->world, UPATCH_PATCH_ENABLED, 0, (const int[]){ 0, -1 });
	world_add(&f->world, UPATCH_PATCH_ENABLED, UPATCH_META_REPLACE, (const int[]){ 1, -1 });
	p = world_add(&f->world, UPATCH_PATCH_LOADED, 0, (const int[]){ 0, -1 });
	collect(f, p, true);
	assert_leads(f, 0, world_gateway(&f->world, 0), world_new(p, 0));
}

static void test_a_function_without_a_slot_is_damage(void **state)
{
	struct fixture *f = *state;
	size_t p = world_add(&f->world, UPATCH_PATCH_LOADED, 0, (const int[]){ 0, -1 });
	struct upatch_meta_func *func =
		(struct upatch_meta_func *)meta_funcs(f->world.session.record.metas[p]);
	static const int64_t wrong[] = { 8, -1, (int64_t)sizeof(struct upatch_slot) * FUNCS,
					 -(int64_t)sizeof(struct upatch_slot) };
	uint64_t right = func->slot_addr;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		func->slot_addr = right + (uint64_t)wrong[i];
		assert_int_equal(slots_collect(&f->world.session, p, (int)p, -1, &f->slots),
				 -EBADMSG);
		assert_int_equal(f->world.diag.error.reason, UPATCH_E_RECORD_CORRUPT);
		diag_clear(&f->world.diag);
	}
}

static void test_of_an_absent_library_nothing_is_concerned(void **state)
{
	struct fixture *f = *state;
	size_t p = world_add(&f->world, UPATCH_PATCH_LOADED, 0, (const int[]){ 0, -1 });
	struct upatch_meta *meta = f->world.session.record.metas[p];

	((struct upatch_meta_object *)meta_objects(meta))->start = 0;
	((struct upatch_meta_func *)meta_funcs(meta))->slot_addr = 0;
	collect(f, p, true);
	assert_int_equal(f->slots.nr, 0);
}

/* --- storing ------------------------------------------------------------------------------------- */

static void assert_words(struct fixture *f, int func, uint64_t winner, uint64_t old, uint64_t new)
{
	const struct upatch_slot *slot = world_target_slot(&f->world, func);

	assert_int_equal(slot->winner, winner);
	assert_int_equal(slot->old, old);
	assert_int_equal(slot->new, new);
	/* And what we believe. */
	assert_memory_equal(slot, world_slot(&f->world, func), sizeof(*slot));
}

static void assert_untouched(struct fixture *f, int func)
{
	uint64_t gateway = world_gateway(&f->world, func);

	assert_words(f, func, gateway, gateway, gateway);
	assert_int_equal(world_target_slot(&f->world, func)->is_armed, 1);
}

static void test_opening_leads_through_the_dispatchers(void **state)
{
	struct fixture *f = *state;
	size_t p = world_add(&f->world, UPATCH_PATCH_LOADED, 0, (const int[]){ 0, 1, 3, -1 });
	static const int funcs[] = { 0, 1, 3 };

	collect(f, p, true);
	assert_int_equal(slots_open(&f->world.session, &f->slots, 0), 0);
	for (size_t i = 0; i < 3; i++)
		assert_words(f, funcs[i], world_dispatcher(&f->world, funcs[i]),
			     world_gateway(&f->world, funcs[i]), world_new(p, funcs[i]));
	assert_untouched(f, 2);
}

static void test_settling_leads_straight_and_whoever_is_in_a_dispatcher_along(void **state)
{
	struct fixture *f = *state;
	size_t p = world_add(&f->world, UPATCH_PATCH_LOADED, 0, (const int[]){ 0, 2, -1 });

	world_write_jump(&f->world, 0);
	world_write_jump(&f->world, 2);
	collect(f, p, true);
	assert_int_equal(slots_open(&f->world.session, &f->slots, 0), 0);
	assert_int_equal(slots_settle(&f->world.session, &f->slots, SLOTS_NEW, 0), 0);
	for (int i = 0; i < 4; i += 2) {
		assert_words(f, i, world_new(p, i), world_new(p, i), world_new(p, i));
		assert_int_equal(world_target_slot(&f->world, i)->is_armed, 1);
		world_assert_jump(&f->world, i);
	}
	assert_untouched(f, 1);
	world_assert_original(&f->world, 1);
}

static void test_settling_back_restores_the_entries(void **state)
{
	struct fixture *f = *state;
	size_t p = world_add(&f->world, UPATCH_PATCH_LOADED, 0, (const int[]){ 0, 2, -1 });

	world_write_jump(&f->world, 0);
	world_write_jump(&f->world, 1); /* another patch's */
	world_write_jump(&f->world, 2);
	collect(f, p, true);
	assert_int_equal(slots_open(&f->world.session, &f->slots, 0), 0);
	assert_int_equal(slots_settle(&f->world.session, &f->slots, SLOTS_OLD, 0), 0);
	for (int i = 0; i < 4; i += 2) {
		uint64_t gateway = world_gateway(&f->world, i);

		assert_words(f, i, gateway, gateway, gateway);
		assert_int_equal(world_target_slot(&f->world, i)->is_armed, 0);
		world_assert_original(&f->world, i);
	}
	world_assert_jump(&f->world, 1);
	assert_untouched(f, 1);
}

static void test_a_function_that_an_older_patch_has_keeps_its_jump(void **state)
{
	struct fixture *f = *state;
	size_t a = world_add(&f->world, UPATCH_PATCH_ENABLED, 0, (const int[]){ 0, -1 });
	size_t b = world_add(&f->world, UPATCH_PATCH_ENABLED, 0, (const int[]){ 0, -1 });

	world_write_jump(&f->world, 0);
	collect(f, b, false);
	assert_int_equal(slots_settle(&f->world.session, &f->slots, SLOTS_NEW, 0), 0);
	assert_words(f, 0, world_new(a, 0), world_new(a, 0), world_new(a, 0));
	world_assert_jump(&f->world, 0);
}

static void test_what_is_no_jump_of_ours_is_not_restored(void **state)
{
	struct fixture *f = *state;
	size_t p = world_add(&f->world, UPATCH_PATCH_ENABLED, 0, (const int[]){ 0, -1 });
	uint8_t *code = (uint8_t *)(uintptr_t)world_func(&f->world, 0);

	/* Its library has gone unnoticed, and something else has come there. */
	world_write_jump(&f->world, 0);
	code[WORLD_ENTRY_SIZE - 1] ^= 1;
	collect(f, p, false);
	assert_int_equal(slots_settle(&f->world.session, &f->slots, SLOTS_NEW, 0), 0);
	assert_int_equal(world_target_slot(&f->world, 0)->is_armed, 0);
	assert_int_equal(code[0], 0xe9);
	/* Nor where nothing is. */
	world_slot(&f->world, 0)->is_armed = 1;
	world_slot(&f->world, 0)->entry_addr = 16;
	assert_int_equal(slots_settle(&f->world.session, &f->slots, SLOTS_NEW, 0), 0);
	assert_int_equal(world_target_slot(&f->world, 0)->is_armed, 0);
}

static int setup_two_hundred(void **state)
{
	return setup_many(state, MANY);
}

static void test_all_of_many_are_stored_and_no_others(void **state)
{
	struct fixture *f = *state;
	int funcs[MANY];
	size_t nr = 0, p;

	/* Rows of seven, with gaps. */
	for (int i = 0; i < MANY; i++)
		if (i % 8)
			funcs[nr++] = i;
	funcs[nr] = -1;
	p = world_add(&f->world, UPATCH_PATCH_LOADED, 0, funcs);
	collect(f, p, true);
	assert_int_equal(f->slots.nr, nr);
	assert_int_equal(slots_open(&f->world.session, &f->slots, 0), 0);
	assert_int_equal(slots_settle(&f->world.session, &f->slots, SLOTS_NEW, 0), 0);
	for (int i = 0; i < MANY; i++) {
		if (i % 8)
			assert_words(f, i, world_new(p, i), world_new(p, i), world_new(p, i));
		else
			assert_untouched(f, i);
	}
}

/* --- by the states alone ------------------------------------------------------------------------- */

static void test_what_was_interrupted_is_settled_by_the_states(void **state)
{
	struct fixture *f = *state;
	size_t p = world_add(&f->world, UPATCH_PATCH_LOADED, 0, (const int[]){ 0, 1, 2, -1 });

	for (int i = 0; i < FUNCS; i++)
		world_write_jump(&f->world, i);
	collect(f, p, true);
	assert_int_equal(slots_open(&f->world.session, &f->slots, 0), 0);
	assert_true(slots_has_unsettled(&f->world.session));
	/* Killed behind the store of the state. */
	world_set_state(&f->world, p, UPATCH_PATCH_ENABLED);
	assert_int_equal(slots_settle_all(&f->world.session, 0), 0);
	for (int i = 0; i < 3; i++) {
		assert_words(f, i, world_new(p, i), world_new(p, i), world_new(p, i));
		world_assert_jump(&f->world, i);
	}
	/* Nobody has it. */
	assert_int_equal(world_target_slot(&f->world, 3)->is_armed, 0);
	world_assert_original(&f->world, 3);
	assert_false(slots_has_unsettled(&f->world.session));
}

static void test_what_never_began_is_undone_by_the_states(void **state)
{
	struct fixture *f = *state;
	size_t p = world_add(&f->world, UPATCH_PATCH_LOADED, 0, (const int[]){ 0, 1, -1 });

	world_write_jump(&f->world, 0);
	collect(f, p, true);
	assert_int_equal(slots_open(&f->world.session, &f->slots, 0), 0);
	world_set_state(&f->world, p, UPATCH_PATCH_UNLOADING);
	assert_int_equal(slots_settle_all(&f->world.session, 0), 0);
	for (int i = 0; i < FUNCS; i++) {
		assert_int_equal(world_target_slot(&f->world, i)->winner,
				 world_gateway(&f->world, i));
		assert_int_equal(world_target_slot(&f->world, i)->is_armed, 0);
		world_assert_original(&f->world, i);
	}
}

static void test_hooks_are_nobodys_to_settle(void **state)
{
	struct fixture *f = *state;

	f->world.session.record.head->regions[0].kind = UPATCH_REGION_HOOKS;
	world_slot(&f->world, 0)->winner = 0x1234;
	assert_false(slots_has_unsettled(&f->world.session));
	assert_int_equal(slots_settle_all(&f->world.session, 0), 0);
	assert_int_equal(world_slot(&f->world, 0)->winner, 0x1234);
	assert_int_equal(world_target_slot(&f->world, 1)->is_armed, 1);
}

/* --- entries ------------------------------------------------------------------------------------- */

/* No thread is stopped: one that is nobody's can be moved all the same, as far as we believe. */
static uint64_t write_with_thread_at(struct fixture *f, size_t patch, uint64_t pc,
				     enum thread_state thread_state)
{
	struct thread thread = { .state = thread_state };
	struct freeze freeze = { .target = &f->world.target, .threads = &thread, .nr = 1 };
	const struct upatch_meta *meta = f->world.session.record.metas[patch];
	struct plan_func func = { .slot_addr = meta_funcs(meta)[0].slot_addr };
	struct plan_object object = { .funcs = &func, .nr_funcs = 1 };
	const struct plan plan = { .objects = &object, .nr_objects = 1 };

	regs_set_pc(&thread.regs, pc);
	assert_int_equal(slots_write_entries(&f->world.session, &plan, &freeze, 0), 0);
	world_assert_jump(&f->world, 1);
	return regs_pc(&thread.regs);
}

static void test_threads_behind_the_first_instruction_go_on_in_the_gateway(void **state)
{
	struct fixture *f = *state;
	size_t p = world_add(&f->world, UPATCH_PATCH_LOADED, 0, (const int[]){ 1, -1 });
	uint64_t entry = world_func(&f->world, 1), gateway = world_gateway(&f->world, 1);

	/* Of its instructions, at 0, 1 and 4, the first one meets the jump. */
	assert_int_equal(write_with_thread_at(f, p, entry, THREAD_STOPPED), entry);
	assert_int_equal(write_with_thread_at(f, p, entry + 1, THREAD_STOPPED), gateway + 2);
	assert_int_equal(write_with_thread_at(f, p, entry + 4, THREAD_STOPPED), gateway + 6);
	assert_int_equal(write_with_thread_at(f, p, entry + WORLD_COVERED, THREAD_STOPPED),
			 entry + WORLD_COVERED);
	assert_int_equal(write_with_thread_at(f, p, entry - 1, THREAD_STOPPED), entry - 1);
	assert_int_equal(write_with_thread_at(f, p, entry + 4, THREAD_GONE), entry + 4);
}

static void test_entries_that_have_their_jump_are_left_alone(void **state)
{
	struct fixture *f = *state;
	struct plan_func func = { .slot_addr = 1, .is_patched = true };
	struct plan_object object = { .funcs = &func, .nr_funcs = 1 };
	const struct plan plan = { .objects = &object, .nr_objects = 1 };
	struct freeze freeze = { .target = &f->world.target };

	assert_int_equal(slots_write_entries(&f->world.session, &plan, &freeze, 0), 0);
	for (int i = 0; i < FUNCS; i++)
		world_assert_original(&f->world, i);
}

/* The part of a library that may go: its object has a template. */
static size_t add_library(struct fixture *f, uint64_t template_addr)
{
	size_t p = world_add(&f->world, UPATCH_PATCH_LOADED, 0, (const int[]){ 1, 2, -1 });
	struct upatch_meta *meta = f->world.session.record.metas[p];

	((struct upatch_meta_object *)meta_objects(meta))->template_addr = template_addr;
	return p;
}

static void test_parts_that_the_agent_has_placed_get_their_jumps(void **state)
{
	struct fixture *f = *state;
	size_t p = add_library(f, 0x5000);
	struct freeze freeze = { .target = &f->world.target };

	assert_int_equal(slots_write_libraries(&f->world.session, p, NULL), 0);
	world_assert_original(&f->world, 1);
	world_write_jump(&f->world, 2);
	assert_int_equal(slots_write_libraries(&f->world.session, p, &freeze), 0);
	world_assert_jump(&f->world, 1);
	world_assert_jump(&f->world, 2);
	world_assert_original(&f->world, 0);
}

static void test_what_stays_is_not_the_agents(void **state)
{
	struct fixture *f = *state;
	size_t p = add_library(f, 0);
	struct freeze freeze = { .target = &f->world.target };

	assert_int_equal(slots_write_libraries(&f->world.session, p, &freeze), 0);
	world_assert_original(&f->world, 1);
}

static void test_a_librarys_entry_that_has_changed_is_refused(void **state)
{
	struct fixture *f = *state;
	size_t p = add_library(f, 0x5000);
	uint8_t *code = (uint8_t *)(uintptr_t)world_func(&f->world, 1);

	code[WORLD_ENTRY_SIZE - 1] ^= 1;
	assert_int_equal(slots_write_libraries(&f->world.session, p, NULL), -EILSEQ);
	assert_int_equal(f->world.diag.error.reason, UPATCH_E_BYTES_DIFFER);
	diag_clear(&f->world.diag);
	world_slot(&f->world, 1)->entry_addr = 16;
	assert_int_equal(slots_write_libraries(&f->world.session, p, NULL), -EFAULT);
	assert_int_equal(f->world.diag.error.reason, UPATCH_E_NO_OBJECT);
}

#define STORY(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORY(test_a_first_patch_leads_from_the_original_to_its_own),
		STORY(test_a_patch_that_goes_leads_back_to_what_was),
		STORY(test_the_newest_enabled_one_wins_whatever_its_place),
		STORY(test_who_is_not_enabled_has_no_say),
		STORY(test_an_open_transition_is_found_as_it_was_started),
		STORY(test_a_replace_patch_concerns_what_it_lacks),
		STORY(test_what_an_enabled_replace_patch_lacks_is_original),
		STORY(test_a_function_without_a_slot_is_damage),
		STORY(test_of_an_absent_library_nothing_is_concerned),
		STORY(test_opening_leads_through_the_dispatchers),
		STORY(test_settling_leads_straight_and_whoever_is_in_a_dispatcher_along),
		STORY(test_settling_back_restores_the_entries),
		STORY(test_a_function_that_an_older_patch_has_keeps_its_jump),
		STORY(test_what_is_no_jump_of_ours_is_not_restored),
		cmocka_unit_test_setup_teardown(test_all_of_many_are_stored_and_no_others,
						setup_two_hundred, teardown),
		STORY(test_what_was_interrupted_is_settled_by_the_states),
		STORY(test_what_never_began_is_undone_by_the_states),
		STORY(test_hooks_are_nobodys_to_settle),
		STORY(test_threads_behind_the_first_instruction_go_on_in_the_gateway),
		STORY(test_entries_that_have_their_jump_are_left_alone),
		STORY(test_parts_that_the_agent_has_placed_get_their_jumps),
		STORY(test_what_stays_is_not_the_agents),
		STORY(test_a_librarys_entry_that_has_changed_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
