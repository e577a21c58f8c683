/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_BUS_LINK_H
#define DAEMON_BUS_LINK_H

/*
 * One connection: the system bus, or one client of the socket. A client that does not read is
 * dropped when BUS_UNREAD_MAX messages wait for it; nobody else notices.
 */

#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

struct bus;

/*
 * @is_private:	a client of the socket, whose credentials are the socket's
 * @is_listening: signals are wanted (method Subscribe); on the system bus they always are
 */
struct bus_link {
	TAILQ_ENTRY(bus_link) links;
	struct bus *bus;
	sd_bus *connection;
	bool is_private;
	bool is_counted; /* it is in the list of the bus */
	bool is_listening;
	bool has_host_report; /* was sent, and is read when nothing is queued */
	bool is_dropped;      /* its end will be noticed soon */
	uid_t uid;
	pid_t pid;
};

/* Takes over the connected socket @fd, also when it fails. */
int bus_link_new_private(struct bus *bus, int fd);
int bus_link_new_system(struct bus *bus, const char *address, struct bus_link **ret);
void bus_link_free(struct bus_link *link);

/**
 * bus_link_has_room() - may one more message be sent?
 * A client that has no room is dropped; it is freed when the loop comes round.
 */
bool bus_link_has_room(struct bus_link *link);

/**
 * bus_link_hears() - may a signal be sent?
 * Not to who did not ask for them; nor to a system bus that is not there yet, or does not keep up: for it
 * they would pile up, and nobody listens who could miss them.
 */
bool bus_link_hears(struct bus_link *link);

#endif
