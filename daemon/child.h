/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_CHILD_H
#define DAEMON_CHILD_H

/*
 * A process of ours, a worker or the reader, with a socket to it: one message there, one back. The
 * loop never waits for it.
 */

#include <systemd/sd-event.h>

struct child;
struct wire;

/*
 * @on_message: it said something; -errno means that it made no sense
 * @on_end:     it is gone, or its socket is; @child must be freed then
 */
struct child_receiver {
	int (*on_message)(void *userdata, struct wire *message);
	void (*on_end)(void *userdata);
	void *userdata;
};

/**
 * child_new() - start "program role"
 * @receiver: copied; may be changed by child_set_receiver()
 * Return: 0 or -errno.
 */
int child_new(sd_event *event, const char *program, const char *role,
	      const struct child_receiver *receiver, struct child **ret);
void child_set_receiver(struct child *child, const struct child_receiver *receiver);

/* Close the socket, which ends it when it has done what it is at. It is reaped later by itself. */
void child_free(struct child *child);

/* The same for one that is stuck: it is killed. */
void child_kill(struct child *child);

/* Return: 0 or -errno, when it is gone. */
int child_send(struct child *child, struct wire *message);

pid_t child_pid(const struct child *child);

#endif
