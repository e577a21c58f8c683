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
#include "livepatch/hooks.h"
#include "livepatch/session.h"
#include "livepatch/template.h"
#include "patchfile/patchfile.h"
#include "target/linkmap.h"
#include "target/object.h"
#include "target/target.h"

static void object_deinit(struct plan_object *o)
{
	for (size_t n = 0; n < o->nr_funcs; n++)
		free(o->funcs[n].ranges);
	free(o->funcs);
	load_deinit(&o->load);
}

void plan_object_free(struct plan_object *object)
{
	if (!object)
		return;
	object_deinit(object);
	free(object);
}

void plan_deinit(struct plan *plan)
{
	for (size_t i = 0; i < plan->nr_objects; i++)
		object_deinit(&plan->objects[i]);
	for (size_t i = 0; i < plan->nr_templates; i++)
		template_deinit(&plan->templates[i]);
	free(plan->objects);
	free(plan->templates);
	hooks_free(plan->hooks);
	free(plan->waits);
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
static int plan_pieces(struct session *s, struct plan_object *o, const struct function *function,
		       struct plan_func *f)
{
	_cleanup_free_ struct arch_code *codes = calloc(function->nr, sizeof(*codes));
	struct diag_where saved = s->diag->scope;
	struct arch_func func;
	int r;

	f->ranges = calloc(function->nr, sizeof(*f->ranges));
	if (!codes || !f->ranges)
		return diag_oom(s->diag);
	f->nr_ranges = function->nr;
	for (size_t i = 0; i < function->nr; i++) {
		const struct function_piece *piece = &function->pieces[i];

		codes[i] = (struct arch_code){ piece->vaddr + o->bias, piece->bytes, piece->size };
		f->ranges[i] = (struct plan_range){ codes[i].addr, codes[i].size };
	}
	func = (struct arch_func){ codes, function->nr, function->padding };
	s->diag->scope.object = o->payload->object;
	s->diag->scope.function = f->func->name;
	r = s->target->arch->entry_plan(s->diag, &func, &f->entry);
	s->diag->scope = saved;
	return r;
}

int plan_entry(struct session *session, struct plan_object *object, struct image *image,
	       const struct symbol *symbol, struct plan_func *f)
{
	struct function function;
	int r;

	f->old_addr = symbol->value + object->bias;
	f->old_size = symbol->size;
	r = function_find(session->diag, image, symbol, session->target->arch->find_branches,
			  &function);
	if (r < 0)
		return r;
	r = plan_pieces(session, object, &function, f);
	function_deinit(&function);
	return r;
}

/* The same from the patch file's copy of the code. */
static int plan_stored(struct session *s, struct plan_object *o, struct plan_func *f)
{
	const struct payload_func *func = f->func;
	_cleanup_free_ struct function_piece *pieces = calloc(func->nr_pieces, sizeof(*pieces));
	struct function function = { pieces, func->nr_pieces, func->padding };

	if (!pieces)
		return diag_oom(s->diag);
	for (size_t i = 0; i < func->nr_pieces; i++)
		pieces[i] = (struct function_piece){ func->pieces[i].vaddr, func->pieces[i].size,
						     func->pieces[i].bytes };
	f->old_addr = func->old_value;
	f->old_size = func->old_size;
	f->new_size = o->payload->symbols[func->symbol].size;
	return plan_pieces(s, o, &function, f);
}

int plan_object_new(struct session *session, const struct payload *payload,
		    struct plan_object **ret)
{
	struct plan_object *o = calloc(1, sizeof(*o));
	int r = 0;

	if (!o)
		return diag_oom(session->diag);
	*o = (struct plan_object){ .payload = payload, .payload_region = -1, .island_region = -1 };
	o->funcs = calloc(payload->nr_funcs + 1, sizeof(*o->funcs));
	if (!o->funcs)
		r = diag_oom(session->diag);
	for (size_t i = 0; i < payload->nr_funcs && r >= 0; i++) {
		o->nr_funcs++;
		o->funcs[i].func = &payload->funcs[i];
		r = plan_stored(session, o, &o->funcs[i]);
	}
	if (r >= 0)
		r = load_layout(session, o);
	if (r < 0) {
		plan_object_free(o);
		return r;
	}
	*ret = o;
	return 0;
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

static bool is_here(struct session *s, const struct payload *payload)
{
	for (size_t i = 0; i < s->objects.nr; i++)
		if (build_id_is_equal(&s->objects.objects[i].build_id, &payload->build_id))
			return true;
	return false;
}

/* Another payload of the patch is for the same object in another build, which is here. */
static bool has_alternative(struct session *s, const struct patchfile *file,
			    const struct payload *payload)
{
	for (size_t i = 0; i < file->nr_payloads; i++) {
		const struct payload *other = &file->payloads[i];

		if (other == payload || strcmp(other->object, payload->object) != 0)
			continue;
		if (is_here(s, other))
			return true;
	}
	return false;
}

/*
 * It came with the process, and never goes. What the dynamic linker's first list does not have is in
 * another namespace, or is just coming or going.
 */
static bool is_initial(const struct object *object, int nr_initial)
{
	return object->is_executable || *object->path == '[' ||
	       (object->load_order >= 0 && object->load_order < nr_initial);
}

/*
 * Does a payload need a template: is its library absent, or here but free to go? Copies of it that stay
 * are planned as all objects that stay.
 */
static bool is_for_template(struct session *s, const struct payload *payload)
{
	int nr_initial = linkmap_count_initial(&s->objects);
	bool stays = false;

	if (payload->is_executable || !payload->has_code)
		return false;
	for (size_t i = 0; i < s->objects.nr; i++) {
		struct object *o = &s->objects.objects[i];
		bool is_it = build_id_is_equal(&o->build_id, &payload->build_id);

		if (is_it && !is_initial(o, nr_initial))
			return true;
		/* Or another build of it does. */
		if (is_initial(o, nr_initial) &&
		    (is_it || object_is_named(&s->objects, o, payload->object)))
			stays = true;
	}
	return !stays;
}

/* Return: 1: there is a template; 0: it needs none; or -errno raised. */
static int add_template(struct session *s, struct plan *plan, const struct payload *payload,
			size_t *alloc)
{
	int r = 0;

	if (!is_for_template(s, payload))
		return 0;
	if (!plan->hooks)
		r = hooks_find(s, &plan->hooks);
	if (r < 0)
		return r;
	if (!array_grow(plan->templates, plan->nr_templates, *alloc))
		return diag_oom(s->diag);
	r = template_new(s, payload, &plan->templates[plan->nr_templates]);
	if (r < 0)
		return r;
	plan->nr_templates++;
	return 1;
}

static bool has_template(const struct plan *plan, const struct payload *payload)
{
	for (size_t i = 0; i < plan->nr_templates; i++)
		if (plan->templates[i].object->payload == payload)
			return true;
	return false;
}

/* Copies of the payload's object that are here. */
static int add_objects(struct session *s, struct plan *plan, const struct payload *payload,
		       size_t *alloc)
{
	bool may_go = has_template(plan, payload);
	int nr_initial = may_go ? linkmap_count_initial(&s->objects) : 0;
	int r = 0;

	for (size_t n = 0; n < s->objects.nr && r >= 0; n++) {
		struct object *o = &s->objects.objects[n];

		/* The agent places those that may go. */
		if (build_id_is_equal(&o->build_id, &payload->build_id) &&
		    (!may_go || is_initial(o, nr_initial)))
			r = add_object(s, plan, alloc, payload, o);
	}
	return r;
}

/*
 * Where libraries cannot be followed, what is here is patched as it is; unless nothing is, or the build of
 * one that may come is required.
 */
static bool can_do_without(struct session *s, const struct patchfile *file,
			   const struct payload *payload)
{
	if (is_here(s, payload))
		return true;
	for (size_t i = 0; i < file->nr_payloads; i++)
		if (is_here(s, &file->payloads[i]))
			return !payload->is_required;
	return false;
}

static int match_objects(struct session *s, const struct patchfile *file, struct plan *plan)
{
	size_t alloc = 0, alloc_templates = 0;
	int r;

	for (size_t i = 0; i < file->nr_payloads; i++) {
		const struct payload *payload = &file->payloads[i];
		size_t before = plan->nr_objects;
		bool is_left_out = false;

		if (payload->machine != s->target->arch->machine)
			return diag_err(s->diag, -ENOEXEC, UPATCH_E_ARCHITECTURE, NULL,
					"the patch is for machine %u, the target is %s",
					payload->machine, s->target->arch->name);
		r = add_template(s, plan, payload, &alloc_templates);
		if (r == -ENOTSUP && can_do_without(s, file, payload)) {
			diag_warn(s->diag, "target %d: object '%s': %s", (int)s->target->pid,
				  payload->object, s->diag->error.message);
			diag_clear(s->diag);
			is_left_out = true;
			r = 0;
		}
		if (r >= 0)
			r = add_objects(s, plan, payload, &alloc);
		if (r < 0)
			return r;
		if (!is_left_out && plan->nr_objects == before && !has_template(plan, payload) &&
		    !has_alternative(s, file, payload))
			return raise_no_object(s, payload);
	}
	return 0;
}

/* Whatever its build. */
static int note_waiting(struct session *s, struct plan *plan)
{
	const struct patchfile *file = plan->file;

	plan->waits = calloc(file->nr_payloads, sizeof(*plan->waits));
	if (!plan->waits)
		return diag_oom(s->diag);
	for (size_t i = 0; i < file->nr_payloads; i++)
		for (size_t n = 0; n < plan->nr_templates; n++)
			if (strcmp(plan->templates[n].object->payload->object,
				   file->payloads[i].object) == 0)
				plan->waits[i] = true;
	return 0;
}

int plan_new(struct session *session, const struct patchfile *file, plan_func_fn fn, void *userdata,
	     struct plan *ret)
{
	struct plan plan = { .file = file };
	int first = 0;
	int r;

	r = match_objects(session, file, &plan);
	if (r >= 0)
		r = note_waiting(session, &plan);
	for (size_t i = 0; i < plan.nr_objects && r >= 0; i++) {
		plan.objects[i].waits = plan.waits;
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
