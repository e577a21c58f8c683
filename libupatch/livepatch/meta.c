/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/meta.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <upatch/abi.h>

#include "base/array.h"
#include "base/diag.h"
#include "livepatch/plan.h"
#include "livepatch/record.h"
#include "livepatch/session.h"
#include "livepatch/state.h"
#include "livepatch/template.h"
#include "patchfile/patchfile.h"

struct meta_sizes {
	size_t objects;
	size_t funcs;
	size_t ranges;
	size_t strings;
};

static void add_sizes(const struct plan_object *o, size_t copies, struct meta_sizes *sizes)
{
	sizes->objects += copies;
	sizes->funcs += copies * o->nr_funcs;
	sizes->strings += copies * (strlen(o->payload->object) + 1);
	for (size_t n = 0; n < o->nr_funcs; n++) {
		sizes->ranges += copies * o->funcs[n].nr_ranges;
		sizes->strings += copies * (strlen(o->funcs[n].func->name) + 1);
	}
}

static struct meta_sizes measure(const struct plan *plan)
{
	struct meta_sizes sizes = { .strings = 1 };

	for (size_t i = 0; i < plan->nr_objects; i++)
		add_sizes(&plan->objects[i], 1, &sizes);
	for (size_t i = 0; i < plan->nr_templates; i++)
		add_sizes(plan->templates[i].object, plan->templates[i].nr_copies, &sizes);
	return sizes;
}

static uint32_t add_string(struct upatch_meta *meta, const char *s)
{
	uint32_t offset = meta->strings_size;
	size_t size = strlen(s) + 1;

	memcpy((char *)meta + meta->strings_offset + offset, s, size);
	meta->strings_size += (uint32_t)size;
	return offset;
}

static void fill_object(struct upatch_meta *meta, const struct plan_object *o,
			struct upatch_meta_object *ret)
{
	const struct load *load = &o->load;
	const struct payload_section *states = state_section(o->payload);

	*ret = (struct upatch_meta_object){
		.name = add_string(meta, o->payload->object),
		.build_id_size = o->payload->build_id.size,
		.start = o->start,
		.end = o->end,
		.payload_addr = load->addr,
		.payload_size = load->size,
		.text_size = load->text_size,
		.eh_frame_hdr_addr =
			load->eh_frame_hdr_size ? load->addr + load->eh_frame_hdr_offset : 0,
		.eh_frame_hdr_size = load->eh_frame_hdr_size,
		.first_func = meta->nr_funcs,
		.nr_funcs = (uint32_t)o->nr_funcs,
		.flags = o->payload->is_required ? UPATCH_OBJECT_REQUIRED : 0u,
	};
	if (load->frame_object_offset) {
		ret->eh_frame_addr = load->addr + load->eh_frame_offset;
		ret->frame_object_addr = load->addr + load->frame_object_offset;
	}
	if (load->callback_arg_offset)
		ret->callback_arg_addr = load->addr + load->callback_arg_offset;
	for (size_t i = 0; i < UPATCH_CALLBACKS; i++)
		if (o->payload->callbacks[i])
			ret->callbacks[i] = load_symbol_addr(o, o->payload->callbacks[i]);
	if (states) {
		ret->states_addr =
			load->addr + load->section_offsets[states - o->payload->sections];
		ret->nr_states = states->size / sizeof(struct upatch_meta_state);
	}
	memcpy(ret->build_id, o->payload->build_id.bytes, o->payload->build_id.size);
}

/* One copy of a library that is not there. */
static void add_absent(struct upatch_meta *meta, const struct session *s, const struct template *t)
{
	const struct plan_object *o = t->object;
	struct upatch_meta_object *ret =
		(struct upatch_meta_object *)meta_objects(meta) + meta->nr_objects;
	struct upatch_meta_func *funcs = (struct upatch_meta_func *)meta_funcs(meta);

	*ret = (struct upatch_meta_object){
		.name = add_string(meta, o->payload->object),
		.build_id_size = o->payload->build_id.size,
		.template_addr = t->region < 0 ? 0 : s->record.head->regions[t->region].addr,
		.template_size = (uint32_t)t->size,
		.first_func = meta->nr_funcs,
		.nr_funcs = (uint32_t)o->nr_funcs,
		.flags = o->payload->is_required ? UPATCH_OBJECT_REQUIRED : 0u,
	};
	memcpy(ret->build_id, o->payload->build_id.bytes, o->payload->build_id.size);
	for (size_t i = 0; i < o->nr_funcs; i++) {
		funcs[meta->nr_funcs++] = (struct upatch_meta_func){
			.name = add_string(meta, o->funcs[i].func->name),
			.sympos = o->funcs[i].func->sympos,
			.object = meta->nr_objects,
			.first_range = meta->nr_ranges,
			.nr_ranges = (uint32_t)o->funcs[i].nr_ranges,
		};
		meta->nr_ranges += (uint32_t)o->funcs[i].nr_ranges;
	}
	meta->nr_objects++;
}

