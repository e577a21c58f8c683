/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/library.h"

#include "agent/agent.h"
#include "agent/bytes.h"
#include "agent/calls.h"
#include "agent/dl_record.h"
#include "agent/event.h"
#include "agent/frames.h"
#include "agent/late.h"

/* Of the dlopen(3) that is being refused: the dynamic linker copies it while it holds its lock. */
static char message[256];

/* For the time that one library comes or goes. */
struct change {
	struct poke poke;
	struct dl_scope scope;
	struct part_site site;
	const struct library_way *way; /* it comes */
	bool is_open;		       /* poke and scope are */
	bool has_changed;
};

/* --- which patches are concerned --------------------------------------------------------------- */

static bool is_build(const struct upatch_meta_object *o, const struct dl_image *image)
{
	return o->template_addr && image->build_id_size == o->build_id_size &&
	       memcmp(image->build_id, o->build_id, o->build_id_size) == 0;
}

/* Where the part for a library will be, or is. NULL: the patch has none for it, or no room. */
static const struct upatch_meta_object *find_object(const struct upatch_meta *meta,
						    const struct dl_image *image,
						    bool *ret_is_there, bool *ret_is_full)
{
	const struct upatch_meta_object *absent = NULL;
	bool is_build_of = false;

	*ret_is_there = false;
	for (uint32_t i = 0; i < meta->nr_objects; i++) {
		const struct upatch_meta_object *o = &dl_objects(meta)[i];

		if (o->start == image->start) {
			*ret_is_there = true;
			return o;
		}
		if (!is_build(o, image))
			continue;
		is_build_of = true;
		if (!o->start && !absent)
			absent = o;
	}
	*ret_is_full = is_build_of && !absent;
	return absent;
}

/* Of the patch's libraries, the one that this is another build of, when no build it knows is it. */
static const struct upatch_meta_object *find_other_build(const struct upatch_meta *meta,
							 const struct dl_map *map)
{
	for (uint32_t i = 0; i < meta->nr_objects; i++) {
		const struct upatch_meta_object *o = &dl_objects(meta)[i];

		if (o->template_addr && dl_map_is_named(map, dl_meta_string(meta, o->name)))
			return o;
	}
	return NULL;
}

/* --- refusing ---------------------------------------------------------------------------------- */

static void append(size_t *at, const char *text)
{
	str_copy(message + *at, sizeof(message) - *at, text);
	while (message[*at])
		(*at)++;
}

static const char *describe(uint32_t reason)
{
	switch (reason) {
	case UPATCH_REFUSED_BUILD_ID:
		return "the patch requires another build of it";
	case UPATCH_REFUSED_NO_ROOM:
		return "there is no room near it";
	case UPATCH_REFUSED_BYTES:
		return "the code is not what the patch was made for";
	case UPATCH_REFUSED_UNRESOLVED:
		return "the replacement refers to an unknown symbol";
	case UPATCH_REFUSED_TLS:
		return "a thread-local variable cannot be reached";
	case UPATCH_REFUSED_RANGE:
		return "something is out of reach";
	case UPATCH_REFUSED_CALLBACK:
		return "pre-patch callback failed";
	case UPATCH_REFUSED_WRITE:
		return "the process may not write code";
	default:
		return "it is loaded too many times";
	}
}

static uint32_t kind_of(const struct library_way *way)
{
	if (way->entries == PART_KEEP_ENTRIES)
		return UPATCH_EVENT_FAILED;
	return way->is_refusable ? UPATCH_EVENT_REFUSED : UPATCH_EVENT_UNPATCHED;
}

/* Return: what dlerror(3) is to say, where it can. */
static const char *refuse(const struct upatch_patch_entry *entry, const char *object,
			  const struct library_way *way, const struct part_refusal *why)
{
	size_t at = 0;

	event_add(&(struct event){
		.kind = kind_of(way),
		.seq = entry->seq,
		.object = object,
		.reason = why->reason,
		.error = why->error,
		.detail = why->detail,
	});
	/* The last one may yet be being read. */
	if (!way->is_refusable)
		return "refused";
	append(&at, "upatch: patch '");
	append(&at, dl_meta(entry)->name);
	append(&at, "' refuses it: ");
	append(&at, describe(why->reason));
	if (why->detail && *why->detail) {
		append(&at, ": ");
		append(&at, why->detail);
	}
	return message;
}

