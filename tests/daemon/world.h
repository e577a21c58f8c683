/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_DAEMON_WORLD_H
#define TESTS_DAEMON_WORLD_H

/* upatchctl and upatchd, side by side. */

#include "../cli/fixture.h"
#include "bus_session.h"

struct world {
	struct cli *cli;
	struct session *session;
	pid_t pid; /* of a holder, where the test has one */
	char pid_text[16];
};

/* The daemon is not started yet. */
struct world *world_new(void);
int world_teardown(void **state);

/* NAME.upatch for the holder. */
void world_build(struct world *w, const char *name);

/* A holder is in hold(), and asleep; and has been told to leave it, and waits for more. */
void world_hold(struct world *w, pid_t pid);
void world_release(struct world *w, pid_t pid);

/* upatchctl, through the daemon. */
#define by_daemon(w, ...) run((w)->cli, __VA_ARGS__, "--json", "--socket", (w)->session->socket)

#endif
