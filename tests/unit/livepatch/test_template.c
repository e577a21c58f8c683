/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Templates, made here and then put to places by the agent's relocator: what is in a payload must
 * mean the same wherever it and its library are.
 */
#include "copies.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <upatch/livepatch.h>

#include "agent/agent.h"
#include "base/array.h"
#include "livepatch/plan.h"

/* --- code ---------------------------------------------------------------------------------------- */

static void assert_calls(struct copies *f, int symbol, size_t nr_places)
{
	f->text[0] = 0xe8;
	f->payload.nr_relocs = 0;
	copies_add_reloc(f, TEXT, 1, R_X86_64_PLT32, (uint32_t)symbol, -4);
	copies_make(f);
	for (size_t i = 0; i < nr_places; i++) {
		copies_put(f, &places[i]);
		assert_int_equal(copies_arrives(f, copies_led_to(f, copies_addr_in(f, TEXT, 1))),
				 copies_meant(f, symbol));
	}
	template_deinit(&f->template);
}

static void test_calls_arrive_wherever_a_copy_is(void **state)
{
	struct copies *f = *state;

	assert_calls(f, NEW_FUNC, 3);
	assert_calls(f, HIDDEN, 3);
	assert_calls(f, OTHER, 3);
	assert_calls(f, WEAK, 3);
	/* The gateway is where the first two places are. */
	assert_calls(f, ORIGINAL, 2);
}

/* movabs $symbol@PLTOFF, %rax: the large model's calls; relative to the GOT. */
static void test_calls_of_the_large_model_arrive(void **state)
{
	static const int symbols[] = { NEW_FUNC, OTHER, AGENT };
	struct copies *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(symbols); i++) {
		uint64_t to;

		f->payload.nr_relocs = 0;
		copies_add_reloc(f, TEXT, 2, R_X86_64_PLTOFF64, (uint32_t)symbols[i], 0);
		copies_make(f);
		copies_put(f, &places[0]);
		to = f->place->payload + f->template.object->load.got_offset +
		     copies_word(f, copies_addr_in(f, TEXT, 2));
		assert_int_equal(copies_arrives(f, to), copies_meant(f, symbols[i]));
		template_deinit(&f->template);
	}
}

static void test_calls_of_the_library_need_no_stub(void **state)
{
	struct copies *f = *state;

	f->text[0] = 0xe8;
	copies_add_reloc(f, TEXT, 1, R_X86_64_PLT32, HIDDEN, -4);
	copies_make(f);
	copies_put(f, &places[0]);
	assert_int_equal(copies_led_to(f, copies_addr_in(f, TEXT, 1)), copies_meant(f, HIDDEN));
}

static void test_calls_of_the_agent_arrive_wherever_that_is(void **state)
{
	/* Near where the template was computed for, and far from there. */
	static const uint64_t addrs[] = { 0x1ff000, 0x40000010, 0xbffff000, 0x7c0000004560 };
	struct copies *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(addrs); i++) {
		f->agent_addr = addrs[i];
		assert_calls(f, AGENT, 3);
	}
}

/* mov symbol@GOTPCREL(%rip), %rax: through its word; or lea, where it is in the payload itself. */
static void assert_loads(struct copies *f, int symbol)
{
	static const uint8_t insn[] = { 0x48, 0x8b, 0x05 };

	memcpy(f->text, insn, sizeof(insn));
	f->payload.nr_relocs = 0;
	copies_add_reloc(f, TEXT, 3, R_X86_64_REX_GOTPCRELX, (uint32_t)symbol, -4);
	copies_make(f);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		uint64_t at, to;

		copies_put(f, &places[i]);
		at = copies_addr_in(f, TEXT, 3);
		to = copies_led_to(f, at);
		if ((uint8_t)(copies_word(f, at - 3) >> 8) == 0x8d)
			assert_int_equal(to, copies_meant(f, symbol));
		else
			assert_int_equal(copies_word(f, to), copies_meant(f, symbol));
	}
	template_deinit(&f->template);
}

static void test_addresses_are_loaded_wherever_a_copy_is(void **state)
{
	struct copies *f = *state;

	assert_loads(f, NEW_FUNC);
	assert_loads(f, DATUM);
	assert_loads(f, HIDDEN);
	assert_loads(f, OTHER);
	assert_loads(f, ORIGINAL);
	assert_loads(f, ABSOLUTE);
	assert_loads(f, WEAK);
	assert_loads(f, AGENT);
	f->agent_addr = 0x40000010;
	assert_loads(f, AGENT);
}

