/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/hooks.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <upatch/abi_agent.h>

#include "arch/arch.h"
#include "base/array.h"
#include "base/diag.h"
#include "elf/image.h"
#include "elf/symtab.h"
#include "livepatch/agent.h"
#include "livepatch/filters.h"
#include "livepatch/island.h"
#include "livepatch/library.h"
#include "livepatch/plan.h"
#include "livepatch/session.h"
#include "livepatch/slots.h"
#include "livepatch/walk.h"
#include "patchfile/patchfile.h"
#include "target/freeze.h"
#include "target/linkmap.h"
#include "target/target.h"

enum {
	HOOK_BRK,
	HOOK_CATCH,
	HOOKS_MAX,
	LANDING_ROOM = 64, /* at the end of the text of the first island */
};

struct hook {
	struct payload payload; /* as far as messages need one */
	struct payload_func func;
	struct plan_func plan_func;
	const char *handler;   /* of the agent */
	bool is_guarded;       /* only calls with a null first argument matter */
	size_t gateway_offset; /* in struct upatch_agent_data */
};

struct hooks {
	struct hook hooks[HOOKS_MAX];
	struct plan plan; /* an object for each */
	struct plan_object objects[HOOKS_MAX];
	uint64_t debug_addr;
	uint64_t signal_error_addr;
};

/* --- finding ----------------------------------------------------------------------------------- */

static int add(struct session *s, struct hooks *hooks, struct object *object,
	       const struct symbol *symbol, struct image *image)
{
	struct hook *h = &hooks->hooks[hooks->plan.nr_objects];
	struct plan_object *o = &hooks->objects[hooks->plan.nr_objects++];

	h->payload.object = object->name;
	h->func.name = symbol->name;
	*o = (struct plan_object){
		.payload = &h->payload,
		.object = object,
		.start = object->start,
		.end = object->end,
		.bias = object->bias,
		.funcs = &h->plan_func,
		.nr_funcs = 1,
		.nr_new_slots = 1,
		.payload_region = -1,
		.island_region = -1,
		.is_hooks = true,
	};
	o->funcs[0].func = &h->func;
	return plan_entry(s, o, image, symbol, &o->funcs[0]);
}

static int image_of(struct session *s, struct object *o, struct image **ret_image,
		    const struct symtab **ret_symtab)
{
	int r;

	r = object_image(&s->objects, o, ret_image);
	return r < 0 ? r : image_symtab(*ret_image, s->diag, ret_symtab);
}

/* glibc: what it is in from having mapped libraries to their constructors. Its symbols may be stripped. */
static void note_loader(struct session *s, const struct object *linker, const struct symtab *symtab)
{
	static const char *const names[] = { "dl_open_worker_begin", "dl_open_worker" };
	struct symbol symbol;

	for (size_t i = 0; i < ARRAY_SIZE(names) && !s->loader_addr; i++) {
		if (symtab_find(symtab, NULL, linker->name, names[i], 0, SYMBOL_FUNC, &symbol) < 0)
			continue;
		s->loader_addr = symbol.value + linker->bias;
		s->loader_size = symbol.size;
	}
}

static int find_brk(struct session *s, struct hooks *hooks, struct object **ret_linker)
{
	const struct symtab *symtab;
	struct r_debug debug;
	struct symbol symbol;
	struct image *image;
	struct object *o;
	int r;

	hooks->debug_addr = linkmap_debug_addr(&s->objects);
	if (!hooks->debug_addr)
		return library_raise_not_followed(s, "it has no dynamic linker");
	if (target_read(s->target, hooks->debug_addr, &debug, sizeof(debug)) < 0 || !debug.r_brk)
		return library_raise_not_followed(s, "its dynamic linker has not told where it is");
	o = object_list_at(&s->objects, debug.r_brk);
	if (!o)
		return library_raise_not_followed(
			s, "its dynamic linker tells of an address in no object");
	r = image_of(s, o, &image, &symtab);
	if (r < 0)
		return r;
	if (symtab_at(symtab, debug.r_brk - o->bias, &symbol) < 0 ||
	    symbol.value != debug.r_brk - o->bias || !symbol.size)
		return library_raise_not_followed(
			s, "its dynamic linker's function for debuggers is unknown");
	hooks->hooks[HOOK_BRK].handler = "dl_brk";
	hooks->hooks[HOOK_BRK].gateway_offset = offsetof(struct upatch_agent_data, brk_gateway);
	*ret_linker = o;
	note_loader(s, o, symtab);
	return add(s, hooks, o, &symbol, image);
}

static bool is_in_loader(const struct session *s, uint64_t addr)
{
	return addr >= s->loader_addr && addr - s->loader_addr < s->loader_size;
}

/* Who has begun to load libraries before the hooks were armed: the agent does not know about these. */
static int wait_for_loaders(struct session *s)
{
	int r = 0;

	if (linkmap_length(&s->objects) > linkmap_count_initial(&s->objects) && s->loader_addr)
		r = walk_wait_outside(s, is_in_loader, WALK_DOUBT_OUTSIDE);
	return r == -EAGAIN ? diag_err(s->diag, r, UPATCH_E_LOADING, NULL,
				       "a thread has been loading a library all the time")
			    : r;
}

