/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/part.h"

#include "agent/agent.h"
#include "agent/bytes.h"
#include "agent/room.h"

enum {
	CHUNK = 32, /* functions that are stored at a time */
};

static const struct upatch_template_func *template_funcs(const struct upatch_template *t)
{
	return (const void *)((const uint8_t *)t + t->funcs_offset);
}

static const struct upatch_meta_range *template_ranges(const struct upatch_template *t)
{
	return (const void *)((const uint8_t *)t + t->ranges_offset);
}

static const char *func_name(const struct part *p, uint32_t index)
{
	return (const char *)p->template + p->template->strings_offset +
	       template_funcs(p->template)[index].name;
}

static int refuse(struct part_refusal *ret, uint32_t reason, long error, const char *detail)
{
	*ret = (struct part_refusal){ reason, (int32_t)error, detail };
	return -1;
}

/* --- scratch ----------------------------------------------------------------------------------- */

static size_t take(size_t *at, size_t size)
{
	size_t offset = *at;

	*at += (size_t)align_up(size, 16);
	return offset;
}

static uint64_t island_size(const struct upatch_template *t)
{
	return (uint64_t)t->island_text_size + t->island_ro_size;
}

/* All that is computed before anything is written, in one mapping. */
static int get_scratch(struct part *p, struct part_refusal *ret)
{
	const struct upatch_template *t = p->template;
	size_t size = 0;
	size_t payload = take(&size, t->payload_size);
	size_t island = take(&size, island_size(t));
	size_t funcs = take(&size, t->nr_funcs * sizeof(*p->funcs));
	size_t ranges = take(&size, t->nr_ranges * sizeof(*p->ranges));
	size_t values = take(&size, t->nr_symbols * sizeof(*p->values));
	size_t gateways = take(&size, t->nr_funcs * sizeof(*p->gateways));
	long addr = sys_mmap(NULL, size, SYS_PROT_READ | SYS_PROT_WRITE,
			     SYS_MAP_PRIVATE | SYS_MAP_ANONYMOUS, -1, 0);

	if (addr < 0 && addr >= -4095)
		return refuse(ret, UPATCH_REFUSED_NO_ROOM, addr, NULL);
	p->scratch = (uint8_t *)addr;
	p->scratch_size = size;
	p->payload_bytes = p->scratch + payload;
	p->island_bytes = p->scratch + island;
	p->funcs = (void *)(p->scratch + funcs);
	p->ranges = (void *)(p->scratch + ranges);
	p->values = (void *)(p->scratch + values);
	p->gateways = (void *)(p->scratch + gateways);
	memcpy(p->payload_bytes, (const uint8_t *)t + t->payload_offset, t->payload_stored);
	memcpy(p->island_bytes, (const uint8_t *)t + t->island_text, t->island_text_size);
	return 0;
}

void part_done(struct part *part)
{
	if (part->scratch)
		(void)sys_munmap(part->scratch, part->scratch_size); /* cannot fail: it is whole */
	part->scratch = NULL;
}

/* --- the island -------------------------------------------------------------------------------- */

static struct upatch_slot *own_slots(const struct part *p)
{
	return ((struct upatch_island *)(p->island_bytes + p->template->island_text_size))->slots;
}

static uint64_t own_slot_addr(const struct part *p, uint32_t index)
{
	return p->island + p->template->island_text_size + sizeof(struct upatch_island) +
	       index * sizeof(struct upatch_slot);
}

