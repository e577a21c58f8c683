/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/plan.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "elf/function.h"
#include "elf/image.h"
#include "elf/symtab.h"
#include "livepatch/session.h"
#include "patchfile/patchfile.h"
#include "target/object.h"
#include "target/target.h"

void plan_deinit(struct plan *plan)
{
	for (size_t i = 0; i < plan->nr_objects; i++) {
		struct plan_object *o = &plan->objects[i];

		for (size_t n = 0; n < o->nr_funcs; n++)
			free(o->funcs[n].ranges);
		free(o->funcs);
		load_deinit(&o->load);
	}
	free(plan->objects);
	*plan = (struct plan){};
}

/* --- functions ------------------------------------------------------------------------------- */

static int find_symbol(struct session *s, const struct plan_object *o, const struct symtab *symtab,
		       const struct payload_func *func, struct symbol *ret)
{
	struct diag_where where = { .object = o->payload->object, .function = func->name };
	struct symbol known;
	int r;

	if (func->old_value) {
		/* The builder saw the symbols of this very build; here they may be stripped. */
		if (symtab_at(symtab, func->old_value, &known) == 0 &&
		    known.value == func->old_value && known.type == STT_GNU_IFUNC)
			return diag_err(s->diag, -EINVAL, UPATCH_E_IS_IFUNC, &where,
					"it is an indirect function");
		*ret = (struct symbol){
			.name = func->name,
			.value = func->old_value,
			.size = func->old_size,
			.type = STT_FUNC,
		};
	} else {
		r = symtab_find(symtab, s->diag, o->payload->object, func->name, func->sympos,
				SYMBOL_FUNC, ret);
		if (r < 0)
			return r;
	}
	if (ret->type == STT_GNU_IFUNC)
		return diag_err(s->diag, -EINVAL, UPATCH_E_IS_IFUNC, &where,
				"it is an indirect function");
	if (!ret->size || (func->old_size && func->old_size != ret->size))
		return diag_err(s->diag, -EINVAL, UPATCH_E_FUNCTION_SIZE, &where,
				"it has %llu bytes, the patch was made for %llu",
				(unsigned long long)ret->size, (unsigned long long)func->old_size);
	return 0;
}

/* Decide how the entry is overwritten, and remember where all code of the function is. */
static int plan_entry(struct session *s, struct plan_object *o, struct image *image,
		      const struct symbol *symbol, struct plan_func *f)
{
	struct diag_where saved = s->diag->scope;
	_cleanup_free_ struct arch_code *codes = NULL;
	struct function function;
	struct arch_func func;
	int r;

	r = function_find(s->diag, image, symbol, s->target->arch->find_branches, &function);
	if (r < 0)
		return r;
	codes = calloc(function.nr, sizeof(*codes));
	f->ranges = calloc(function.nr, sizeof(*f->ranges));
	if (!codes || !f->ranges) {
		function_deinit(&function);
		return diag_oom(s->diag);
	}
	f->nr_ranges = function.nr;
	for (size_t i = 0; i < function.nr; i++) {
		const struct function_piece *piece = &function.pieces[i];

		codes[i] = (struct arch_code){ piece->vaddr + o->bias, piece->bytes, piece->size };
		f->ranges[i] = (struct plan_range){ codes[i].addr, codes[i].size };
	}
	func = (struct arch_func){ codes, function.nr, function.padding };
	s->diag->scope.object = o->payload->object;
	s->diag->scope.function = f->func->name;
	r = s->target->arch->entry_plan(s->diag, &func, &f->entry);
	s->diag->scope = saved;
	function_deinit(&function);
	return r;
}

/* What is at the entry now: the function's own bytes, or our jump. */
static int verify_entry(struct session *s, const struct plan_object *o, const struct plan_func *f)
{
	struct diag_where where = { .object = o->payload->object, .function = f->func->name };
	const struct upatch_slot *slot = f->is_patched ? record_slot_at(&s->record, f->slot_addr)
						       : NULL;
	size_t size = slot ? slot->entry_size : f->entry.covered;
	const uint8_t *expected = slot ? slot->jump : f->entry.old;
	uint8_t now[ARCH_ENTRY_MAX];

	if (size > sizeof(now) || target_read(s->target, f->entry.addr, now, size) < 0)
		return diag_err(s->diag, -EFAULT, UPATCH_E_NO_OBJECT, &where,
				"its code at 0x%llx is not mapped any more",
				(unsigned long long)f->entry.addr);
	for (size_t i = 0; i < size; i++)
		if (now[i] != expected[i])
			return diag_err(
				s->diag, -EILSEQ, UPATCH_E_BYTES_DIFFER, &where,
				"byte %zu of its entry at 0x%llx is 0x%02x instead of 0x%02x%s", i,
				(unsigned long long)f->entry.addr, now[i], expected[i],
				now[i] == 0xcc ? " (a breakpoint or uprobe)" : "");
	return 0;
}

