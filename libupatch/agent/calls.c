/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent/calls.h"

#include "agent/agent.h"
#include "agent/event.h"

enum {
	STATE_OFFSET = 8, /* of struct upatch_callback */
};

static void mark(const struct calls *c, const uint32_t *word, uint32_t value)
{
	if (*word != value)
		(void)dl_record_store(c->poke, word, &value, sizeof(value)); /* it could before */
}

void calls_tell(const struct calls *calls, enum calls_state state)
{
	const int value = (int)state;

	if (calls->object->callback_arg_addr)
		(void)poke_write(calls->poke, calls->object->callback_arg_addr + STATE_OFFSET,
				 &value, sizeof(value), SYS_PROT_READ); /* as above */
}

/* Is it its turn? Noted before it runs, so that it runs once. */
static bool begin(const struct calls *c, enum calls_kind kind)
{
	const struct upatch_meta_object *o = c->object;
	bool is_due = true;

	switch (kind) {
	case CALLS_PRE_PATCH:
		break;
	case CALLS_PRE_UNPATCH:
		mark(c, &o->is_post_patch_due, 1);
		break;
	case CALLS_POST_PATCH:
		is_due = o->is_post_patch_due;
		mark(c, &o->is_post_patch_due, 0);
		break;
	case CALLS_POST_UNPATCH:
		is_due = o->is_post_unpatch_armed;
		mark(c, &o->is_post_unpatch_armed, 0);
		break;
	}
	return is_due;
}

int calls_run(const struct calls *calls, enum calls_kind kind)
{
	const struct upatch_meta_object *o = calls->object;
	bool is_due = begin(calls, kind);
	uint64_t addr = o->callbacks[kind - 1];
	int r = 0;

	if (is_due && addr) {
		event_add(&(struct event){
			.kind = UPATCH_EVENT_CALLBACK,
			.seq = calls->entry->seq,
			.object = dl_meta_string(calls->meta, o->name),
			.error = kind,
		});
		/* It may fork, or close what it does not know. */
		poke_close(calls->poke);
		r = ((int (*)(const void *))(uintptr_t)addr)(
			(const void *)(uintptr_t)o->callback_arg_addr);
		poke_open(calls->poke);
	}
	if (kind != CALLS_PRE_PATCH)
		return 0;
	if (!r) {
		mark(calls, &o->is_post_unpatch_armed, 1);
		mark(calls, &o->is_post_patch_due, 1);
	}
	return r;
}
