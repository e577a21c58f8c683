/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "livepatch/callback.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <upatch/abi.h>

#include "base/diag.h"
#include "livepatch/call.h"
#include "livepatch/library.h"
#include "livepatch/session.h"
#include "target/target.h"

enum {
	ERRNO_MAX = 4095,
};

static const char *const kind_names[] = {
	[UPATCH_KIND_PRE_PATCH] = "pre-patch",
	[UPATCH_KIND_POST_PATCH] = "post-patch",
	[UPATCH_KIND_PRE_UNPATCH] = "pre-unpatch",
	[UPATCH_KIND_POST_UNPATCH] = "post-unpatch",
};

static struct upatch_meta_object *object_of(struct session *s, size_t patch, size_t object)
{
	return (struct upatch_meta_object *)&meta_objects(s->record.metas[patch])[object];
}

bool callbacks_exist(const struct session *session, size_t patch)
{
	const struct upatch_meta *meta = session->record.metas[patch];

	for (uint32_t i = 0; i < meta->nr_objects; i++)
		for (size_t n = 0; n < UPATCH_CALLBACKS; n++)
			if (meta_objects(meta)[i].callbacks[n])
				return true;
	return false;
}

/* What is to follow, in our copy and in the target. @word: of the object. */
static int mark(struct session *s, size_t patch, uint32_t *word, uint32_t value)
{
	*word = value;
	return record_store_meta(&s->record, patch, word, sizeof(*word));
}

/* Return: 1: it is to be run, and that is noted, so that it is run once; 0; or -errno raised. */
static int begin(struct session *s, size_t patch, struct upatch_meta_object *o,
		 enum upatch_callback_kind kind)
{
	uint32_t *due = kind == UPATCH_KIND_POST_UNPATCH ? &o->is_post_unpatch_armed
							 : &o->is_post_patch_due;
	int r;

	switch (kind) {
	case UPATCH_KIND_PRE_PATCH:
		return 1;
	case UPATCH_KIND_PRE_UNPATCH:
		/* klp: when disabling is reversed, it runs again. */
		r = mark(s, patch, &o->is_post_patch_due, 1);
		return r < 0 ? r : 1;
	case UPATCH_KIND_POST_PATCH:
	case UPATCH_KIND_POST_UNPATCH:
		break;
	}
	if (!*due)
		return 0;
	r = mark(s, patch, due, 0);
	return r < 0 ? r : 1;
}

static int run_pre_patch(struct session *s, size_t patch, const struct call *call)
{
	struct diag_where where = { .object = call->object };
	uint64_t value;
	int result;
	int r;

	diag_debug(s->diag, "target %d: patch '%s': running pre-patch callback for object '%s'",
		   (int)s->target->pid, s->record.metas[patch]->name, call->object);
	r = call_function(s, call, &value);
	if (r < 0)
		return r;
	result = (int)value;
	if (!result)
		return 0;
	diag_warn(s->diag, "target %d: patch '%s': pre-patch callback failed for object '%s'",
		  (int)s->target->pid, s->record.metas[patch]->name, call->object);
	if (result > 0 || result < -ERRNO_MAX)
		return diag_err(s->diag, -EINVAL, UPATCH_E_CALLBACK, &where,
				"pre-patch callback failed for object '%s': it returned %d",
				call->object, result);
	return diag_err(s->diag, result, UPATCH_E_CALLBACK, &where,
			"pre-patch callback failed for object '%s': %s", call->object,
			strerror(-result));
}

/* It cannot fail; what goes wrong with it is no reason to stop here. */
static void run_void(struct session *s, size_t patch, const struct call *call)
{
	bool was_clean = s->diag->error.reason == UPATCH_E_NONE;
	uint64_t ignored;

	diag_debug(s->diag, "target %d: patch '%s': running %s for object '%s'",
		   (int)s->target->pid, s->record.metas[patch]->name, call->what, call->object);
	if (call_function(s, call, &ignored) >= 0)
		return;
	diag_warn(s->diag, "target %d: patch '%s': %s failed for object '%s'%s%s",
		  (int)s->target->pid, s->record.metas[patch]->name, call->what, call->object,
		  was_clean ? ": " : "", was_clean ? s->diag->error.message : "");
	if (was_clean)
		diag_clear(s->diag);
}

/* Where the library may go meanwhile, the agent sees to it that it does not. */
static int run_in_library(struct session *s, size_t patch, size_t object,
			  enum upatch_callback_kind kind)
{
	bool was_clean = s->diag->error.reason == UPATCH_E_NONE;
	int r, ignored;

	/* The agent has run it when it placed the part. */
	if (kind == UPATCH_KIND_PRE_PATCH || !object_of(s, patch, object)->callbacks[kind - 1])
		return 0;
	r = library_call(s, patch, object, kind, &ignored);
	if (r < 0 && was_clean) {
		diag_warn(s->diag, "target %d: patch '%s': %s callback failed: %s",
			  (int)s->target->pid, s->record.metas[patch]->name, kind_names[kind],
			  s->diag->error.message);
		diag_clear(s->diag);
	}
	return 0;
}

int callback_run(struct session *session, size_t patch, size_t object,
		 enum upatch_callback_kind kind)
{
	struct upatch_meta_object *o = object_of(session, patch, object);
	const char *name = meta_string(session->record.metas[patch], o->name);
	char what[32];
	const struct call call = {
		.what = what,
		.object = name,
		.addr = o->callbacks[kind - 1],
		.args = { o->callback_arg_addr, 0 },
		.landing_addr = o->payload_addr + UPATCH_TEXT_LANDING,
	};
	int r;

	if (!meta_object_is_here(o))
		return 0;
	if (o->template_addr)
		return run_in_library(session, patch, object, kind);
	(void)snprintf(what, sizeof(what), "%s callback", kind_names[kind]);
	r = begin(session, patch, o, kind);
	if (r <= 0)
		return r;
	if (kind != UPATCH_KIND_PRE_PATCH) {
		if (call.addr)
			run_void(session, patch, &call);
		return 0;
	}
	if (call.addr)
		r = run_pre_patch(session, patch, &call);
	if (r >= 0)
		r = mark(session, patch, &o->is_post_patch_due, 1);
	if (r >= 0)
		r = mark(session, patch, &o->is_post_unpatch_armed, 1);
	return r < 0 ? r : 0;
}

bool callbacks_are_due(const struct session *session, size_t patch)
{
	const struct upatch_meta *meta = session->record.metas[patch];

	for (uint32_t i = 0; i < meta->nr_objects; i++)
		if (meta_objects(meta)[i].is_post_patch_due)
			return true;
	return false;
}

static int run_all(struct session *s, size_t patch, enum upatch_callback_kind kind)
{
	int r = 0;

	for (size_t i = 0; i < s->record.metas[patch]->nr_objects && r >= 0; i++)
		r = callback_run(s, patch, i, kind);
	return r;
}

int callbacks_pre_patch(struct session *session, size_t patch)
{
	return run_all(session, patch, UPATCH_KIND_PRE_PATCH);
}

void callbacks_post_patch(struct session *session, size_t patch)
{
	(void)run_all(session, patch, UPATCH_KIND_POST_PATCH); /* cannot fail */
}

void callbacks_pre_unpatch(struct session *session, size_t patch)
{
	(void)run_all(session, patch, UPATCH_KIND_PRE_UNPATCH); /* likewise */
}

void callbacks_post_unpatch(struct session *session, size_t patch)
{
	(void)run_all(session, patch, UPATCH_KIND_POST_UNPATCH); /* fails if the target has gone */
}
