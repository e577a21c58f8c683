/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Templates, made here and then put to places by the agent's relocator: what is in a payload must
 * mean the same wherever it and its library are.
 */
#include "livepatch/template.h"

#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <upatch/livepatch.h>

#include "agent/agent.h"
#include "agent/dl_map.h"
#include "agent/fixup.h"
#include "arch/arch.h"
#include "base/array.h"
#include "base/diag.h"
#include "livepatch/plan.h"
#include "livepatch/session.h"
#include "patchfile/patchfile.h"
#include "target/target.h"

#include <cmocka.h>

enum {
	TEXT,
	RODATA,
	DATA,
	BSS,
	SECTIONS,
	/* sizes */
	TEXT_SIZE = 0x40,
	RODATA_SIZE = 0x20,
	DATA_SIZE = 0x1000, /* up to the end of the payload */
	BSS_SIZE = 0x10,
	OLD_SIZE = 0x20,
	/* of symbols in the payload, and of its functions */
	DATA_VALUE = 0x18,
	OLD_VALUE = 0x5000,
};

enum {
	NONE,
	NEW_FUNC,
	DATUM,
	HIDDEN,
	HIDDEN_TLS,
	AGENT,
	ORIGINAL,
	ABSOLUTE,
	WEAK,
	OTHER,
	SYMBOLS,
};

static const char object_name[] = "libx-with-a-longer-name.so";

static const uint64_t other_addr = 0x7e0000001230;
static const uint64_t hidden_value = 0x2468;
static const uint64_t record_addr = 0x7d000075a000;
static const uint64_t gateway_addr = 0x7f1180020080;

/* Where a copy may be put, in reach of its library. */
struct place {
	uint64_t payload;
	uint64_t bias;
};

static const struct place places[] = {
	{ 0x7f1200000000, 0x7f1180000000 },
	{ 0x7f1140000000, 0x7f1170000000 },
	{ 0x40000000, 0x10000000 },
};

struct fixture {
	struct diag diag;
	struct target target;
	struct upatch_record head;
	struct session session;
	uint8_t text[TEXT_SIZE], rodata[RODATA_SIZE], data[DATA_SIZE], old[OLD_SIZE];
	struct payload_section sections[SECTIONS];
	struct payload_symbol symbols[SYMBOLS];
	struct payload_reloc relocs[4];
	struct payload_piece piece;
	struct payload_func func;
	struct payload payload;
	struct template template;
	uint64_t agent_addr; /* of the function of its */
	uint8_t *copy;	     /* of the payload, at its place */
	const struct place *place;
};

/* --- what the agent has beside the relocator ----------------------------------------------------- */

enum {
	TLS_MODULE = 7,
	TLS_BLOCK = 0x200,
};

static const uint64_t link_map[] = { 0, TLS_MODULE, TLS_BLOCK };

struct upatch_agent_data agent_data = { .tls_module_offset = 8, .tls_offset_offset = 16 };

bool dl_scope_find(const struct dl_scope *scope, const char *name, const char *version,
		   struct lookup_symbol *ret, const struct dl_map **ret_in)
{
	(void)scope;
	if (strcmp(name, "other") != 0)
		return false;
	assert_string_equal(version, "V_1");
	*ret = (struct lookup_symbol){ .value = other_addr, .type = STT_FUNC };
	*ret_in = NULL;
	return true;
}

/* --- fixture ------------------------------------------------------------------------------------- */

static void set_sections(struct fixture *f)
{
	memset(f->text, 0x90, sizeof(f->text));
	f->sections[TEXT] = (struct payload_section){
		.name = ".text",
		.type = SHT_PROGBITS,
		.flags = SHF_ALLOC | SHF_EXECINSTR,
		.size = TEXT_SIZE,
		.align = 16,
		.bytes = f->text,
	};
	f->sections[RODATA] = (struct payload_section){
		.name = ".rodata",
		.type = SHT_PROGBITS,
		.flags = SHF_ALLOC,
		.size = RODATA_SIZE,
		.align = 8,
		.bytes = f->rodata,
	};
	f->sections[DATA] = (struct payload_section){
		.name = ".data",
		.type = SHT_PROGBITS,
		.flags = SHF_ALLOC | SHF_WRITE,
		.size = DATA_SIZE,
		.align = 8,
		.bytes = f->data,
	};
	f->sections[BSS] = (struct payload_section){
		.name = ".bss",
		.type = SHT_NOBITS,
		.flags = SHF_ALLOC | SHF_WRITE,
		.size = BSS_SIZE,
		.align = 8,
	};
}