/* --- coming ------------------------------------------------------------------------------------ */

static void open(struct change *c)
{
	if (!c->is_open)
		poke_open(&c->poke);
	c->is_open = true;
}

static void close(struct change *c)
{
	if (c->is_open)
		poke_close(&c->poke);
	if (c->has_changed)
		__atomic_fetch_add(&agent_data.generation, 1, __ATOMIC_SEQ_CST);
}

static void tell(uint32_t kind, const struct calls *calls)
{
	event_add(&(struct event){
		.kind = kind,
		.seq = calls->entry->seq,
		.object = dl_meta_string(calls->meta, calls->object->name),
	});
}

/* One patch's part: placed, its pre-patch run, patched, its post-patch run. */
static int apply_part(struct change *c, const struct calls *calls, struct part_refusal *ret)
{
	struct part part;
	int r;

	if (part_make(&c->site, calls->entry, calls->object, &part, ret) < 0)
		return -1;
	c->has_changed = true;
	if (c->way->entries == PART_WRITE_ENTRIES)
		calls_tell(calls, CALLS_COMING);
	frames_register(&c->poke, c->scope.list, calls->object);
	r = calls_run(calls, CALLS_PRE_PATCH);
	if (r) {
		*ret = (struct part_refusal){ .reason = UPATCH_REFUSED_CALLBACK, .error = r };
		goto err;
	}
	if (part_patch(&part, c->way->entries, ret) < 0)
		goto err_called;
	if (dl_state(calls->entry) == UPATCH_PATCH_ENABLED)
		(void)calls_run(calls, CALLS_POST_PATCH); /* it has no result */
	part_done(&part);
	return 0;

err_called:
	part_unpatch(&part);
	(void)calls_run(calls, CALLS_POST_UNPATCH);
err:
	frames_deregister(&c->poke, calls->object);
	part_drop(c->site.poke, calls->meta, calls->object);
	part_leave(&part);
	dl_region_drop(c->site.poke, part.island);
	part_done(&part);
	return -1;
}

/* Take what patches up to @last have for a library away: it goes, or is refused. */
static void revert(struct change *c, uint64_t start, uint64_t last)
{
	const struct upatch_patch_entry *entry = dl_patch_next(0);

	for (; entry && entry->seq <= last; entry = dl_patch_next(entry->seq)) {
		const struct upatch_meta *meta = dl_meta(entry);

		for (uint32_t i = 0; i < meta->nr_objects; i++) {
			const struct upatch_meta_object *o = &dl_objects(meta)[i];
			const struct calls calls = { &c->poke, entry, meta, o };

			if (o->start != start || !o->template_addr)
				continue;
			open(c);
			c->has_changed = true;
			calls_tell(&calls, CALLS_GOING);
			if (!dl_is_in_transition(entry))
				(void)calls_run(&calls, CALLS_PRE_UNPATCH); /* it has no result */
			tell(UPATCH_EVENT_GOING, &calls);
			(void)calls_run(&calls, CALLS_POST_UNPATCH); /* likewise */
			frames_deregister(&c->poke, o);
			part_drop(&c->poke, meta, o);
		}
	}
	if (c->has_changed)
		part_drop_islands(&c->poke, start);
}

static void settle_state(struct change *c, const struct dl_image *image)
{
	const struct upatch_patch_entry *entry = dl_patch_next(0);

	for (; entry; entry = dl_patch_next(entry->seq)) {
		const struct upatch_meta *meta = dl_meta(entry);

		for (uint32_t i = 0; i < meta->nr_objects; i++) {
			const struct calls calls = { &c->poke, entry, meta, &dl_objects(meta)[i] };

			if (calls.object->start == image->start && calls.object->template_addr)
				calls_tell(&calls, CALLS_LIVE);
		}
	}
}

static void open_site(struct change *c, const struct dl_debug *list, const struct dl_map *map)
{
	open(c);
	if (c->site.scope)
		return;
	dl_scope_init(list, map, &c->scope);
	c->site.scope = &c->scope;
	c->site.poke = &c->poke;
	c->site.bias = map->bias;
}