static uint32_t fill_slot(struct part *p, uint32_t index)
{
	const struct upatch_template_func *tf = &template_funcs(p->template)[index];
	const struct upatch_template *t = p->template;
	struct upatch_slot *slot = &own_slots(p)[index];
	int64_t delta = (int64_t)(p->site->bias - (p->island - t->island_base));
	uint32_t r;

	*slot = tf->slot;
	slot->func_addr += p->site->bias;
	slot->entry_addr += p->site->bias;
	slot->text_addr += p->island;
	slot->winner = slot->old = slot->new = slot->text_addr + t->slot_gateway;
	slot->is_armed = 1;
	r = fixup_add32(&slot->jump[tf->jump_disp], -delta);
	for (uint32_t i = 0; i < tf->nr_disps && !r; i++)
		r = fixup_add32(p->island_bytes + index * t->slot_text_size + t->slot_gateway +
					tf->disps[i],
				delta);
	return r;
}

/* Another patch's slot where there is one, else one of ours. */
static int choose_slots(struct part *p, struct part_refusal *ret)
{
	const struct upatch_template *t = p->template;
	struct upatch_island *head = (void *)(p->island_bytes + t->island_text_size);

	memcpy(head->magic, UPATCH_ISLAND_MAGIC, sizeof(head->magic));
	head->version = UPATCH_ABI_VERSION;
	head->nr_slots = t->nr_funcs;
	head->object_start = p->site->image.start;
	head->object_end = p->site->image.end;
	for (uint32_t i = 0; i < t->nr_funcs; i++) {
		uint64_t func_addr = template_funcs(t)[i].slot.func_addr + p->site->bias;
		const struct upatch_slot *other = (const struct upatch_slot *)(uintptr_t)dl_slot_of(
			p->site->image.start, func_addr);

		p->funcs[i].slot_addr = other ? (uint64_t)(uintptr_t)other : own_slot_addr(p, i);
		if (!other && fill_slot(p, i))
			return refuse(ret, UPATCH_REFUSED_RANGE, 0, func_name(p, i));
		p->gateways[i] =
			(other ? other->text_addr : own_slots(p)[i].text_addr) + t->slot_gateway;
		p->nr_own += !other;
	}
	return 0;
}

/* --- making ------------------------------------------------------------------------------------ */

static int reserve(struct part *p, struct part_refusal *ret)
{
	const struct dl_image *image = &p->site->image;
	const struct upatch_template *t = p->template;
	long r;

	r = room_take(p->site->poke, image->start, image->end, t->payload_size, &p->payload);
	if (r >= 0 && t->nr_funcs)
		r = room_take(p->site->poke, image->start, image->end, island_size(t), &p->island);
	return r < 0 ? refuse(ret, UPATCH_REFUSED_NO_ROOM, r, NULL) : 0;
}

static void unreserve(struct part *p)
{
	if (p->payload)
		(void)sys_munmap((void *)(uintptr_t)p->payload, p->template->payload_size);
	if (p->island)
		(void)sys_munmap((void *)(uintptr_t)p->island, island_size(p->template));
	p->payload = p->island = 0;
}

static int relocate(struct part *p, struct part_refusal *ret)
{
	const struct fixup fixup = {
		.template = p->template,
		.scope = p->site->scope,
		.bias = p->site->bias,
		.payload = p->payload,
		.gateways = p->gateways,
		.values = p->values,
	};
	const char *name = NULL;
	uint32_t reason = fixup_apply(&fixup, p->payload_bytes, &name);

	return reason ? refuse(ret, reason, 0, name) : 0;
}

static int fill(struct part *p, struct part_refusal *ret)
{
	const struct upatch_template *t = p->template;
	const struct poke_parts payload = {
		t->text_size,
		t->ro_size,
		t->payload_size - t->text_size - t->ro_size,
	};
	const struct poke_parts island = { t->island_text_size, t->island_ro_size, 0 };
	long r;

	r = poke_fill(p->site->poke, p->payload, &payload, p->payload_bytes);
	if (r >= 0 && p->nr_own)
		r = poke_fill(p->site->poke, p->island, &island, p->island_bytes);
	return r < 0 ? refuse(ret, UPATCH_REFUSED_WRITE, r, NULL) : 0;
}

