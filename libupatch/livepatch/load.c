/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/load.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <upatch/livepatch.h>

#include "arch/arch.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "elf/eh_frame.h"
#include "livepatch/agent.h"
#include "livepatch/ehframe.h"
#include "livepatch/plan.h"
#include "livepatch/resolve.h"
#include "livepatch/session.h"
#include "patchfile/patchfile.h"
#include "target/object.h"
#include "target/rcall.h"
#include "target/target.h"

enum {
	PAGE = 4096,
	WORD = 8,
	EH_FRAME_END = 4, /* bytes of the zero word that ends an .eh_frame */
};

static const uint64_t size_max = 256ull << 20;

/* From anywhere: what has that address is referred to by the GOT. */
static const uint64_t out_of_reach = 1ull << 63;

/* --- what relocations need ------------------------------------------------------------------- */

static uint32_t take_got(struct load *load, uint32_t *slot, unsigned int words)
{
	if (!*slot) {
		*slot = (uint32_t)load->got_size + 1;
		load->got_size += words * WORD;
	}
	return *slot;
}

int load_raise_reloc(struct session *session, const struct plan_object *object,
		     const struct payload_reloc *reloc, int error)
{
	const struct arch_ops *arch = session->target->arch;
	const struct payload *payload = object->payload;
	struct diag_where where = { .object = payload->object };
	const char *type = arch->reloc_name(reloc->type);

	return diag_err(session->diag, error,
			error == -ERANGE ? UPATCH_E_RELOC_RANGE : UPATCH_E_RELOC_TYPE, &where,
			"relocation %s against '%s' in %s+0x%llx %s",
			type ? type : "of unknown type", payload->symbols[reloc->symbol].name,
			payload->sections[reloc->section].name, (unsigned long long)reloc->offset,
			error == -ERANGE ? "is out of range" : "cannot be applied");
}

static int raise_late(struct session *s, const struct plan_object *o,
		      const struct payload_reloc *reloc)
{
	struct diag_where where = { .object = o->payload->object };

	return diag_err(s->diag, -ENOTSUP, UPATCH_E_RELOC_TYPE, &where,
			"relocation %s against '%s', of a library that may come and go, cannot be "
			"kept up to date: only calls and the GOT can",
			s->target->arch->reloc_name(reloc->type),
			o->payload->symbols[reloc->symbol].name);
}

static int reserve_for(struct session *s, struct plan_object *o, const struct payload_reloc *reloc)
{
	struct load_symbol *symbol = &o->load.symbols[reloc->symbol];
	struct diag_where where = { .object = o->payload->object };
	bool needs_tls = true;
	int need = s->target->arch->reloc_need(reloc->type);

	if (symbol->is_late && need != RELOC_NEED_CALL && need != RELOC_NEED_GOT)
		return raise_late(s, o, reloc);
	switch (need) {
	case RELOC_NEED_CALL:
		take_got(&o->load, &symbol->got, 1);
		if (!symbol->stub)
			symbol->stub = 1; /* placed by layout_regions() */
		needs_tls = false;
		break;
	case RELOC_NEED_GOT:
		take_got(&o->load, &symbol->got, 1);
		needs_tls = false;
		break;
	case RELOC_NEED_TPOFF:
		break;
	case RELOC_NEED_GOT_TPOFF:
	case RELOC_NEED_TLSDESC:
		take_got(&o->load, &symbol->got_tpoff, 1);
		break;
	case RELOC_NEED_GOT_TLS_PAIR:
		take_got(&o->load, &symbol->got_pair, 2);
		return 0;
	case RELOC_NEED_GOT_TLS_MODULE:
		take_got(&o->load, &o->load.got_module, 2);
		return 0;
	case RELOC_NEED_NOTHING:
	case RELOC_NEED_VALUE:
	case RELOC_NEED_DTPOFF:
	case RELOC_NEED_SIZE:
		return 0;
	default:
		return load_raise_reloc(s, o, reloc, -EINVAL);
	}
	if (needs_tls && symbol->is_tls && !symbol->has_tpoff)
		return diag_err(s->diag, -ENOTSUP, UPATCH_E_TLS_SYMBOL, &where,
				"'%s' is not in the static thread-local storage; the payload needs "
				"the general dynamic model",
				o->payload->symbols[reloc->symbol].name);
	return 0;
}

