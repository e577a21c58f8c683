/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>
#include <upatch/bus.h>

#include "bus_manager.h"
#include "bus_report.h"
#include "bus_text.h"
#include "cleanup.h"
#include "event_log.h"
#include "log.h"

enum {
	CHANGES_MS = 100,
};

void bus_init(struct bus *bus, sd_event *event, struct manager *manager)
{
	*bus = (struct bus){ .event = sd_event_ref(event), .manager = manager };
	bus_text_init();
	TAILQ_INIT(&bus->links);
	TAILQ_INIT(&bus->calls.list);
	manager_set_events(manager, bus_event, bus);
}

void bus_deinit(struct bus *bus)
{
	struct bus_link *link;

	if (!bus->event)
		return;
	manager_set_events(bus->manager, NULL, NULL);
	bus_calls_deinit(bus);
	while ((link = TAILQ_FIRST(&bus->links)))
		bus_link_free(link);
	bus_link_free(bus->system);
	sd_event_source_disable_unref(bus->listener);
	sd_event_source_disable_unref(bus->change);
	sd_event_source_disable_unref(bus->reconnect);
	sd_event_unref(bus->event);
	free(bus->host_report);
	*bus = (struct bus){};
}

/* --- the socket ------------------------------------------------------------------------------ */

/* A client at a time, so that a crowd of them does not keep the loop from its other work. */
static int on_client(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct bus *bus = userdata;
	int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int r;

	if (client < 0) {
		if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
			log_line(LOG_WARNING, "cannot accept a client: %s", strerror(errno));
		return 0;
	}
	r = bus_link_new_private(bus, client);
	if (r < 0 && r != -EUSERS)
		log_line(LOG_WARNING, "cannot serve a client: %s", strerror(-r));
	return 0;
}

/* Everybody may connect: callers are judged by their credentials, call by call. */
static int make_socket(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	int ret;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	(void)unlink(path); /* of one that died; bind() says what else is wrong */
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || chmod(path, 0666) < 0 ||
	    listen(fd, SOMAXCONN) < 0)
		return -errno;
	ret = fd;
	fd = -1;
	return ret;
}

int bus_listen(struct bus *bus, int fd, const char *path)
{
	int r;

	if (fd < 0)
		fd = make_socket(path);
	if (fd < 0)
		return fd;
	r = sd_event_add_io(bus->event, &bus->listener, fd, EPOLLIN, on_client, bus);
	if (r >= 0)
		r = sd_event_source_set_priority(bus->listener, BUS_PRIORITY);
	if (r < 0) {
		(void)close(fd); /* nobody was served */
		return r;
	}
	return sd_event_source_set_io_fd_own(bus->listener, 1);
}

int bus_connect(struct bus *bus, const char *address)
{
	return bus_link_new_system(bus, address, &bus->system);
}

static int on_reconnect(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct bus *bus = userdata;
	int r;

	r = bus_connect(bus, getenv("UPATCHD_BUS"));
	if (r < 0)
		log_line(LOG_WARNING, "bus: no system bus, only the socket is served: %s",
			 strerror(-r));
	return 0;
}

void bus_reconnect(struct bus *bus)
{
	int r;

	bus_link_free(bus->system);
	bus->system = NULL;
	bus->reconnect = sd_event_source_disable_unref(bus->reconnect);
	r = sd_event_add_time_relative(bus->event, &bus->reconnect, CLOCK_MONOTONIC, 1000 * 1000, 0,
				       on_reconnect, bus);
	if (r < 0)
		log_line(LOG_WARNING, "bus: cannot look for the system bus again: %s",
			 strerror(-r));
}

static int open_socket(struct bus *bus, const char *runtime_root, struct failure *f)
{
	_cleanup_free_ char *path = NULL;
	int nr = sd_listen_fds(1);
	int r;

	if (nr > 1)
		return failure_set(f, -EINVAL, UPATCH_E_USAGE,
				   "bus: %d sockets were passed, not one: see upatchd.socket", nr);
	if (nr == 1 && sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_STREAM, 1, NULL, 0) <= 0)
		return failure_set(f, -EINVAL, UPATCH_E_USAGE,
				   "bus: what was passed is no listening stream socket");
	if (asprintf(&path, "%s/bus", runtime_root) < 0)
		return failure_oom(f);
	r = bus_listen(bus, nr == 1 ? SD_LISTEN_FDS_START : -1, path);
	if (r < 0)
		return failure_set(f, r, UPATCH_E_IO, "bus: cannot serve %s: %s", path,
				   strerror(-r));
	return 0;
}

