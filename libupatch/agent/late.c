/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/late.h"

#include "agent/agent.h"
#include "agent/bytes.h"
#include "agent/dl_map.h"
#include "agent/dl_record.h"
#include "agent/event.h"

enum {
	STDERR = 2,
};

extern const uint8_t dl_traps[] __attribute__((visibility("hidden")));

static uint64_t trap(int index)
{
	return (uint64_t)(uintptr_t)dl_traps + (uint64_t)index * UPATCH_TRAP_SIZE;
}

static uint64_t seq_of(const struct upatch_late *late)
{
	return __atomic_load_n(&late->seq, __ATOMIC_ACQUIRE);
}

static uint64_t target_of(const struct upatch_late *late)
{
	return *(const uint64_t *)(uintptr_t)late->word;
}

static void lead(const struct poke *poke, const struct upatch_late *late, uint64_t addr)
{
	(void)dl_record_store(poke, (const void *)(uintptr_t)late->word, &addr,
			      sizeof(addr)); /* else it stays a trap */
}

static bool find(const struct dl_map *map, const char *name, uint64_t *ret)
{
	struct lookup_object object;
	struct lookup_symbol found;

	if (!lookup_open(map->bias, map->dynamic, &object) ||
	    !lookup_symbol(&object, name, NULL, &found) || found.type == STT_TLS)
		return false;
	*ret = found.value;
	if (found.type == STT_GNU_IFUNC)
		*ret = ((uint64_t(*)(void))(uintptr_t)found.value)();
	return true;
}

bool late_is_any(void)
{
	for (int i = 0; i < UPATCH_LATE_MAX; i++)
		if (seq_of(&agent_data.late[i]))
			return true;
	return false;
}

void late_resolve(const struct poke *poke, const struct dl_map *map)
{
	for (int i = 0; i < UPATCH_LATE_MAX; i++) {
		const struct upatch_late *late = &agent_data.late[i];
		uint64_t addr;

		if (seq_of(late) && target_of(late) == trap(i) &&
		    dl_map_is_named(map, late->object) && find(map, late->name, &addr))
			lead(poke, late, addr);
	}
}

void late_lose(const struct poke *poke, const struct dl_image *image)
{
	for (int i = 0; i < UPATCH_LATE_MAX; i++) {
		const struct upatch_late *late = &agent_data.late[i];

		if (seq_of(late) && target_of(late) >= image->start && target_of(late) < image->end)
			lead(poke, late, trap(i));
	}
}

static void say(const char *text)
{
	size_t size = 0;

	while (text[size])
		size++;
	(void)sys_write(STDERR, text, size); /* there may be nobody to hear it */
}

void late_trapped(uint64_t index)
{
	const struct upatch_late *late = &agent_data.late[index];
	uint64_t seq = seq_of(late);

	event_add(&(struct event){
		.kind = UPATCH_EVENT_TRAPPED,
		.seq = seq,
		.object = late->object,
		.detail = late->name,
	});
	say("upatch: a replacement called '");
	say(late->name);
	say("' of '");
	say(late->object);
	say("', which is not loaded\n");
}