static void set_symbol(struct fixture *f, int index, enum payload_symbol_kind kind,
		       const char *name, uint64_t value)
{
	f->symbols[index] = (struct payload_symbol){
		.name = name,
		.kind = kind,
		.type = STT_FUNC,
		.bind = STB_GLOBAL,
		.value = value,
	};
}

static void set_symbols(struct fixture *f)
{
	set_symbol(f, NONE, PAYLOAD_SYMBOL_ABSOLUTE, "", 0);
	set_symbol(f, NEW_FUNC, PAYLOAD_SYMBOL_DEFINED, "new_func", 0x10);
	f->symbols[NEW_FUNC].section = TEXT;
	f->symbols[NEW_FUNC].size = TEXT_SIZE - 0x10;
	set_symbol(f, DATUM, PAYLOAD_SYMBOL_DEFINED, "datum", DATA_VALUE);
	f->symbols[DATUM].section = DATA;
	set_symbol(f, HIDDEN, PAYLOAD_SYMBOL_PRIVATE, "hidden", hidden_value);
	set_symbol(f, HIDDEN_TLS, PAYLOAD_SYMBOL_PRIVATE, "hidden_tls", 0x28);
	f->symbols[HIDDEN_TLS].type = STT_TLS;
	set_symbol(f, OTHER, PAYLOAD_SYMBOL_EXTERN, "other", 0);
	f->symbols[OTHER].version = "V_1";
	set_symbol(f, AGENT, PAYLOAD_SYMBOL_EXTERN, "upatch_shadow_get", 0);
	set_symbol(f, ORIGINAL, PAYLOAD_SYMBOL_ORIGINAL, "func", 0);
	set_symbol(f, ABSOLUTE, PAYLOAD_SYMBOL_ABSOLUTE, "absolute", 0x1234);
	set_symbol(f, WEAK, PAYLOAD_SYMBOL_EXTERN, "weak", 0);
	f->symbols[WEAK].bind = STB_WEAK;
}

