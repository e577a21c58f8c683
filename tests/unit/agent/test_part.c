/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The agent puts a patch's part for a library to its place, in this process: the template is made as the
 * host makes it, the agent's sources are built for the host, and what comes of it is called.
 */
#include "site.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static void assert_sound(struct site *f, int patch)
{
	const struct upatch_meta *meta = f->patches[patch].meta;

	assert_int_equal(record_check_meta(&f->target, meta, meta->size), 0);
}

static size_t count_regions(struct site *f)
{
	size_t nr = 0;

	for (int i = 0; i < UPATCH_REGIONS_MAX; i++)
		nr += site_record(f)->regions[i].state != UPATCH_REGION_FREE;
	return nr;
}

/* All that the agent has mapped, but for its scratch. */
static void assert_told_of_all(struct site *f)
{
	long sum = 0;

	part_done(&f->part);
	for (int i = 0; i < UPATCH_REGIONS_MAX; i++)
		if (site_record(f)->regions[i].state == UPATCH_REGION_MAPPED)
			sum += (long)site_record(f)->regions[i].size;
	assert_int_equal(site_process.mapped, sum);
}

static void assert_library_unchanged(struct site *f)
{
	assert_memory_equal(f->library, f->before, LIBRARY_SIZE);
}

/* --- coming -------------------------------------------------------------------------------------- */

static void test_a_part_that_is_made_is_told_of_and_used_by_nobody(void **state)
{
	struct site *f = *state;
	const struct upatch_meta_object *o = site_object(f, 0);
	const struct upatch_meta_func *funcs = meta_funcs(f->patches[0].meta);

	site_set_state(f, 0, UPATCH_PATCH_ENABLED);
	assert_int_equal(site_try_make(f, 0), 0);
	assert_library_unchanged(f);
	assert_sound(f, 0);
	assert_int_equal(o->start, (uintptr_t)f->library);
	assert_int_equal(o->end, (uintptr_t)f->library + LIBRARY_SIZE);
	for (int i = 0; i < FUNCS; i++) {
		const struct upatch_meta_range *range =
			&meta_ranges(f->patches[0].meta)[funcs[i].first_range];

		assert_int_equal(funcs[i].old_addr, (uintptr_t)f->library + CODE + i * FUNC_SIZE);
		assert_int_equal(range->addr, funcs[i].old_addr);
		assert_int_equal(range->size, FUNC_SIZE);
		assert_true(funcs[i].new_addr >= o->payload_addr + UPATCH_TEXT_LEAD);
		assert_true(funcs[i].new_addr < o->payload_addr + o->text_size);
	}
	/* The other copy is still absent. */
	assert_int_equal(o[1].start, 0);
	assert_int_equal(funcs[FUNCS].old_addr, 0);
	assert_int_equal(count_regions(f), 2);
	assert_int_equal(site_record(f)->regions[UPATCH_REGIONS_HOST].patch_seq, 1);
	assert_int_equal(site_record(f)->regions[UPATCH_REGIONS_HOST + 1].patch_seq, 0);
	assert_told_of_all(f);
}

static void test_an_enabled_patchs_functions_run(void **state)
{
	struct site *f = *state;

	assert_int_equal(site_add(f, 5), 6);
	assert_int_equal(site_get(f), 7);
	site_use(f, 0, UPATCH_PATCH_ENABLED, PART_WRITE_ENTRIES);
	/* One calls what it replaces, the other one has the library's variable, and one of its own. */
	assert_int_equal(site_add(f, 5), 106);
	assert_int_equal(site_get(f), 4711);
}

