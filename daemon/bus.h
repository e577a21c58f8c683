/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_BUS_H
#define DAEMON_BUS_H

/*
 * The D-Bus API, org.upatch.Manager1: on the system bus, and on a socket of our own, with the same
 * vtables. Bus files translate: who calls (bus_caller.c), what is asked (bus_manager.c), which
 * worker does it (bus_call.c), what is answered (bus_error.c). What is decided is decided in the
 * manager.
 *
 * Everything here belongs to the one thread of the event loop, and nothing here blocks.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "bus_call.h"
#include "bus_link.h"
#include "manager.h"

enum {
	BUS_LINKS_MAX = 256,	     /* connections to the socket, of users other than root */
	BUS_LINKS_OF_USER_MAX = 64,  /* of them, by one user */
	BUS_LINKS_OF_ROOT_MAX = 64,  /* and root's */
	BUS_CALLS_MAX = 1024,	     /* calls in work, waiting ones included */
	BUS_CALLS_FOR_ROOT = 64,     /* beyond that, for root alone */
	BUS_CALLS_OF_LINK_MAX = 16,  /* of them, by one client */
	BUS_CALLS_OF_USER_MAX = 128, /* of them, by one user that is not root */
	/* With a worker, or with the manager: of users other than root, and what one has of them. */
	BUS_CALLS_RUNNING_MAX = 64,
	BUS_CALLS_RUNNING_OF_USER_MAX = 4,
	BUS_CALLS_RUNNING_OF_ROOT_MAX = 16,
	BUS_UNREAD_MAX = 256, /* messages that a client has not read yet */
	/* In the loop: clients, a message each, and the manager's work take turns. */
	BUS_PRIORITY = MANAGER_PRIORITY,
};

/* What the properties show. Made from the manager's status, and kept until something changes. */
struct bus_summary {
	struct status_counts counts;
	size_t nr_processes; /* with at least one entry */
	size_t nr_problems;
	bool is_settled;
	bool is_fresh;
};

/*
 * @manager:	what decides, and is asked
 * @system:	the system bus, or NULL: then only the socket is served
 * @listener:	of the socket, or NULL
 * @reconnect:	looks for the system bus again
 * @change:	emits PropertiesChanged when the loop has nothing else to do
 * @host_report:	the last answer to HostStatus, for others who ask at about the same time; or NULL
 */
struct bus {
	sd_event *event;
	struct manager *manager;
	struct bus_link *system;
	sd_event_source *listener;
	sd_event_source *change;
	sd_event_source *reconnect;
	TAILQ_HEAD(, bus_link) links;
	struct bus_calls calls;
	struct bus_summary summary;
	char *host_report;
	uint64_t host_report_until;
};

/**
 * bus_init() - serve nothing yet
 * @manager: must outlive the bus; its events come here from now on
 */
void bus_init(struct bus *bus, sd_event *event, struct manager *manager);
void bus_deinit(struct bus *bus);

/**
 * bus_open() - serve what there is: the socket that systemd passed, or one of our own in
 * @runtime_root, and the system bus
 *
 * Without a system bus the socket is served alone; $UPATCHD_BUS says which bus, "" for none.
 *
 * Return: 0, or -errno raised: the socket cannot be served.
 */
int bus_open(struct bus *bus, const char *runtime_root, struct failure *f);

/**
 * bus_listen() - serve the socket
 * @fd: a listening socket, which is taken over; or -1: make one at @path
 */
int bus_listen(struct bus *bus, int fd, const char *path);

/**
 * bus_connect() - serve the system bus
 * @address: or NULL for the default
 * Return: 0, or -errno: there is none, or the name is taken.
 */
int bus_connect(struct bus *bus, const char *address);

/** bus_reconnect() - the system bus has gone: look for it again, in a second */
void bus_reconnect(struct bus *bus);

/** bus_summary() - of the host, as of now; borrowed until control returns to the loop */
const struct bus_summary *bus_summary(struct bus *bus);

/**
 * bus_host_report() - what HostStatus gives, borrowed until control returns to the loop
 *
 * Made anew when something has happened since, or a tenth of a second has passed.
 *
 * Return: 0, or -errno raised.
 */
int bus_host_report(struct bus *bus, struct failure *f, const char **ret);

/** bus_event() - tell all who listen; a manager_event_fn, @userdata is the bus */
void bus_event(void *userdata, const struct manager_event *event);

#endif