static void set_payload(struct fixture *f)
{
	memset(f->old, 0x90, sizeof(f->old));
	f->piece = (struct payload_piece){ OLD_VALUE, sizeof(f->old), f->old };
	f->func = (struct payload_func){
		.name = "func",
		.symbol = NEW_FUNC,
		.old_value = OLD_VALUE,
		.old_size = sizeof(f->old),
		.pieces = &f->piece,
		.nr_pieces = 1,
	};
	f->payload = (struct payload){
		.object = object_name,
		.build_id = { .size = 3, .bytes = { 1, 2, 3 } },
		.has_code = true,
		.machine = EM_X86_64,
		.sections = f->sections,
		.nr_sections = SECTIONS,
		.symbols = f->symbols,
		.nr_symbols = SYMBOLS,
		.relocs = f->relocs,
		.funcs = &f->func,
		.nr_funcs = 1,
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
		.record = { .target = &f->target, .addr = record_addr, .head = &f->head },
	};
	f->agent_addr = 0x7c0000004560;
	set_sections(f);
	set_symbols(f);
	set_payload(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	template_deinit(&f->template);
	diag_deinit(&f->diag);
	free(f->copy);
	free(f);
	return 0;
}

static void add_reloc(struct fixture *f, uint32_t section, uint64_t offset, uint32_t type,
		      uint32_t symbol, int64_t addend)
{
	assert_true(f->payload.nr_relocs < ARRAY_SIZE(f->relocs));
	f->relocs[f->payload.nr_relocs++] = (struct payload_reloc){
		.section = section,
		.offset = offset,
		.type = type,
		.symbol = symbol,
		.addend = addend,
	};
}

/* As enabling a patch does it, with the agent in place. */
static int try_make(struct fixture *f)
{
	int r;

	r = template_new(&f->session, &f->payload, &f->template);
	if (r < 0)
		return r;
	if (f->template.object->load.symbols[AGENT].is_agent)
		f->template.object->load.symbols[AGENT].value = f->agent_addr;
	return template_make(&f->session, &f->template);
}

static const struct upatch_template *make(struct fixture *f)
{
	assert_int_equal(try_make(f), 0);
	return f->template.bytes;
}

static void assert_refused(struct fixture *f, enum upatch_reason reason)
{
	assert_true(try_make(f) < 0);
	assert_int_equal(f->diag.error.reason, reason);
}

/* What the agent does with it. */
static void put(struct fixture *f, const struct place *place)
{
	const struct upatch_template *t = f->template.bytes;
	const struct dl_scope scope = { .map = (const void *)link_map };
	struct fixup_value values[SYMBOLS + 1] = {};
	const struct fixup fixup = {
		.template = t,
		.scope = &scope,
		.bias = place->bias,
		.payload = place->payload,
		.gateways = &gateway_addr,
		.values = values,
	};
	const char *name = NULL;

	assert_true(t->nr_symbols <= ARRAY_SIZE(values));
	free(f->copy);
	f->copy = calloc(1, t->payload_size);
	assert_non_null(f->copy);
	memcpy(f->copy, (const uint8_t *)t + t->payload_offset, t->payload_stored);
	assert_int_equal(fixup_apply(&fixup, f->copy, &name), 0);
	f->place = place;
}

/* --- looking at a copy --------------------------------------------------------------------------- */

static uint64_t word(const struct fixture *f, uint64_t addr)
{
	uint64_t value;

	assert_true(addr >= f->place->payload);
	assert_true(addr - f->place->payload <= f->template.bytes->payload_size - sizeof(value));
	memcpy(&value, f->copy + (addr - f->place->payload), sizeof(value));
	return value;
}

static uint64_t addr_in(const struct fixture *f, int section, uint64_t offset)
{
	return f->place->payload + f->template.object->load.section_offsets[section] + offset;
}

/* Where 32 bits lead that end an instruction. */
static uint64_t led_to(const struct fixture *f, uint64_t addr)
{
	return addr + 4 + (uint64_t)(int64_t)(int32_t)word(f, addr);
}

/* Where a jump to an address gets to: through a stub, if that is one. */
static uint64_t arrives(const struct fixture *f, uint64_t to)
{
	const struct load *load = &f->template.object->load;
	uint64_t stubs = f->place->payload + load->stubs_offset;

	if (to < stubs || to >= f->place->payload + load->text_size)
		return to;
	/* endbr64; jmp *word(%rip) */
	assert_int_equal(word(f, to) & 0xffffffffffff, 0x25fffa1e0ff3);
	return word(f, led_to(f, to + 6));
}

/* What each symbol is at a place. */
static uint64_t meant(const struct fixture *f, int symbol)
{
	switch (symbol) {
	case NEW_FUNC:
		return addr_in(f, TEXT, 0x10);
	case DATUM:
		return addr_in(f, DATA, DATA_VALUE);
	case HIDDEN:
		return f->place->bias + hidden_value;
	case OTHER:
		return other_addr;
	case AGENT:
		return f->agent_addr;
	case ORIGINAL:
		return gateway_addr;
	case ABSOLUTE:
		return 0x1234;
	default:
		return 0;
	}
}

/* --- code ---------------------------------------------------------------------------------------- */

static void assert_calls(struct fixture *f, int symbol, size_t nr_places)
{
	f->text[0] = 0xe8;
	f->payload.nr_relocs = 0;
	add_reloc(f, TEXT, 1, R_X86_64_PLT32, (uint32_t)symbol, -4);
	make(f);
	for (size_t i = 0; i < nr_places; i++) {
		put(f, &places[i]);
		assert_int_equal(arrives(f, led_to(f, addr_in(f, TEXT, 1))), meant(f, symbol));
	}
	template_deinit(&f->template);
}

static void test_calls_arrive_wherever_a_copy_is(void **state)
{
	struct fixture *f = *state;

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
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(symbols); i++) {
		uint64_t to;

		f->payload.nr_relocs = 0;
		add_reloc(f, TEXT, 2, R_X86_64_PLTOFF64, (uint32_t)symbols[i], 0);
		make(f);
		put(f, &places[0]);
		to = f->place->payload + f->template.object->load.got_offset +
		     word(f, addr_in(f, TEXT, 2));
		assert_int_equal(arrives(f, to), meant(f, symbols[i]));
		template_deinit(&f->template);
	}
}

