/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/dl.h"

#include "agent/agent.h"
#include "agent/bytes.h"
#include "agent/calls.h"
#include "agent/dl_lock.h"
#include "agent/dl_map.h"
#include "agent/dl_record.h"
#include "agent/frames.h"
#include "agent/late.h"
#include "agent/library.h"
#include "agent/room.h"

enum {
	CLOSING_MAX = 64,
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

/* --- libraries of one dlopen(3) or dlclose(3) ----------------------------------------------------- */

/* Of a dlopen(3) that is refused, what has its parts already. */
static void go_companions(const struct dl_map *first, const struct dl_map *refused)
{
	while (refused != first) {
		refused = refused->previous;
		library_go(refused);
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
	for (const struct dl_map *m = first; m && nr < DL_MAPS_MAX; m = m->next, nr++)
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
	struct library_way way = { .entries = PART_WRITE_ENTRIES };
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
	way.is_refusable = agent_data.signal_error_addr;
	for (first = map; map && nr < DL_MAPS_MAX; map = map->next, nr++)
		way.is_refusable = way.is_refusable && !dl_map_stays(map);
	for (map = first, nr = 0; map && nr < DL_MAPS_MAX; map = map->next, nr++) {
		refused = library_come(list, map, &way);
		if (refused) {
			go_companions(first, map);
			break;
		}
	}
	if (!refused)
		resolve(first);
	dl_unlock();
	return refused;
}

/* The first list that is, NULL: none. */
static struct dl_debug *list_in(enum dl_state state)
{
	struct dl_debug *d = dl_debug_next(NULL);

	for (int lists = 0; d && d->state != (int)state; lists++)
		d = lists < DL_LISTS_MAX ? dl_debug_next(d) : NULL;
	return d;
}

static void go_all(void)
{
	for (int i = 0; i < CLOSING_MAX; i++) {
		const struct dl_map *map = (const void *)(uintptr_t)closing[i];

		if (map && dl_map_list(map))
			library_go(map);
	}
}

static const struct dl_map *last_of(const struct dl_map *map)
{
	for (int nr = 0; map && map->next && nr < DL_MAPS_MAX; nr++)
		map = map->next;
	return map;
}

/* Return: the last library before those that were added, when all are there; NULL: none was. */
static const struct dl_map *follow_adding(void)
{
	struct dl_debug *adding = list_in(DL_ADD);
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
	const struct library_way way = { .entries = PART_WRITE_ENTRIES };
	const struct dl_map *before = follow_adding();
	int nr = 0;

	for (const struct dl_map *map = before ? before->next : NULL; map && nr < DL_MAPS_MAX;
	     map = map->next, nr++)
		(void)library_come(dl_debug_next(NULL), map, &way);
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
	} else if (list_in(DL_DELETE)) {
		last_before = last_added = NULL;
		go_all();
		is_deleting = true;
	} else {
		note_added();
		if (is_deleting) {
			memset(closing, 0, sizeof(closing));
			is_deleting = false;
			library_sweep();
		}
	}
	dl_unlock();
}

/* --- for the host ------------------------------------------------------------------------------ */

long dl_scan(uint64_t seq)
{
	const struct library_way way = { .only = seq, .entries = PART_KEEP_ENTRIES };
	const char *refused = NULL;
	long r = DL_DONE;
	int lists = 0;

	lock();
	if (list_in(DL_DELETE) || list_in(DL_ADD) || (last_added && dl_map_list(last_added)))
		r = DL_AGAIN;
	for (struct dl_debug *d = dl_debug_next(NULL); d && lists < DL_LISTS_MAX && r == DL_DONE;
	     d = dl_debug_next(d), lists++)
		for (const struct dl_map *m = d->first; m && !refused; m = m->next)
			if (!is_closing(m))
				refused = library_come(d, m, &way);
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
	    library_is_mapped(dl_objects(dl_meta(entry))[index].start)) {
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
		if (library_is_mapped(o->start))
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
