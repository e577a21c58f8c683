/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_MAPPINGS_H
#define DAEMON_MAPPINGS_H

/*
 * The kernel tells, by perf events that count nothing, of every file that any process maps to be
 * executed, with its build ID: how a library that is loaded late is noticed.
 */

#include <sys/types.h>
#include <systemd/sd-event.h>

struct mappings;

struct mappings_receiver {
	/* @build_id: lower-case hex, or NULL when the kernel found none in the file */
	void (*on_mapping)(void *userdata, pid_t pid, const char *build_id);
	void (*on_loss)(void *userdata); /* some were not told */
	void *userdata;
};

/* Return: 0, -ENOMEM, or the errno of perf_event_open(2) or mmap(2), as where it is not allowed. */
int mappings_new(sd_event *event, const struct mappings_receiver *receiver, struct mappings **ret);
void mappings_free(struct mappings *mappings);

#endif