/* In the first namespace: the dynamic linker calls that one for all. */
static int find_catch(struct session *s, struct hooks *hooks)
{
	int initial = linkmap_count_initial(&s->objects);
	struct r_debug debug;

	for (size_t i = 0; i < s->objects.nr; i++) {
		struct object *o = &s->objects.objects[i];
		const struct symtab *symtab;
		struct symbol symbol;
		struct image *image;
		int r;

		if (o->load_order < 0 || o->load_order >= initial ||
		    strncmp(o->name, "libc.so", strlen("libc.so")) != 0)
			continue;
		r = image_of(s, o, &image, &symtab);
		if (r < 0)
			return r;
		if (symtab_find_export(symtab, "_dl_signal_error", "GLIBC_PRIVATE", &symbol) < 0)
			continue;
		hooks->signal_error_addr = symbol.value + o->bias;
		if (symtab_find_export(symtab, "_dl_catch_exception", "GLIBC_PRIVATE", &symbol) < 0)
			continue;
		hooks->hooks[HOOK_CATCH].handler = "dl_catch";
		hooks->hooks[HOOK_CATCH].is_guarded = true;
		hooks->hooks[HOOK_CATCH].gateway_offset =
			offsetof(struct upatch_agent_data, catch_gateway);
		return add(s, hooks, o, &symbol, image);
	}
	if (target_read(s->target, hooks->debug_addr, &debug, sizeof(debug)) < 0 ||
	    debug.r_state != RT_ADD)
		return library_raise_not_followed(
			s, "its C library does not have the functions that are hooked");
	return diag_err(s->diag, -EAGAIN, UPATCH_E_LOADING, NULL,
			"the process is being started, its C library is not there yet");
}

/* musl: the dynamic linker is the C library, and tells debuggers before constructors run. */
static int is_c_library(struct session *s, struct object *linker)
{
	const struct symtab *symtab;
	struct symbol symbol;
	struct image *image;
	int r = image_of(s, linker, &image, &symtab);

	return r < 0 ? r
		     : symtab_find_export(symtab, "__libc_start_main", NULL, &symbol) >= 0 &&
			       symtab_find_export(symtab, "dlopen", NULL, &symbol) >= 0;
}

int hooks_find(struct session *session, struct hooks **ret)
{
	struct hooks *hooks = calloc(1, sizeof(*hooks));
	struct object *linker = NULL;
	int r;

	if (!hooks)
		return diag_oom(session->diag);
	hooks->plan.objects = hooks->objects;
	r = session->may_not_write
		    ? library_raise_not_followed(session, "it may not make or write code")
		    : filters_judge(session);
	if (r >= 0)
		r = find_brk(session, hooks, &linker);
	if (r >= 0)
		r = is_c_library(session, linker);
	if (r == 0)
		r = find_catch(session, hooks);
	if (r < 0) {
		hooks_free(hooks);
		return r;
	}
	*ret = hooks;
	return 0;
}

void hooks_free(struct hooks *hooks)
{
	for (int i = 0; hooks && i < HOOKS_MAX; i++)
		free(hooks->hooks[i].plan_func.ranges);
	free(hooks);
}

bool hooks_may_refuse(const struct hooks *hooks)
{
	return hooks->signal_error_addr;
}

/* --- in the target ----------------------------------------------------------------------------- */

static bool is_hooks(const struct upatch_region *region)
{
	return region->kind == UPATCH_REGION_HOOKS && region->state == UPATCH_REGION_MAPPED;
}

bool hooks_exist(const struct session *session)
{
	const struct upatch_record *head = session->record.head;

	for (int i = 0; head && i < UPATCH_REGIONS_MAX; i++)
		if (is_hooks(&head->regions[i]))
			return true;
	return false;
}

bool hooks_are_armed(const struct session *session)
{
	const struct record *record = &session->record;

	for (size_t i = 0; i < record->nr_islands; i++)
		if (is_hooks(&record->head->regions[record->islands[i].region]) &&
		    record->islands[i].head->nr_slots && record->islands[i].head->slots[0].is_armed)
			return true;
	return false;
}

bool hooks_are_needed(const struct session *session)
{
	const struct upatch_record *head = session->record.head;

	for (int i = 0; head && i < UPATCH_REGIONS_MAX; i++)
		if (head->regions[i].kind == UPATCH_REGION_TEMPLATE &&
		    head->regions[i].state != UPATCH_REGION_FREE)
			return true;
	return false;
}

uint64_t hooks_landing(const struct session *session)
{
	const struct upatch_record *head = session->record.head;

	for (int i = 0; head && i < UPATCH_REGIONS_MAX; i++)
		if (is_hooks(&head->regions[i]))
			return head->regions[i].addr + head->regions[i].text_size - LANDING_ROOM;
	return 0;
}

int hooks_map(struct session *session, struct hooks *hooks, uint64_t seq, struct rcall *rcall)
{
	int r = 0;

	for (size_t i = 0; i < hooks->plan.nr_objects && r >= 0; i++)
		r = island_map(session, &hooks->objects[i], seq, rcall);
	return r;
}