static void test_code_cannot_be_written(void **state)
{
	struct site *f = *state;

	site_use(f, 0, UPATCH_PATCH_ENABLED, PART_WRITE_ENTRIES);
	assert_int_equal(syscall(SYS_getrandom, site_object(f, 0)->payload_addr, 1, 0), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(syscall(SYS_getrandom, meta_funcs(f->patches[0].meta)[0].slot_addr, 1, 0),
			 -1);
	assert_int_equal(errno, EFAULT);
}

static void test_a_loaded_patchs_entries_lead_to_the_original(void **state)
{
	struct site *f = *state;

	site_use(f, 0, UPATCH_PATCH_LOADED, PART_WRITE_ENTRIES);
	assert_memory_not_equal(f->library, f->before, LIBRARY_SIZE);
	assert_int_equal(site_add(f, 5), 6);
	assert_int_equal(site_get(f), 7);
}

static void test_while_a_transition_is_open_the_dispatcher_decides(void **state)
{
	struct site *f = *state;
	struct upatch_switch *word = (void *)(f->record + UPATCH_SWITCH_OFFSET);
	struct upatch_laggards *table = (void *)(f->record + UPATCH_LAGGARDS_OFFSET);

	site_use(f, 0, UPATCH_PATCH_ENABLING, PART_WRITE_ENTRIES);
	assert_int_equal(site_add(f, 5), 6);
	/* A table that lists nobody: all others run the new version. */
	table->mask = 15;
	word->active = (uintptr_t)table;
	assert_int_equal(site_add(f, 5), 106);
	table->invert = 1;
	assert_int_equal(site_add(f, 5), 6);
}

static void test_of_one_that_is_going_the_old_version_has_it(void **state)
{
	struct site *f = *state;
	struct upatch_switch *word = (void *)(f->record + UPATCH_SWITCH_OFFSET);
	struct upatch_laggards *table = (void *)(f->record + UPATCH_LAGGARDS_OFFSET);

	site_use(f, 0, UPATCH_PATCH_DISABLING, PART_WRITE_ENTRIES);
	assert_int_equal(site_add(f, 5), 106);
	table->mask = 15;
	word->active = (uintptr_t)table;
	assert_int_equal(site_add(f, 5), 6);
}

static void test_entries_may_be_left_to_the_host(void **state)
{
	struct site *f = *state;
	const struct upatch_slot *slot;

	site_use(f, 0, UPATCH_PATCH_ENABLED, PART_KEEP_ENTRIES);
	assert_library_unchanged(f);
	slot = (const void *)(uintptr_t)meta_funcs(f->patches[0].meta)[0].slot_addr;
	assert_int_equal(slot->winner, meta_funcs(f->patches[0].meta)[0].new_addr);
	assert_int_equal(slot->func_addr, (uintptr_t)f->library + CODE);
	assert_int_equal(slot->entry_addr, (uintptr_t)f->library + CODE);
	assert_memory_equal(slot->original, f->before + CODE, slot->covered);
}

static void test_a_second_patch_has_the_first_ones_slots(void **state)
{
	struct site *f = *state;
	const struct upatch_meta_func *first = meta_funcs(f->patches[0].meta);
	const struct upatch_meta_func *second = meta_funcs(f->patches[1].meta);

	site_use(f, 0, UPATCH_PATCH_ENABLED, PART_WRITE_ENTRIES);
	part_done(&f->part);
	site_use(f, 1, UPATCH_PATCH_ENABLED, PART_WRITE_ENTRIES);
	for (int i = 0; i < FUNCS; i++)
		assert_int_equal(first[i].slot_addr, second[i].slot_addr);
	assert_sound(f, 1);
	/* It calls the original, not the first patch's. */
	assert_int_equal(site_add(f, 5), 107);
	/* It goes as if it had never been. */
	site_set_state(f, 1, UPATCH_PATCH_UNLOADING);
	part_leave(&f->part);
	assert_int_equal(site_add(f, 5), 106);
	/* It had no island of its own. */
	assert_int_equal(count_regions(f), 3);
	assert_told_of_all(f);
}

/* The patch on top, in the old version and in the new one. */
static void assert_versions(struct site *f, enum upatch_patch_state state, int old, int new)
{
	struct upatch_switch *word = (void *)(f->record + UPATCH_SWITCH_OFFSET);
	struct upatch_laggards *table = (void *)(f->record + UPATCH_LAGGARDS_OFFSET);

	site_set_state(f, 1, state);
	assert_int_equal(part_patch(&f->part, PART_KEEP_ENTRIES, &f->refusal), 0);
	word->active = 0;
	assert_int_equal(site_add(f, 5), old);
	table->mask = 15;
	word->active = (uintptr_t)table;
	assert_int_equal(site_add(f, 5), new);
}

static void test_a_transition_on_top_of_a_patch_is_between_the_two(void **state)
{
	struct site *f = *state;

	site_use(f, 0, UPATCH_PATCH_ENABLED, PART_WRITE_ENTRIES);
	part_done(&f->part);
	site_use(f, 1, UPATCH_PATCH_LOADED, PART_WRITE_ENTRIES);
	assert_versions(f, UPATCH_PATCH_LOADED, 106, 106);
	assert_versions(f, UPATCH_PATCH_ENABLING, 106, 107);
	assert_versions(f, UPATCH_PATCH_ENABLED, 107, 107);
	assert_versions(f, UPATCH_PATCH_DISABLING, 107, 106);
	assert_versions(f, UPATCH_PATCH_UNLOADING, 106, 106);
}

static void test_a_replace_patch_counts_even_for_what_it_lacks(void **state)
{
	struct site *f = *state;

	f->patches[1].meta->flags = UPATCH_META_REPLACE;
	site_set_state(f, 1, UPATCH_PATCH_ENABLED);
	site_use(f, 0, UPATCH_PATCH_ENABLED, PART_WRITE_ENTRIES);
	assert_int_equal(site_add(f, 5), 6);
	/* Once it is on its way out it does not. */
	site_set_state(f, 1, UPATCH_PATCH_UNLOADING);
	assert_int_equal(part_patch(&f->part, PART_WRITE_ENTRIES, &f->refusal), -1);
	assert_int_equal(f->refusal.reason, UPATCH_REFUSED_BYTES);
	part_unpatch(&f->part);
	assert_int_equal(part_patch(&f->part, PART_WRITE_ENTRIES, &f->refusal), 0);
	assert_int_equal(site_add(f, 5), 106);
}

/* --- refusals ------------------------------------------------------------------------------------ */

/* Nothing is left of what was tried. */
static void assert_refused(struct site *f, int patch, uint32_t reason)
{
	size_t nr = count_regions(f);

	assert_int_equal(site_try_make(f, patch), -1);
	assert_int_equal(f->refusal.reason, reason);
	assert_int_equal(site_process.mapped, 0);
	assert_int_equal(count_regions(f), nr);
	assert_library_unchanged(f);
	assert_int_equal(site_object(f, patch)->start, 0);
}

static void test_a_symbol_that_is_missing_refuses_it(void **state)
{
	struct site *f = *state;

	site_process.has_other = false;
	assert_refused(f, 0, UPATCH_REFUSED_UNRESOLVED);
	assert_string_equal(f->refusal.detail, "other");
}

static void test_a_full_record_refuses_it(void **state)
{
	struct site *f = *state;

	/* None left, and then one, which is not enough. */
	for (int i = UPATCH_REGIONS_HOST; i < UPATCH_REGIONS_MAX; i++)
		site_record(f)->regions[i] = (struct upatch_region){
			.addr = 0x1000,
			.state = UPATCH_REGION_RESERVED,
		};
	assert_refused(f, 0, UPATCH_REFUSED_FULL);
	site_record(f)->regions[UPATCH_REGIONS_MAX - 1].state = UPATCH_REGION_FREE;
	assert_refused(f, 0, UPATCH_REFUSED_FULL);
}

static void test_whatever_write_fails_nothing_is_left(void **state)
{
	struct site *f = *state;
	unsigned int nr = 0;

	site_set_state(f, 0, UPATCH_PATCH_ENABLED);
	for (;; nr++) {
		site_process.mapped = 0;
		site_process.writes_left = nr;
		if (site_try_make(f, 0) == 0)
			break;
		assert_true(f->refusal.reason == UPATCH_REFUSED_WRITE ||
			    f->refusal.reason == UPATCH_REFUSED_FULL);
		/* What is not mapped any more is not called mapped. */
		for (int i = 0; i < UPATCH_REGIONS_MAX; i++)
			if (site_record(f)->regions[i].state == UPATCH_REGION_MAPPED)
				assert_int_equal(
					msync((void *)(uintptr_t)site_record(f)->regions[i].addr,
					      site_record(f)->regions[i].size, MS_ASYNC),
					0);
		assert_int_equal(site_object(f, 0)->start, 0);
		assert_library_unchanged(f);
		for (int i = 0; i < UPATCH_REGIONS_MAX; i++) {
			if (site_record(f)->regions[i].state == UPATCH_REGION_MAPPED)
				munmap((void *)(uintptr_t)site_record(f)->regions[i].addr,
				       site_record(f)->regions[i].size);
			site_record(f)->regions[i].state = UPATCH_REGION_FREE;
		}
	}
	/* Payload, island, two regions, ranges, functions, the object. */
	assert_int_equal(nr, 7);
}

static void test_an_entry_that_is_not_what_it_was_refuses_it(void **state)
{
	struct site *f = *state;
	const uint8_t trap = 0xcc;

	/* In the last of the covered bytes, behind the jump. */
	f->before[CODE + 5] = trap;
	assert_int_equal(poke_write(&f->poke, (uintptr_t)f->library + CODE + 5, &trap, 1,
				    PROT_READ | PROT_EXEC),
			 0);
	site_set_state(f, 0, UPATCH_PATCH_ENABLED);
	assert_int_equal(site_try_make(f, 0), 0);
	assert_int_equal(part_patch(&f->part, PART_WRITE_ENTRIES, &f->refusal), -1);
	assert_int_equal(f->refusal.reason, UPATCH_REFUSED_BYTES);
	assert_string_equal(f->refusal.detail, "add");
	assert_library_unchanged(f);
}

/* --- going --------------------------------------------------------------------------------------- */

static void test_what_was_written_can_be_taken_back(void **state)
{
	struct site *f = *state;

	site_use(f, 0, UPATCH_PATCH_ENABLED, PART_WRITE_ENTRIES);
	part_unpatch(&f->part);
	assert_library_unchanged(f);
	/* Also when little of it was written. */
	assert_int_equal(part_patch(&f->part, PART_KEEP_ENTRIES, &f->refusal), 0);
	part_unpatch(&f->part);
	assert_library_unchanged(f);
}

static void test_a_part_that_is_dropped_is_absent_again(void **state)
{
	struct site *f = *state;
	const struct upatch_meta_object was = *site_object(f, 0);
	const struct upatch_meta_func func = meta_funcs(f->patches[0].meta)[1];

	site_use(f, 0, UPATCH_PATCH_ENABLED, PART_WRITE_ENTRIES);
	part_unpatch(&f->part);
	part_done(&f->part);
	part_drop(&f->poke, f->patches[0].meta, site_object(f, 0));
	assert_sound(f, 0);
	assert_memory_equal(site_object(f, 0), &was, sizeof(was));
	assert_memory_equal(&meta_funcs(f->patches[0].meta)[1], &func, sizeof(func));
	/* The island stays until the library goes. */
	assert_int_equal(count_regions(f), 1);
	part_drop_islands(&f->poke, (uintptr_t)f->library + 1);
	assert_int_equal(count_regions(f), 1);
	assert_told_of_all(f);
	part_drop_islands(&f->poke, (uintptr_t)f->library);
	assert_int_equal(count_regions(f), 0);
	assert_int_equal(site_process.mapped, 0);
	/* And once more. */
	site_use(f, 0, UPATCH_PATCH_ENABLED, PART_WRITE_ENTRIES);
	assert_int_equal(site_add(f, 5), 106);
}

static void test_an_island_that_nobody_uses_is_left_to_the_host(void **state)
{
	const uint32_t armed = 0;
	struct site *f = *state;

	site_use(f, 0, UPATCH_PATCH_ENABLED, PART_KEEP_ENTRIES);
	for (int i = 0; i < FUNCS; i++) {
		const struct upatch_slot *slot =
			(void *)(uintptr_t)meta_funcs(f->patches[0].meta)[i].slot_addr;

		assert_int_equal(dl_record_store(&f->poke, &slot->is_armed, &armed, sizeof(armed)),
				 0);
	}
	part_drop(&f->poke, f->patches[0].meta, site_object(f, 0));
	part_drop_islands(&f->poke, (uintptr_t)f->library);
	assert_int_equal(count_regions(f), 1);
}

static void test_both_copies_have_their_own(void **state)
{
	struct site *f = *state;
	uint8_t *first = f->library;
	const struct upatch_meta_object was = site_object(f, 0)[1];

	site_use(f, 0, UPATCH_PATCH_ENABLED, PART_WRITE_ENTRIES);
	part_done(&f->part);
	site_make_library(f);
	f->site.image.start = f->site.bias = (uintptr_t)f->library;
	f->site.image.end = (uintptr_t)f->library + LIBRARY_SIZE;
	assert_int_equal(part_make(&f->site, &site_record(f)->patches[0], site_object(f, 0) + 1,
				   &f->part, &f->refusal),
			 0);
	assert_int_equal(part_patch(&f->part, PART_WRITE_ENTRIES, &f->refusal), 0);
	assert_sound(f, 0);
	memset(f->library + DATA, 0, sizeof(int));
	assert_int_equal(site_get(f), 0);
	assert_int_equal(site_add(f, 1), 102);
	assert_int_not_equal(site_object(f, 0)[0].payload_addr, site_object(f, 0)[1].payload_addr);
	part_drop(&f->poke, f->patches[0].meta, site_object(f, 0) + 1);
	assert_memory_equal(site_object(f, 0) + 1, &was, sizeof(was));
	assert_sound(f, 0);
	munmap(f->library, LIBRARY_SIZE);
	f->library = first;
	assert_int_equal(site_get(f), 4711);
}

#define STORY(fn) cmocka_unit_test_setup_teardown(fn, site_setup, site_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORY(test_a_part_that_is_made_is_told_of_and_used_by_nobody),
		STORY(test_an_enabled_patchs_functions_run),
		STORY(test_code_cannot_be_written),
		STORY(test_a_loaded_patchs_entries_lead_to_the_original),
		STORY(test_while_a_transition_is_open_the_dispatcher_decides),
		STORY(test_of_one_that_is_going_the_old_version_has_it),
		STORY(test_entries_may_be_left_to_the_host),
		STORY(test_a_second_patch_has_the_first_ones_slots),
		STORY(test_a_transition_on_top_of_a_patch_is_between_the_two),
		STORY(test_a_replace_patch_counts_even_for_what_it_lacks),
		STORY(test_a_symbol_that_is_missing_refuses_it),
		STORY(test_a_full_record_refuses_it),
		STORY(test_whatever_write_fails_nothing_is_left),
		STORY(test_an_entry_that_is_not_what_it_was_refuses_it),
		STORY(test_what_was_written_can_be_taken_back),
		STORY(test_a_part_that_is_dropped_is_absent_again),
		STORY(test_an_island_that_nobody_uses_is_left_to_the_host),
		STORY(test_both_copies_have_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
