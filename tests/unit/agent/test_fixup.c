/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The agent's relocator, built for the host: what it stores, and what it refuses. */
#include "agent/fixup.h"

#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/dl_map.h"

#include <cmocka.h>

enum {
	SYMBOLS = 8,
	FIXUPS = 8,
	PAYLOAD = 64,
	NAME_OTHER = 1, /* offsets of strings */
	NAME_VERSION = 7,
	TLS_MODULE = 24, /* offsets in a link map */
	TLS_OFFSET = 32,
};

static const uint64_t payload = 0x7f1200000000, bias = 0x7f1180000000;

/* A template by its parts, which the relocator finds by their offsets. */
struct bytes {
	struct upatch_template head;
	struct upatch_fixup fixups[FIXUPS];
	struct upatch_template_symbol symbols[SYMBOLS];
	char strings[16];
};

struct fixture {
	struct bytes *template;
	uint8_t place[PAYLOAD];
	uint64_t gateways[2];
	struct fixup_value values[SYMBOLS];
	uint64_t map[8]; /* a link map: only the words that the relocator reads */
	struct dl_scope scope;
	struct fixup fixup;
};

/* --- what the agent has beside the relocator ----------------------------------------------------- */

struct upatch_agent_data agent_data;

/* What the scope has under the name "other"; value 0 and type 0: nothing. */
static struct {
	struct lookup_symbol symbol;
	const struct dl_map *in;
	const char *version; /* that was asked for */
	unsigned int nr_asked;
} scope_has;

bool dl_scope_find(const struct dl_scope *scope, const char *name, const char *version,
		   struct lookup_symbol *ret, const struct dl_map **ret_in)
{
	assert_non_null(scope);
	assert_string_equal(name, "other");
	scope_has.version = version;
	scope_has.nr_asked++;
	if (!scope_has.symbol.value && !scope_has.symbol.type)
		return false;
	*ret = scope_has.symbol;
	*ret_in = scope_has.in;
	return true;
}

/* --- fixture ------------------------------------------------------------------------------------- */

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct bytes *t = calloc(1, sizeof(*t));

	assert_non_null(f);
	assert_non_null(t);
	t->head.fixups_offset = offsetof(struct bytes, fixups);
	t->head.symbols_offset = offsetof(struct bytes, symbols);
	t->head.strings_offset = offsetof(struct bytes, strings);
	memcpy(t->strings, "\0other\0V_2", 11);
	f->template = t;
	f->scope.map = (const void *)f->map;
	f->fixup = (struct fixup){
		.template = &t->head,
		.scope = &f->scope,
		.bias = bias,
		.payload = payload,
		.gateways = f->gateways,
		.values = f->values,
	};
	memset(f->place, 0xee, sizeof(f->place));
	memset(&scope_has, 0, sizeof(scope_has));
	agent_data = (struct upatch_agent_data){
		.tls_module_offset = TLS_MODULE,
		.tls_offset_offset = TLS_OFFSET,
	};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	free(f->template);
	free(f);
	return 0;
}

static uint32_t add_symbol(struct fixture *f, uint32_t kind, uint64_t value, uint32_t flags)
{
	uint32_t index = f->template->head.nr_symbols++;

	assert_true(index < SYMBOLS);
	f->template->symbols[index] = (struct upatch_template_symbol){
		.kind = kind,
		.value = value,
		.flags = flags,
		.name = NAME_OTHER,
	};
	return index;
}

static void add_fixup(struct fixture *f, uint32_t offset, uint32_t type, uint32_t symbol,
		      int64_t addend)
{
	uint32_t index = f->template->head.nr_fixups++;

	assert_true(index < FIXUPS);
	f->template->fixups[index] = (struct upatch_fixup){
		.offset = offset,
		.type = type,
		.symbol = symbol,
		.addend = addend,
	};
}

