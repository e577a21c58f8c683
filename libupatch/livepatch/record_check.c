/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/record_check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "arch/arch.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "livepatch/record.h"
#include "target/target.h"

static const uint64_t highest_addr = 1ull << 47;

int record_raise_corrupt(struct target *target, const char *fmt, ...)
{
	_cleanup_free_ char *what = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&what, fmt, ap) < 0)
		what = NULL;
	va_end(ap);
	return diag_err(target->diag, -EBADMSG, UPATCH_E_RECORD_CORRUPT, NULL,
			"its record is damaged: %s", what ? what : "out of memory");
}

static bool is_user_range(uint64_t addr, uint64_t size)
{
	return size && addr >= UPATCH_PAGE_SIZE && addr < highest_addr &&
	       size < highest_addr - addr;
}

static bool is_known_region(const struct upatch_region *region)
{
	return region->state <= UPATCH_REGION_MAPPED && region->kind >= UPATCH_REGION_META &&
	       region->kind <= UPATCH_REGION_HOOKS && region->addr % UPATCH_PAGE_SIZE == 0 &&
	       region->size % UPATCH_PAGE_SIZE == 0 && is_user_range(region->addr, region->size) &&
	       region->text_size % UPATCH_PAGE_SIZE == 0 &&
	       region->ro_size % UPATCH_PAGE_SIZE == 0 && region->text_size <= region->size &&
	       region->ro_size <= region->size - region->text_size;
}

int record_check_head(struct target *target, const struct upatch_record *head, uint64_t addr)
{
	if (memcmp(head->magic, UPATCH_RECORD_MAGIC, sizeof(head->magic)) != 0)
		return record_raise_corrupt(target, "its magic is missing");
	if (head->version != UPATCH_ABI_VERSION)
		return diag_err(target->diag, -EPROTO, UPATCH_E_RECORD_VERSION, NULL,
				"its record has version %u, we know %d", head->version,
				UPATCH_ABI_VERSION);
	if (head->size != sizeof(*head))
		return record_raise_corrupt(target, "its header has %u bytes", head->size);
	if (head->self != addr)
		return record_raise_corrupt(target, "it is at 0x%llx and says 0x%llx",
					    (unsigned long long)addr,
					    (unsigned long long)head->self);
	for (size_t i = 0; i < UPATCH_REGIONS_MAX; i++)
		if (head->regions[i].state != UPATCH_REGION_FREE &&
		    !is_known_region(&head->regions[i]))
			return record_raise_corrupt(target, "region %zu", i);
	for (size_t i = 0; i < UPATCH_PATCHES_MAX; i++) {
		const struct upatch_patch_entry *entry = &head->patches[i];

		if (entry->state > UPATCH_PATCH_LOADED ||
		    entry->kept_reason > UPATCH_KEPT_UNKNOWN ||
		    (entry->state != UPATCH_PATCH_FREE && entry->state != UPATCH_PATCH_LOADING &&
		     !is_user_range(entry->meta_addr, entry->meta_size)))
			return record_raise_corrupt(target, "patch %zu", i);
	}
	return 0;
}

/* [offset, offset + nr * each) inside [from, size), aligned for what is there. */
static bool is_inside(uint64_t offset, uint64_t nr, uint64_t each, uint64_t size)
{
	return offset >= sizeof(struct upatch_meta) && offset % 8 == 0 && offset <= size &&
	       nr <= (size - offset) / each;
}

static bool is_name(const char *name, size_t size)
{
	size_t len = strnlen(name, size);

	if (len == size)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)name[i] < ' ' || (unsigned char)name[i] > '~')
			return false;
	return true;
}

static bool is_string(const struct upatch_meta *meta, uint32_t offset)
{
	return offset < meta->strings_size &&
	       is_name(meta_string(meta, offset), meta->strings_size - offset);
}

static bool is_in_payload(const struct upatch_meta_object *o, uint64_t addr, uint64_t size)
{
	return addr >= o->payload_addr && addr - o->payload_addr <= o->payload_size &&
	       size <= o->payload_size - (addr - o->payload_addr);
}