static void fill_func(struct upatch_meta *meta, uint32_t object, const struct plan_func *f,
		      struct upatch_meta_func *ret)
{
	struct upatch_meta_range *ranges = (void *)((uint8_t *)meta + meta->ranges_offset);

	*ret = (struct upatch_meta_func){
		.name = add_string(meta, f->func->name),
		.sympos = f->func->sympos,
		.object = object,
		.first_range = meta->nr_ranges,
		.nr_ranges = (uint32_t)f->nr_ranges,
		.old_addr = f->old_addr,
		.old_size = f->old_size,
		.new_addr = f->new_addr,
		.new_size = f->new_size,
		.slot_addr = f->slot_addr,
	};
	for (size_t i = 0; i < f->nr_ranges; i++)
		ranges[meta->nr_ranges++] = (struct upatch_meta_range){
			f->ranges[i].addr,
			f->ranges[i].size,
		};
}

int meta_new(const struct session *session, const struct plan *plan, uint64_t seq,
	     struct upatch_meta **ret)
{
	struct meta_sizes sizes = measure(plan);
	uint64_t objects = ALIGN_UP((uint64_t)sizeof(struct upatch_meta), (uint64_t)8);
	uint64_t funcs = objects + sizes.objects * sizeof(struct upatch_meta_object);
	uint64_t ranges = funcs + sizes.funcs * sizeof(struct upatch_meta_func);
	uint64_t strings = ranges + sizes.ranges * sizeof(struct upatch_meta_range);
	uint64_t size = ALIGN_UP(strings + sizes.strings, (uint64_t)8);
	struct upatch_meta *meta;

	/* The next one to come would not read it, and could not revert the patch. */
	if (size > RECORD_METAS_SIZE_MAX - record_metas_size(&session->record))
		return diag_err(session->diag, -EFBIG, UPATCH_E_NO_ROOM, NULL,
				"the patch's description needs %llu bytes",
				(unsigned long long)size);
	meta = calloc(1, size);
	if (!meta)
		return diag_oom(session->diag);
	*meta = (struct upatch_meta){
		.version = UPATCH_ABI_VERSION,
		.size = (uint32_t)size,
		.seq = seq,
		.enabled_at = (uint64_t)time(NULL),
		.flags = (plan->file->replace ? UPATCH_META_REPLACE : 0u) |
			 (plan->file->strict ? UPATCH_META_STRICT : 0u),
		.objects_offset = (uint32_t)objects,
		.funcs_offset = (uint32_t)funcs,
		.ranges_offset = (uint32_t)ranges,
		.strings_offset = (uint32_t)strings,
		.digest = plan->file->digest,
	};
	memcpy(meta->magic, UPATCH_META_MAGIC, sizeof(meta->magic));
	/* The patch file's reader bounds both. */
	strncpy(meta->name, plan->file->name, sizeof(meta->name) - 1);
	strncpy(meta->patch_version, plan->file->version, sizeof(meta->patch_version) - 1);
	for (uint32_t i = 0; i < plan->nr_objects; i++) {
		const struct plan_object *o = &plan->objects[i];

		fill_object(meta, o, (struct upatch_meta_object *)meta_objects(meta) + i);
		meta->nr_objects++;
		for (size_t n = 0; n < o->nr_funcs; n++)
			fill_func(meta, i, &o->funcs[n],
				  (struct upatch_meta_func *)meta_funcs(meta) + meta->nr_funcs++);
	}
	for (size_t i = 0; i < plan->nr_templates; i++)
		for (size_t n = 0; n < plan->templates[i].nr_copies; n++)
			add_absent(meta, session, &plan->templates[i]);
	meta->strings_size = (uint32_t)(size - strings); /* the rest is zero, as is the last byte */
	*ret = meta;
	return 0;
}