static uint32_t apply(struct fixture *f, const char **ret_name)
{
	memset(f->values, 0, sizeof(f->values));
	return fixup_apply(&f->fixup, f->place, ret_name);
}

static void assert_applied(struct fixture *f)
{
	const char *name = NULL;

	assert_int_equal(apply(f, &name), 0);
	assert_null(name);
}

static void assert_refused(struct fixture *f, uint32_t reason)
{
	const char *name = NULL;

	assert_int_equal(apply(f, &name), reason);
	assert_string_equal(name, "other");
}

/* One fixup at offset 8, of a symbol; what it stores, and nothing around it. */
static void assert_stores(struct fixture *f, uint32_t type, uint32_t symbol, int64_t addend,
			  uint64_t expected, size_t size)
{
	uint64_t stored = 0;

	f->template->head.nr_fixups = 0;
	add_fixup(f, 8, type, symbol, addend);
	memset(f->place, 0xee, sizeof(f->place));
	assert_applied(f);
	memcpy(&stored, f->place + 8, size);
	assert_int_equal(stored, expected);
	for (size_t i = 0; i < sizeof(f->place); i++)
		if (i < 8 || i >= 8 + size)
			assert_int_equal(f->place[i], 0xee);
}

static void assert_does_not_fit(struct fixture *f, uint32_t type, uint32_t symbol, int64_t addend)
{
	f->template->head.nr_fixups = 0;
	add_fixup(f, 8, type, symbol, addend);
	memset(f->place, 0xee, sizeof(f->place));
	assert_refused(f, UPATCH_REFUSED_RANGE);
	assert_int_equal(f->place[8], 0xee);
}

/* --- addresses ----------------------------------------------------------------------------------- */

static void test_each_kind_of_symbol_has_its_base(void **state)
{
	struct fixture *f = *state;
	uint32_t absolute = add_symbol(f, UPATCH_SYMBOL_ABSOLUTE, 0x1234, 0);
	uint32_t inside = add_symbol(f, UPATCH_SYMBOL_PAYLOAD, 0x40, 0);
	uint32_t object = add_symbol(f, UPATCH_SYMBOL_OBJECT, 0x5678, 0);
	uint32_t gateway = add_symbol(f, UPATCH_SYMBOL_GATEWAY, 1, 0);

	f->gateways[0] = 0x111;
	f->gateways[1] = 0x7f11900000f0;
	assert_stores(f, UPATCH_FIXUP_64, absolute, 0, 0x1234, 8);
	assert_stores(f, UPATCH_FIXUP_64, inside, 0, payload + 0x40, 8);
	assert_stores(f, UPATCH_FIXUP_64, object, 0, bias + 0x5678, 8);
	assert_stores(f, UPATCH_FIXUP_64, gateway, 0, 0x7f11900000f0, 8);
	assert_stores(f, UPATCH_FIXUP_64, object, -8, bias + 0x5670, 8);
	assert_int_equal(scope_has.nr_asked, 0);
}

static void test_distances_count_from_the_place(void **state)
{
	struct fixture *f = *state;
	uint32_t object = add_symbol(f, UPATCH_SYMBOL_OBJECT, 0x10, 0);
	uint64_t distance = bias + 0x10 - 4 - (payload + 8);

	assert_stores(f, UPATCH_FIXUP_PC32, object, -4, distance & UINT32_MAX, 4);
	assert_stores(f, UPATCH_FIXUP_PC64, object, -4, distance, 8);
}

static void test_a_distance_of_just_two_gigabytes_is_the_last_one_that_fits(void **state)
{
	struct fixture *f = *state;
	uint64_t place = payload + 8;
	uint32_t far = add_symbol(f, UPATCH_SYMBOL_ABSOLUTE, place + 0x7fffffff, 0);
	uint32_t back = add_symbol(f, UPATCH_SYMBOL_ABSOLUTE, place - 0x80000000, 0);

	assert_stores(f, UPATCH_FIXUP_PC32, far, 0, 0x7fffffff, 4);
	assert_does_not_fit(f, UPATCH_FIXUP_PC32, far, 1);
	assert_stores(f, UPATCH_FIXUP_PC32, back, 0, 0x80000000, 4);
	assert_does_not_fit(f, UPATCH_FIXUP_PC32, back, -1);
}

