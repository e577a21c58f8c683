/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/template.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <upatch/abi_agent.h>

#include "arch/arch.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "livepatch/agent.h"
#include "livepatch/plan.h"
#include "livepatch/session.h"
#include "livepatch/state.h"
#include "patchfile/patchfile.h"
#include "target/target.h"

/* Where payload and island are as long as they have no place: within reach of the object, which is at 0. */
static const uint64_t payload_base = 0x40000000;
static const uint64_t island_base = 0x50000000;

struct making {
	struct session *session;
	struct plan_object *object;
	struct upatch_fixup *fixups;
	size_t nr_fixups;
	size_t alloc_fixups;
	uint8_t *island; /* text of its slots */
	uint64_t island_text_size;
};

/* --- fixups ------------------------------------------------------------------------------------ */

static int add_fixup(struct making *m, uint64_t offset, enum upatch_fixup_type type,
		     uint32_t symbol, int64_t addend)
{
	if (!array_grow(m->fixups, m->nr_fixups, m->alloc_fixups))
		return diag_oom(m->session->diag);
	m->fixups[m->nr_fixups++] = (struct upatch_fixup){
		.offset = (uint32_t)offset,
		.type = type,
		.symbol = symbol,
		.addend = addend,
	};
	return 0;
}

static int raise_late(struct making *m, const struct payload_reloc *reloc)
{
	const struct payload *payload = m->object->payload;
	const char *type = m->session->target->arch->reloc_name(reloc->type);
	struct diag_where where = { .object = payload->object };

	return diag_err(m->session->diag, -ENOTSUP, UPATCH_E_RELOC_TYPE, &where,
			"relocation %s against '%s' cannot wait for the library to be loaded",
			type ? type : "of unknown type", payload->symbols[reloc->symbol].name);
}

static bool is_pc_relative(int type)
{
	return type == UPATCH_FIXUP_PC32 || type == UPATCH_FIXUP_PC64;
}

/* Can the field be computed once for all places? Else it is left to a fixup. */
static bool is_constant(const struct making *m, const struct payload_reloc *reloc, int need,
			int type)
{
	enum payload_symbol_kind kind = m->object->payload->symbols[reloc->symbol].kind;
	bool is_inside = kind == PAYLOAD_SYMBOL_DEFINED;

	switch (need) {
	case RELOC_NEED_VALUE:
		return is_inside && (type < 0 || is_pc_relative(type));
	case RELOC_NEED_CALL:
		/* The library, and the gateways, are in reach; of others nobody knows: the stub is. */
		return is_inside || kind == PAYLOAD_SYMBOL_EXTERN;
	case RELOC_NEED_TPOFF:
	case RELOC_NEED_DTPOFF:
		return false;
	case RELOC_NEED_SIZE:
		return is_inside || m->object->payload->symbols[reloc->symbol].size;
	default:
		return true; /* distances within the payload */
	}
}

static uint64_t field_size(int type)
{
	switch (type) {
	case UPATCH_FIXUP_32:
	case UPATCH_FIXUP_32S:
	case UPATCH_FIXUP_PC32:
	case UPATCH_FIXUP_TLS_OFFSET32:
	case UPATCH_FIXUP_TP_OFFSET32:
		return sizeof(uint32_t);
	default:
		return sizeof(uint64_t);
	}
}

/* The agent does not look: what is behind the payload's bytes would be its own. */
static bool is_in_section(const struct making *m, const struct payload_reloc *reloc, int type)
{
	const struct payload_section *section = &m->object->payload->sections[reloc->section];

	return section->bytes && reloc->offset <= section->size &&
	       field_size(type) <= section->size - reloc->offset;
}

static int take_reloc(struct making *m, const struct payload_reloc *reloc)
{
	const struct arch_ops *arch = m->session->target->arch;
	const struct load *load = &m->object->load;
	int need = arch->reloc_need(reloc->type), type = arch->reloc_fixup(reloc->type);
	uint64_t offset = load->section_offsets[reloc->section] + reloc->offset;

	if (is_constant(m, reloc, need, type))
		return load_apply(m->session, m->object, reloc);
	if (type < 0)
		return raise_late(m, reloc);
	if (!is_in_section(m, reloc, type))
		return load_raise_reloc(m->session, m->object, reloc, -EINVAL);
	return add_fixup(m, offset, (enum upatch_fixup_type)type, reloc->symbol, reloc->addend);
}

