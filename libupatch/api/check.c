/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <upatch/upatch.h>

#include "api/ctx.h"
#include "api/view.h"
#include "base/array.h"
#include "base/deadline.h"
#include "base/export.h"
#include "livepatch/check.h"
#include "livepatch/complete.h"
#include "livepatch/record.h"
#include "livepatch/session.h"
#include "patchfile/patchfile.h"
#include "target/target.h"

enum {
	CHECK_TIMEOUT_MS = 1000,
};

/* The public struct comes first, so that freeing one frees the other. */
struct report {
	struct upatch_check public;
	struct upatch_ctx *ctx; /* while it is made */
	struct upatch_check_object *objects;
	size_t alloc_objects;
	struct upatch_check_func *funcs;
	size_t alloc_funcs;
	size_t nr_told; /* functions whose object was told, too */
	struct upatch_thread *threads;
	bool has_failed; /* out of memory */
};

EXPORT void upatch_check_free(struct upatch_check *check)
{
	struct report *report = (struct report *)check;

	if (!check)
		return;
	for (size_t i = 0; i < check->nr_funcs; i++) {
		free((char *)check->funcs[i].object);
		free((char *)check->funcs[i].function);
		view_free_error(&check->funcs[i].error);
	}
	for (size_t i = 0; i < check->nr_objects; i++) {
		free((char *)check->objects[i].name);
		free((char *)check->objects[i].build_id);
		view_free_error(&check->objects[i].error);
	}
	view_free_threads(report->threads, check->nr_threads);
	view_free_error(&check->error);
	free((char *)check->patch);
	free(report->objects);
	free(report->funcs);
	free(report);
}

static const char *presence_name(enum plan_presence presence)
{
	static const char *const names[] = {
		[PLAN_LOADED] = "loaded",
		[PLAN_WAITING] = "waiting",
		[PLAN_NOT_NEEDED] = "not-needed",
		[PLAN_ABSENT] = "absent",
	};

	return names[presence];
}

/* Each function's refusal is taken out of the context, which is then free for the next one. */
static void add_func(const struct payload *payload, const struct plan_func *func, int error,
		     void *userdata)
{
	struct report *report = userdata;
	struct diag *d = &report->ctx->diag;
	struct upatch_check_func *f;

	if (!array_grow(report->funcs, report->public.nr_funcs, report->alloc_funcs)) {
		report->has_failed = true;
		return;
	}
	f = &report->funcs[report->public.nr_funcs++];
	report->public.funcs = report->funcs;
	f->object = strdup(payload->object);
	f->function = strdup(func->func->name);
	f->addr = func->old_addr;
	f->is_patched = func->is_patched;
	if (error < 0) {
		view_copy_error(&d->error, &f->error);
		diag_clear(d);
	}
}

static void add_object(const struct plan_finding *finding, void *userdata)
{
	const struct payload *payload = finding->payload;
	const char *state = presence_name(finding->presence);
	char build_id[2 * BUILD_ID_MAX + 1];
	struct report *report = userdata;
	struct upatch_check_object *o;

	for (; report->nr_told < report->public.nr_funcs; report->nr_told++)
		report->funcs[report->nr_told].state = state;
	if (!array_grow(report->objects, report->public.nr_objects, report->alloc_objects)) {
		report->has_failed = true;
		return;
	}
	o = &report->objects[report->public.nr_objects++];
	report->public.objects = report->objects;
	o->name = strdup(payload->object);
	o->build_id = strdup(build_id_format(&payload->build_id, build_id));
	o->state = state;
	o->is_exclusive = finding->is_exclusive;
	/* It stays raised, as it may be what the whole is refused for. */
	if (finding->error < 0)
		view_copy_error(&report->ctx->diag.error, &o->error);
}

/* One that is kept makes room for a new one of its name where it can: forced, it never can. */
static int check_name(struct session *session, const char *name, bool *ret_is_enabled)
{
	const struct record *record = &session->record;
	int index = record->addr ? record_find_patch(record, name) : -ENOENT;
	const struct upatch_patch_entry *entry;

	if (index < 0)
		return 0;
	entry = &record->head->patches[index];
	*ret_is_enabled = entry->state == UPATCH_PATCH_ENABLED &&
			  !record_is_superseded(record, (size_t)index);
	if (entry->state != UPATCH_PATCH_KEPT)
		return diag_err(session->diag, -EEXIST, UPATCH_E_EXISTS, NULL,
				"it is enabled already");
	if (entry->flags & UPATCH_PATCH_FORCED)
		return diag_err(session->diag, -EEXIST, UPATCH_E_EXISTS, NULL,
				"a disabled patch of that name is kept for good, as threads were "
				"forced and may be in its code");
	return 0;
}

static int look(struct session *session, const struct patchfile *file, struct report *report)
{
	const struct plan_listener listener = {
		.func = add_func,
		.object = add_object,
		.userdata = report,
	};
	struct check check;
	int r;

	r = check_name(session, file->name, &report->public.is_enabled);
	if (r < 0)
		return r;
	r = session->record.addr ? complete_raise_busy(session) : 0;
	if (r >= 0)
		r = check_patch(session, file, &listener, &check);
	if (r < 0)
		return r;
	report->threads = view_threads(session, &check.threads);
	if (!report->threads)
		r = diag_oom(session->diag);
	report->public.threads = report->threads;
	report->public.nr_threads = check.threads.nr;
	check_deinit(&check);
	return r;
}

/* A refusal is the answer, not a failure to find it. */
static void fill_verdict(struct report *report, int error)
{
	const struct upatch_check *check = &report->public;

	view_copy_error(&report->ctx->diag.error, &report->public.error);
	diag_clear(&report->ctx->diag);
	report->public.applicable = error >= 0;
	for (size_t i = 0; i < check->nr_funcs; i++)
		if (check->funcs[i].error.reason != UPATCH_E_NONE)
			report->public.applicable = false;
}

EXPORT int upatch_target_check(struct upatch_target *target, struct upatch_patch *patch,
			       struct upatch_check **ret)
{
	struct upatch_ctx *ctx = target->ctx;
	struct report *report = calloc(1, sizeof(*report));
	struct session session;
	int r;

	ctx_begin(ctx, target->target->pid, patch->file->name);
	if (!report)
		return ctx_end(ctx, diag_oom(&ctx->diag));
	report->ctx = ctx;
	report->public.pid = target->target->pid;
	report->public.patch = strdup(patch->file->name);
	r = session_open(target->target, ctx->cache, deadline_in(CHECK_TIMEOUT_MS * NSEC_PER_MSEC),
			 &session);
	if (r >= 0) {
		r = look(&session, patch->file, report);
		session_close(&session);
	}
	fill_verdict(report, r);
	if (r == -ENOMEM || report->has_failed) {
		upatch_check_free(&report->public);
		return ctx_end(ctx, diag_oom(&ctx->diag));
	}
	*ret = &report->public;
	return ctx_end(ctx, 0);
}