/* --- symbols ----------------------------------------------------------------------------------- */

/* Of a library that is not there: the agent will find it. */
static int resolve_late(struct session *s, const struct payload_symbol *symbol,
			struct load_symbol *ret)
{
	ret->is_agent = symbol->kind == PAYLOAD_SYMBOL_EXTERN && agent_has_export(symbol->name);
	if (symbol->kind == PAYLOAD_SYMBOL_PRIVATE && !symbol->value && symbol->type != STT_TLS)
		return diag_err(
			s->diag, -ENOENT, UPATCH_E_UNRESOLVED, NULL,
			"the patch file does not tell where '%s' is: build it with --object",
			symbol->name);
	return 0;
}

static int resolve_symbols(struct session *s, struct plan_object *o)
{
	const struct payload *payload = o->payload;
	_cleanup_free_ bool *is_used = calloc(payload->nr_symbols + 1, sizeof(*is_used));
	int r = 0;

	if (!is_used)
		return diag_oom(s->diag);
	for (size_t i = 0; i < payload->nr_relocs; i++)
		is_used[payload->relocs[i].symbol] = true;
	for (size_t i = 0; i < payload->nr_symbols && r >= 0; i++) {
		const struct payload_symbol *symbol = &payload->symbols[i];
		struct load_symbol *loaded = &o->load.symbols[i];

		loaded->size = symbol->size;
		if (symbol->kind == PAYLOAD_SYMBOL_ABSOLUTE)
			loaded->value = symbol->value;
		if (!is_used[i])
			continue;
		if (!o->object) {
			r = resolve_late(s, symbol, loaded);
			continue;
		}
		if (symbol->sibling && o->waits && o->waits[symbol->sibling - 1])
			loaded->is_late = true;
		else if (symbol->kind == PAYLOAD_SYMBOL_EXTERN && *symbol->name)
			r = resolve_extern(s, o->object, symbol, loaded);
		else if (symbol->kind == PAYLOAD_SYMBOL_PRIVATE)
			r = resolve_private(s, o->object, symbol, loaded);
	}
	return r;
}

/* --- layout ------------------------------------------------------------------------------------ */

enum part { PART_TEXT, PART_RO, PART_RW };

static enum part part_of(const struct payload_section *section)
{
	if (section->flags & SHF_EXECINSTR)
		return PART_TEXT;
	return section->flags & SHF_WRITE ? PART_RW : PART_RO;
}

static uint64_t place_sections(struct plan_object *o, enum part part, uint64_t at)
{
	const struct payload *payload = o->payload;

	for (size_t i = 0; i < payload->nr_sections; i++) {
		const struct payload_section *section = &payload->sections[i];

		if (part_of(section) != part)
			continue;
		at = ALIGN_UP(at, MAX(section->align, (uint64_t)1));
		o->load.section_offsets[i] = at;
		at += section->size;
		if (strcmp(section->name, ".eh_frame") == 0 && part == PART_RO) {
			o->load.eh_frame_offset = o->load.section_offsets[i];
			o->load.eh_frame_size = section->size;
			at += EH_FRAME_END;
		}
	}
	return at;
}

static int place_eh_frame_hdr(struct session *s, struct plan_object *o, uint64_t *at)
{
	const struct payload *payload = o->payload;

	for (size_t i = 0; i < payload->nr_sections; i++) {
		int64_t size;

		if (!o->load.eh_frame_size ||
		    o->load.section_offsets[i] != o->load.eh_frame_offset ||
		    strcmp(payload->sections[i].name, ".eh_frame") != 0)
			continue;
		size = eh_frame_hdr_size(s->diag, payload->sections[i].bytes,
					 payload->sections[i].size);
		if (size < 0)
			return (int)size;
		*at = ALIGN_UP(*at, (uint64_t)WORD);
		o->load.eh_frame_hdr_offset = *at;
		o->load.eh_frame_hdr_size = (uint64_t)size;
		*at += (uint64_t)size;
	}
	return 0;
}