/* The words that a symbol has in the GOT. */
static int take_got(struct making *m, uint32_t symbol)
{
	const struct load *load = &m->object->load;
	const struct load_symbol *s = &load->symbols[symbol];
	int r = 0;

	if (s->got)
		r = add_fixup(m, load->got_offset + s->got - 1, UPATCH_FIXUP_64, symbol, 0);
	if (r >= 0 && s->got_tpoff)
		r = add_fixup(m, load->got_offset + s->got_tpoff - 1, UPATCH_FIXUP_TP_OFFSET,
			      symbol, 0);
	if (r >= 0 && s->got_pair)
		r = add_fixup(m, load->got_offset + s->got_pair - 1, UPATCH_FIXUP_TLS_MODULE,
			      symbol, 0);
	if (r >= 0 && s->got_pair)
		r = add_fixup(m, load->got_offset + s->got_pair - 1 + sizeof(uint64_t),
			      UPATCH_FIXUP_TLS_OFFSET, symbol, 0);
	return r;
}

static int take_got_module(struct making *m)
{
	const struct arch_ops *arch = m->session->target->arch;
	const struct payload *payload = m->object->payload;
	const struct load *load = &m->object->load;

	for (size_t i = 0; load->got_module && i < payload->nr_relocs; i++)
		if (arch->reloc_need(payload->relocs[i].type) == RELOC_NEED_GOT_TLS_MODULE)
			return add_fixup(m, load->got_offset + load->got_module - 1,
					 UPATCH_FIXUP_TLS_MODULE, payload->relocs[i].symbol, 0);
	return 0;
}

/* The one pointer in what callbacks are told: to the object's name. */
static int take_callback_arg(struct making *m, uint32_t symbol)
{
	const struct load *load = &m->object->load;

	return load->callback_arg_offset ? add_fixup(m, load->callback_arg_offset, UPATCH_FIXUP_64,
						     symbol, (int64_t)load->callback_arg_name)
					 : 0;
}

static int take_fixups(struct making *m)
{
	const struct payload *payload = m->object->payload;
	int r;

	r = load_begin(m->session, m->object);
	/*
	 * Nothing outside of the payload is in reach, so that no code is made for one place. Nor is the
	 * agent: it may be near payload_base, but the payload will not be there.
	 */
	for (size_t i = 0; i < payload->nr_symbols; i++)
		m->object->load.symbols[i].is_far = payload->symbols[i].kind !=
						    PAYLOAD_SYMBOL_DEFINED;
	for (size_t i = 0; i < payload->nr_relocs && r >= 0; i++)
		r = take_reloc(m, &payload->relocs[i]);
	for (uint32_t i = 0; i < payload->nr_symbols && r >= 0; i++)
		r = take_got(m, i);
	if (r >= 0)
		r = take_got_module(m);
	if (r >= 0)
		r = take_callback_arg(m, (uint32_t)payload->nr_symbols);
	return r < 0 ? r : load_end(m->session, m->object);
}

/* --- the island -------------------------------------------------------------------------------- */

