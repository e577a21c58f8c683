/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/ehframe.h"

#include <errno.h>
#include <string.h>
#include <upatch/abi.h>

#include "base/diag.h"
#include "elf/image.h"
#include "elf/symtab.h"
#include "livepatch/call.h"
#include "livepatch/library.h"
#include "livepatch/session.h"
#include "target/target.h"

enum {
	BASES_OFFSET = 96, /* of struct dwarf_eh_bases, 24 bytes, behind struct object */
	HDR_TABLE = 8,	   /* in .eh_frame_hdr */
};

/* A program may have both. */
enum copy {
	COPY_SHARED = 0,     /* libgcc_s.so */
	COPY_EXECUTABLE = 1, /* linked into the program */
};

static struct object *find_copy(struct session *s, enum copy copy)
{
	for (size_t i = 0; i < s->objects.nr; i++) {
		struct object *o = &s->objects.objects[i];

		if (copy == COPY_EXECUTABLE
			    ? o->is_executable
			    : strncmp(o->name, "libgcc_s.so", strlen("libgcc_s.so")) == 0)
			return o;
	}
	return NULL;
}

/* Address of a function of that name in a copy, 0: there is none. */
static uint64_t find(struct session *s, enum copy copy, const char *name)
{
	struct object *o = find_copy(s, copy);
	const struct symtab *symtab;
	struct image *image;
	struct symbol symbol;

	if (!o || object_image(&s->objects, o, &image) < 0 ||
	    image_symtab(image, NULL, &symtab) < 0 ||
	    symtab_find(symtab, NULL, o->name, name, 0, SYMBOL_FUNC, &symbol) < 0 || !symbol.value)
		return 0;
	return symbol.value + o->bias;
}

static bool has_copy(struct session *s, enum copy copy)
{
	return find(s, copy, "__register_frame_info") && find(s, copy, "__deregister_frame_info") &&
	       find(s, copy, "_Unwind_Find_FDE");
}

bool ehframe_is_wanted(struct session *session)
{
	return has_copy(session, COPY_SHARED) || has_copy(session, COPY_EXECUTABLE);
}

/* Our copy of the meta is what we change and store. */
static struct upatch_meta_object *objects_of(struct session *s, size_t patch)
{
	return (struct upatch_meta_object *)meta_objects(s->record.metas[patch]);
}

/* One object of a patch, and one copy of libgcc. */
struct pair {
	struct session *session;
	size_t patch;
	struct upatch_meta_object *object;
	enum copy copy;
};

static uint64_t room_of(const struct pair *p)
{
	return p->object->frame_object_addr + p->copy * UPATCH_FRAME_OBJECT_SIZE;
}

static int call(const struct pair *p, const char *name, uint64_t a, uint64_t b, uint64_t *ret)
{
	const struct call call = {
		.what = name,
		.object = meta_string(p->session->record.metas[p->patch], p->object->name),
		.addr = find(p->session, p->copy, name),
		.args = { a, b },
		.landing_addr = p->object->payload_addr + UPATCH_TEXT_LANDING,
	};

	/* Unloaded meanwhile, and its list with it. */
	if (!call.addr) {
		*ret = 0;
		return 0;
	}
	return call_function(p->session, &call, ret);
}

/* What may come and go is registered and deregistered by the agent. */
static bool is_ours(const struct upatch_meta_object *o)
{
	return o->frame_object_addr && !o->template_addr;
}

bool ehframe_is_due(const struct session *session, size_t patch)
{
	const struct upatch_meta *meta = session->record.metas[patch];

	for (uint32_t i = 0; i < meta->nr_objects; i++)
		if (is_ours(&meta_objects(meta)[i]))
			return true;
	return false;
}

/*
 * The first address in the payload's .eh_frame_hdr, which is sorted, so that an FDE covers it; 0:
 * there is none. The table begins with the number of entries at 8; LSB Core, 10.6.2.
 */