static bool has_callbacks(const struct payload *payload)
{
	for (size_t i = 0; i < PAYLOAD_CALLBACKS; i++)
		if (payload->callbacks[i])
			return true;
	return false;
}

static uint64_t place_callback_arg(struct plan_object *o, uint64_t at)
{
	if (!has_callbacks(o->payload))
		return at;
	o->load.callback_arg_offset = ALIGN_UP(at, (uint64_t)WORD);
	o->load.callback_arg_name = o->load.callback_arg_offset + sizeof(struct upatch_callback);
	return o->load.callback_arg_name + strlen(o->payload->object) + 1;
}

static uint64_t place_frame_object(struct session *s, struct plan_object *o, uint64_t at)
{
	/* What is yet to come may bring libgcc along. */
	if (!o->load.eh_frame_size || (o->object && !ehframe_is_wanted(s)))
		return at;
	o->load.frame_object_offset = ALIGN_UP(at, (uint64_t)2 * WORD);
	return o->load.frame_object_offset + UPATCH_FRAME_COPIES * UPATCH_FRAME_OBJECT_SIZE;
}

static int layout_regions(struct session *s, struct plan_object *o)
{
	const struct arch_ops *arch = s->target->arch;
	struct load *load = &o->load;
	uint64_t at;
	int r;

	at = ALIGN_UP(place_sections(o, PART_TEXT, UPATCH_TEXT_LEAD), (uint64_t)16);
	load->stubs_offset = at;
	for (size_t i = 0; i < o->payload->nr_symbols; i++) {
		if (!load->symbols[i].stub)
			continue;
		load->symbols[i].stub = (uint32_t)(at - load->stubs_offset) + 1;
		at += arch->stub_size;
	}
	load->text_size = at = ALIGN_UP(at, (uint64_t)PAGE);
	at = place_sections(o, PART_RO, at);
	r = place_eh_frame_hdr(s, o, &at);
	if (r < 0)
		return r;
	load->got_offset = at = ALIGN_UP(at, (uint64_t)WORD);
	at = ALIGN_UP(place_callback_arg(o, at + load->got_size), (uint64_t)PAGE);
	load->ro_size = at - load->text_size;
	at = place_sections(o, PART_RW, at);
	load->stored_size = at;
	at = place_frame_object(s, o, at);
	load->size = ALIGN_UP(at, (uint64_t)PAGE);
	return load->size <= size_max
		       ? 0
		       : diag_err(s->diag, -EFBIG, UPATCH_E_NO_ROOM, NULL,
				  "the payload needs %llu bytes", (unsigned long long)load->size);
}

int load_layout(struct session *session, struct plan_object *object)
{
	struct load *load = &object->load;
	int r;

	load->symbols = calloc(object->payload->nr_symbols + 1, sizeof(*load->symbols));
	load->section_offsets =
		calloc(object->payload->nr_sections + 1, sizeof(*load->section_offsets));
	if (!load->symbols || !load->section_offsets)
		return diag_oom(session->diag);
	r = resolve_symbols(session, object);
	for (size_t i = 0; i < object->payload->nr_relocs && r >= 0; i++)
		r = reserve_for(session, object, &object->payload->relocs[i]);
	if (r < 0)
		return r;
	return layout_regions(session, object);
}

void load_deinit(struct load *load)
{
	free(load->symbols);
	free(load->section_offsets);
	free(load->bytes);
	*load = (struct load){};
}