static int make_slot(struct making *m, size_t index, struct upatch_template_func *ret)
{
	const struct arch_ops *arch = m->session->target->arch;
	struct plan_func *f = &m->object->funcs[index];
	uint64_t offset = index * arch->slot->text_size;
	uint64_t data = m->island_text_size + sizeof(struct upatch_island) +
			index * sizeof(struct upatch_slot);
	struct upatch_slot *slot = &ret->slot;
	struct diag_where where = { .object = m->object->payload->object,
				    .function = f->func->name };
	uint8_t *text = m->island + offset;
	int r;

	r = arch->gateway_write(&f->entry, island_base + offset + arch->slot->gateway,
				text + arch->slot->gateway);
	if (r >= 0)
		r = arch->slot_write(island_base + offset, island_base + data,
				     m->session->record.addr + UPATCH_SWITCH_OFFSET,
				     (enum arch_slot_flags)m->session->record.head->slot_flags,
				     text);
	if (r >= 0)
		r = arch->entry_jump(&f->entry, island_base + offset + arch->slot->stub,
				     slot->jump);
	if (r < 0)
		return diag_err(m->session->diag, r, UPATCH_E_RELOC_RANGE, &where,
				"its entry or a piece of it is out of reach of an island");
	slot->func_addr = f->old_addr;
	slot->func_size = f->old_size;
	slot->entry_addr = f->entry.addr;
	slot->text_addr = offset;
	slot->entry_size = f->entry.size;
	slot->covered = f->entry.covered;
	slot->nr_insns = f->entry.nr_insns;
	slot->gateway_size = f->entry.gateway_size;
	memcpy(slot->original, f->entry.old, sizeof(slot->original));
	for (size_t i = 0; i < f->entry.nr_insns; i++)
		slot->insns[i] = (struct upatch_slot_insn){ f->entry.insns[i].old_offset,
							    f->entry.insns[i].new_offset };
	ret->jump_disp = arch->jump_disp;
	ret->nr_disps = f->entry.nr_disps;
	memcpy(ret->disps, f->entry.disps, f->entry.nr_disps);
	return 0;
}

/* --- putting it together ----------------------------------------------------------------------- */

/* What is being laid out, and the strings at its end. */
struct blob {
	struct upatch_template *t;
	size_t room;
};

static void *part_at(struct blob *b, uint32_t offset)
{
	return (uint8_t *)b->t + offset;
}

static uint32_t add_string(struct blob *b, const char *s)
{
	uint32_t offset = b->t->strings_size;
	size_t size = strlen(s) + 1;

	memcpy(part_at(b, b->t->strings_offset + offset), s, size);
	b->t->strings_size += (uint32_t)size;
	return offset;
}

static size_t strings_size(const struct payload *payload)
{
	size_t size = 1 + strlen(payload->object) + 1;

	for (size_t i = 0; i < payload->nr_symbols; i++)
		size += strlen(payload->symbols[i].name) + 1 +
			(payload->symbols[i].version ? strlen(payload->symbols[i].version) + 1 : 0);
	for (size_t i = 0; i < payload->nr_funcs; i++)
		size += strlen(payload->funcs[i].name) + 1;
	return size;
}

static uint32_t take(size_t *at, size_t size)
{
	size_t offset = *at;

	*at = ALIGN_UP(offset + size, (size_t)16);
	return (uint32_t)offset;
}

static size_t count_ranges(const struct plan_object *o)
{
	size_t nr = 0;

	for (size_t i = 0; i < o->nr_funcs; i++)
		nr += o->funcs[i].nr_ranges;
	return nr;
}

static int lay_out(const struct making *m, struct blob *b)
{
	const struct arch_slot_layout *slot = m->session->target->arch->slot;
	const struct plan_object *o = m->object;
	const struct load *load = &o->load;
	size_t nr_ranges = count_ranges(o), at = 0;
	struct upatch_template t = {
		.magic = "",
		.version = UPATCH_AGENT_VERSION,
		.payload_base = payload_base,
		.payload_size = load->size,
		.text_size = (uint32_t)load->text_size,
		.ro_size = (uint32_t)load->ro_size,
		.island_base = island_base,
		.island_text_size = (uint32_t)m->island_text_size,
		.slot_text_size = slot->text_size,
		.slot_stub = slot->stub,
		.slot_dispatcher = slot->dispatcher,
		.slot_gateway = slot->gateway,
		.nr_fixups = (uint32_t)m->nr_fixups,
		.nr_symbols = (uint32_t)o->payload->nr_symbols + 1,
		.nr_funcs = (uint32_t)o->nr_funcs,
		.nr_ranges = (uint32_t)nr_ranges,
	};

	t.island_ro_size = (uint32_t)ALIGN_UP(sizeof(struct upatch_island) +
						      o->nr_funcs * sizeof(struct upatch_slot),
					      (size_t)UPATCH_PAGE_SIZE);
	(void)take(&at, sizeof(t));
	t.fixups_offset = take(&at, m->nr_fixups * sizeof(struct upatch_fixup));
	t.symbols_offset = take(&at, t.nr_symbols * sizeof(struct upatch_template_symbol));
	t.funcs_offset = take(&at, t.nr_funcs * sizeof(struct upatch_template_func));
	t.ranges_offset = take(&at, nr_ranges * sizeof(struct upatch_meta_range));
	t.payload_stored = (uint32_t)load->stored_size;
	t.payload_offset = take(&at, t.payload_stored);
	t.island_text = take(&at, m->island_text_size);
	t.strings_offset = take(&at, strings_size(o->payload));
	t.size = (uint32_t)at;
	if (at > UINT32_MAX)
		return diag_err(m->session->diag, -EFBIG, UPATCH_E_NO_ROOM, NULL,
				"the template needs %zu bytes", at);
	b->t = calloc(1, at);
	if (!b->t)
		return diag_oom(m->session->diag);
	memcpy(t.magic, UPATCH_TEMPLATE_MAGIC, sizeof(t.magic));
	t.strings_size = 1; /* offset 0 is none */
	*b->t = t;
	return 0;
}

