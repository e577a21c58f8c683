/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_BUS_MANAGER_H
#define DAEMON_BUS_MANAGER_H

/* The object /org/upatch/Manager1: its methods, properties and signals. */

struct bus_link;
struct manager_event;

/** bus_manager_serve() - add the object to a connection */
int bus_manager_serve(struct bus_link *link);

/** bus_manager_signal() - emit the signal that stands for the event, if there is one */
int bus_manager_signal(struct bus_link *link, const struct manager_event *event);

/** bus_manager_signal_counts() - emit PropertiesChanged */
int bus_manager_signal_counts(struct bus_link *link);

#endif
