/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/dl.h"

#include "agent/agent.h"
#include "agent/bytes.h"
#include "agent/calls.h"
#include "agent/dl_lock.h"
#include "agent/dl_map.h"
#include "agent/dl_record.h"
#include "agent/event.h"
#include "agent/frames.h"
#include "agent/late.h"
#include "agent/part.h"
#include "agent/room.h"

enum {
	CLOSING_MAX = 64,
	LISTS_MAX = 64,
	MAPS_MAX = 65536,
	ERROR_INVAL = -22,
};

/*
 * Libraries whose destructors have been, or are being, run: the dynamic linker will unmap them once it
 * has told debuggers. By their link map; 0: free. One that does not fit is noticed when it has gone.
 */
static uint64_t closing[CLOSING_MAX];

/* The dynamic linker has begun to unmap. */
static bool is_deleting = true;

/* The last library when the dynamic linker began to add some; NULL: it has not. */
static const struct dl_map *last_before;

/* Some have been added, and are being relocated: the last of them. NULL: none. */
static const struct dl_map *last_added;

/* Which arming of the hooks all of this is about, agent_data.armed: in between we see nothing. */
static uint64_t armed;

/* The dlopen(3) that is going on can be made to fail. */
static bool is_refusable;

/* Of the dlopen(3) that is being refused: the dynamic linker copies it while it holds its lock. */
static char message[256];

/* One library that comes, for the duration of it. */
struct coming {
	struct poke poke;
	struct dl_scope scope;
	struct part_site site;
	enum part_entries entries;
	bool is_open; /* poke and scope are */
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

static bool can_refuse(enum part_entries entries)
{
	return entries == PART_WRITE_ENTRIES && is_refusable;
}

static uint32_t kind_of(enum part_entries entries)
{
	if (entries == PART_KEEP_ENTRIES)
		return UPATCH_EVENT_FAILED;
	return can_refuse(entries) ? UPATCH_EVENT_REFUSED : UPATCH_EVENT_UNPATCHED;
}

/* Return: what dlerror(3) is to say, where it can. */
static const char *refuse(const struct upatch_patch_entry *entry, const char *object,
			  enum part_entries entries, const struct part_refusal *why)
{
	size_t at = 0;

	event_add(&(struct event){
		.kind = kind_of(entries),
		.seq = entry->seq,
		.object = object,
		.reason = why->reason,
		.error = why->error,
		.detail = why->detail,
	});
	/* The last one may yet be being read. */
	if (!can_refuse(entries))
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

static void open(struct coming *c)
{
	if (!c->is_open)
		poke_open(&c->poke);
	c->is_open = true;
}

static void close(struct coming *c)
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
static int apply_part(struct coming *c, const struct calls *calls, struct part_refusal *ret)
{
	struct part part;
	int r;

	if (part_make(&c->site, calls->entry, calls->object, &part, ret) < 0)
		return -1;
	c->has_changed = true;
	if (c->entries == PART_WRITE_ENTRIES)
		calls_tell(calls, CALLS_COMING);
	frames_register(&c->poke, c->scope.list, calls->object);
	r = calls_run(calls, CALLS_PRE_PATCH);
	if (r) {
		*ret = (struct part_refusal){ .reason = UPATCH_REFUSED_CALLBACK, .error = r };
		goto err;
	}
	if (part_patch(&part, c->entries, ret) < 0)
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
static void revert(struct coming *c, uint64_t start, uint64_t last)
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

static void settle_state(struct coming *c, const struct dl_image *image)
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

static void open_site(struct coming *c, const struct dl_debug *list, const struct dl_map *map)
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
				 enum part_entries entries)
{
	const struct upatch_meta *meta = dl_meta(entry);
	const struct upatch_meta_object *o = find_other_build(meta, map);
	const struct part_refusal why = { .reason = UPATCH_REFUSED_BUILD_ID };
	const char *name;

