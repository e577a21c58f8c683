/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <upatch/upatch.h>

#include "api/ctx.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/export.h"
#include "livepatch/backtrace.h"
#include "livepatch/check.h"
#include "livepatch/record.h"
#include "livepatch/session.h"
#include "patchfile/patchfile.h"
#include "target/target.h"
#include "target/unwind.h"

enum {
	CHECK_TIMEOUT_MS = 1000,
};

/* The public struct comes first, so that freeing one frees the other. */
struct report {
	struct upatch_check public;
	struct upatch_ctx *ctx; /* while it is made */
	struct upatch_check_func *funcs;
	size_t alloc_funcs;
	struct upatch_thread *threads;
	bool has_failed; /* out of memory */
};

static const char *copy(const char *s)
{
	return s ? strdup(s) : NULL;
}

static void copy_error(const struct upatch_error *from, struct upatch_error *ret)
{
	*ret = *from;
	ret->patch = copy(from->patch);
	ret->object = copy(from->object);
	ret->function = copy(from->function);
	ret->message = strdup(from->message);
	ret->detail = copy(from->detail);
}

static void free_error(const struct upatch_error *error)
{
	free((char *)error->patch);
	free((char *)error->object);
	free((char *)error->function);
	free((char *)error->message);
	free((char *)error->detail);
}

EXPORT void upatch_check_free(struct upatch_check *check)
{
	struct report *report = (struct report *)check;

	if (!check)
		return;
	for (size_t i = 0; i < check->nr_funcs; i++) {
		free((char *)check->funcs[i].object);
		free((char *)check->funcs[i].function);
		free_error(&check->funcs[i].error);
	}
	for (size_t i = 0; i < check->nr_threads; i++) {
		const struct upatch_thread *thread = &check->threads[i];

		for (size_t n = 0; n < thread->nr_frames; n++) {
			free((char *)thread->frames[n].function);
			free((char *)thread->frames[n].object);
		}
		free((void *)thread->frames);
		free((char *)thread->comm);
		free_error(&thread->error);
	}
	free_error(&check->error);
	free((char *)check->patch);
	free(report->funcs);
	free(report->threads);
	free(report);
}

/* Each function's refusal is taken out of the context, which is then free for the next one. */
static void add_func(const struct plan_object *object, const struct plan_func *func, int error,
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
	f->object = strdup(object->payload->object);
	f->function = strdup(func->func->name);
	f->addr = func->old_addr;
	f->is_patched = func->is_patched;
	if (error < 0) {
		copy_error(&d->error, &f->error);
		diag_clear(d);
	}
}

static void fill_frames(struct session *session, const struct unwind_stack *stack,
			struct upatch_thread *ret)
{
	struct upatch_frame *frames = calloc(stack->nr + 1, sizeof(*frames));

	ret->frames = frames;
	for (size_t i = 0; frames && i < stack->nr; i++) {
		const struct unwind_frame *frame = &stack->frames[i];
		struct backtrace_name name;

		backtrace_name(session, frame->is_exact ? frame->pc : frame->pc - 1, &name);
		frames[ret->nr_frames++] = (struct upatch_frame){
			.pc = frame->pc,
			.function = copy(name.function),
			.offset = name.function ? name.offset + !frame->is_exact : 0,
			.object = copy(name.object),
		};
	}
}

static void fill_thread(struct session *session, const struct check_thread *from,
			struct upatch_thread *ret)
{
	bool is_lost = from->verdict == STACK_UNRELIABLE;
	struct proc_stat stat = { .comm = "?" };

	(void)proc_read_stat(session->target->procfd, from->tid, &stat); /* only for its name */
	*ret = (struct upatch_thread){
		.tid = from->tid,
		.comm = strdup(stat.comm),
		.state = -1,
		.error = {
			.reason = is_lost ? UPATCH_E_UNRELIABLE : UPATCH_E_IN_FUNCTION,
			.error = -EAGAIN,
			.pid = session->target->pid,
			.tid = from->tid,
			.function = copy(from->function),
			.message = strdup(is_lost ? "its stack cannot be walked to its root"
						  : "the thread is inside this function"),
		},
	};
	fill_frames(session, from->stack, ret);
}

static int fill_threads(struct session *session, const struct check *check, struct report *report)
{
	report->threads = calloc(check->nr_threads + 1, sizeof(*report->threads));
	if (!report->threads)
		return diag_oom(session->diag);
	report->public.threads = report->threads;
	for (size_t i = 0; i < check->nr_threads; i++)
		fill_thread(session, &check->threads[i],
			    &report->threads[report->public.nr_threads++]);
	return 0;
}

static int look(struct session *session, const struct patchfile *file, struct report *report)
{
	struct check check;
	int r;

	if (session->record.addr && record_find_patch(&session->record, file->name) >= 0)
		return diag_err(session->diag, -EEXIST, UPATCH_E_EXISTS, NULL,
				"it is enabled already");
	r = check_patch(session, file, add_func, report, &check);
	if (r < 0)
		return r;
	r = fill_threads(session, &check, report);
	check_deinit(&check);
	return r;
}

/* A refusal is the answer, not a failure to find it. */
static void fill_verdict(struct report *report, int error)
{
	const struct upatch_check *check = &report->public;

	copy_error(&report->ctx->diag.error, &report->public.error);
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
