/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <upatch/upatch.h>

#include "api/ctx.h"
#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/export.h"
#include "elf/image.h"
#include "livepatch/agent.h"
#include "livepatch/laggards.h"
#include "livepatch/library.h"
#include "livepatch/record.h"
#include "livepatch/session.h"
#include "target/target.h"

/* The public struct comes first, so that freeing one frees the other. */
struct status {
	struct upatch_status public;
	char comm[PROC_COMM_MAX];
	char exe[PATH_MAX];
};

/* An open transition goes where its table says; without one somebody died on the way to it. */
static const char *state_name(const struct session *s, const struct laggards *laggards,
			      size_t index)
{
	enum upatch_patch_state state = s->record.head->patches[index].state;

	switch (state) {
	case UPATCH_PATCH_ENABLED:
		if (record_is_superseded(&s->record, index))
			break;
		return "enabled";
	case UPATCH_PATCH_KEPT:
		return "kept";
	case UPATCH_PATCH_ENABLING:
	case UPATCH_PATCH_DISABLING:
		if (!laggards->table)
			break;
		return (state == UPATCH_PATCH_ENABLING) != (laggards->table->invert != 0)
			       ? "enabling"
			       : "disabling";
	case UPATCH_PATCH_FREE:
	case UPATCH_PATCH_LOADING:
	case UPATCH_PATCH_LOADED:
	case UPATCH_PATCH_UNLOADING:
		break;
	}
	return "interrupted";
}

static const char *kept_reason(const struct upatch_patch_entry *entry)
{
	if (entry->state != UPATCH_PATCH_KEPT)
		return NULL;
	switch (entry->kept_reason) {
	case UPATCH_KEPT_FORCED:
		return "forced";
	case UPATCH_KEPT_REFERENCED:
		return "referenced";
	default:
		return "not searched";
	}
}

static void free_object(const struct upatch_status_object *object)
{
	for (size_t i = 0; i < object->nr_funcs; i++)
		free((char *)object->funcs[i].name);
	free((void *)object->funcs);
	free((char *)object->name);
	free((char *)object->build_id);
}

EXPORT void upatch_status_free(struct upatch_status *status)
{
	for (size_t i = 0; status && i < status->nr_patches; i++) {
		const struct upatch_status_patch *patch = &status->patches[i];

		for (size_t n = 0; n < patch->nr_objects; n++)
			free_object(&patch->objects[n]);
		free((void *)patch->objects);
		free((void *)patch->blocked);
		free((char *)patch->name);
		free((char *)patch->version);
	}
	if (status)
		free((void *)status->patches);
	free(status);
}

static int fill_funcs(const struct record *record, const struct upatch_meta *meta, uint32_t object,
		      struct upatch_status_object *ret)
{
	struct upatch_status_func *funcs = calloc(meta->nr_funcs + 1, sizeof(*funcs));

	ret->funcs = funcs;
	if (!funcs)
		return -ENOMEM;
	for (uint32_t i = 0; i < meta->nr_funcs; i++) {
		const struct upatch_meta_func *f = &meta_funcs(meta)[i];
		const struct upatch_slot *slot = record_slot_at(record, f->slot_addr);
		struct upatch_status_func *func = &funcs[ret->nr_funcs];

		if (f->object != object)
			continue;
		func->name = strdup(meta_string(meta, f->name));
		if (!func->name)
			return -ENOMEM;
		func->old_addr = f->old_addr;
		func->new_addr = f->new_addr;
		func->is_winner = slot && slot->winner == f->new_addr;
		ret->nr_funcs++;
	}
	return 0;
}

static int fill_blocked(const struct session *s, const struct laggards *laggards,
			struct upatch_status_patch *ret)
{
	_cleanup_free_ struct laggard *list = NULL;
	pid_t *blocked;
	size_t nr;
	int r;

	r = laggards_list(s, laggards, &list, &nr);
	if (r < 0)
		return r;
	blocked = calloc(nr + 1, sizeof(*blocked));
	ret->blocked = blocked;
	if (!blocked)
		return -ENOMEM;
	for (size_t i = 0; i < nr; i++)
		blocked[ret->nr_blocked++] = list[i].tid;
	return 0;
}

/* What the agent last did about a patch and a library that is not there now. */
static const struct upatch_event *last_event(const struct upatch_agent_data *data, uint64_t seq,
					     const char *object)
{
	const struct upatch_event *last = NULL;

	for (size_t i = 0; i < UPATCH_EVENTS_MAX; i++) {
		const struct upatch_event *e = &data->events[i];

		if (e->number && e->seq == seq && e->kind != UPATCH_EVENT_CALLBACK &&
		    strncmp(e->object, object, sizeof(e->object) - 1) == 0 &&
		    (!last || e->number > last->number))
			last = e;
	}
	return last;
}

static void fill_absent(const struct upatch_agent_data *data, uint64_t seq,
			struct upatch_status_object *ret)
{
	const struct upatch_event *e = last_event(data, seq, ret->name);

	switch (e ? e->kind : 0) {
	case UPATCH_EVENT_REFUSED:
	case UPATCH_EVENT_UNPATCHED:
		ret->state = "refused";
		ret->reason = library_refused_text((enum upatch_refused)e->reason);
		ret->when = e->when;
		break;
	case UPATCH_EVENT_OTHER_BUILD:
		ret->state = "not-needed";
		ret->when = e->when;
		break;
	default:
		ret->state = "waiting";
	}
}

/* Of the copies of a library those that are there; if there are none, one. */
static bool is_shown(const struct upatch_meta *meta, uint32_t index)
{
	const struct upatch_meta_object *objects = meta_objects(meta);

	if (meta_object_is_here(&objects[index]))
		return true;
	for (uint32_t i = 0; i < meta->nr_objects; i++)
		if (objects[i].template_addr == objects[index].template_addr &&
		    (i < index || meta_object_is_here(&objects[i])))
			return false;
	return true;
}

