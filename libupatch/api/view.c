/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "api/view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "livepatch/backtrace.h"
#include "livepatch/session.h"
#include "livepatch/threads.h"
#include "livepatch/transition.h"
#include "target/target.h"
#include "target/unwind.h"

static const char *copy(const char *s)
{
	return s ? strdup(s) : NULL;
}

void view_copy_error(const struct upatch_error *from, struct upatch_error *ret)
{
	*ret = *from;
	ret->patch = copy(from->patch);
	ret->object = copy(from->object);
	ret->function = copy(from->function);
	ret->message = copy(from->message);
	ret->detail = copy(from->detail);
}

void view_free_error(const struct upatch_error *error)
{
	free((char *)error->patch);
	free((char *)error->object);
	free((char *)error->function);
	free((char *)error->message);
	free((char *)error->detail);
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

/* What holds a thread, in words. */
static void fill_error(struct session *session, const struct threads_item *from,
		       struct upatch_error *ret)
{
	enum upatch_reason reason = UPATCH_E_IN_FUNCTION;
	const char *message = "the thread is inside this function";

	*ret = (struct upatch_error){ .message = strdup("") };
	switch (from->verdict) {
	case STACK_CLEAN:
		return;
	case STACK_IN_FUNCTION:
		break;
	case STACK_IN_ENTRY:
		message = "the thread is about to return into bytes that are to be overwritten";
		break;
	case STACK_IN_GATE:
		reason = UPATCH_E_UNRELIABLE;
		message = "the thread is in the middle of a call of a patched function";
		break;
	case STACK_SUSPENDED: /* no thread's */
	case STACK_UNRELIABLE:
		reason = UPATCH_E_UNRELIABLE;
		message = "its stack cannot be walked to its root";
		break;
	}
	free((char *)ret->message);
	*ret = (struct upatch_error){
		.reason = reason,
		.error = -EAGAIN,
		.pid = session->target->pid,
		.tid = from->tid,
		.function = copy(from->function),
		.message = strdup(message),
	};
}

static void fill_thread(struct session *session, const struct threads_item *from,
			struct upatch_thread *ret)
{
	struct proc_stat stat = { .comm = "?" };

	(void)proc_read_stat(session->target->procfd, from->tid, &stat); /* only for its name */
	*ret = (struct upatch_thread){
		.tid = from->tid,
		.comm = strdup(stat.comm),
		.state = from->state,
	};
	fill_error(session, from, &ret->error);
	fill_frames(session, from->stack, ret);
}

struct upatch_thread *view_threads(struct session *session, const struct threads *threads)
{
	struct upatch_thread *view = calloc(threads->nr + 1, sizeof(*view));

	for (size_t i = 0; view && i < threads->nr; i++)
		fill_thread(session, &threads->items[i], &view[i]);
	return view;
}

struct upatch_thread *view_blocks(struct session *session, const struct block *blocks, size_t nr)
{
	struct upatch_thread *view = calloc(nr + 1, sizeof(*view));

	for (size_t i = 0; view && i < nr; i++)
		fill_thread(session,
			    &(struct threads_item){
				    .tid = blocks[i].tid,
				    .state = THREADS_UNDEFINED,
				    .verdict = blocks[i].verdict,
				    .function = blocks[i].function,
				    .stack = blocks[i].stack,
			    },
			    &view[i]);
	return view;
}

void view_free_threads(struct upatch_thread *threads, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		const struct upatch_thread *thread = &threads[i];

		for (size_t n = 0; n < thread->nr_frames; n++) {
			free((char *)thread->frames[n].function);
			free((char *)thread->frames[n].object);
		}
		free((void *)thread->frames);
		free((char *)thread->comm);
		view_free_error(&thread->error);
	}
	free(threads);
}
