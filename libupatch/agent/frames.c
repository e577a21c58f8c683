/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/frames.h"

#include "agent/agent.h"

/*
 * libgcc, unwind-dw2-fde.c: the struct object is the caller's, and the library's until it is given back.
 * libgcc aborts when it is to forget what it does not know, so that only a copy that was told is asked:
 * frame_registered is 1 then. The function that is to forget is kept behind the struct object: when a
 * library has gone, nothing else tells which one that is.
 */
typedef void (*register_fn)(const void *begin, void *ob);
typedef void *(*deregister_fn)(const void *begin);

static uint64_t find(const struct dl_debug *list, const char *name)
{
	struct lookup_object object;
	struct lookup_symbol found;

	for (const struct dl_map *m = list->first; m; m = m->next)
		if (dl_map_is_named(m, "libgcc_s.so.1") &&
		    lookup_open(m->bias, m->dynamic, &object) &&
		    lookup_symbol(&object, name, NULL, &found))
			return found.value;
	return 0;
}

static uint64_t *forgets(const struct upatch_meta_object *object)
{
	return (uint64_t *)(uintptr_t)(object->frame_object_addr + UPATCH_FRAME_OBJECT_SIZE);
}

/* Is it still there? libgcc may have been unmapped together with the library that brought it. */
static bool is_there(uint64_t fn)
{
	const struct dl_debug *list = dl_debug_next(NULL);

	while (list && find(list, "__deregister_frame_info") != fn)
		list = dl_debug_next(list);
	return list;
}

static void mark(const struct poke *poke, const struct upatch_meta_object *object, uint32_t value)
{
	(void)dl_record_store(poke, &object->frame_registered, &value,
			      sizeof(value)); /* it could before */
}

/* An .eh_frame that is empty, but for its end, is nothing to register. */
static bool has_frames(const struct upatch_meta_object *object)
{
	return object->frame_object_addr && *(const uint32_t *)(uintptr_t)object->eh_frame_addr;
}

void frames_register(const struct poke *poke, const struct dl_debug *list,
		     const struct upatch_meta_object *object)
{
	uint64_t fn = has_frames(object) ? find(list, "__register_frame_info") : 0;
	uint64_t forget = fn ? find(list, "__deregister_frame_info") : 0;

	if (!forget)
		return;
	*forgets(object) = forget;
	((register_fn)(uintptr_t)fn)((const void *)(uintptr_t)object->eh_frame_addr,
				     (void *)(uintptr_t)object->frame_object_addr);
	mark(poke, object, 1);
}

void frames_deregister(const struct poke *poke, const struct upatch_meta_object *object)
{
	uint64_t fn = object->frame_registered ? *forgets(object) : 0;

	if (!fn)
		return;
	mark(poke, object, 0);
	if (is_there(fn))
		(void)((deregister_fn)(uintptr_t)fn)(
			(const void *)(uintptr_t)object->eh_frame_addr);
}
