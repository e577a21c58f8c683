/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/dl_map.h"
#include "agent/fixup.h"
#include "arch/arch.h"
#include "base/diag.h"
#include "livepatch/plan.h"
#include "livepatch/session.h"
#include "livepatch/template.h"
#include "patchfile/patchfile.h"
#include "target/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/*
 * From a patch file to a template, and from there, with the agent's relocator, to a place. The agent
 * trusts what the host made: nothing that a patch file says may have it write beside the payload.
 */

static const uint64_t link_map[] = { 0, 7, 0x200 };

struct upatch_agent_data agent_data = { .tls_module_offset = 8, .tls_offset_offset = 16 };

bool dl_scope_find(const struct dl_scope *scope, const char *name, const char *version,
		   struct lookup_symbol *ret, const struct dl_map **ret_in)
{
	(void)scope;
	(void)version;
	*ret = (struct lookup_symbol){
		.value = strlen(name) * 0x1000 + 0x7f1190000000,
		.type = strlen(name) % 2 ? STT_FUNC : STT_TLS,
	};
	*ret_in = (const void *)link_map;
	return true;
}

static const void *part_of(const struct upatch_template *t, uint32_t offset, uint64_t size)
{
	assert(offset >= sizeof(*t) && offset % 16 == 0);
	assert(offset <= t->size && size <= t->size - offset);
	return (const uint8_t *)t + offset;
}

static void check_string(const struct upatch_template *t, uint32_t offset)
{
	assert(offset < t->strings_size);
}

static void check_funcs(const struct upatch_template *t)
{
	const struct upatch_template_func *funcs =
		part_of(t, t->funcs_offset, t->nr_funcs * sizeof(*funcs));

	(void)part_of(t, t->ranges_offset, t->nr_ranges * sizeof(struct upatch_meta_range));
	for (uint32_t i = 0; i < t->nr_funcs; i++) {
		const struct upatch_template_func *f = &funcs[i];

		check_string(t, f->name);
		assert(f->first_range + f->nr_ranges <= t->nr_ranges);
		assert(f->new_offset < t->text_size);
		assert(f->slot.text_addr + t->slot_text_size <= t->island_text_size);
		assert(f->slot.entry_size <= UPATCH_ENTRY_MAX);
		assert(f->jump_disp + 4 <= f->slot.entry_size);
		assert(f->nr_disps <= UPATCH_DISPS_MAX);
		for (uint8_t n = 0; n < f->nr_disps; n++)
			assert(f->disps[n] + 4 <= f->slot.gateway_size);
	}
}

static void check_layout(const struct upatch_template *t, size_t size)
{
	assert(t->size == size);
	assert((uint64_t)t->text_size + t->ro_size <= t->payload_size);
	assert(t->payload_stored <= t->payload_size);
	(void)part_of(t, t->payload_offset, t->payload_stored);
	(void)part_of(t, t->island_text, t->island_text_size);
	assert(t->strings_size && !*((const char *)part_of(t, t->strings_offset, t->strings_size) +
				     t->strings_size - 1));
	check_string(t, t->name);
	for (size_t i = 0; i < UPATCH_CALLBACKS; i++)
		assert(t->callbacks[i] < t->text_size);
	check_funcs(t);
}

static uint64_t width(uint32_t type)
{
	return type == UPATCH_FIXUP_32 || type == UPATCH_FIXUP_32S || type == UPATCH_FIXUP_PC32 ||
			       type == UPATCH_FIXUP_TLS_OFFSET32 || type == UPATCH_FIXUP_TP_OFFSET32
		       ? 4
		       : 8;
}

static bool is_within(uint64_t at, uint64_t size, uint64_t start, uint64_t room)
{
	return at >= start && at - start <= room && size <= room - (at - start);
}

/* In one of the sections, or in what the host has added. */
static bool is_somewhere(const struct plan_object *o, const struct upatch_fixup *fixup)
{
	uint64_t at = fixup->offset, size = width(fixup->type);
	const struct load *load = &o->load;

	for (size_t i = 0; i < o->payload->nr_sections; i++)
		if (o->payload->sections[i].bytes &&
		    is_within(at, size, load->section_offsets[i], o->payload->sections[i].size))
			return true;
	return is_within(at, size, load->got_offset, load->got_size) ||
	       (load->callback_arg_offset && at == load->callback_arg_offset && size == 8);
}

