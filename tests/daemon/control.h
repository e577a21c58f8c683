/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_DAEMON_CONTROL_H
#define TESTS_DAEMON_CONTROL_H

/*
 * The daemon as the tests drive it, by its socket: a line is a call, the answer a line.
 *
 *	enable PATH [KEY=VALUE]...	ok NAME | refused REASON MESSAGE
 *	disable NAME			ok NAME | refused REASON MESSAGE
 *	status				known N unmatched N ... STATE N...
 *	entry PID PATCH			STATE REASON FUNCTION
 *	objects PID PATCH		NAME=STATE...
 *	reload				ok | refused REASON MESSAGE
 *	revert PID NAME, apply PID PATH, force PID, wait PID, gc PID	done | REASON
 *	check				ok; what is not as docs/json.md says fails the test
 *	enabled NAME			1 | 0
 */

#include <stddef.h>

struct session;

/* @line is changed. Return: @answer, or NULL when the daemon has gone. */
const char *control_ask(struct session *session, char *line, char *answer, size_t size);

/* A number of the status, as cheap to ask for as it can be. */
long control_count(struct session *session, const char *name);

/* A number of the host, or the length of an array, by its name in docs/json.md. */
double control_number(struct session *session, const char *name);

/* Begin to enable or to disable, and do not wait for the answer. */
void control_send(struct session *session, char *line);

#endif
