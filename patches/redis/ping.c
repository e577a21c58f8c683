/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Replaces the function behind redis's PING command: what it answers shows which version runs.
 * pingCommand() and addReplyStatus() are exported by redis-server, for its loadable modules.
 */
#include <upatch/livepatch.h>

UPATCH_OBJECT("redis-server");

struct client;

void addReplyStatus(struct client *c, const char *status);

static void new_ping(struct client *c)
{
	addReplyStatus(c, "PONG, patched by upatch");
}
UPATCH_FUNC(pingCommand, new_ping);
