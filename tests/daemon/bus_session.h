/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_DAEMON_BUS_SESSION_H
#define TESTS_DAEMON_BUS_SESSION_H

/*
 * A session: a directory, a bus of its own, and upatchd started as systemd would start it, with a
 * listening socket, a notify socket and a watchdog. Needs root, and neither systemd nor a system bus.
 *
 *   session_start()                 daemon is READY=1
 *   session_kill(), session_start() it died, and came back: socket and directories are the same
 *   session_stop()                  as systemctl stop: exit status 0, STOPPING=1 was told
 *
 * Functions assert inside. Everything waits for an event, with a deadline.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
/* cmocka needs the four above. */
#include <cmocka.h>
#include <systemd/sd-bus.h>

enum {
	SESSION_DEADLINE_MS = 20000,
	SESSION_WATCHDOG_MS = 4000,
	SESSION_PROCESSES_MAX = 512,
};

struct session {
	char dir[64];
	char socket[96];  /* of the daemon */
	char address[96]; /* of the bus, "unix:path=..." */
	char state[96];	  /* --state-root */
	char config[96];  /* --config-root */
	char log[96];	  /* what the daemon prints */
	pid_t bus;
	pid_t daemon;
	int listener;
	int notify;
	sd_bus *client; /* on the daemon's socket, subscribed; made when first needed */
	pid_t processes[SESSION_PROCESSES_MAX];
	size_t nr_processes;
};

/* For cmocka_unit_test_setup_teardown(). The daemon does not run yet. */
int session_setup(void **state);
/* Ends what is left; a daemon that died by itself fails the test, with its log. */
int session_teardown(void **state);

/* --- the daemon ---------------------------------------------------------------------------- */

/* Start it, and wait until it is READY=1. */
void session_start(struct session *session);
/* SIGTERM, and wait; it has to end with 0. */
void session_stop(struct session *session);
/* SIGKILL, and wait. */
void session_kill(struct session *session);
/* As session_start(), and until it has its name on the bus, for which READY=1 does not wait. */
void session_start_on_bus(struct session *session);
/* The bus goes, and there is another one; session_setup() has started the first. */
void session_end_bus(struct session *session);
void session_start_bus(struct session *session);
/* The next message on the notify socket that has this in it, such as "WATCHDOG=1". */
void session_wait_notify(struct session *session, const char *text);
/* Is there such a line in the daemon's log? */
bool session_has_logged(const struct session *session, const char *text);
/* Print the daemon's log, for whoever looks at a failed test. */
void session_show_log(const struct session *session);

/* --- processes ----------------------------------------------------------------------------- */

/*
 * Run a program with an open, silent standard input; it has to write one byte when it is ready.
 * Ended by session_teardown(), or when its standard input is closed.
 */
pid_t session_spawn(struct session *session, const char *program);
/* As another user. */
pid_t session_spawn_as(struct session *session, const char *program, uid_t uid);
/* SIGKILL, and wait until it is gone. */
void session_end_process(struct session *session, pid_t pid);

/* --- events -------------------------------------------------------------------------------- */

typedef bool (*session_condition_fn)(struct session *session, void *userdata);

/*
 * The connection to the daemon; after session_kill() it is made anew. What the daemon has told on the
 * notify socket by then is forgotten.
 */
sd_bus *session_client(struct session *session);
/* Until it holds; looked at again after each signal from the daemon. @what is for the failure. */
void session_wait(struct session *session, session_condition_fn holds, void *userdata,
		  const char *what);
/* Until the daemon says that it has nothing left to do. */
void session_wait_settled(struct session *session);
/* A number of the property Counts, such as "patched" or "total". */
uint32_t session_count(struct session *session, const char *state);

#endif