bool hooks_are_new(const struct hooks *hooks)
{
	return hooks->objects[0].island_region >= 0;
}

/* dlsym(3) comes by, too, and is not to take longer. */
static int guard(struct session *s, const struct plan_object *o, struct upatch_slot *slot)
{
	const struct arch_ops *arch = s->target->arch;
	uint8_t text[ARCH_SLOT_TEXT_MAX];
	unsigned int offset;
	int r;

	if (arch->slot->text_size > sizeof(text))
		return diag_err(s->diag, -ENOSPC, UPATCH_E_INTERNAL, NULL, "slots are too large");
	r = target_read(s->target, slot->text_addr, text, arch->slot->text_size);
	if (r < 0)
		return r;
	offset = arch->guard_write(text);
	r = arch->entry_jump(&o->funcs[0].entry, slot->text_addr + offset, slot->jump);
	if (r < 0)
		return diag_err(s->diag, r, UPATCH_E_RELOC_RANGE, NULL,
				"a hook is out of reach of its function");
	return target_write(s->target, 0, slot->text_addr, text, arch->slot->text_size);
}

/* The slot of a hook leads to the agent, and the agent to the function. */
static int write_one(struct session *s, struct hooks *hooks, size_t index)
{
	const struct arch_landing *landing = s->target->arch->landing;
	struct plan_object *o = &hooks->objects[index];
	struct upatch_region *region = &s->record.head->regions[o->island_region];
	struct upatch_slot *slot;
	int r;

	r = island_write(s, o);
	if (r < 0)
		return r;
	slot = record_slot_at(&s->record, o->funcs[0].slot_addr);
	slot->winner = slot->old = slot->new = agent_export_addr(s, hooks->hooks[index].handler);
	if (hooks->hooks[index].is_guarded)
		r = guard(s, o, slot);
	if (r >= 0)
		r = record_store_slot(&s->record, 0, slot, slot, sizeof(*slot));
	if (r >= 0)
		r = target_write(s->target, 0, region->addr + region->text_size - LANDING_ROOM,
				 landing->bytes, landing->size);
	if (r >= 0)
		r = agent_store_data(s, hooks->hooks[index].gateway_offset,
				     &o->funcs[0].gateway_addr, sizeof(uint64_t));
	/* It is everybody's from here on. */
	region->patch_seq = 0;
	return r < 0 ? r
		     : record_store(&s->record, 0, &region->patch_seq, sizeof(region->patch_seq));
}

static int write_agent_data(struct session *s, const struct hooks *hooks)
{
	struct linkmap_offsets offsets = linkmap_offsets(&s->objects);
	int r;

	r = agent_store_data(s, offsetof(struct upatch_agent_data, r_debug_addr),
			     &hooks->debug_addr, sizeof(hooks->debug_addr));
	if (r >= 0)
		r = agent_store_data(s, offsetof(struct upatch_agent_data, signal_error_addr),
				     &hooks->signal_error_addr, sizeof(hooks->signal_error_addr));
	if (r >= 0)
		r = agent_store_data(s, offsetof(struct upatch_agent_data, tls_module_offset),
				     &offsets, sizeof(offsets));
	return r;
}

int hooks_write(struct session *session, struct hooks *hooks)
{
	int r;

	r = write_agent_data(session, hooks);
	for (size_t i = 0; i < hooks->plan.nr_objects && r >= 0; i++)
		r = write_one(session, hooks, i);
	return r;
}

int hooks_arm(struct session *session, struct hooks *hooks)
{
	const size_t offset = offsetof(struct upatch_agent_data, armed);
	struct freeze freeze;
	uint64_t armed;
	int r;

	r = session_freeze(session, &freeze);
	if (r < 0)
		return r;
	r = plan_verify_entries(session, &hooks->plan);
	if (r >= 0)
		r = agent_load_data(session, offset, &armed, sizeof(armed));
	if (r >= 0) {
		armed++;
		r = agent_store_data(session, offset, &armed, sizeof(armed));
	}
	if (r >= 0)
		r = slots_write_entries(session, &hooks->plan, &freeze, freeze_any(&freeze));
	freeze_thaw(&freeze);
	return r < 0 ? r : wait_for_loaders(session);
}

int hooks_disarm(struct session *session)
{
	struct record *record = &session->record;
	struct freeze freeze;
	pid_t tracee;
	int r;

	r = session_freeze(session, &freeze);
	if (r < 0)
		return r;
	tracee = freeze_any(&freeze);
	for (size_t i = 0; i < record->nr_islands && r >= 0; i++) {
		struct upatch_slot *slot = &record->islands[i].head->slots[0];

		if (!is_hooks(&record->head->regions[record->islands[i].region]) ||
		    !record->islands[i].head->nr_slots || !slot->is_armed)
			continue;
		r = target_write(session->target, tracee, slot->entry_addr, slot->original,
				 slot->entry_size);
		slot->is_armed = 0;
		if (r >= 0)
			r = record_store_slot(record, tracee, slot, &slot->is_armed,
					      sizeof(slot->is_armed));
	}
	freeze_thaw(&freeze);
	return r;
}
