/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus_link.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>
#include <upatch/bus.h>

#include "bus.h"
#include "bus_manager.h"
#include "cleanup.h"
#include "log.h"

/* --- lifecycle ------------------------------------------------------------------------------- */

void bus_link_free(struct bus_link *link)
{
	if (!link)
		return;
	bus_calls_forget(link->bus, link);
	if (link->is_private && link->is_counted)
		TAILQ_REMOVE(&link->bus->links, link, links);
	if (link->connection) {
		(void)sd_bus_detach_event(link->connection); /* it may not be attached yet */
		sd_bus_close(link->connection);
		sd_bus_unref(link->connection);
	}
	free(link);
}

/* The connection has ended. It must not be freed below its own callback. */
static int on_disconnected(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct bus_link *link = userdata;

	if (link->is_private) {
		bus_link_free(link);
		return 0;
	}
	log_line(LOG_WARNING,
		 "bus: the system bus has gone: only the socket is served until it is back");
	bus_reconnect(link->bus);
	return 0;
}

static int on_name(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	const sd_bus_error *failure = sd_bus_message_get_error(reply);

	if (failure)
		log_line(LOG_ERR, "bus: cannot be %s on the system bus: %s", UPATCH_BUS_NAME,
			 failure->message);
	else
		(void)sd_notify(0, "STATUS=watching, on the system bus, too"); /* as in main.c */
	return 0;
}

static int watch_end(struct bus_link *link)
{
	return sd_bus_match_signal_async(link->connection, NULL, "org.freedesktop.DBus.Local",
					 "/org/freedesktop/DBus/Local",
					 "org.freedesktop.DBus.Local", "Disconnected",
					 on_disconnected, NULL, link);
}

/* --- clients of the socket ------------------------------------------------------------------- */

static int check_limits(const struct bus *bus, const struct bus_link *link)
{
	size_t nr = 0, nr_of_user = 0;
	struct bus_link *other;

	TAILQ_FOREACH(other, &bus->links, links)
	{
		nr += other->uid != 0;
		nr_of_user += other->uid == link->uid;
	}
	/* Root has places of its own: users, however many, leave them alone. */
	if (link->uid == 0 ? nr_of_user < BUS_LINKS_OF_ROOT_MAX
			   : nr < BUS_LINKS_MAX && nr_of_user < BUS_LINKS_OF_USER_MAX)
		return 0;
	log_line(
		LOG_WARNING,
		"process %d of user %u: connection refused, there are %zu of users, %zu of this user",
		(int)link->pid, link->uid, nr, nr_of_user);
	return -EUSERS;
}

/* Also what sd-bus answers by itself, such as Ping, is answered only to who reads. */
static int on_message(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	if (!sd_bus_message_is_method_call(message, NULL, NULL) || bus_link_has_room(userdata))
		return 0;
	return 1; /* he is gone, and wants no answer */
}

static int start_private(struct bus_link *link, int fd)
{
	sd_id128_t id;
	int r;

	r = sd_id128_randomize(&id);
	if (r >= 0)
		r = sd_bus_set_fd(link->connection, fd, fd);
	if (r < 0) {
		(void)close(fd); /* nothing was sent */
		return r;
	}
	r = sd_bus_set_server(link->connection, 1, id);
	if (r >= 0)
		r = sd_bus_negotiate_fds(link->connection, 1);
	if (r >= 0)
		r = sd_bus_set_anonymous(link->connection, 0);
	if (r >= 0)
		r = sd_bus_start(link->connection);
	if (r >= 0)
		r = sd_bus_attach_event(link->connection, link->bus->event, BUS_PRIORITY);
	if (r >= 0)
		r = watch_end(link);
	if (r >= 0)
		r = sd_bus_add_filter(link->connection, NULL, on_message, link);
	return r < 0 ? r : bus_manager_serve(link);
}

int bus_link_new_private(struct bus *bus, int fd)
{
	struct bus_link *link = calloc(1, sizeof(*link));
	struct ucred peer;
	socklen_t length = sizeof(peer);
	int r = -ENOMEM;

	if (!link || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0) {
		r = link ? -errno : r;
		goto err_close;
	}
	*link = (struct bus_link){
		.bus = bus,
		.is_private = true,
		.uid = peer.uid,
		.pid = peer.pid,
	};
	r = check_limits(bus, link);
	if (r >= 0)
		r = sd_bus_new(&link->connection);
	if (r < 0)
		goto err_close;
	r = start_private(link, fd);
	if (r < 0) {
		bus_link_free(link);
		return r;
	}
	TAILQ_INSERT_TAIL(&bus->links, link, links);
	link->is_counted = true;
	return 0;

err_close:
	(void)close(fd); /* nothing was sent */
	bus_link_free(link);
	return r;
}

bool bus_link_has_room(struct bus_link *link)
{
	uint64_t nr = 0;

	if (!link->is_private || sd_bus_get_n_queued_write(link->connection, &nr) < 0 ||
	    nr < BUS_UNREAD_MAX)
		return true;
	if (!link->is_dropped)
		log_line(LOG_WARNING,
			 "process %d of user %u: dropped, it has not read %llu messages",
			 (int)link->pid, link->uid, (unsigned long long)nr);
	/* The end of the connection is noticed, and told, like any other. */
	link->is_dropped = true;
	(void)shutdown(sd_bus_get_fd(link->connection), SHUT_RDWR);
	return false;
}

bool bus_link_hears(struct bus_link *link)
{
	uint64_t nr = 0;

	if (!link->is_listening)
		return false;
	if (link->is_private)
		return bus_link_has_room(link);
	return sd_bus_is_ready(link->connection) > 0 &&
	       sd_bus_get_n_queued_write(link->connection, &nr) >= 0 && nr < BUS_UNREAD_MAX;
}

/* --- the system bus -------------------------------------------------------------------------- */

int bus_link_new_system(struct bus *bus, const char *address, struct bus_link **ret)
{
	struct bus_link *link = calloc(1, sizeof(*link));
	int r;

	if (!link)
		return -ENOMEM;
	*link = (struct bus_link){ .bus = bus, .is_listening = true };
	r = sd_bus_new(&link->connection);
	if (r >= 0)
		r = address ? sd_bus_set_address(link->connection, address)
			    : sd_bus_set_address(link->connection,
						 "unix:path=/run/dbus/system_bus_socket");
	if (r >= 0)
		r = sd_bus_set_bus_client(link->connection, 1);
	/* At boot we are there before it is. */
	if (r >= 0)
		r = sd_bus_set_watch_bind(link->connection, 1);
	if (r >= 0)
		r = sd_bus_negotiate_fds(link->connection, 1);
	if (r >= 0)
		r = sd_bus_start(link->connection);
	if (r >= 0)
		r = sd_bus_attach_event(link->connection, bus->event, BUS_PRIORITY);
	if (r >= 0)
		r = watch_end(link);
	if (r >= 0)
		r = bus_manager_serve(link);
	if (r >= 0)
		r = sd_bus_request_name_async(link->connection, NULL, UPATCH_BUS_NAME, 0, on_name,
					      NULL);
	if (r < 0) {
		bus_link_free(link);
		return r;
	}
	*ret = link;
	return 0;
}