static void fill_symbol(struct blob *b, const struct making *m, size_t index)
{
	const struct plan_object *o = m->object;
	const struct payload_symbol *s = &o->payload->symbols[index];
	const struct load_symbol *loaded = &o->load.symbols[index];
	struct upatch_template_symbol *ret =
		(struct upatch_template_symbol *)part_at(b, b->t->symbols_offset) + index;

	ret->name = *s->name ? add_string(b, s->name) : 0;
	ret->flags = (s->bind == STB_WEAK ? UPATCH_SYMBOL_WEAK : 0u) |
		     (s->type == STT_TLS ? UPATCH_SYMBOL_TLS : 0u);
	ret->value = s->value;
	switch (s->kind) {
	case PAYLOAD_SYMBOL_DEFINED:
		ret->kind = UPATCH_SYMBOL_PAYLOAD;
		ret->value = o->load.section_offsets[s->section] + s->value;
		break;
	case PAYLOAD_SYMBOL_PRIVATE:
		ret->kind = UPATCH_SYMBOL_OBJECT;
		break;
	case PAYLOAD_SYMBOL_ORIGINAL:
		ret->kind = UPATCH_SYMBOL_GATEWAY;
		for (size_t i = 0; i < o->nr_funcs; i++)
			if (strcmp(o->funcs[i].func->name, s->name) == 0 &&
			    o->funcs[i].func->sympos == s->sympos)
				ret->value = i;
		break;
	case PAYLOAD_SYMBOL_EXTERN:
		ret->kind = loaded->is_agent ? UPATCH_SYMBOL_ABSOLUTE : UPATCH_SYMBOL_EXTERN;
		if (loaded->is_agent)
			ret->value = loaded->value;
		ret->version = s->version ? add_string(b, s->version) : 0;
		break;
	case PAYLOAD_SYMBOL_ABSOLUTE:
		ret->kind = UPATCH_SYMBOL_ABSOLUTE;
		break;
	}
}

static int fill_funcs(struct blob *b, struct making *m)
{
	struct upatch_template_func *funcs = part_at(b, b->t->funcs_offset);
	struct upatch_meta_range *ranges = part_at(b, b->t->ranges_offset);
	const struct plan_object *o = m->object;
	uint32_t nr_ranges = 0;
	int r = 0;

	for (size_t i = 0; i < o->nr_funcs && r >= 0; i++) {
		const struct plan_func *f = &o->funcs[i];

		funcs[i].name = add_string(b, f->func->name);
		funcs[i].sympos = f->func->sympos;
		funcs[i].old_size = f->old_size;
		funcs[i].new_offset =
			(uint32_t)(load_symbol_addr(o, f->func->symbol) - payload_base);
		funcs[i].new_size = (uint32_t)f->new_size;
		funcs[i].first_range = nr_ranges;
		funcs[i].nr_ranges = (uint32_t)f->nr_ranges;
		for (size_t n = 0; n < f->nr_ranges; n++)
			ranges[nr_ranges++] =
				(struct upatch_meta_range){ f->ranges[n].addr, f->ranges[n].size };
		r = make_slot(m, i, &funcs[i]);
	}
	if (r >= 0)
		memcpy(part_at(b, b->t->island_text), m->island, m->island_text_size);
	return r;
}

static uint32_t offset_of(const struct plan_object *o, uint64_t addr)
{
	return addr ? (uint32_t)(addr - o->load.addr) : 0;
}