/* What will be called, and given to what is called. */
static bool has_sound_calls(const struct upatch_meta_object *o)
{
	if (o->frame_registered >> 2 * UPATCH_FRAME_COPIES || o->is_post_unpatch_armed > 1 ||
	    o->is_post_patch_due > 1)
		return false;
	if (o->frame_object_addr &&
	    (!is_in_payload(o, o->frame_object_addr,
			    UPATCH_FRAME_COPIES * UPATCH_FRAME_OBJECT_SIZE) ||
	     !is_in_payload(o, o->eh_frame_addr, sizeof(uint32_t))))
		return false;
	if (o->frame_registered && !o->frame_object_addr)
		return false;
	for (size_t i = 0; i < UPATCH_CALLBACKS; i++) {
		if (!o->callbacks[i])
			continue;
		if (o->callbacks[i] < o->payload_addr + UPATCH_TEXT_LEAD ||
		    o->callbacks[i] - o->payload_addr >= o->text_size ||
		    !is_in_payload(o, o->callback_arg_addr, sizeof(uint64_t)))
			return false;
	}
	return true;
}

static bool has_states_inside(const struct upatch_meta_object *o)
{
	if (!o->nr_states)
		return true;
	return o->states_addr % 8 == 0 && o->states_addr >= o->payload_addr &&
	       o->states_addr - o->payload_addr < o->payload_size &&
	       o->nr_states <= (o->payload_size - (o->states_addr - o->payload_addr)) /
				       sizeof(struct upatch_meta_state);
}

/* All but its name, and what it is made from, is 0. */
static bool is_sound_absent(const struct upatch_meta_object *o)
{
	static const struct upatch_meta_object none;

	return o->template_addr && o->end == none.end && !o->payload_addr && !o->payload_size &&
	       !o->text_size && !o->eh_frame_hdr_addr && !o->frame_object_addr &&
	       memcmp(o->callbacks, none.callbacks, sizeof(o->callbacks)) == 0 && !o->states_addr &&
	       !o->nr_states && !o->frame_registered;
}

static bool is_sound_object(const struct upatch_meta_object *o)
{
	if (!meta_object_is_here(o))
		return is_sound_absent(o);
	return is_user_range(o->start, o->end - o->start) &&
	       is_user_range(o->payload_addr, o->payload_size) && o->text_size <= o->payload_size &&
	       has_sound_calls(o) && has_states_inside(o) &&
	       (!o->eh_frame_hdr_addr ||
		(o->eh_frame_hdr_addr >= o->payload_addr &&
		 o->eh_frame_hdr_addr - o->payload_addr <= o->payload_size &&
		 o->eh_frame_hdr_size <=
			 o->payload_size - (o->eh_frame_hdr_addr - o->payload_addr)));
}

static bool is_sound_func(const struct upatch_meta *meta, const struct upatch_meta_func *f)
{
	const struct upatch_meta_object *o = &meta_objects(meta)[f->object];

	/* The agent fills them in before the object is there, and clears them behind it. */
	if (!meta_object_is_here(o))
		return true;
	for (uint32_t i = 0; i < f->nr_ranges; i++) {
		const struct upatch_meta_range *range = &meta_ranges(meta)[f->first_range + i];

		if (!is_user_range(range->addr, range->size))
			return false;
	}
	return is_user_range(f->old_addr, f->old_size) && is_user_range(f->new_addr, f->new_size) &&
	       f->new_addr >= o->payload_addr && f->new_addr - o->payload_addr < o->text_size;
}

static int check_meta_contents(struct target *target, const struct upatch_meta *meta)
{
	for (uint32_t i = 0; i < meta->nr_objects; i++) {
		const struct upatch_meta_object *o = &meta_objects(meta)[i];

		if (!is_string(meta, o->name) || o->build_id_size > UPATCH_BUILD_ID_SIZE ||
		    o->first_func > meta->nr_funcs ||
		    o->nr_funcs > meta->nr_funcs - o->first_func || !is_sound_object(o))
			return record_raise_corrupt(target, "patch '%s', object %u", meta->name, i);
	}
	for (uint32_t i = 0; i < meta->nr_funcs; i++) {
		const struct upatch_meta_func *f = &meta_funcs(meta)[i];

		if (f->object >= meta->nr_objects || !is_string(meta, f->name) ||
		    f->first_range > meta->nr_ranges ||
		    f->nr_ranges > meta->nr_ranges - f->first_range || !is_sound_func(meta, f))
			return record_raise_corrupt(target, "patch '%s', function %u", meta->name,
						    i);
	}
	return 0;
}

