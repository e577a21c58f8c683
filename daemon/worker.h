/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_WORKER_H
#define DAEMON_WORKER_H

/*
 * The process that works on targets: one job at a time, read from a socket, answered there. It may
 * be stuck, crash or be killed at any time: what it had begun is in the target's record, and the next
 * worker finishes or undoes it.
 */

/* Serve jobs until the daemon closes the socket. Return: exit status. */
int worker_main(void);

#endif
