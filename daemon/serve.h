/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_SERVE_H
#define DAEMON_SERVE_H

/* A child's own side, see child.h: one message comes, one goes back, until the daemon closes the socket. */

struct wire;

enum {
	SERVE_FD = 3, /* the socket that it is started with */
};

/* @message: the question, which is replaced by its answer. Return: 0, or -errno, which ends it. */
typedef int (*serve_fn)(void *userdata, struct wire *message);

/* Return: exit status. */
int serve(serve_fn answer, void *userdata);

#endif