static void test_short_words_are_extended_as_their_type_says(void **state)
{
	struct fixture *f = *state;
	uint32_t zero = add_symbol(f, UPATCH_SYMBOL_ABSOLUTE, 0, 0);

	assert_stores(f, UPATCH_FIXUP_32, zero, 0xffffffff, 0xffffffff, 4);
	assert_does_not_fit(f, UPATCH_FIXUP_32, zero, 0x100000000);
	assert_does_not_fit(f, UPATCH_FIXUP_32, zero, -1);
	assert_stores(f, UPATCH_FIXUP_32S, zero, 0x7fffffff, 0x7fffffff, 4);
	assert_stores(f, UPATCH_FIXUP_32S, zero, -1, 0xffffffff, 4);
	assert_does_not_fit(f, UPATCH_FIXUP_32S, zero, 0x80000000);
	assert_does_not_fit(f, UPATCH_FIXUP_32S, zero, -0x80000001ll);
}

static void test_what_it_does_not_know_is_refused(void **state)
{
	struct fixture *f = *state;
	uint32_t zero = add_symbol(f, UPATCH_SYMBOL_ABSOLUTE, 0, 0);

	assert_does_not_fit(f, 0, zero, 0);
	assert_does_not_fit(f, UPATCH_FIXUP_TP_OFFSET32 + 1, zero, 0);
}

static void test_all_fixups_are_applied(void **state)
{
	struct fixture *f = *state;
	uint32_t symbol = add_symbol(f, UPATCH_SYMBOL_ABSOLUTE, 0, 0);
	uint64_t stored;

	for (uint32_t i = 0; i < FIXUPS; i++)
		add_fixup(f, i * 8, UPATCH_FIXUP_64, symbol, i + 1);
	assert_applied(f);
	for (uint32_t i = 0; i < FIXUPS; i++) {
		memcpy(&stored, f->place + i * 8, sizeof(stored));
		assert_int_equal(stored, i + 1);
	}
}

static void test_the_first_that_is_refused_ends_it(void **state)
{
	struct fixture *f = *state;
	uint32_t zero = add_symbol(f, UPATCH_SYMBOL_ABSOLUTE, 0, 0);

	add_fixup(f, 0, UPATCH_FIXUP_64, zero, 1);
	add_fixup(f, 8, UPATCH_FIXUP_32, zero, -1);
	add_fixup(f, 16, UPATCH_FIXUP_64, zero, 1);
	assert_refused(f, UPATCH_REFUSED_RANGE);
	assert_int_equal(f->place[0], 1);
	assert_int_equal(f->place[16], 0xee);
}

/* --- symbols of others --------------------------------------------------------------------------- */

static void test_a_symbol_of_others_is_looked_up_once(void **state)
{
	struct fixture *f = *state;
	uint32_t other = add_symbol(f, UPATCH_SYMBOL_EXTERN, 0x666, 0);

	scope_has.symbol = (struct lookup_symbol){ .value = 0x7f0000001000, .type = STT_FUNC };
	f->template->symbols[other].version = NAME_VERSION;
	add_fixup(f, 0, UPATCH_FIXUP_64, other, 0);
	add_fixup(f, 8, UPATCH_FIXUP_64, other, 16);
	assert_applied(f);
	assert_int_equal(f->values[other].value, 0x7f0000001000);
	assert_int_equal(f->place[8], 0x10);
	assert_int_equal(scope_has.nr_asked, 1);
	assert_string_equal(scope_has.version, "V_2");
}