static void fill_offsets(struct blob *b, const struct making *m)
{
	const struct plan_object *o = m->object;
	const struct payload_section *states = state_section(o->payload);
	const struct load *load = &o->load;
	struct upatch_template *t = b->t;

	t->name = add_string(b, o->payload->object);
	t->build_id_size = o->payload->build_id.size;
	memcpy(t->build_id, o->payload->build_id.bytes, t->build_id_size);
	for (size_t i = 0; i < UPATCH_CALLBACKS; i++)
		if (o->payload->callbacks[i])
			t->callbacks[i] =
				offset_of(o, load_symbol_addr(o, o->payload->callbacks[i]));
	t->callback_arg = (uint32_t)load->callback_arg_offset;
	t->eh_frame = (uint32_t)load->eh_frame_offset;
	t->eh_frame_hdr = load->eh_frame_hdr_size ? (uint32_t)load->eh_frame_hdr_offset : 0;
	t->eh_frame_hdr_size = (uint32_t)load->eh_frame_hdr_size;
	t->frame_object = (uint32_t)load->frame_object_offset;
	if (states) {
		t->states = (uint32_t)load->section_offsets[states - o->payload->sections];
		t->nr_states = (uint32_t)(states->size / sizeof(struct upatch_meta_state));
	}
}

static int assemble(struct making *m, struct blob *b)
{
	const struct load *load = &m->object->load;
	struct upatch_template_symbol *symbols;
	int r;

	r = lay_out(m, b);
	if (r < 0)
		return r;
	fill_offsets(b, m);
	if (m->nr_fixups)
		memcpy(part_at(b, b->t->fixups_offset), m->fixups,
		       m->nr_fixups * sizeof(*m->fixups));
	for (size_t i = 0; i < m->object->payload->nr_symbols; i++)
		fill_symbol(b, m, i);
	/* One more, the payload itself. */
	symbols = part_at(b, b->t->symbols_offset);
	symbols[m->object->payload->nr_symbols].kind = UPATCH_SYMBOL_PAYLOAD;
	memcpy(part_at(b, b->t->payload_offset), load->bytes, b->t->payload_stored);
	return fill_funcs(b, m);
}

int template_make(struct session *session, struct template *template)
{
	const struct arch_slot_layout *slot = session->target->arch->slot;
	struct making m = {
		.session = session,
		.object = template->object,
		.island_text_size = ALIGN_UP((uint64_t)slot->text_size * template->object->nr_funcs,
					     (uint64_t)UPATCH_PAGE_SIZE),
	};
	struct blob blob = {};
	int r;

	m.island = malloc(m.island_text_size + 1);
	if (!m.island)
		return diag_oom(session->diag);
	memset(m.island, session->target->arch->trap_byte, m.island_text_size);
	m.object->load.addr = payload_base;
	r = take_fixups(&m);
	if (r >= 0)
		r = assemble(&m, &blob);
	free(m.island);
	free(m.fixups);
	if (r < 0) {
		free(blob.t);
		return r;
	}
	template->bytes = blob.t;
	template->size = blob.t->size;
	return 0;
}

/* What template_make() would find out when the target has been written to. */
static int check_relocs(struct session *s, struct plan_object *o)
{
	const struct arch_ops *arch = s->target->arch;
	struct making m = { .session = s, .object = o };

	for (size_t i = 0; i < o->payload->nr_relocs; i++) {
		const struct payload_reloc *reloc = &o->payload->relocs[i];
		int type = arch->reloc_fixup(reloc->type);

		if (type < 0 && !is_constant(&m, reloc, arch->reloc_need(reloc->type), type))
			return raise_late(&m, reloc);
	}
	return 0;
}

int template_new(struct session *session, const struct payload *payload, struct template *ret)
{
	struct template t = { .region = -1, .nr_copies = UPATCH_COPIES_MAX };
	int r;

	r = plan_object_new(session, payload, &t.object);
	if (r >= 0)
		r = check_relocs(session, t.object);
	if (r < 0) {
		template_deinit(&t);
		return r;
	}
	*ret = t;
	return 0;
}

void template_deinit(struct template *template)
{
	plan_object_free(template->object);
	free(template->bytes);
	*template = (struct template){};
}