	if (!o || entries == PART_KEEP_ENTRIES)
		return NULL;
	name = dl_meta_string(meta, o->name);
	if (o->flags & UPATCH_OBJECT_REQUIRED && can_refuse(entries))
		return refuse(entry, name, entries, &why);
	event_add(&(struct event){
		.kind = UPATCH_EVENT_OTHER_BUILD, .seq = entry->seq, .object = name });
	return NULL;
}

/*
 * Patch by patch, in the order of enabling. @only: of one patch. Return: NULL, or why it must not be
 * loaded, and then nothing of it is left.
 */
static const char *come(const struct dl_debug *list, const struct dl_map *map, uint64_t only,
			enum part_entries entries)
{
	struct coming c = { .entries = entries };
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

		if (only && entry->seq != only)
			continue;
		calls.object = find_object(calls.meta, &c.site.image, &is_there, &is_full);
		if (is_there)
			continue;
		if (!calls.object && !is_full) {
			refused = look_at_other(entry, map, entries);
		} else if (is_full) {
			why.reason = UPATCH_REFUSED_FULL;
			refused = refuse(entry, map->name, entries, &why);
		} else {
			open_site(&c, list, map);
			if (entries == PART_WRITE_ENTRIES)
				tell(UPATCH_EVENT_COMING, &calls);
			if (apply_part(&c, &calls, &why) < 0)
				refused = refuse(entry,
						 dl_meta_string(calls.meta, calls.object->name),
						 entries, &why);
		}
		if (refused && can_refuse(entries))
			revert(&c, c.site.image.start, entry->seq - 1);
		else if (entries == PART_WRITE_ENTRIES)
			refused =
				NULL; /* it is loaded all the same, with what others have for it */
	}
	if (!refused && c.is_open && entries == PART_WRITE_ENTRIES)
		settle_state(&c, &c.site.image);
	close(&c);
	return refused;
}

/* --- going ------------------------------------------------------------------------------------- */

static void go(const struct dl_map *map)
{
	struct coming c = {};
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

/* Of a dlopen(3) that is refused, what has its parts already. */
static void go_companions(const struct dl_map *first, const struct dl_map *refused)
{
	while (refused != first) {
		refused = refused->previous;
		go(refused);
	}
}

/* These, and those behind them, are there to stay for now: others may call them. */
static void resolve(const struct dl_map *first)
{
	struct poke poke;
	int nr = 0;

	if (!late_is_any())
		return;
	poke_open(&poke);
	for (const struct dl_map *m = first; m && nr < MAPS_MAX; m = m->next, nr++)
		late_resolve(&poke, m);
	poke_close(&poke);
}

/* Its part may yet be placed, by a scan: that is to know, too. */
static void note_closing(const struct dl_map *map)
{
	for (int i = 0; i < CLOSING_MAX; i++) {
		if (closing[i])
			continue;
		closing[i] = (uint64_t)(uintptr_t)map;
		return;
	}
}

static bool is_closing(const struct dl_map *map)
{
	for (int i = 0; i < CLOSING_MAX; i++)
		if (closing[i] == (uint64_t)(uintptr_t)map)
			return true;
	return false;
}

static bool is_mapped(uint64_t start)
{
	int lists = 0;

	for (struct dl_debug *d = dl_debug_next(NULL); d && lists < LISTS_MAX;
	     d = dl_debug_next(d), lists++)
		for (const struct dl_map *m = d->first; m; m = m->next)
			if (m->bias == start)
				return true;
	return false;
}

/*
 * Libraries are unmapped. One whose destructors had begun before we were there to see has gone unnoticed,
 * and its callbacks have nothing to run in any more.
 */
static void sweep(void)
{
	const struct upatch_patch_entry *entry = dl_patch_next(0);
	struct coming c = {};

	for (; entry; entry = dl_patch_next(entry->seq)) {
		const struct upatch_meta *meta = dl_meta(entry);

		for (uint32_t i = 0; i < meta->nr_objects; i++) {
			const struct upatch_meta_object *o = &dl_objects(meta)[i];
			const struct calls calls = { &c.poke, entry, meta, o };
			uint64_t start = o->start;

			if (!start || !o->template_addr || is_mapped(start))
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

/* --- hooks ------------------------------------------------------------------------------------- */

/* What was seen before the hooks were disarmed, and armed again, may be wrong by now. */
static void begin_anew(void)
{
	if (armed == agent_data.armed)
		return;
	armed = agent_data.armed;
	memset(closing, 0, sizeof(closing));
	is_deleting = true;
	last_before = last_added = NULL;
}

static void lock(void)
{
	dl_lock();
	begin_anew();
}

/* What precedes constructors is told from what runs destructors by its argument. */
const char *dl_on_catch(uint64_t operate, const void *arg)
{
	struct dl_debug *list = dl_map_list(arg);
	const struct dl_map *map = arg, *first;
	const char *refused = NULL;
	int nr = 0;

	(void)operate;
	if (!agent_data.record_addr)
		return NULL;
	if (list) {
		lock();
		note_closing(map);
		dl_unlock();
		return NULL;
	}
	/* glibc, elf/dl-open.c, struct dl_init_args: the first member is the new library. */
	map = arg ? *(const struct dl_map *const *)arg : NULL;
	list = map ? dl_map_list(map) : NULL;
	if (!list)
		return NULL;
	lock();
	last_added = NULL;
	/*
	 * What it has brought along is behind it. glibc has made those that are never unloaded so by now: what
	 * it would leave of them behind could be used without its constructors having run.
	 */
	is_refusable = agent_data.signal_error_addr;
	for (first = map; map && nr < MAPS_MAX; map = map->next, nr++)
		is_refusable = is_refusable && !dl_map_stays(map);
	for (map = first, nr = 0; map && nr < MAPS_MAX; map = map->next, nr++) {
		refused = come(list, map, 0, PART_WRITE_ENTRIES);
		if (refused) {
			go_companions(first, map);
			break;
		}
	}
	is_refusable = false;
	if (!refused)
		resolve(first);
	dl_unlock();
	return refused;
}

static bool is_any_in(enum dl_state state)
{
	int lists = 0;

	for (struct dl_debug *d = dl_debug_next(NULL); d && lists < LISTS_MAX;
	     d = dl_debug_next(d), lists++)
		if (d->state == (int)state)
			return true;
	return false;
}

static void go_all(void)
{
	for (int i = 0; i < CLOSING_MAX; i++) {
		const struct dl_map *map = (const void *)(uintptr_t)closing[i];

		if (map && dl_map_list(map))
			go(map);
	}
}

static const struct dl_map *last_of(const struct dl_map *map)
{
	for (int nr = 0; map && map->next && nr < MAPS_MAX; nr++)
		map = map->next;
	return map;
}

static struct dl_debug *list_that_adds(void)
{
	struct dl_debug *d = dl_debug_next(NULL);

	for (int lists = 0; d && d->state != DL_ADD && lists < LISTS_MAX; lists++)
		d = dl_debug_next(d);
	return d;
}

/* Return: the last library before those that were added, when all are there; NULL: none was. */
static const struct dl_map *follow_adding(void)
{
	struct dl_debug *adding = list_that_adds();
	const struct dl_map *before = last_before;

	if (adding && !last_before)
		last_before = last_of(adding->first);
	if (adding || !before)
		return NULL;
	last_before = NULL;
	return before->next ? before : NULL;
}

/*
 * musl runs constructors when it has told debuggers that its one list is complete again, and never unmaps.
 * What it loads cannot be refused.
 */
static void come_added(void)
{
	const struct dl_map *before = follow_adding();
	int nr = 0;

	for (const struct dl_map *map = before ? before->next : NULL; map && nr < MAPS_MAX;
	     map = map->next, nr++)
		(void)come(dl_debug_next(NULL), map, 0, PART_WRITE_ENTRIES);
	if (before)
		resolve(before->next);
}

/* glibc relocates what it has added with its list complete: until that is done it is nothing to patch. */
static void note_added(void)
{
	const struct dl_map *before = follow_adding();

	if (before)
		last_added = last_of(before);
}

void dl_on_brk(void)
{
	if (!agent_data.record_addr)
		return;
	lock();
	if (!agent_data.catch_gateway) {
		come_added();
	} else if (is_any_in(DL_DELETE)) {
		last_before = last_added = NULL;
		go_all();
		is_deleting = true;
	} else {
		note_added();
		if (is_deleting) {
			memset(closing, 0, sizeof(closing));
			is_deleting = false;
			sweep();
		}
	}
	dl_unlock();
}

/* --- for the host ------------------------------------------------------------------------------ */

long dl_scan(uint64_t seq)
{
	const char *refused = NULL;
	long r = DL_DONE;
	int lists = 0;

	lock();
	if (is_any_in(DL_DELETE) || is_any_in(DL_ADD) || (last_added && dl_map_list(last_added)))
		r = DL_AGAIN;
	for (struct dl_debug *d = dl_debug_next(NULL); d && lists < LISTS_MAX && r == DL_DONE;
	     d = dl_debug_next(d), lists++)
		for (const struct dl_map *m = d->first; m && !refused; m = m->next)
			if (!is_closing(m))
				refused = come(d, m, seq, PART_KEEP_ENTRIES);
	if (r == DL_DONE && !refused)
		resolve(dl_debug_next(NULL)->first);
	dl_unlock();
	return refused ? DL_REFUSED : r;
}

long dl_callback(uint64_t seq, uint64_t which)
{
	const struct upatch_patch_entry *entry;
	uint32_t index = (uint32_t)which;
	struct poke poke;
	int r = 0;

	lock();
	entry = dl_patch_by_seq(seq);
	/* When the library goes meanwhile, its going waits for us; when it has gone, it is too late. */
	if (entry && index < dl_meta(entry)->nr_objects &&
	    is_mapped(dl_objects(dl_meta(entry))[index].start)) {
		const struct calls calls = { &poke, entry, dl_meta(entry),
					     &dl_objects(dl_meta(entry))[index] };

		poke_open(&poke);
		r = calls_run(&calls, (enum calls_kind)(which >> 32));
		poke_close(&poke);
		__atomic_fetch_add(&agent_data.generation, 1, __ATOMIC_SEQ_CST);
	}
	dl_unlock();
	return r;
}

long dl_forget(uint64_t seq)
{
	const struct upatch_patch_entry *entry;
	struct poke poke;
	long nr_left = 0;

	lock();
	entry = dl_patch_by_seq(seq);
	poke_open(&poke);
	for (uint32_t i = 0; entry && i < dl_meta(entry)->nr_objects; i++) {
		const struct upatch_meta_object *o = &dl_objects(dl_meta(entry))[i];

		if (!o->start || !o->template_addr || !o->frame_registered)
			continue;
		/* When its library has gone libgcc may be another one, at the same place. */
		if (is_mapped(o->start))
			frames_deregister(&poke, o);
		else
			nr_left++;
	}
	poke_close(&poke);
	dl_unlock();
	return nr_left;
}

long dl_probe(void)
{
	const struct poke_parts parts = { UPATCH_PAGE_SIZE, UPATCH_PAGE_SIZE, UPATCH_PAGE_SIZE };
	uint64_t near = agent_data.record_addr, addr;
	struct poke poke;
	bool is_reserved = false;
	uint8_t *bytes;
	long r;

	poke_open(&poke);
	bytes = (uint8_t *)sys_mmap(NULL, poke_size(&parts), SYS_PROT_READ | SYS_PROT_WRITE,
				    SYS_MAP_PRIVATE | SYS_MAP_ANONYMOUS, -1, 0);
	r = (long)bytes < 0 && (long)bytes >= -4095 ? (long)bytes : 0;
	if (r >= 0) {
		r = room_take(&poke, near, near + UPATCH_RECORD_SIZE, poke_size(&parts), &addr);
		is_reserved = r >= 0;
		if (r >= 0)
			r = poke_fill(&poke, addr, &parts, bytes);
		/* Code, and what is read only. */
		if (r >= 0)
			r = poke_write(&poke, addr, "", 1, SYS_PROT_READ | SYS_PROT_EXEC);
		if (r >= 0)
			r = poke_write(&poke, addr + UPATCH_PAGE_SIZE, "", 1, SYS_PROT_READ);
		if (is_reserved)
			(void)sys_munmap((void *)(uintptr_t)addr, poke_size(&parts));
		(void)sys_munmap(bytes, poke_size(&parts));
	}
	poke_close(&poke);
	return r;
}