static int add_regions(struct part *p, struct part_refusal *ret)
{
	const struct upatch_template *t = p->template;
	const struct upatch_region payload = {
		.addr = p->payload,
		.size = t->payload_size,
		.patch_seq = p->entry->seq,
		.text_size = t->text_size,
		.ro_size = t->ro_size,
		.kind = UPATCH_REGION_PAYLOAD,
		.state = UPATCH_REGION_MAPPED,
	};
	const struct upatch_region island = {
		.addr = p->island,
		.size = island_size(t),
		.text_size = t->island_text_size,
		.ro_size = t->island_ro_size,
		.kind = UPATCH_REGION_ISLAND,
		.state = UPATCH_REGION_MAPPED,
	};
	long r;

	r = dl_region_add(p->site->poke, &payload);
	if (r >= 0 && p->nr_own) {
		r = dl_region_add(p->site->poke, &island);
		if (r < 0) {
			/* Unmapped with that, and maybe somebody else's by now. */
			dl_region_drop(p->site->poke, p->payload);
			p->payload = 0;
		}
	}
	return r < 0 ? refuse(ret, UPATCH_REFUSED_FULL, r, NULL) : 0;
}

static void fill_funcs(struct part *p)
{
	const struct upatch_template *t = p->template;
	const struct upatch_meta_func *known = dl_funcs(p->meta) + p->object->first_func;

	for (uint32_t i = 0; i < t->nr_funcs; i++) {
		const struct upatch_template_func *tf = &template_funcs(t)[i];
		uint64_t slot_addr = p->funcs[i].slot_addr;

		p->funcs[i] = known[i];
		p->funcs[i].old_addr = tf->slot.func_addr + p->site->bias;
		p->funcs[i].old_size = tf->old_size;
		p->funcs[i].new_addr = p->payload + tf->new_offset;
		p->funcs[i].new_size = tf->new_size;
		p->funcs[i].slot_addr = slot_addr;
	}
	for (uint32_t i = 0; i < t->nr_ranges; i++) {
		p->ranges[i] = template_ranges(t)[i];
		p->ranges[i].addr += p->site->bias;
	}
}

static uint64_t in_payload(const struct part *p, uint32_t offset)
{
	return offset ? p->payload + offset : 0;
}

static struct upatch_meta_object describe(const struct part *p)
{
	const struct upatch_template *t = p->template;
	struct upatch_meta_object o = *p->object;

	o.start = p->site->image.start;
	o.end = p->site->image.end;
	o.payload_addr = p->payload;
	o.payload_size = t->payload_size;
	o.text_size = t->text_size;
	o.eh_frame_hdr_addr = in_payload(p, t->eh_frame_hdr);
	o.eh_frame_hdr_size = t->eh_frame_hdr_size;
	o.eh_frame_addr = t->frame_object ? in_payload(p, t->eh_frame) : 0;
	o.frame_object_addr = in_payload(p, t->frame_object);
	o.callback_arg_addr = in_payload(p, t->callback_arg);
	for (int i = 0; i < UPATCH_CALLBACKS; i++)
		o.callbacks[i] = in_payload(p, t->callbacks[i]);
	o.states_addr = in_payload(p, t->states);
	o.nr_states = t->nr_states;
	return o;
}

/* The record tells of it: the functions first, as the object is what makes them count. */
static int publish(struct part *p, struct part_refusal *ret)
{
	const struct upatch_template *t = p->template;
	const struct upatch_meta_func *funcs = dl_funcs(p->meta) + p->object->first_func;
	const struct upatch_meta_object object = describe(p);
	long r = 0;

	fill_funcs(p);
	if (t->nr_funcs)
		r = dl_record_store(p->site->poke, dl_ranges(p->meta) + funcs->first_range,
				    p->ranges, t->nr_ranges * sizeof(*p->ranges));
	if (r >= 0 && t->nr_funcs)
		r = dl_record_store(p->site->poke, funcs, p->funcs, t->nr_funcs * sizeof(*funcs));
	if (r >= 0)
		r = dl_record_store(p->site->poke, p->object, &object, sizeof(object));
	return r < 0 ? refuse(ret, UPATCH_REFUSED_WRITE, r, NULL) : 0;
}

