/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "threadview.h"

#include <inttypes.h>

#include "memory.h"
#include "model.h"

void threadview_put_reason(struct json_object *object, const struct upatch_error *error)
{
	model_put_string(object, "reason",
			 error->reason ? upatch_reason_name(error->reason) : NULL);
}

static struct json_object *frame_object(const struct upatch_frame *frame)
{
	struct json_object *object = model_object();

	model_put_address(object, "pc", frame->pc);
	model_put_string(object, "function", frame->function);
	model_put_number(object, "offset", frame->offset);
	model_put_string(object, "object", frame->object);
	return object;
}

struct json_object *threadview_object(const struct upatch_thread *thread)
{
	struct json_object *object = model_object();
	struct json_object *frames = model_array();

	for (size_t i = 0; i < thread->nr_frames; i++)
		model_append(frames, frame_object(&thread->frames[i]));
	model_put_number(object, "tid", (uint64_t)thread->tid);
	model_put_string(object, "comm", thread->comm);
	model_put(object, "state", must(json_object_new_int(thread->state)));
	model_put_string(object, "version", upatch_thread_state_name(thread->state));
	threadview_put_reason(object, &thread->error);
	model_put_string(object, "function", thread->error.function);
	model_put(object, "frames", frames);
	return object;
}

/* What is not known is left out, as in the backtraces of errors. */
static void print_place(FILE *out, const char *function, uint64_t offset, const char *object)
{
	if (function && *function)
		fprintf(out, " %s+0x%" PRIx64, function, offset);
	if (object && *object)
		fprintf(out, " (%s)", object);
}

char *threadview_backtrace(const struct upatch_thread *thread)
{
	char *text = NULL;
	size_t size;
	FILE *f;

	if (thread->nr_frames == 0)
		return NULL;
	f = must(open_memstream(&text, &size));
	for (size_t i = 0; i < thread->nr_frames; i++) {
		const struct upatch_frame *frame = &thread->frames[i];

		fprintf(f, "%s#%zu 0x%" PRIx64, i ? "\n" : "", i, frame->pc);
		print_place(f, frame->function, frame->offset, frame->object);
	}
	if (fclose(f) != 0)
		(void)must(NULL); /* a stream in memory fails for want of it only */
	return text;
}

void threadview_print(FILE *out, struct json_object *thread)
{
	for (size_t i = 0; i < model_length(thread, "frames"); i++) {
		struct json_object *frame = model_at(thread, "frames", i);

		fprintf(out, "    #%zu %s", i, model_string(frame, "pc"));
		print_place(out, model_string(frame, "function"),
			    json_object_get_uint64(model_get(frame, "offset")),
			    model_string(frame, "object"));
		fputc('\n', out);
	}
}