int record_check_meta(struct target *target, const struct upatch_meta *meta, uint64_t size)
{
	if (size < sizeof(*meta) ||
	    memcmp(meta->magic, UPATCH_META_MAGIC, sizeof(meta->magic)) != 0)
		return record_raise_corrupt(target, "a patch's meta has no magic");
	if (meta->version != UPATCH_ABI_VERSION)
		return diag_err(target->diag, -EPROTO, UPATCH_E_RECORD_VERSION, NULL,
				"a patch in it has version %u, we know %d", meta->version,
				UPATCH_ABI_VERSION);
	if (meta->size != size || !is_name(meta->name, sizeof(meta->name)) || !meta->name[0] ||
	    !is_name(meta->patch_version, sizeof(meta->patch_version)) ||
	    !is_inside(meta->objects_offset, meta->nr_objects, sizeof(struct upatch_meta_object),
		       size) ||
	    !is_inside(meta->funcs_offset, meta->nr_funcs, sizeof(struct upatch_meta_func), size) ||
	    !is_inside(meta->ranges_offset, meta->nr_ranges, sizeof(struct upatch_meta_range),
		       size) ||
	    !is_inside(meta->strings_offset, meta->strings_size, 1, size) || !meta->strings_size ||
	    meta_string(meta, meta->strings_size - 1)[0] != '\0')
		return record_raise_corrupt(target, "a patch's meta does not fit its mapping");
	return check_meta_contents(target, meta);
}

int record_check_island(struct target *target, const struct arch_ops *arch,
			const struct upatch_island *island, uint64_t size)
{
	if (size < sizeof(*island) ||
	    memcmp(island->magic, UPATCH_ISLAND_MAGIC, sizeof(island->magic)) != 0 ||
	    island->version != UPATCH_ABI_VERSION ||
	    island->nr_slots > (size - sizeof(*island)) / sizeof(island->slots[0]))
		return record_raise_corrupt(target, "an island has no or a wrong header");
	for (uint32_t i = 0; i < island->nr_slots; i++) {
		const struct upatch_slot *slot = &island->slots[i];

		if (slot->entry_size > UPATCH_ENTRY_MAX || slot->covered > UPATCH_ENTRY_MAX * 2 ||
		    slot->nr_insns > UPATCH_INSNS_MAX ||
		    slot->gateway_size > arch->slot->gateway_room ||
		    (slot->is_armed && (!is_user_range(slot->func_addr, slot->func_size) ||
					slot->entry_addr < slot->func_addr ||
					slot->entry_addr - slot->func_addr > slot->func_size ||
					!is_user_range(slot->text_addr, arch->slot->text_size))))
			return record_raise_corrupt(target, "slot %u of an island", i);
	}
	return 0;
}

int record_check_links(const struct record *record)
{
	for (size_t i = 0; record->addr && i < UPATCH_PATCHES_MAX; i++) {
		const struct upatch_meta *meta = record->metas[i];

		if (!meta)
			continue;
		if (meta->seq != record->head->patches[i].seq)
			return record_raise_corrupt(record->target,
						    "patch '%s' is not in its place", meta->name);
		if (record->head->patches[i].state == UPATCH_PATCH_UNLOADING ||
		    record->head->patches[i].state == UPATCH_PATCH_KEPT ||
		    record->head->patches[i].state == UPATCH_PATCH_LOADED)
			continue; /* its slots may be gone */
		for (uint32_t n = 0; n < meta->nr_funcs; n++)
			if (meta_objects(meta)[meta_funcs(meta)[n].object].start &&
			    !record_slot_at(record, meta_funcs(meta)[n].slot_addr))
				return record_raise_corrupt(record->target,
							    "patch '%s', function %u has no slot",
							    meta->name, n);
	}
	return 0;
}
