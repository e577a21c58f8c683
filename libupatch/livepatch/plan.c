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
	for (size_t i = 0; i < plan->nr_movables; i++)
		object_deinit(&plan->movables[i]);
	free(plan->movables);
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
	f->old_addr = func->old_value + o->bias;
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

/* Return: another patch's, or NULL. */
static const struct upatch_slot *find_slot(const struct session *s, struct plan_func *f)
{
	const struct upatch_slot *slot = record_find_slot(&s->record, f->old_addr);
	const struct island *island = slot ? record_island_of(&s->record, slot) : NULL;

	f->is_patched = slot != NULL;
	if (!slot)
		return NULL;
	f->slot_addr =
		island->addr + (uint64_t)((const uint8_t *)slot - (const uint8_t *)island->head);
	f->gateway_addr = record_gateway(&s->record, slot);
	return slot;
}

static int plan_func(struct session *s, struct plan_object *o, struct plan_func *f)
{
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
	if (!find_slot(s, f))
		o->nr_new_slots++;
	return verify_entry(s, o, f);
}

/* As the agent does it: by what the patch file has of the code. */
static int plan_movable(struct session *s, struct plan_object *o, struct plan_func *f)
{
	int r;

	r = plan_stored(s, o, f);
	if (r < 0)
		return r;
	(void)find_slot(s, f); /* which is for verify_entry() */
	return verify_entry(s, o, f);
}

static int plan_funcs(struct session *s, struct plan_object *o,
		      const struct plan_listener *listener)
{
	int first = 0;
	int r;

	o->funcs = calloc(o->payload->nr_funcs + 1, sizeof(*o->funcs));
	if (!o->funcs)
		return diag_oom(s->diag);
	o->nr_funcs = o->payload->nr_funcs;
	for (size_t i = 0; i < o->nr_funcs; i++) {
		o->funcs[i].func = &o->payload->funcs[i];
		r = o->is_movable ? plan_movable(s, o, &o->funcs[i])
				  : plan_func(s, o, &o->funcs[i]);
		if (listener)
			listener->func(o->payload, &o->funcs[i], r, listener->userdata);
		if (r < 0 && !first)
			first = r;
		if (r < 0 && !listener)
			break;
	}
	return first;
}

/* --- objects --------------------------------------------------------------------------------- */

/*
 * The search for all that a patch changes. Without a listener it ends with the first failure.
 * @first: failure, whatever it was about; @cause: of the first that the listener has not taken
 */
struct search {
	struct session *session;
	const struct patchfile *file;
	const struct plan_listener *listener;
	struct plan *plan;
	size_t alloc_objects, alloc_templates, alloc_movables;
	int first;
	struct upatch_error cause;
};

/* Return: @r, or 0 where the search goes on nevertheless. */
static int keep_failure(struct search *search, int r)
{
	struct diag *d = search->session->diag;

	if (r >= 0 || !search->listener)
		return r;
	if (!search->first)
		search->first = r;
	if (search->cause.reason == UPATCH_E_NONE)
		search->cause = diag_set_aside(d);
	else
		diag_clear(d);
	return 0;
}

static struct plan_object object_of(const struct payload *payload, struct object *object)
{
	return (struct plan_object){
		.payload = payload,
		.object = object,
		.start = object->start,
		.end = object->end,
		.bias = object->bias,
		.payload_region = -1,
		.island_region = -1,
	};
}

static int add_object(struct search *search, const struct payload *payload, struct object *object)
{
	struct plan *plan = search->plan;

	if (!array_grow(plan->objects, plan->nr_objects, search->alloc_objects))
		return diag_oom(search->session->diag);
	plan->objects[plan->nr_objects++] = object_of(payload, object);
	return 0;
}