static void test_distances_within_the_payload_are_computed_once(void **state)
{
	const struct upatch_template *t;
	struct copies *f = *state;

	copies_add_reloc(f, TEXT, 3, R_X86_64_PC32, DATUM, -4);
	copies_add_reloc(f, RODATA, 0, R_X86_64_PC64, NEW_FUNC, 2);
	t = copies_make(f);
	assert_int_equal(t->nr_fixups, 0);
	copies_put(f, &places[0]);
	assert_int_equal(copies_led_to(f, copies_addr_in(f, TEXT, 3)), copies_meant(f, DATUM));
	assert_int_equal(copies_addr_in(f, RODATA, 0) +
				 copies_word(f, copies_addr_in(f, RODATA, 0)),
			 copies_meant(f, NEW_FUNC) + 2);
}

/* --- data ---------------------------------------------------------------------------------------- */

static void test_pointers_are_what_they_mean_wherever_a_copy_is(void **state)
{
	static const int symbols[] = { NEW_FUNC, DATUM, HIDDEN,	  OTHER,
				       AGENT,	 WEAK,	ORIGINAL, ABSOLUTE };
	struct copies *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(symbols); i++) {
		int64_t addend = symbols[i] == WEAK ? 0 : 24;

		f->payload.nr_relocs = 0;
		copies_add_reloc(f, DATA, 8, R_X86_64_64, (uint32_t)symbols[i], addend);
		copies_make(f);
		for (size_t n = 0; n < ARRAY_SIZE(places); n++) {
			copies_put(f, &places[n]);
			assert_int_equal(copies_word(f, copies_addr_in(f, DATA, 8)),
					 copies_meant(f, symbols[i]) + (uint64_t)addend);
		}
		template_deinit(&f->template);
	}
}

static void test_what_is_stored_is_the_sections(void **state)
{
	struct copies *f = *state;

	memset(f->data, 0x77, sizeof(f->data));
	memset(f->rodata, 0x55, sizeof(f->rodata));
	copies_make(f);
	copies_put(f, &places[0]);
	assert_int_equal(copies_word(f, copies_addr_in(f, TEXT, 0)), 0x9090909090909090);
	assert_int_equal(copies_word(f, copies_addr_in(f, RODATA, RODATA_SIZE - 8)),
			 0x5555555555555555);
	assert_int_equal(copies_word(f, copies_addr_in(f, DATA, DATA_SIZE - 8)),
			 0x7777777777777777);
	assert_int_equal(copies_word(f, copies_addr_in(f, BSS, 0)), 0);
}

static void test_variables_of_threads_are_in_the_librarys_block(void **state)
{
	static const uint8_t gottpoff[] = { 0x48, 0x8b, 0x05 }, tlsgd[] = { 0x48, 0x8d, 0x3d };
	struct copies *f = *state;
	uint64_t pair;

	memcpy(f->text, gottpoff, sizeof(gottpoff));
	copies_add_reloc(f, TEXT, 3, R_X86_64_GOTTPOFF, HIDDEN_TLS, -4);
	memcpy(f->text + 16, tlsgd, sizeof(tlsgd));
	copies_add_reloc(f, TEXT, 19, R_X86_64_TLSGD, HIDDEN_TLS, -4);
	memcpy(f->text + 32, tlsgd, sizeof(tlsgd));
	copies_add_reloc(f, TEXT, 35, R_X86_64_TLSLD, HIDDEN_TLS, -4);
	copies_add_reloc(f, TEXT, 48, R_X86_64_DTPOFF32, HIDDEN_TLS, 0);
	copies_make(f);
	copies_put(f, &places[1]);
	assert_int_equal(copies_word(f, copies_led_to(f, copies_addr_in(f, TEXT, 3))),
			 (uint64_t)(0x28 - TLS_BLOCK));
	pair = copies_led_to(f, copies_addr_in(f, TEXT, 19));
	assert_int_equal(copies_word(f, pair), TLS_MODULE);
	assert_int_equal(copies_word(f, pair + 8), 0x28);
	pair = copies_led_to(f, copies_addr_in(f, TEXT, 35));
	assert_int_equal(copies_word(f, pair), TLS_MODULE);
	assert_int_equal(copies_word(f, pair + 8), 0);
	assert_int_equal((uint32_t)copies_word(f, copies_addr_in(f, TEXT, 48)), 0x28);
}

/* --- what it says of itself ---------------------------------------------------------------------- */