static int fill_object(const struct session *s, const struct upatch_agent_data *data,
		       const struct upatch_meta *meta, uint32_t index,
		       struct upatch_status_object *ret)
{
	const struct upatch_meta_object *o = &meta_objects(meta)[index];
	struct build_id id = { .size = (uint8_t)o->build_id_size };
	char hex[2 * BUILD_ID_MAX + 1];

	memcpy(id.bytes, o->build_id, sizeof(o->build_id));
	ret->name = strdup(meta_string(meta, o->name));
	ret->build_id = strdup(build_id_format(&id, hex));
	if (!ret->name || !ret->build_id)
		return -ENOMEM;
	ret->payload_addr = o->payload_addr;
	ret->payload_size = o->payload_size;
	ret->state = "patched";
	if (!meta_object_is_here(o))
		fill_absent(data, meta->seq, ret);
	return fill_funcs(&s->record, meta, index, ret);
}

static int fill_patch(const struct session *s, const struct laggards *laggards,
		      const struct upatch_agent_data *data, size_t index,
		      struct upatch_status_patch *ret)
{
	const struct record *record = &s->record;
	const struct upatch_patch_entry *entry = &record->head->patches[index];
	const struct upatch_meta *meta = record->metas[index];
	struct upatch_status_object *objects = calloc(meta->nr_objects + 1, sizeof(*objects));
	int r = 0;

	ret->objects = objects;
	ret->name = strdup(meta->name);
	ret->version = strdup(meta->patch_version);
	if (!objects || !ret->name || !ret->version)
		return -ENOMEM;
	ret->state = state_name(s, laggards, index);
	ret->reason = kept_reason(entry);
	ret->replace = meta->flags & UPATCH_META_REPLACE;
	ret->forced = entry->flags & UPATCH_PATCH_FORCED;
	ret->seq = meta->seq;
	ret->enabled_at = meta->enabled_at;
	ret->digest = meta->digest;
	for (uint32_t i = 0; i < meta->nr_objects && r >= 0; i++)
		if (is_shown(meta, i))
			r = fill_object(s, data, meta, i, &objects[ret->nr_objects++]);
	if (r >= 0 && record_find_open(record) == (int)index)
		r = fill_blocked(s, laggards, ret);
	return r;
}

/* A patch that was being loaded has no meta to tell its name. */
static int fill_nameless(const struct record *record, size_t index, struct upatch_status_patch *ret)
{
	ret->name = strdup("?");
	ret->version = strdup("");
	ret->state = "interrupted";
	ret->seq = record->head->patches[index].seq;
	return ret->name && ret->version ? 0 : -ENOMEM;
}

static int compare_seq(const void *a, const void *b)
{
	const struct upatch_status_patch *x = a, *y = b;

	return (x->seq > y->seq) - (x->seq < y->seq);
}

static int fill_patches(const struct session *s, const struct laggards *laggards,
			const struct upatch_agent_data *data, struct upatch_status *ret)
{
	const struct record *record = &s->record;
	struct upatch_status_patch *patches = calloc(UPATCH_PATCHES_MAX, sizeof(*patches));
	int r = 0;

	ret->patches = patches;
	if (!patches)
		return -ENOMEM;
	for (size_t i = 0; record->addr && i < UPATCH_PATCHES_MAX && r >= 0; i++) {
		struct upatch_status_patch *patch = &patches[ret->nr_patches];

		if (record->head->patches[i].state == UPATCH_PATCH_FREE)
			continue;
		ret->nr_patches++;
		r = record->metas[i] ? fill_patch(s, laggards, data, i, patch)
				     : fill_nameless(record, i, patch);
	}
	qsort(patches, ret->nr_patches, sizeof(*patches), compare_seq);
	return r;
}

/* Of a session only what reading the record takes: nothing is stopped, no object is looked into. */
static int read_target(struct session *s, struct upatch_status *ret)
{
	struct laggards laggards = { .index = -1 };
	struct upatch_agent_data data = {};
	int r;

	r = target_check_alive(s->target);
	if (r >= 0)
		r = target_maps(s->target, &s->maps);
	if (r >= 0)
		r = session_read_record(s);
	if (r >= 0 && s->record.addr && agent_region(s) >= 0)
		r = agent_read_data(s, &data);
	if (r >= 0)
		library_report(s);
	if (r >= 0 && s->record.addr && record_find_open(&s->record) >= 0)
		r = laggards_read(s, &laggards);
	if (r >= 0 && fill_patches(s, &laggards, &data, ret) < 0)
		r = diag_oom(s->diag);
	laggards_deinit(&laggards);
	return r;
}

EXPORT int upatch_target_status(struct upatch_target *target, struct upatch_status **ret)
{
	struct upatch_ctx *ctx = target->ctx;
	struct target *t = target->target;
	struct status *status = calloc(1, sizeof(*status));
	struct session session = { .target = t, .diag = &ctx->diag };
	int r;

	ctx_begin(ctx, t->pid, NULL);
	if (!status)
		return ctx_end(ctx, diag_oom(&ctx->diag));
	memcpy(status->comm, t->stat.comm, sizeof(status->comm));
	status->public.pid = t->pid;
	status->public.comm = status->comm;
	status->public.exe = target_exe(t, status->exe, sizeof(status->exe));
	r = read_target(&session, &status->public);
	session_close(&session);
	if (r < 0) {
		upatch_status_free(&status->public);
		return ctx_end(ctx, r);
	}
	*ret = &status->public;
	return ctx_end(ctx, 0);
}