static int plan_func(struct session *s, struct plan_object *o, struct plan_func *f)
{
	const struct upatch_slot *slot;
	const struct symtab *symtab;
	struct image *image;
	struct symbol symbol;
	int r;

	r = object_image(&s->objects, o->object, &image);
	if (r >= 0)
		r = image_symtab(image, s->diag, &symtab);
	if (r >= 0)
		r = find_symbol(s, o, symtab, f->func, &symbol);
	if (r < 0)
		return r;
	f->old_addr = symbol.value + o->bias;
	f->old_size = symbol.size;
	f->new_size = o->payload->symbols[f->func->symbol].size;
	r = plan_entry(s, o, image, &symbol, f);
	if (r < 0)
		return r;
	slot = record_find_slot(&s->record, f->old_addr);
	f->is_patched = slot != NULL;
	if (slot) {
		const struct island *island = record_island_of(&s->record, slot);

		f->slot_addr = island->addr +
			       (uint64_t)((const uint8_t *)slot - (const uint8_t *)island->head);
		f->gateway_addr = record_gateway(&s->record, slot);
	} else {
		o->nr_new_slots++;
	}
	return verify_entry(s, o, f);
}

static int plan_funcs(struct session *s, struct plan_object *o, plan_func_fn fn, void *userdata)
{
	int first = 0;
	int r;

	o->funcs = calloc(o->payload->nr_funcs + 1, sizeof(*o->funcs));
	if (!o->funcs)
		return diag_oom(s->diag);
	o->nr_funcs = o->payload->nr_funcs;
	for (size_t i = 0; i < o->nr_funcs; i++) {
		o->funcs[i].func = &o->payload->funcs[i];
		r = plan_func(s, o, &o->funcs[i]);
		if (fn)
			fn(o, &o->funcs[i], r, userdata);
		if (r < 0 && !first)
			first = r;
		if (r < 0 && !fn)
			break;
	}
	return first;
}

/* --- objects --------------------------------------------------------------------------------- */

static int add_object(struct session *s, struct plan *plan, size_t *alloc,
		      const struct payload *payload, struct object *object)
{
	if (!array_grow(plan->objects, plan->nr_objects, *alloc))
		return diag_oom(s->diag);
	plan->objects[plan->nr_objects++] = (struct plan_object){
		.payload = payload,
		.object = object,
		.start = object->start,
		.end = object->end,
		.bias = object->bias,
		.payload_region = -1,
		.island_region = -1,
	};
	return 0;
}

static int raise_no_object(struct session *s, const struct payload *payload)
{
	struct diag_where where = { .object = payload->object };
	char wanted[2 * BUILD_ID_MAX + 1], found[2 * BUILD_ID_MAX + 1];

	for (size_t i = 0; i < s->objects.nr; i++) {
		struct object *o = &s->objects.objects[i];

		if (object_is_named(&s->objects, o, payload->object))
			return diag_err(s->diag, -ESTALE, UPATCH_E_BUILD_ID, &where,
					"the target has build ID %s of it, the patch is for %s",
					build_id_format(&o->build_id, found),
					build_id_format(&payload->build_id, wanted));
	}
	return diag_err(s->diag, -ENOENT, UPATCH_E_NO_OBJECT, &where,
			"the target has not loaded it");
}

/* Another payload of the patch is for the same object in another build, which is here. */
static bool has_alternative(struct session *s, const struct patchfile *file,
			    const struct payload *payload)
{
	for (size_t i = 0; i < file->nr_payloads; i++) {
		const struct payload *other = &file->payloads[i];

		if (other == payload || strcmp(other->object, payload->object) != 0)
			continue;
		for (size_t n = 0; n < s->objects.nr; n++)
			if (build_id_is_equal(&s->objects.objects[n].build_id, &other->build_id))
				return true;
	}
	return false;
}

static int match_objects(struct session *s, const struct patchfile *file, struct plan *plan)
{
	size_t alloc = 0;
	int r;

	for (size_t i = 0; i < file->nr_payloads; i++) {
		const struct payload *payload = &file->payloads[i];
		size_t before = plan->nr_objects;

		if (payload->machine != s->target->arch->machine)
			return diag_err(s->diag, -ENOEXEC, UPATCH_E_ARCHITECTURE, NULL,
					"the patch is for machine %u, the target is %s",
					payload->machine, s->target->arch->name);
		for (size_t n = 0; n < s->objects.nr; n++) {
			struct object *o = &s->objects.objects[n];

			if (!build_id_is_equal(&o->build_id, &payload->build_id))
				continue;
			r = add_object(s, plan, &alloc, payload, o);
			if (r < 0)
				return r;
		}
		if (plan->nr_objects == before && !has_alternative(s, file, payload))
			return raise_no_object(s, payload);
	}
	return 0;
}

int plan_new(struct session *session, const struct patchfile *file, plan_func_fn fn, void *userdata,
	     struct plan *ret)
{
	struct plan plan = { .file = file };
	int first = 0;
	int r;

	r = match_objects(session, file, &plan);
	for (size_t i = 0; i < plan.nr_objects && r >= 0; i++) {
		r = plan_funcs(session, &plan.objects[i], fn, userdata);
		if (r >= 0)
			r = load_layout(session, &plan.objects[i]);
		if (r < 0 && !first)
			first = r;
		if (fn)
			r = 0;
	}
	if (r >= 0)
		r = first;
	if (r < 0) {
		plan_deinit(&plan);
		return r;
	}
	*ret = plan;
	return 0;
}

int plan_verify_entries(struct session *session, const struct plan *plan)
{
	int r = 0;

	for (size_t i = 0; i < plan->nr_objects && r >= 0; i++)
		for (size_t n = 0; n < plan->objects[i].nr_funcs && r >= 0; n++)
			r = verify_entry(session, &plan->objects[i], &plan->objects[i].funcs[n]);
	return r;
}