static void test_calls_of_the_library_need_no_stub(void **state)
{
	struct fixture *f = *state;

	f->text[0] = 0xe8;
	add_reloc(f, TEXT, 1, R_X86_64_PLT32, HIDDEN, -4);
	make(f);
	put(f, &places[0]);
	assert_int_equal(led_to(f, addr_in(f, TEXT, 1)), meant(f, HIDDEN));
}

static void test_calls_of_the_agent_arrive_wherever_that_is(void **state)
{
	/* Near where the template was computed for, and far from there. */
	static const uint64_t addrs[] = { 0x1ff000, 0x40000010, 0xbffff000, 0x7c0000004560 };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(addrs); i++) {
		f->agent_addr = addrs[i];
		assert_calls(f, AGENT, 3);
	}
}

/* mov symbol@GOTPCREL(%rip), %rax: through its word; or lea, where it is in the payload itself. */
static void assert_loads(struct fixture *f, int symbol)
{
	static const uint8_t insn[] = { 0x48, 0x8b, 0x05 };

	memcpy(f->text, insn, sizeof(insn));
	f->payload.nr_relocs = 0;
	add_reloc(f, TEXT, 3, R_X86_64_REX_GOTPCRELX, (uint32_t)symbol, -4);
	make(f);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		uint64_t at, to;

		put(f, &places[i]);
		at = addr_in(f, TEXT, 3);
		to = led_to(f, at);
		if ((uint8_t)(word(f, at - 3) >> 8) == 0x8d)
			assert_int_equal(to, meant(f, symbol));
		else
			assert_int_equal(word(f, to), meant(f, symbol));
	}
	template_deinit(&f->template);
}

static void test_addresses_are_loaded_wherever_a_copy_is(void **state)
{
	struct fixture *f = *state;

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
	struct fixture *f = *state;

	add_reloc(f, TEXT, 3, R_X86_64_PC32, DATUM, -4);
	add_reloc(f, RODATA, 0, R_X86_64_PC64, NEW_FUNC, 2);
	t = make(f);
	assert_int_equal(t->nr_fixups, 0);
	put(f, &places[0]);
	assert_int_equal(led_to(f, addr_in(f, TEXT, 3)), meant(f, DATUM));
	assert_int_equal(addr_in(f, RODATA, 0) + word(f, addr_in(f, RODATA, 0)),
			 meant(f, NEW_FUNC) + 2);
}

/* --- data ---------------------------------------------------------------------------------------- */

static void test_pointers_are_what_they_mean_wherever_a_copy_is(void **state)
{
	static const int symbols[] = { NEW_FUNC, DATUM, HIDDEN,	  OTHER,
				       AGENT,	 WEAK,	ORIGINAL, ABSOLUTE };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(symbols); i++) {
		int64_t addend = symbols[i] == WEAK ? 0 : 24;

		f->payload.nr_relocs = 0;
		add_reloc(f, DATA, 8, R_X86_64_64, (uint32_t)symbols[i], addend);
		make(f);
		for (size_t n = 0; n < ARRAY_SIZE(places); n++) {
			put(f, &places[n]);
			assert_int_equal(word(f, addr_in(f, DATA, 8)),
					 meant(f, symbols[i]) + (uint64_t)addend);
		}
		template_deinit(&f->template);
	}
}

static void test_what_is_stored_is_the_sections(void **state)
{
	struct fixture *f = *state;

	memset(f->data, 0x77, sizeof(f->data));
	memset(f->rodata, 0x55, sizeof(f->rodata));
	make(f);
	put(f, &places[0]);
	assert_int_equal(word(f, addr_in(f, TEXT, 0)), 0x9090909090909090);
	assert_int_equal(word(f, addr_in(f, RODATA, RODATA_SIZE - 8)), 0x5555555555555555);
	assert_int_equal(word(f, addr_in(f, DATA, DATA_SIZE - 8)), 0x7777777777777777);
	assert_int_equal(word(f, addr_in(f, BSS, 0)), 0);
}