static uint64_t first_pc(struct session *s, const struct upatch_meta_object *o)
{
	struct {
		uint32_t nr;
		int32_t pc;
	} table;

	if (o->eh_frame_hdr_size < HDR_TABLE + sizeof(table) ||
	    target_read(s->target, o->eh_frame_hdr_addr + HDR_TABLE, &table, sizeof(table)) < 0 ||
	    !table.nr)
		return 0;
	return o->eh_frame_hdr_addr + (uint64_t)(int64_t)table.pc;
}

/* Copies of which it is known, and copies of which it may be. */
static int store(const struct pair *p, uint32_t set, uint32_t clear)
{
	struct upatch_meta_object *o = p->object;

	o->frame_registered = (o->frame_registered & ~clear) | set;
	return record_store_meta(&p->session->record, p->patch, &o->frame_registered,
				 sizeof(o->frame_registered));
}

static uint32_t known(const struct pair *p)
{
	return 1u << p->copy;
}

static uint32_t doubt(const struct pair *p)
{
	return 1u << (p->copy + UPATCH_FRAME_COPIES);
}

static int register_one(const struct pair *p)
{
	uint64_t ignored; /* it is void */
	int r;

	r = store(p, doubt(p), 0);
	if (r >= 0)
		r = call(p, "__register_frame_info", p->object->eh_frame_addr, room_of(p),
			 &ignored);
	return r < 0 ? r : store(p, known(p), doubt(p));
}

/*
 * When we died in the middle, the call went on without us, or did not begin. libgcc aborts when it is
 * to forget what it does not know: so it is asked, by a look-up that finds nothing where nothing is.
 */
static int resolve_doubt(const struct pair *p)
{
	uint64_t fde;
	int r;

	if (!(p->object->frame_registered & doubt(p)))
		return 0;
	r = call(p, "_Unwind_Find_FDE", first_pc(p->session, p->object), room_of(p) + BASES_OFFSET,
		 &fde);
	if (r < 0)
		return r;
	return fde ? store(p, known(p), doubt(p)) : store(p, 0, known(p) | doubt(p));
}

static int deregister_one(const struct pair *p)
{
	uint64_t ignored; /* what it was registered with */
	int r;

	r = resolve_doubt(p);
	if (r < 0 || !(p->object->frame_registered & known(p)))
		return r;
	r = store(p, doubt(p), known(p));
	if (r >= 0)
		r = call(p, "__deregister_frame_info", p->object->eh_frame_addr, 0, &ignored);
	return r < 0 ? r : store(p, 0, doubt(p));
}

int ehframe_register(struct session *session, size_t patch)
{
	struct upatch_meta_object *objects = objects_of(session, patch);
	size_t nr = session->record.metas[patch]->nr_objects;
	int r = 0;

	for (size_t i = 0; i < nr * UPATCH_FRAME_COPIES && r >= 0; i++) {
		const struct pair pair = { session, patch, &objects[i / UPATCH_FRAME_COPIES],
					   (enum copy)(i % UPATCH_FRAME_COPIES) };

		if (is_ours(pair.object) && first_pc(session, pair.object) &&
		    has_copy(session, pair.copy))
			r = register_one(&pair);
	}
	if (r < 0)
		(void)ehframe_deregister(session, patch); /* else the meta says what is left */
	return r;
}

int ehframe_deregister(struct session *session, size_t patch)
{
	struct upatch_meta_object *objects = objects_of(session, patch);
	size_t nr = session->record.metas[patch]->nr_objects;
	bool has_libraries = false;
	int r = 0;

	for (size_t i = 0; i < nr * UPATCH_FRAME_COPIES && r >= 0; i++) {
		const struct pair pair = { session, patch, &objects[i / UPATCH_FRAME_COPIES],
					   (enum copy)(i % UPATCH_FRAME_COPIES) };

		if (!pair.object->template_addr)
			r = deregister_one(&pair);
		else
			has_libraries = has_libraries || pair.object->frame_registered;
	}
	return r >= 0 && has_libraries ? library_forget(session, patch) : r;
}