int load_resolve_ifuncs(struct session *session, struct plan_object *object, struct rcall *rcall)
{
	int r;

	for (size_t i = 0; i < object->payload->nr_symbols; i++) {
		struct load_symbol *symbol = &object->load.symbols[i];

		if (!symbol->is_ifunc)
			continue;
		r = rcall_function(rcall, symbol->value, &symbol->value);
		if (r < 0)
			return r;
		symbol->is_ifunc = false;
		if (!symbol->value || !object_list_at(&session->objects, symbol->value))
			return diag_err(session->diag, -EFAULT, UPATCH_E_UNRESOLVED, NULL,
					"the resolver of '%s' chose 0x%llx, which is no code",
					object->payload->symbols[i].name,
					(unsigned long long)symbol->value);
	}
	return 0;
}

/* --- relocation -------------------------------------------------------------------------------- */

uint64_t load_symbol_addr(const struct plan_object *object, uint32_t symbol)
{
	const struct payload_symbol *s = &object->payload->symbols[symbol];

	return object->load.addr + object->load.section_offsets[s->section] + s->value;
}

/* The bytes at an offset of the region. */
static uint8_t *bytes_at(struct load *load, uint64_t offset)
{
	return load->bytes + offset;
}

static void settle_symbols(struct plan_object *o)
{
	const struct payload *payload = o->payload;

	for (uint32_t i = 0; i < payload->nr_symbols; i++) {
		const struct payload_symbol *symbol = &payload->symbols[i];

		if (symbol->kind == PAYLOAD_SYMBOL_DEFINED)
			o->load.symbols[i].value = load_symbol_addr(o, i);
		if (symbol->kind != PAYLOAD_SYMBOL_ORIGINAL)
			continue;
		for (size_t n = 0; n < o->nr_funcs; n++)
			if (strcmp(o->funcs[n].func->name, symbol->name) == 0 &&
			    o->funcs[n].func->sympos == symbol->sympos)
				o->load.symbols[i].value = o->funcs[n].gateway_addr;
	}
}

static void fill_got(struct plan_object *o)
{
	struct load *load = &o->load;
	uint64_t *got = (uint64_t *)(void *)bytes_at(load, load->got_offset);

	for (size_t i = 0; i < o->payload->nr_symbols; i++) {
		const struct load_symbol *symbol = &load->symbols[i];

		if (symbol->got)
			got[(symbol->got - 1) / WORD] = symbol->value;
		if (symbol->got_tpoff)
			got[(symbol->got_tpoff - 1) / WORD] = (uint64_t)symbol->tpoff;
		if (symbol->got_pair) {
			got[(symbol->got_pair - 1) / WORD] = symbol->tls_module;
			got[(symbol->got_pair - 1) / WORD + 1] = (uint64_t)symbol->dtpoff;
		}
		if (load->got_module && symbol->is_tls)
			got[(load->got_module - 1) / WORD] = symbol->tls_module;
	}
}

static uint64_t got_addr(const struct load *load, uint32_t slot)
{
	return slot ? load->addr + load->got_offset + slot - 1 : 0;
}

uint64_t load_late_word(const struct plan_object *object, uint32_t symbol)
{
	const struct load_symbol *s = &object->load.symbols[symbol];

	return s->is_late ? got_addr(&object->load, s->got) : 0;
}

int load_apply(struct session *session, struct plan_object *object,
	       const struct payload_reloc *reloc)
{
	struct plan_object *o = object;
	const struct arch_ops *arch = session->target->arch;
	const struct payload_section *section = &o->payload->sections[reloc->section];
	const struct load_symbol *symbol = &o->load.symbols[reloc->symbol];
	uint64_t section_offset = o->load.section_offsets[reloc->section];
	int need = arch->reloc_need(reloc->type);
	struct arch_reloc value = {
		.type = reloc->type,
		.addend = reloc->addend,
		.place = o->load.addr + section_offset + reloc->offset,
		.value = symbol->is_late || symbol->is_far ? out_of_reach : symbol->value,
		.size = symbol->size,
		.got_base = o->load.addr + o->load.got_offset,
		.stub = symbol->stub ? o->load.addr + o->load.stubs_offset + symbol->stub - 1 : 0,
		.tpoff = symbol->tpoff,
		.dtpoff = symbol->dtpoff,
	};
	int r;

	switch (need) {
	case RELOC_NEED_GOT_TPOFF:
	case RELOC_NEED_TLSDESC:
		value.got = got_addr(&o->load, symbol->got_tpoff);
		break;
	case RELOC_NEED_GOT_TLS_PAIR:
		value.got = got_addr(&o->load, symbol->got_pair);
		break;
	case RELOC_NEED_GOT_TLS_MODULE:
		value.got = got_addr(&o->load, o->load.got_module);
		break;
	default:
		value.got = got_addr(&o->load, symbol->got);
	}
	if (section->type == SHT_NOBITS)
		return load_raise_reloc(session, o, reloc, -EINVAL);
	r = arch->reloc_apply(&value, bytes_at(&o->load, section_offset), section->size,
			      reloc->offset);
	return r < 0 ? load_raise_reloc(session, o, reloc, r) : 0;
}