static void test_variables_of_threads_are_in_the_librarys_block(void **state)
{
	static const uint8_t gottpoff[] = { 0x48, 0x8b, 0x05 }, tlsgd[] = { 0x48, 0x8d, 0x3d };
	struct fixture *f = *state;
	uint64_t pair;

	memcpy(f->text, gottpoff, sizeof(gottpoff));
	add_reloc(f, TEXT, 3, R_X86_64_GOTTPOFF, HIDDEN_TLS, -4);
	memcpy(f->text + 16, tlsgd, sizeof(tlsgd));
	add_reloc(f, TEXT, 19, R_X86_64_TLSGD, HIDDEN_TLS, -4);
	memcpy(f->text + 32, tlsgd, sizeof(tlsgd));
	add_reloc(f, TEXT, 35, R_X86_64_TLSLD, HIDDEN_TLS, -4);
	add_reloc(f, TEXT, 48, R_X86_64_DTPOFF32, HIDDEN_TLS, 0);
	make(f);
	put(f, &places[1]);
	assert_int_equal(word(f, led_to(f, addr_in(f, TEXT, 3))), (uint64_t)(0x28 - TLS_BLOCK));
	pair = led_to(f, addr_in(f, TEXT, 19));
	assert_int_equal(word(f, pair), TLS_MODULE);
	assert_int_equal(word(f, pair + 8), 0x28);
	pair = led_to(f, addr_in(f, TEXT, 35));
	assert_int_equal(word(f, pair), TLS_MODULE);
	assert_int_equal(word(f, pair + 8), 0);
	assert_int_equal((uint32_t)word(f, addr_in(f, TEXT, 48)), 0x28);
}

/* --- what it says of itself ---------------------------------------------------------------------- */

static void test_its_parts_fit_into_it_and_do_not_overlap(void **state)
{
	const struct upatch_template *t;
	struct fixture *f = *state;

	add_reloc(f, DATA, 8, R_X86_64_64, HIDDEN, 0);
	t = make(f);
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
	struct fixture *f = *state;
	const struct upatch_template *t = make(f);
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
	struct fixture *f = *state;

	f->head.slot_flags = ARCH_SLOT_RAW_TP;
	t = make(f);
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
	struct fixture *f = *state;
	uint64_t name;

	f->payload.callbacks[UPATCH_KIND_PRE_PATCH - 1] = NEW_FUNC;
	t = make(f);
	put(f, &places[1]);
	assert_int_equal(places[1].payload + t->callbacks[UPATCH_KIND_PRE_PATCH - 1],
			 meant(f, NEW_FUNC));
	assert_int_equal(t->callbacks[UPATCH_KIND_POST_PATCH - 1], 0);
	name = word(f, places[1].payload + t->callback_arg);
	assert_string_equal((const char *)f->copy + (name - places[1].payload), object_name);
}

/* --- refusals ------------------------------------------------------------------------------------ */

static void test_what_cannot_be_put_off_is_refused(void **state)
{
	struct fixture *f = *state;

	add_reloc(f, DATA, 0, R_X86_64_16, HIDDEN, 0);
	assert_refused(f, UPATCH_E_RELOC_TYPE);
}

static void test_the_size_of_what_is_not_known_is_refused(void **state)
{
	struct fixture *f = *state;

	add_reloc(f, DATA, 0, R_X86_64_SIZE64, OTHER, 0);
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
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		f->payload.nr_relocs = 0;
		add_reloc(f, DATA, DATA_SIZE - fields[i].size, fields[i].type, fields[i].symbol, 0);
		make(f);
		template_deinit(&f->template);
		f->relocs[0].offset++;
		assert_refused(f, UPATCH_E_RELOC_TYPE);
		diag_clear(&f->diag);
		template_deinit(&f->template);
	}
}

static void test_a_field_without_bytes_is_refused(void **state)
{
	struct fixture *f = *state;

	add_reloc(f, BSS, 0, R_X86_64_64, HIDDEN, 0);
	assert_refused(f, UPATCH_E_RELOC_TYPE);
}

static void test_a_private_symbol_needs_its_place_in_the_patch_file(void **state)
{
	struct fixture *f = *state;

	f->symbols[HIDDEN].value = 0;
	add_reloc(f, DATA, 0, R_X86_64_64, HIDDEN, 0);
	assert_refused(f, UPATCH_E_UNRESOLVED);
}

#define STORY(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

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