static void test_its_parts_fit_into_it_and_do_not_overlap(void **state)
{
	const struct upatch_template *t;
	struct copies *f = *state;

	copies_add_reloc(f, DATA, 8, R_X86_64_64, HIDDEN, 0);
	t = copies_make(f);
	assert_memory_equal(t->magic, UPATCH_TEMPLATE_MAGIC, sizeof(t->magic));
	assert_int_equal(t->version, UPATCH_AGENT_VERSION);
	assert_int_equal(t->size, f->template.size);
	assert_true(sizeof(*t) <= t->fixups_offset);
	assert_true(t->fixups_offset + t->nr_fixups * sizeof(struct upatch_fixup) <=
		    t->symbols_offset);
	assert_true(t->symbols_offset + t->nr_symbols * sizeof(struct upatch_template_symbol) <=
		    t->funcs_offset);
	assert_true(t->funcs_offset + t->nr_funcs * sizeof(struct upatch_template_func) <=
		    t->ranges_offset);
	assert_true(t->ranges_offset + t->nr_ranges * sizeof(struct upatch_meta_range) <=
		    t->payload_offset);
	assert_true(t->payload_offset + t->payload_stored <= t->island_text);
	assert_true(t->island_text + t->island_text_size <= t->strings_offset);
	assert_true(t->strings_offset + t->strings_size <= t->size);
	assert_int_equal(((const char *)t)[t->strings_offset + t->strings_size - 1], 0);
	assert_int_equal(t->payload_size % UPATCH_PAGE_SIZE, 0);
	assert_int_equal(t->text_size % UPATCH_PAGE_SIZE, 0);
	assert_int_equal(t->ro_size % UPATCH_PAGE_SIZE, 0);
	assert_true((uint64_t)t->text_size + t->ro_size <= t->payload_size);
	assert_true(t->island_ro_size >=
		    sizeof(struct upatch_island) + t->nr_funcs * sizeof(struct upatch_slot));
	assert_string_equal((const char *)t + t->strings_offset + t->name, object_name);
	assert_int_equal(t->build_id_size, 3);
	assert_memory_equal(t->build_id, f->payload.build_id.bytes, 3);
}

static void test_a_function_has_its_slot(void **state)
{
	struct copies *f = *state;
	const struct upatch_template *t = copies_make(f);
	const struct upatch_template_func *func =
		(const void *)((const uint8_t *)t + t->funcs_offset);
	const struct upatch_meta_range *range =
		(const void *)((const uint8_t *)t + t->ranges_offset);
	const uint8_t *text = (const uint8_t *)t + t->island_text;
	int32_t disp;

	assert_int_equal(t->nr_funcs, 1);
	assert_string_equal((const char *)t + t->strings_offset + func->name, "func");
	assert_int_equal(func->old_size, OLD_SIZE);
	assert_int_equal(func->new_offset, f->template.object->load.section_offsets[TEXT] + 0x10);
	assert_int_equal(func->new_size, TEXT_SIZE - 0x10);
	assert_int_equal(func->nr_ranges, 1);
	assert_int_equal(range[func->first_range].addr, OLD_VALUE);
	assert_int_equal(range[func->first_range].size, OLD_SIZE);
	assert_int_equal(func->slot.func_addr, OLD_VALUE);
	assert_int_equal(func->slot.entry_addr, OLD_VALUE);
	assert_int_equal(func->slot.text_addr, 0);
	assert_memory_equal(func->slot.original, f->old, func->slot.covered);
	/* The jump leads from the function to its slot, as both are now. */
	assert_int_equal(func->slot.jump[0], 0xe9);
	memcpy(&disp, func->slot.jump + func->jump_disp, sizeof(disp));
	assert_int_equal(OLD_VALUE + func->slot.entry_size + (int64_t)disp,
			 t->island_base + t->slot_stub);
	/* And so does the gateway's jump back. */
	assert_int_equal(func->nr_disps, 1);
	memcpy(&disp, text + t->slot_gateway + func->disps[0], sizeof(disp));
	assert_int_equal((int64_t)t->island_base + t->slot_gateway + func->disps[0] + 4 + disp,
			 OLD_VALUE + func->slot.covered);
	assert_int_equal(text[t->island_text_size - 1], arch_x86_64.trap_byte);
}

static void test_a_slots_code_goes_by_its_words(void **state)
{
	const uint64_t switch_addr = record_addr + UPATCH_SWITCH_OFFSET;
	uint8_t expected[ARCH_SLOT_TEXT_MAX];
	const struct upatch_template *t;
	struct copies *f = *state;

	f->head.slot_flags = ARCH_SLOT_RAW_TP;
	t = copies_make(f);
	assert_int_equal(arch_x86_64.slot_write(t->island_base,
						t->island_base + t->island_text_size +
							offsetof(struct upatch_island, slots),
						switch_addr, ARCH_SLOT_RAW_TP, expected),
			 0);
	assert_memory_equal((const uint8_t *)t + t->island_text, expected, t->slot_gateway);
}