int part_make(const struct part_site *site, const struct upatch_patch_entry *entry,
	      const struct upatch_meta_object *object, struct part *ret_part,
	      struct part_refusal *ret)
{
	struct part *p = ret_part;

	*p = (struct part){
		.site = site,
		.entry = entry,
		.meta = dl_meta(entry),
		.object = object,
		.template = (const void *)(uintptr_t)object->template_addr,
	};
	if (get_scratch(p, ret) < 0 || reserve(p, ret) < 0)
		goto err;
	if (p->template->nr_funcs && choose_slots(p, ret) < 0)
		goto err;
	if (relocate(p, ret) < 0 || fill(p, ret) < 0)
		goto err;
	if (!p->nr_own && p->island) {
		(void)sys_munmap((void *)(uintptr_t)p->island, island_size(p->template));
		p->island = 0;
	}
	if (add_regions(p, ret) < 0)
		goto err;
	if (publish(p, ret) < 0) {
		dl_region_drop(site->poke, p->payload);
		dl_region_drop(site->poke, p->island);
		p->payload = p->island = 0;
		goto err;
	}
	return 0;
err:
	unreserve(p);
	part_done(p);
	return -1;
}

/* --- patching ---------------------------------------------------------------------------------- */

static bool is_own(const struct part *p, uint32_t index)
{
	return p->funcs[index].slot_addr == own_slot_addr(p, index);
}

static int check_entries(const struct part *p, struct part_refusal *ret)
{
	for (uint32_t i = 0; i < p->template->nr_funcs; i++) {
		const struct upatch_slot *slot = &own_slots(p)[i];

		if (is_own(p, i) &&
		    memcmp((const void *)(uintptr_t)slot->entry_addr, slot->original,
			   slot->covered < sizeof(slot->original) ? slot->covered
								  : sizeof(slot->original)) != 0)
			return refuse(ret, UPATCH_REFUSED_BYTES, 0, func_name(p, i));
	}
	return 0;
}

/* A thousand slots are one write, where no other patch has to be asked. */
static long write_own_slots(const struct part *p)
{
	const struct upatch_template *t = p->template;
	struct upatch_slot *slots = own_slots(p);

	for (uint32_t i = 0; i < t->nr_funcs; i++) {
		uint64_t text = slots[i].text_addr;
		const struct dl_words words = dl_words_alone(p->entry, p->funcs[i].new_addr,
							     text + t->slot_dispatcher,
							     text + t->slot_gateway);

		slots[i].winner = words.winner;
		slots[i].old = words.old;
		slots[i].new = words.new;
	}
	return dl_record_store(p->site->poke, (const void *)(uintptr_t)own_slot_addr(p, 0), slots,
			       t->nr_funcs * sizeof(*slots));
}

static long write_slot(const struct part *p, uint32_t index)
{
	const struct upatch_slot *slot = (const void *)(uintptr_t)p->funcs[index].slot_addr;
	const struct upatch_template *t = p->template;
	const struct dl_words words = dl_words(p->site->image.start, p->funcs[index].slot_addr,
					       slot->text_addr + t->slot_dispatcher,
					       slot->text_addr + t->slot_gateway);

	/* The word that counts is the first one. */
	_Static_assert(sizeof(words) == offsetof(struct upatch_slot, func_addr), "three words");
	return dl_record_store(p->site->poke, slot, &words, sizeof(words));
}