/* Another build of a library of the patch. Return: NULL, or why it must not be loaded. */
static const char *look_at_other(const struct upatch_patch_entry *entry, const struct dl_map *map,
				 const struct library_way *way)
{
	const struct upatch_meta *meta = dl_meta(entry);
	const struct upatch_meta_object *o = find_other_build(meta, map);
	const struct part_refusal why = { .reason = UPATCH_REFUSED_BUILD_ID };
	const char *name;

	if (!o || way->entries == PART_KEEP_ENTRIES)
		return NULL;
	name = dl_meta_string(meta, o->name);
	if (o->flags & UPATCH_OBJECT_REQUIRED && way->is_refusable)
		return refuse(entry, name, way, &why);
	event_add(&(struct event){
		.kind = UPATCH_EVENT_OTHER_BUILD, .seq = entry->seq, .object = name });
	return NULL;
}

const char *library_come(const struct dl_debug *list, const struct dl_map *map,
			 const struct library_way *way)
{
	struct change c = { .way = way };
	const struct upatch_patch_entry *entry = dl_patch_next(0);
	const char *refused = NULL;

	if (!entry || !map->bias)
		return NULL;
	/* Without headers it has no build ID either, and is another build of what it is called. */
	if (!dl_map_image(map, &c.site.image))
		c.site.image = (struct dl_image){ .start = map->bias, .end = map->bias };
	for (; entry && !refused; entry = dl_patch_next(entry->seq)) {
		struct calls calls = { &c.poke, entry, dl_meta(entry), NULL };
		struct part_refusal why = {};
		bool is_there, is_full;

		if (way->only && entry->seq != way->only)
			continue;
		calls.object = find_object(calls.meta, &c.site.image, &is_there, &is_full);
		if (is_there)
			continue;
		if (!calls.object && !is_full) {
			refused = look_at_other(entry, map, way);
		} else if (is_full) {
			why.reason = UPATCH_REFUSED_FULL;
			refused = refuse(entry, map->name, way, &why);
		} else {
			open_site(&c, list, map);
			if (way->entries == PART_WRITE_ENTRIES)
				tell(UPATCH_EVENT_COMING, &calls);
			if (apply_part(&c, &calls, &why) < 0)
				refused = refuse(entry,
						 dl_meta_string(calls.meta, calls.object->name),
						 way, &why);
		}
		if (refused && way->is_refusable)
			revert(&c, c.site.image.start, entry->seq - 1);
		/* Else it is loaded all the same, with what others have for it. */
		else if (way->entries == PART_WRITE_ENTRIES)
			refused = NULL;
	}
	if (!refused && c.is_open && way->entries == PART_WRITE_ENTRIES)
		settle_state(&c, &c.site.image);
	close(&c);
	return refused;
}

/* --- going ------------------------------------------------------------------------------------- */

void library_go(const struct dl_map *map)
{
	struct change c = {};
	struct dl_image image;

	if (!dl_map_image(map, &image))
		return;
	revert(&c, image.start, UINT64_MAX);
	if (late_is_any()) {
		open(&c);
		late_lose(&c.poke, &image);
	}
	close(&c);
}

bool library_is_mapped(uint64_t start)
{
	int lists = 0;

	for (struct dl_debug *d = dl_debug_next(NULL); d && lists < DL_LISTS_MAX;
	     d = dl_debug_next(d), lists++)
		for (const struct dl_map *m = d->first; m; m = m->next)
			if (m->bias == start)
				return true;
	return false;
}

/* Its callbacks have nothing to run in any more. */
void library_sweep(void)
{
	const struct upatch_patch_entry *entry = dl_patch_next(0);
	struct change c = {};

	for (; entry; entry = dl_patch_next(entry->seq)) {
		const struct upatch_meta *meta = dl_meta(entry);

		for (uint32_t i = 0; i < meta->nr_objects; i++) {
			const struct upatch_meta_object *o = &dl_objects(meta)[i];
			const struct calls calls = { &c.poke, entry, meta, o };
			uint64_t start = o->start;

			if (!start || !o->template_addr || library_is_mapped(start))
				continue;
			open(&c);
			c.has_changed = true;
			tell(UPATCH_EVENT_GOING, &calls);
			frames_deregister(&c.poke, o);
			part_drop(&c.poke, meta, o);
			part_drop_islands(&c.poke, start);
		}
	}
	close(&c);
}