static int write_stubs(struct session *s, struct plan_object *o)
{
	struct load *load = &o->load;
	int r;

	for (size_t i = 0; i < o->payload->nr_symbols; i++) {
		const struct load_symbol *symbol = &load->symbols[i];
		uint64_t offset = load->stubs_offset + symbol->stub - 1;

		if (!symbol->stub)
			continue;
		r = s->target->arch->stub_write(load->addr + offset, got_addr(load, symbol->got),
						bytes_at(load, offset));
		if (r < 0)
			return diag_err(s->diag, r, UPATCH_E_RELOC_RANGE, NULL,
					"a call stub is out of reach of its word");
	}
	return 0;
}

static int write_eh_frame_hdr(struct session *s, struct load *load)
{
	int64_t size;

	if (!load->eh_frame_hdr_size)
		return 0;
	size = eh_frame_hdr_build(s->diag, bytes_at(load, load->eh_frame_offset),
				  load->eh_frame_size, load->addr + load->eh_frame_offset,
				  load->addr + load->eh_frame_hdr_offset,
				  bytes_at(load, load->eh_frame_hdr_offset),
				  load->eh_frame_hdr_size);
	return size < 0 ? (int)size : 0;
}

static void write_landing(const struct arch_landing *landing, struct load *load)
{
	if (load->text_size)
		memcpy(bytes_at(load, UPATCH_TEXT_LANDING), landing->bytes, landing->size);
}

static void write_callback_arg(const struct plan_object *o, struct load *load)
{
	uint64_t name_offset = load->callback_arg_name;
	const struct upatch_callback arg = {
		.object = (const char *)(uintptr_t)(load->addr + name_offset),
		.state = UPATCH_OBJECT_LIVE,
	};

	if (!load->callback_arg_offset)
		return;
	memcpy(bytes_at(load, load->callback_arg_offset), &arg, sizeof(arg));
	strcpy((char *)bytes_at(load, name_offset), o->payload->object);
}

int load_begin(struct session *session, struct plan_object *object)
{
	const struct payload *payload = object->payload;
	struct load *load = &object->load;

	load->bytes = calloc(1, load->size);
	if (!load->bytes)
		return diag_oom(session->diag);
	memset(load->bytes, session->target->arch->trap_byte, load->text_size);
	for (size_t i = 0; i < payload->nr_sections; i++)
		if (payload->sections[i].bytes)
			memcpy(bytes_at(load, load->section_offsets[i]), payload->sections[i].bytes,
			       payload->sections[i].size);
	write_landing(session->target->arch->landing, load);
	write_callback_arg(object, load);
	settle_symbols(object);
	return 0;
}

int load_end(struct session *session, struct plan_object *object)
{
	int r;

	r = write_stubs(session, object);
	return r < 0 ? r : write_eh_frame_hdr(session, &object->load);
}

int load_relocate(struct session *session, struct plan_object *object)
{
	const struct payload *payload = object->payload;
	int r;

	r = load_begin(session, object);
	if (r >= 0)
		fill_got(object);
	for (size_t i = 0; i < payload->nr_relocs && r >= 0; i++)
		r = load_apply(session, object, &payload->relocs[i]);
	return r < 0 ? r : load_end(session, object);
}
