/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef API_VIEW_H
#define API_VIEW_H

/* Making public structs of errors and threads from what the engine found. */

#include <upatch/upatch.h>

struct session;
struct threads;
struct block;

/* A copy that lives as long as its owner wants. Without memory its strings are NULL. */
void view_copy_error(const struct upatch_error *from, struct upatch_error *ret);
void view_free_error(const struct upatch_error *error);

/* Arrays of as many threads as given, or NULL without memory. */
struct upatch_thread *view_threads(struct session *session, const struct threads *threads);
struct upatch_thread *view_blocks(struct session *session, const struct block *blocks, size_t nr);
void view_free_threads(struct upatch_thread *threads, size_t nr);

#endif
