/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_WATCHER_H
#define DAEMON_WATCHER_H

/*
 * Tells of processes that begin, become another program, and end, by the kernel's proc connector:
 * nothing is polled. Where that is not to be had (a container, a kernel without it) it asks for a look
 * at all processes in intervals instead, and says so.
 */

#include <sys/types.h>
#include <systemd/sd-event.h>

struct config;
struct failure;
struct watcher;

enum watcher_event {
	WATCHER_FORK, /* @pid, a copy of @parent */
	WATCHER_EXEC,
	WATCHER_EXIT,	/* of the main thread: others may go on */
	WATCHER_MAP,	/* a file to be executed */
	WATCHER_RESCAN, /* events were lost, or cannot be had: look at all */
};

struct watcher_news {
	enum watcher_event event;
	pid_t pid;
	pid_t parent;	      /* FORK */
	const char *build_id; /* MAP: of the file, or NULL when the kernel found none */
};

typedef void (*watcher_fn)(void *userdata, const struct watcher_news *news);

/* Who is told. */
struct watcher_receiver {
	watcher_fn fn;
	void *userdata;
};

/**
 * watcher_new() - begin to watch
 * @config: whether the kernel is asked to tell, and the interval of looks where it does not
 * @f: what the kernel does not tell, and why; set with a return of 0, too
 */
int watcher_new(sd_event *event, const struct config *config,
		const struct watcher_receiver *receiver, struct failure *f, struct watcher **ret);
void watcher_free(struct watcher *watcher);

/* "proc-connector" or "rescan" */
const char *watcher_source(const struct watcher *watcher);

#endif