void part_unpatch(const struct part *part)
{
	for (uint32_t i = 0; i < part->template->nr_funcs; i++) {
		const struct upatch_slot *slot = &own_slots(part)[i];

		if (is_own(part, i) && memcmp((const void *)(uintptr_t)slot->entry_addr, slot->jump,
					      slot->entry_size) == 0)
			(void)poke_write(part->site->poke, slot->entry_addr, slot->original,
					 slot->entry_size,
					 SYS_PROT_READ | SYS_PROT_EXEC); /* it could before */
	}
}

void part_leave(const struct part *part)
{
	for (uint32_t i = 0; i < part->template->nr_funcs; i++)
		if (!is_own(part, i))
			(void)write_slot(part, i); /* it could before */
}

int part_patch(struct part *part, enum part_entries entries, struct part_refusal *ret)
{
	const struct part *p = part;
	long r = 0;

	if (check_entries(p, ret) < 0)
		return -1;
	if (p->nr_own && p->nr_own == p->template->nr_funcs &&
	    dl_is_alone(p->entry, p->site->image.start))
		r = write_own_slots(p);
	else
		for (uint32_t i = 0; i < p->template->nr_funcs && r >= 0; i++)
			r = write_slot(p, i);
	for (uint32_t i = 0; i < p->template->nr_funcs && r >= 0 && entries == PART_WRITE_ENTRIES;
	     i++) {
		const struct upatch_slot *slot = &own_slots(p)[i];

		if (is_own(p, i))
			r = poke_write(p->site->poke, slot->entry_addr, slot->jump,
				       slot->entry_size, SYS_PROT_READ | SYS_PROT_EXEC);
	}
	return r < 0 ? refuse(ret, UPATCH_REFUSED_WRITE, r, NULL) : 0;
}

/* --- dropping ---------------------------------------------------------------------------------- */

void part_drop(const struct poke *poke, const struct upatch_meta *meta,
	       const struct upatch_meta_object *object)
{
	const struct upatch_meta_func *funcs = dl_funcs(meta) + object->first_func;
	uint64_t payload = object->payload_addr;
	struct upatch_meta_object absent = {
		.name = object->name,
		.build_id_size = object->build_id_size,
		.template_addr = object->template_addr,
		.template_size = object->template_size,
		.first_func = object->first_func,
		.nr_funcs = object->nr_funcs,
		.flags = object->flags,
	};

	memcpy(absent.build_id, object->build_id, sizeof(absent.build_id));
	/* What could not be stored would be found again, and tried again. */
	(void)dl_record_store(poke, object, &absent, sizeof(absent));
	for (uint32_t i = 0; i < absent.nr_funcs; i += CHUNK) {
		struct upatch_meta_func chunk[CHUNK];
		uint32_t nr = absent.nr_funcs - i < CHUNK ? absent.nr_funcs - i : CHUNK;

		for (uint32_t n = 0; n < nr; n++)
			chunk[n] = (struct upatch_meta_func){
				.name = funcs[i + n].name,
				.sympos = funcs[i + n].sympos,
				.object = funcs[i + n].object,
				.first_range = funcs[i + n].first_range,
				.nr_ranges = funcs[i + n].nr_ranges,
			};
		(void)dl_record_store(poke, &funcs[i], chunk, nr * sizeof(*chunk)); /* likewise */
	}
	dl_region_drop(poke, payload);
}

void part_drop_islands(const struct poke *poke, uint64_t start)
{
	for (int i = UPATCH_REGIONS_HOST; i < UPATCH_REGIONS_MAX; i++) {
		const struct upatch_region *region = &dl_record()->regions[i];
		const struct upatch_island *head =
			(const void *)(uintptr_t)(region->addr + region->text_size);
		bool is_armed = false;

		if (region->state != UPATCH_REGION_MAPPED || region->kind != UPATCH_REGION_ISLAND ||
		    head->object_start != start)
			continue;
		for (uint32_t n = 0; n < head->nr_slots; n++)
			is_armed = is_armed || head->slots[n].is_armed;
		/* The host unmaps the others. */
		if (is_armed)
			dl_region_drop(poke, region->addr);
	}
}