int bus_open(struct bus *bus, const char *runtime_root, struct failure *f)
{
	const char *address = getenv("UPATCHD_BUS");
	int r;

	r = open_socket(bus, runtime_root, f);
	if (r < 0 || (address && !*address))
		return r;
	r = bus_connect(bus, address);
	if (r < 0)
		log_line(LOG_NOTICE, "bus: no system bus, only the socket is served: %s",
			 strerror(-r));
	return 0;
}

/* --- signals --------------------------------------------------------------------------------- */

static struct bus_link *next_listener(struct bus *bus, struct bus_link *link)
{
	link = link ? TAILQ_NEXT(link, links) : TAILQ_FIRST(&bus->links);
	while (link && !bus_link_hears(link))
		link = TAILQ_NEXT(link, links);
	return link;
}

const struct bus_summary *bus_summary(struct bus *bus)
{
	_cleanup_(failure_clear) struct failure f = {};
	struct bus_summary *summary = &bus->summary;
	struct status *status;

	/* What cannot be had now is what was. */
	if (summary->is_fresh || manager_status(bus->manager, 0, &f, &status) < 0)
		return summary;
	*summary = (struct bus_summary){
		.counts = status->counts,
		.nr_processes = status->nr_processes,
		.nr_problems = status->nr_problems,
		.is_settled = status->is_settled,
		.is_fresh = true,
	};
	status_free(status);
	return summary;
}

static void forget_host_report(struct bus *bus)
{
	free(bus->host_report);
	bus->host_report = NULL;
}

int bus_host_report(struct bus *bus, struct failure *f, const char **ret)
{
	uint64_t now = 0;
	int r = 0;

	(void)sd_event_now(bus->event, CLOCK_MONOTONIC, &now); /* the loop runs */
	if (now >= bus->host_report_until)
		forget_host_report(bus);
	if (!bus->host_report) {
		r = bus_report_host(bus->manager, f, &bus->host_report);
		bus->host_report_until = now + CHANGES_MS * 1000;
	}
	*ret = bus->host_report;
	return r;
}

static bool has_listener(struct bus *bus)
{
	return (bus->system && bus_link_hears(bus->system)) || next_listener(bus, NULL);
}

static int emit_changes(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct bus *bus = userdata;
	struct bus_link *link = NULL;

	/* Who has just gone hears nothing of it. */
	if (bus->system && bus_link_hears(bus->system))
		(void)bus_manager_signal_counts(bus->system);
	while ((link = next_listener(bus, link)))
		(void)bus_manager_signal_counts(link);
	return 0;
}

/* PropertiesChanged, CHANGES_MS later: what changes meanwhile goes with it. */
static void plan_changes(struct bus *bus)
{
	int is_planned = SD_EVENT_OFF;
	int r = 0;

	if (bus->change && sd_event_source_get_enabled(bus->change, &is_planned) > 0)
		return;
	if (!bus->change)
		r = sd_event_add_time_relative(bus->event, &bus->change, CLOCK_MONOTONIC,
					       CHANGES_MS * 1000, 0, emit_changes, bus);
	else
		r = sd_event_source_set_time_relative(bus->change, CHANGES_MS * 1000);
	if (r >= 0)
		r = sd_event_source_set_enabled(bus->change, SD_EVENT_ONESHOT);
	if (r < 0)
		log_line(LOG_WARNING, "bus: cannot announce changes: %s", strerror(-r));
}

void bus_event(void *userdata, const struct manager_event *event)
{
	struct bus *bus = userdata;
	struct bus_link *link = NULL;

	bus->summary.is_fresh = false;
	forget_host_report(bus);
	event_log_put(event);
	if (!has_listener(bus))
		return;
	if (bus->system && bus_link_hears(bus->system))
		(void)bus_manager_signal(bus->system, event); /* as above */
	while ((link = next_listener(bus, link)))
		(void)bus_manager_signal(link, event);
	plan_changes(bus);
}