static void check_fixups(const struct template *template)
{
	const struct upatch_template *t = template->bytes;
	const struct upatch_fixup *fixups =
		part_of(t, t->fixups_offset, t->nr_fixups * sizeof(*fixups));

	for (uint32_t i = 0; i < t->nr_fixups; i++) {
		assert(fixups[i].symbol < t->nr_symbols);
		assert(is_somewhere(template->object, &fixups[i]));
	}
}

/* In memory of its exact size, where a sanitizer sees what is beside it. */
static void put(const struct upatch_template *t)
{
	const struct dl_scope scope = { .map = (const void *)link_map };
	const struct upatch_template_symbol *symbols =
		part_of(t, t->symbols_offset, t->nr_symbols * sizeof(*symbols));
	uint64_t *gateways = calloc(t->nr_funcs + 1, sizeof(*gateways));
	struct fixup fixup = {
		.template = t,
		.scope = &scope,
		.bias = 0x7f1180000000,
		.payload = 0x7f1160000000,
		.gateways = gateways,
		.values = calloc(t->nr_symbols, sizeof(*fixup.values)),
	};
	uint8_t *bytes = calloc(1, t->payload_size);
	const char *name = NULL;

	assert(gateways && fixup.values && bytes);
	for (uint32_t i = 0; i < t->nr_symbols; i++) {
		check_string(t, symbols[i].name);
		check_string(t, symbols[i].version);
		assert(symbols[i].kind != UPATCH_SYMBOL_GATEWAY || symbols[i].value < t->nr_funcs);
	}
	memcpy(bytes, (const uint8_t *)t + t->payload_offset, t->payload_stored);
	if (fixup_apply(&fixup, bytes, &name))
		check_string(t, (uint32_t)(name - ((const char *)t + t->strings_offset)));
	free(bytes);
	free(fixup.values);
	free(gateways);
}

static void make(struct session *session, const struct payload *payload)
{
	struct template template;

	if (template_new(session, payload, &template) < 0)
		return;
	for (size_t i = 0; i < payload->nr_symbols; i++)
		if (template.object->load.symbols[i].is_agent)
			template.object->load.symbols[i].value = 0x101000;
	if (template_make(session, &template) == 0) {
		check_layout(template.bytes, template.size);
		check_fixups(&template);
		put(template.bytes);
	}
	template_deinit(&template);
}

/* FNV-1a */
static uint64_t hash_of(const uint8_t *bytes, size_t size)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3;
	return hash;
}

/* Bytes that are changed at random seldom make another relocation: one is made from what they are. */
static void make_twisted(struct session *session, const struct payload *payload, uint64_t hash)
{
	struct payload twisted = *payload;
	struct payload_reloc *relocs = calloc(payload->nr_relocs + 1, sizeof(*relocs)), *one;
	uint64_t size, from_end = (hash >> 48) % 12;

	assert(relocs);
	if (payload->nr_relocs) {
		memcpy(relocs, payload->relocs, payload->nr_relocs * sizeof(*relocs));
		one = &relocs[hash % payload->nr_relocs];
		one->type = (uint32_t)(hash >> 8) % (R_X86_64_NUM + 1);
		one->symbol = (uint32_t)((hash >> 16) % payload->nr_symbols);
		one->section = (uint32_t)((hash >> 32) % payload->nr_sections);
		size = payload->sections[one->section].size;
		one->offset = from_end < size ? size - 1 - from_end : 0;
		twisted.relocs = relocs;
		if (size)
			make(session, &twisted);
	}
	free(relocs);
}

static void make_each(struct session *session, const struct patchfile *file, uint64_t hash)
{
	for (size_t i = 0; i < file->nr_payloads; i++) {
		const struct payload *payload = &file->payloads[i];

		if (!payload->has_code || payload->machine != EM_X86_64)
			continue;
		make(session, payload);
		make_twisted(session, payload, hash);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct upatch_record head = {};
	struct diag diag;
	struct target target = { .diag = &diag, .pid = 1, .arch = &arch_x86_64 };
	struct session session = {
		.target = &target,
		.diag = &diag,
		.record = { .target = &target, .addr = 0x7d000075a000, .head = &head },
	};
	const struct patchfile *file;

	diag_init(&diag);
	if (patchfile_open_bytes(&diag, bytes, size, "fuzz", &file) == 0) {
		make_each(&session, file, hash_of(bytes, size));
		patchfile_close(file);
	}
	diag_deinit(&diag);
	return 0;
}