static void test_without_a_version_the_default_one_is_asked_for(void **state)
{
	struct fixture *f = *state;
	uint32_t other = add_symbol(f, UPATCH_SYMBOL_EXTERN, 0, 0);

	scope_has.symbol = (struct lookup_symbol){ .value = 0x1000, .type = STT_OBJECT };
	assert_stores(f, UPATCH_FIXUP_64, other, 0, 0x1000, 8);
	assert_null(scope_has.version);
}

static void test_only_a_weak_symbol_may_be_missing(void **state)
{
	struct fixture *f = *state;
	uint32_t weak = add_symbol(f, UPATCH_SYMBOL_EXTERN, 0x666, UPATCH_SYMBOL_WEAK);
	uint32_t other = add_symbol(f, UPATCH_SYMBOL_EXTERN, 0, 0);

	assert_stores(f, UPATCH_FIXUP_64, weak, 0, 0, 8);
	f->template->head.nr_fixups = 0;
	add_fixup(f, 8, UPATCH_FIXUP_64, other, 0);
	assert_refused(f, UPATCH_REFUSED_UNRESOLVED);
}

static uint64_t choose(void)
{
	return 0x7f0000002000;
}

static uint64_t choose_nothing(void)
{
	return 0;
}

static void test_of_an_indirect_function_the_resolver_chooses(void **state)
{
	struct fixture *f = *state;
	uint32_t other = add_symbol(f, UPATCH_SYMBOL_EXTERN, 0, 0);

	scope_has.symbol = (struct lookup_symbol){
		.value = (uint64_t)(uintptr_t)choose,
		.type = STT_GNU_IFUNC,
	};
	assert_stores(f, UPATCH_FIXUP_64, other, 0, 0x7f0000002000, 8);
	scope_has.symbol.value = (uint64_t)(uintptr_t)choose_nothing;
	f->template->head.nr_fixups = 0;
	add_fixup(f, 8, UPATCH_FIXUP_64, other, 0);
	assert_refused(f, UPATCH_REFUSED_UNRESOLVED);
}

/* --- thread-local variables ---------------------------------------------------------------------- */

static void set_block(struct fixture *f, uint64_t module, uint64_t offset)
{
	f->map[TLS_MODULE / 8] = module;
	f->map[TLS_OFFSET / 8] = offset;
}

static void test_variables_of_the_library_are_in_its_block(void **state)
{
	struct fixture *f = *state;
	uint32_t mine = add_symbol(f, UPATCH_SYMBOL_OBJECT, 0x18, UPATCH_SYMBOL_TLS);

	set_block(f, 7, 0x200);
	assert_stores(f, UPATCH_FIXUP_TLS_MODULE, mine, 0, 7, 8);
	assert_stores(f, UPATCH_FIXUP_TLS_OFFSET, mine, 4, 0x1c, 8);
	assert_stores(f, UPATCH_FIXUP_TLS_OFFSET32, mine, 4, 0x1c, 4);
	/* Blocks are below the thread pointer. */
	assert_stores(f, UPATCH_FIXUP_TP_OFFSET, mine, 4, (uint64_t)(0x1c - 0x200), 8);
	assert_stores(f, UPATCH_FIXUP_TP_OFFSET32, mine, 4, (uint32_t)(0x1c - 0x200), 4);
}

static void test_variables_of_others_are_in_theirs(void **state)
{
	uint64_t map[8] = { [TLS_MODULE / 8] = 3, [TLS_OFFSET / 8] = 0x80 };
	struct fixture *f = *state;
	uint32_t other = add_symbol(f, UPATCH_SYMBOL_EXTERN, 0, UPATCH_SYMBOL_TLS);

	set_block(f, 7, 0x200);
	/* One may be the first in its block. */
	scope_has.symbol = (struct lookup_symbol){ .value = 0, .type = STT_TLS };
	scope_has.in = (const void *)map;
	assert_stores(f, UPATCH_FIXUP_TLS_MODULE, other, 0, 3, 8);
	assert_stores(f, UPATCH_FIXUP_TLS_OFFSET, other, 0, 0, 8);
	assert_stores(f, UPATCH_FIXUP_TP_OFFSET, other, 0, (uint64_t)-0x80, 8);
}