static void test_callbacks_are_told_the_librarys_name(void **state)
{
	const struct upatch_template *t;
	struct copies *f = *state;
	uint64_t name;

	f->payload.callbacks[UPATCH_KIND_PRE_PATCH - 1] = NEW_FUNC;
	t = copies_make(f);
	copies_put(f, &places[1]);
	assert_int_equal(places[1].payload + t->callbacks[UPATCH_KIND_PRE_PATCH - 1],
			 copies_meant(f, NEW_FUNC));
	assert_int_equal(t->callbacks[UPATCH_KIND_POST_PATCH - 1], 0);
	name = copies_word(f, places[1].payload + t->callback_arg);
	assert_string_equal((const char *)f->copy + (name - places[1].payload), object_name);
}

/* --- refusals ------------------------------------------------------------------------------------ */

static void assert_refused(struct copies *f, enum upatch_reason reason)
{
	assert_true(copies_try_make(f) < 0);
	assert_int_equal(f->diag.error.reason, reason);
}

static void test_what_cannot_be_put_off_is_refused(void **state)
{
	struct copies *f = *state;

	copies_add_reloc(f, DATA, 0, R_X86_64_16, HIDDEN, 0);
	assert_refused(f, UPATCH_E_RELOC_TYPE);
}

static void test_the_size_of_what_is_not_known_is_refused(void **state)
{
	struct copies *f = *state;

	copies_add_reloc(f, DATA, 0, R_X86_64_SIZE64, OTHER, 0);
	assert_refused(f, UPATCH_E_RELOC_TYPE);
}

/* What is behind a section is another's; behind the last one it is not even the payload's. */
static void test_a_field_beyond_its_section_is_refused(void **state)
{
	static const struct {
		uint32_t type;
		uint32_t symbol;
		uint64_t size;
	} fields[] = {
		{ R_X86_64_64, HIDDEN, 8 },   { R_X86_64_PC64, OTHER, 8 },
		{ R_X86_64_32, ABSOLUTE, 4 }, { R_X86_64_PC32, HIDDEN, 4 },
		{ R_X86_64_PC32, DATUM, 4 },  { R_X86_64_DTPOFF32, HIDDEN_TLS, 4 },
	};
	struct copies *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		f->payload.nr_relocs = 0;
		copies_add_reloc(f, DATA, DATA_SIZE - fields[i].size, fields[i].type,
				 fields[i].symbol, 0);
		copies_make(f);
		template_deinit(&f->template);
		f->relocs[0].offset++;
		assert_refused(f, UPATCH_E_RELOC_TYPE);
		diag_clear(&f->diag);
		template_deinit(&f->template);
	}
}

static void test_a_field_without_bytes_is_refused(void **state)
{
	struct copies *f = *state;

	copies_add_reloc(f, BSS, 0, R_X86_64_64, HIDDEN, 0);
	assert_refused(f, UPATCH_E_RELOC_TYPE);
}

static void test_a_private_symbol_needs_its_place_in_the_patch_file(void **state)
{
	struct copies *f = *state;

	f->symbols[HIDDEN].value = 0;
	copies_add_reloc(f, DATA, 0, R_X86_64_64, HIDDEN, 0);
	assert_refused(f, UPATCH_E_UNRESOLVED);
}

#define STORY(fn) cmocka_unit_test_setup_teardown(fn, copies_setup, copies_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORY(test_calls_arrive_wherever_a_copy_is),
		STORY(test_calls_of_the_large_model_arrive),
		STORY(test_calls_of_the_library_need_no_stub),
		STORY(test_calls_of_the_agent_arrive_wherever_that_is),
		STORY(test_addresses_are_loaded_wherever_a_copy_is),
		STORY(test_distances_within_the_payload_are_computed_once),
		STORY(test_pointers_are_what_they_mean_wherever_a_copy_is),
		STORY(test_what_is_stored_is_the_sections),
		STORY(test_variables_of_threads_are_in_the_librarys_block),
		STORY(test_its_parts_fit_into_it_and_do_not_overlap),
		STORY(test_a_function_has_its_slot),
		STORY(test_a_slots_code_goes_by_its_words),
		STORY(test_callbacks_are_told_the_librarys_name),
		STORY(test_what_cannot_be_put_off_is_refused),
		STORY(test_the_size_of_what_is_not_known_is_refused),
		STORY(test_a_field_beyond_its_section_is_refused),
		STORY(test_a_field_without_bytes_is_refused),
		STORY(test_a_private_symbol_needs_its_place_in_the_patch_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