static int add_movable(struct search *search, const struct payload *payload, struct object *object)
{
	struct plan *plan = search->plan;

	if (!array_grow(plan->movables, plan->nr_movables, search->alloc_movables))
		return diag_oom(search->session->diag);
	plan->movables[plan->nr_movables] = object_of(payload, object);
	plan->movables[plan->nr_movables++].is_movable = true;
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
static int add_template(struct search *search, const struct payload *payload)
{
	struct session *s = search->session;
	struct diag_where saved = s->diag->scope;
	struct plan *plan = search->plan;
	int r = 0;

	if (!is_for_template(s, payload))
		return 0;
	s->diag->scope.object = payload->object;
	if (!plan->hooks)
		r = hooks_find(s, &plan->hooks);
	s->diag->scope = saved;
	if (r < 0)
		return r;
	if (!array_grow(plan->templates, plan->nr_templates, search->alloc_templates))
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
static int add_objects(struct search *search, const struct payload *payload)
{
	struct session *s = search->session;
	bool may_go = has_template(search->plan, payload);
	int nr_initial = may_go ? linkmap_count_initial(&s->objects) : 0;
	int r = 0;

	for (size_t n = 0; n < s->objects.nr && r >= 0; n++) {
		struct object *o = &s->objects.objects[n];

		if (!build_id_is_equal(&o->build_id, &payload->build_id))
			continue;
		/* The agent places those that may go. */
		if (!may_go || is_initial(o, nr_initial))
			r = add_object(search, payload, o);
		else if (search->listener)
			r = add_movable(search, payload, o);
	}
	return r;
}

/* --- telling ----------------------------------------------------------------------------------- */

/* A function of an object that is not loaded: what can be said of it without. Return: 0, or raised. */
static int look_at_stored(struct session *s, const struct payload *payload,
			  const struct payload_func *func)
{
	struct plan_object o = { .payload = payload };
	struct plan_func f = { .func = func };
	int r;

	r = plan_stored(s, &o, &f);
	free(f.ranges);
	return r;
}

/*
 * An object that will not be planned.
 * @error: what has been raised about it, or 0; stays raised, unless a function is to blame, which is told
 */
static void tell_object(struct search *search, const struct payload *payload,
			enum plan_presence presence, int error)
{
	const struct plan_listener *listener = search->listener;
	struct session *s = search->session;
	const struct plan_finding finding = {
		.payload = payload,
		.presence = presence,
		.is_exclusive = presence == PLAN_WAITING && payload->is_required &&
				hooks_may_refuse(search->plan->hooks),
		.error = error,
	};
	struct upatch_error cause;
	bool is_told = false;

	if (!listener)
		return;
	cause = diag_set_aside(s->diag);
	for (size_t i = 0; i < payload->nr_funcs; i++) {
		const struct plan_func f = { .func = &payload->funcs[i] };
		int r = payload->has_code ? look_at_stored(s, payload, f.func) : 0;

		is_told |= r < 0;
		listener->func(payload, &f, r, listener->userdata);
	}
	diag_put_back(s->diag, &cause);
	if (is_told)
		diag_clear(s->diag);
	listener->object(&finding, listener->userdata);
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

/* It is not planned, and nothing waits for it. Return: 0, or -errno raised. */
static int miss_object(struct search *search, const struct payload *payload)
{
	int r;

	if (has_alternative(search->session, search->file, payload)) {
		tell_object(search, payload, PLAN_NOT_NEEDED, 0);
		return 0;
	}
	r = raise_no_object(search->session, payload);
	tell_object(search, payload, PLAN_ABSENT, r);
	return r;
}

/* Libraries are not followed: what is here stays here, what is not does without. */
static void leave_out(struct search *search, const struct payload *payload, int error)
{
	struct session *s = search->session;

	diag_warn(s->diag, "target %d: object '%s': %s", (int)s->target->pid, payload->object,
		  s->diag->error.message);
	if (!is_here(s, payload))
		tell_object(search, payload, PLAN_ABSENT, error);
	diag_clear(s->diag);
}

static int match_payload(struct search *search, const struct payload *payload)
{
	struct session *s = search->session;
	const struct plan *plan = search->plan;
	const size_t before = plan->nr_objects + plan->nr_movables;
	bool is_left_out;
	int r;

	r = add_template(search, payload);
	is_left_out = r < 0 && s->diag->error.reason == UPATCH_E_NOT_FOLLOWED &&
		      can_do_without(s, search->file, payload);
	if (is_left_out) {
		leave_out(search, payload, r);
	} else if (r < 0) {
		tell_object(search, payload, is_here(s, payload) ? PLAN_LOADED : PLAN_ABSENT, r);
		return r;
	}
	r = add_objects(search, payload);
	if (r < 0 || is_left_out || plan->nr_objects + plan->nr_movables > before)
		return r;
	if (!has_template(plan, payload))
		return miss_object(search, payload);
	tell_object(search, payload, PLAN_WAITING, 0);
	return 0;
}

static int match_objects(struct search *search)
{
	const struct arch_ops *arch = search->session->target->arch;
	const struct patchfile *file = search->file;
	int r = 0;

	for (size_t i = 0; i < file->nr_payloads && r >= 0; i++) {
		const struct payload *payload = &file->payloads[i];

		if (payload->machine != arch->machine)
			return diag_err(search->session->diag, -ENOEXEC, UPATCH_E_ARCHITECTURE,
					NULL, "the patch is for machine %u, the target is %s",
					payload->machine, arch->name);
		r = keep_failure(search, match_payload(search, payload));
	}
	return r;
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

static int plan_object(struct search *search, struct plan_object *o)
{
	const struct plan_listener *listener = search->listener;
	struct plan_finding finding = { .payload = o->payload, .presence = PLAN_LOADED };
	int r;

	o->waits = search->plan->waits;
	r = plan_funcs(search->session, o, listener);
	if (r >= 0)
		r = finding.error = load_layout(search->session, o);
	if (listener)
		listener->object(&finding, listener->userdata);
	return keep_failure(search, r);
}

static int search_all(struct search *search)
{
	struct plan *plan = search->plan;
	int r;

	r = match_objects(search);
	if (r >= 0)
		r = note_waiting(search->session, plan);
	for (size_t i = 0; i < plan->nr_objects && r >= 0; i++)
		r = plan_object(search, &plan->objects[i]);
	for (size_t i = 0; i < plan->nr_movables && r >= 0; i++)
		r = plan_object(search, &plan->movables[i]);
	return r;
}

int plan_new(struct session *session, const struct patchfile *file,
	     const struct plan_listener *listener, struct plan *ret)
{
	struct plan plan = { .file = file };
	struct search search = {
		.session = session,
		.file = file,
		.listener = listener,
		.plan = &plan,
		.cause = { .message = "" },
	};
	int r;

	r = search_all(&search);
	if (search.first) {
		diag_put_back(session->diag, &search.cause);
		r = search.first;
	}
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
