/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "copies.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/dl_map.h"
#include "agent/fixup.h"
#include "arch/arch.h"
#include "base/array.h"
#include "livepatch/plan.h"

/* --- what the agent has beside the relocator ----------------------------------------------------- */

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

static void set_sections(struct copies *f)
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

static void set_symbol(struct copies *f, int index, enum payload_symbol_kind kind, const char *name,
		       uint64_t value)
{
	f->symbols[index] = (struct payload_symbol){
		.name = name,
		.kind = kind,
		.type = STT_FUNC,
		.bind = STB_GLOBAL,
		.value = value,
	};
}

static void set_symbols(struct copies *f)
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

static void set_payload(struct copies *f)
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

int copies_setup(void **state)
{
	struct copies *f = calloc(1, sizeof(*f));

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

int copies_teardown(void **state)
{
	struct copies *f = *state;

	template_deinit(&f->template);
	diag_deinit(&f->diag);
	free(f->copy);
	free(f);
	return 0;
}

void copies_add_reloc(struct copies *f, uint32_t section, uint64_t offset, uint32_t type,
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

int copies_try_make(struct copies *f)
{
	int r;

	r = template_new(&f->session, &f->payload, &f->template);
	if (r < 0)
		return r;
	if (f->template.object->load.symbols[AGENT].is_agent)
		f->template.object->load.symbols[AGENT].value = f->agent_addr;
	return template_make(&f->session, &f->template);
}

const struct upatch_template *copies_make(struct copies *f)
{
	assert_int_equal(copies_try_make(f), 0);
	return f->template.bytes;
}

void copies_put(struct copies *f, const struct place *place)
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

uint64_t copies_word(const struct copies *f, uint64_t addr)
{
	uint64_t value;

	assert_true(addr >= f->place->payload);
	assert_true(addr - f->place->payload <= f->template.bytes->payload_size - sizeof(value));
	memcpy(&value, f->copy + (addr - f->place->payload), sizeof(value));
	return value;
}

uint64_t copies_addr_in(const struct copies *f, int section, uint64_t offset)
{
	return f->place->payload + f->template.object->load.section_offsets[section] + offset;
}

uint64_t copies_led_to(const struct copies *f, uint64_t addr)
{
	return addr + 4 + (uint64_t)(int64_t)(int32_t)copies_word(f, addr);
}

uint64_t copies_arrives(const struct copies *f, uint64_t to)
{
	const struct load *load = &f->template.object->load;
	uint64_t stubs = f->place->payload + load->stubs_offset;

	if (to < stubs || to >= f->place->payload + load->text_size)
		return to;
	/* endbr64; jmp *copies_word(%rip) */
	assert_int_equal(copies_word(f, to) & 0xffffffffffff, 0x25fffa1e0ff3);
	return copies_word(f, copies_led_to(f, to + 6));
}

uint64_t copies_meant(const struct copies *f, int symbol)
{
	switch (symbol) {
	case NEW_FUNC:
		return copies_addr_in(f, TEXT, 0x10);
	case DATUM:
		return copies_addr_in(f, DATA, DATA_VALUE);
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