static void assert_not_static(struct fixture *f, uint32_t symbol, uint32_t type)
{
	f->template->head.nr_fixups = 0;
	add_fixup(f, 8, type, symbol, 0);
	assert_refused(f, UPATCH_REFUSED_TLS);
}

static void test_a_block_without_a_fixed_place_has_no_offset(void **state)
{
	struct fixture *f = *state;
	uint32_t mine = add_symbol(f, UPATCH_SYMBOL_OBJECT, 0x18, UPATCH_SYMBOL_TLS);

	set_block(f, 7, 0);
	assert_not_static(f, mine, UPATCH_FIXUP_TP_OFFSET);
	assert_not_static(f, mine, UPATCH_FIXUP_TP_OFFSET32);
	set_block(f, 7, UINT64_MAX);
	assert_not_static(f, mine, UPATCH_FIXUP_TP_OFFSET);
	assert_stores(f, UPATCH_FIXUP_TLS_MODULE, mine, 0, 7, 8);
}

static void test_a_linker_of_unknown_layout_has_no_variables(void **state)
{
	struct fixture *f = *state;
	uint32_t mine = add_symbol(f, UPATCH_SYMBOL_OBJECT, 0x18, UPATCH_SYMBOL_TLS);

	set_block(f, 7, 0x200);
	agent_data.tls_module_offset = 0;
	assert_not_static(f, mine, UPATCH_FIXUP_TLS_MODULE);
	agent_data.tls_module_offset = TLS_MODULE;
	agent_data.tls_offset_offset = 0;
	assert_not_static(f, mine, UPATCH_FIXUP_TLS_MODULE);
}

/* --- differences --------------------------------------------------------------------------------- */

static void test_a_difference_is_added_as_far_as_it_fits(void **state)
{
	int32_t value = 0x7ffffff0;

	(void)state;
	assert_int_equal(fixup_add32((uint8_t *)&value, 15), 0);
	assert_int_equal(value, INT32_MAX);
	assert_int_equal(fixup_add32((uint8_t *)&value, 1), UPATCH_REFUSED_RANGE);
	assert_int_equal(value, INT32_MAX);
	assert_int_equal(fixup_add32((uint8_t *)&value, -(int64_t)UINT32_MAX), 0);
	assert_int_equal(value, INT32_MIN);
	assert_int_equal(fixup_add32((uint8_t *)&value, -1), UPATCH_REFUSED_RANGE);
	/* What would fit when cut off is as far away as anything else. */
	value = 0;
	assert_int_equal(fixup_add32((uint8_t *)&value, 1ll << 32), UPATCH_REFUSED_RANGE);
	assert_int_equal(value, 0);
}

#define STORY(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORY(test_each_kind_of_symbol_has_its_base),
		STORY(test_distances_count_from_the_place),
		STORY(test_a_distance_of_just_two_gigabytes_is_the_last_one_that_fits),
		STORY(test_short_words_are_extended_as_their_type_says),
		STORY(test_what_it_does_not_know_is_refused),
		STORY(test_all_fixups_are_applied),
		STORY(test_the_first_that_is_refused_ends_it),
		STORY(test_a_symbol_of_others_is_looked_up_once),
		STORY(test_without_a_version_the_default_one_is_asked_for),
		STORY(test_only_a_weak_symbol_may_be_missing),
		STORY(test_of_an_indirect_function_the_resolver_chooses),
		STORY(test_variables_of_the_library_are_in_its_block),
		STORY(test_variables_of_others_are_in_theirs),
		STORY(test_a_block_without_a_fixed_place_has_no_offset),
		STORY(test_a_linker_of_unknown_layout_has_no_variables),
		cmocka_unit_test(test_a_difference_is_added_as_far_as_it_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
