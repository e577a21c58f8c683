/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef UPATCHCTL_THREADVIEW_H
#define UPATCHCTL_THREADVIEW_H

/* Threads of a target, with their stacks, in the model. */

#include <json.h>
#include <stdio.h>
#include <upatch/upatch.h>

/** threadview_put_reason() - the name of an error's reason, null for none */
void threadview_put_reason(struct json_object *object, const struct upatch_error *error);

/** threadview_object() - a thread, its frames included */
struct json_object *threadview_object(const struct upatch_thread *thread);

/** threadview_backtrace() - a new string, a line for each frame; NULL when there is none */
char *threadview_backtrace(const struct upatch_thread *thread);

/** threadview_print() - the frames of a thread in the model, indented */
void threadview_print(FILE *out, struct json_object *thread);

#endif
