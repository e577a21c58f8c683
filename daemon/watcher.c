/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "watcher.h"

#include <errno.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <upatch/error.h>

#include "cleanup.h"
#include "config.h"
#include "failure.h"
#include "log.h"
#include "mappings.h"

enum {
	BUFFER_SIZE = 8 << 20, /* of the socket: some 50000 events */
	BATCH = 256,	       /* events for one turn of the loop */
	LOSS_US = 1000000,     /* from one look for what was lost to the next */
	LOSS_QUIET_US = 60000000,
};

struct watcher {
	struct watcher_receiver receiver;
	sd_event_source *source;
	struct mappings *mappings; /* or NULL */
	sd_event_source *timer;	   /* without one of them it rescans */
	sd_event_source *loss;	   /* on, when a look for what was lost is to come */
	uint64_t loss_at;	   /* when the last one was; 0: never */
	uint64_t loss_told_at;
	int fd; /* of the proc connector, or -1 */
	uint64_t interval_us;
};

static void tell(const struct watcher *watcher, const struct watcher_news *news)
{
	watcher->receiver.fn(watcher->receiver.userdata, news);
}

static void tell_all(const struct watcher *watcher)
{
	tell(watcher, &(struct watcher_news){ .event = WATCHER_RESCAN });
}

/* --- losses ------------------------------------------------------------------------------------ */

/* The kernel tells of many losses while it loses: one look, now and then, is for all of them. */
static int on_loss_time(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct watcher *watcher = userdata;

	(void)sd_event_now(sd_event_source_get_event(source), CLOCK_MONOTONIC,
			   &watcher->loss_at); /* the loop runs */
	tell_all(watcher);
	return 0;
}

static void look_at_all(struct watcher *watcher, const char *what)
{
	uint64_t now = 0;
	int is_planned = SD_EVENT_OFF;

	if (sd_event_source_get_enabled(watcher->loss, &is_planned) > 0)
		return;
	(void)sd_event_now(sd_event_source_get_event(watcher->loss), CLOCK_MONOTONIC, &now);
	if (!watcher->loss_told_at || now > watcher->loss_told_at + LOSS_QUIET_US)
		log_line(LOG_WARNING,
			 "watcher: %s were lost; looking at all processes, once a second at most",
			 what);
	watcher->loss_told_at = now;
	/* They are a timer, and the loop's. */
	(void)sd_event_source_set_time(watcher->loss,
				       watcher->loss_at ? watcher->loss_at + LOSS_US : now);
	(void)sd_event_source_set_enabled(watcher->loss, SD_EVENT_ONESHOT);
}

static int plan_losses(struct watcher *watcher, sd_event *event)
{
	int r;

	r = sd_event_add_time_relative(event, &watcher->loss, CLOCK_MONOTONIC, LOSS_US, 1,
				       on_loss_time, watcher);
	return r < 0 ? r : sd_event_source_set_enabled(watcher->loss, SD_EVENT_OFF);
}

/* --- proc connector ---------------------------------------------------------------------------- */

/* What is sent and received: netlink(7), connector(4). */
struct listen_request {
	struct nlmsghdr nl;
	struct cn_msg cn;
	enum proc_cn_mcast_op op;
} __attribute__((packed));

static void take_event(struct watcher *watcher, const struct proc_event *event)
{
	/* Of threads only the leader counts: it is the process. */
	switch ((unsigned int)event->what) {
	case PROC_EVENT_FORK:
		if (event->event_data.fork.child_pid == event->event_data.fork.child_tgid)
			tell(watcher, &(struct watcher_news){
					      .event = WATCHER_FORK,
					      .pid = event->event_data.fork.child_tgid,
					      .parent = event->event_data.fork.parent_tgid });
		break;
	case PROC_EVENT_EXEC:
		tell(watcher, &(struct watcher_news){ .event = WATCHER_EXEC,
						      .pid = event->event_data.exec.process_tgid });
		break;
	case PROC_EVENT_EXIT:
		if (event->event_data.exit.process_pid == event->event_data.exit.process_tgid)
			tell(watcher,
			     &(struct watcher_news){ .event = WATCHER_EXIT,
						     .pid = event->event_data.exit.process_tgid });
		break;
	}
}

static void take_message(struct watcher *watcher, const char *bytes, size_t size)
{
	struct proc_event event = {};
	struct cn_msg cn;
	size_t at = NLMSG_HDRLEN;

	if (size < at + sizeof(cn))
		return;
	memcpy(&cn, bytes + at, sizeof(cn));
	at += sizeof(cn);
	if (cn.id.idx != CN_IDX_PROC || cn.id.val != CN_VAL_PROC)
		return;
	memcpy(&event, bytes + at, size - at < sizeof(event) ? size - at : sizeof(event));
	take_event(watcher, &event);
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct watcher *watcher = userdata;

	for (int i = 0; i < BATCH; i++) {
		struct sockaddr_nl from;
		socklen_t length = sizeof(from);
		char bytes[1024];
		ssize_t n = recvfrom(fd, bytes, sizeof(bytes), MSG_DONTWAIT,
				     (struct sockaddr *)&from, &length);

		if (n < 0 && errno == ENOBUFS) {
			look_at_all(watcher, "events");
			continue;
		}
		if (n < 0)
			break;
		/* Only the kernel speaks for itself. */
		if (from.nl_pid == 0)
			take_message(watcher, bytes, (size_t)n);
	}
	return 0;
}

static int listen_to(int fd)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = CN_IDX_PROC };
	struct listen_request request = {
		.nl = { .nlmsg_len = sizeof(request), .nlmsg_type = NLMSG_DONE },
		.cn = { .id = { CN_IDX_PROC, CN_VAL_PROC }, .len = sizeof(request.op) },
		.op = PROC_CN_MCAST_LISTEN,
	};
	int size = BUFFER_SIZE;

	/* Without the right to a large buffer a rescan is only likelier. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    send(fd, &request, sizeof(request), 0) < 0)
		return -errno;
	return 0;
}

/* A kernel without the connector, or one that keeps it to its first namespace, does not answer. */
static int await_answer(int fd)
{
	struct timeval limit = { .tv_sec = 1 };
	struct timeval none = {};
	char bytes[1024];
	ssize_t n;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	n = recv(fd, bytes, sizeof(bytes), 0);
	if (n < 0)
		return errno == EAGAIN ? -EOPNOTSUPP : -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof(none));
	return 0;
}

static int open_connector(int *ret)
{
	_cleanup_close_ int fd = -1;
	int r;

	fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_CONNECTOR);
	if (fd < 0)
		return -errno;
	r = listen_to(fd);
	if (r >= 0)
		r = await_answer(fd);
	if (r >= 0)
		*ret = take_fd(fd);
	return r;
}

/* --- mappings ---------------------------------------------------------------------------------- */

static void on_mapping(void *userdata, pid_t pid, const char *build_id)
{
	tell(userdata,
	     &(struct watcher_news){ .event = WATCHER_MAP, .pid = pid, .build_id = build_id });
}

static void on_loss(void *userdata)
{
	look_at_all(userdata, "mappings");
}

/* --- without it -------------------------------------------------------------------------------- */

static int on_interval(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct watcher *watcher = userdata;

	tell_all(watcher);
	(void)sd_event_source_set_time_relative(source, watcher->interval_us); /* it is a timer */
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* --- life -------------------------------------------------------------------------------------- */

void watcher_free(struct watcher *watcher)
{
	if (!watcher)
		return;
	sd_event_source_disable_unref(watcher->source);
	sd_event_source_disable_unref(watcher->timer);
	sd_event_source_disable_unref(watcher->loss);
	mappings_free(watcher->mappings);
	closep(&watcher->fd);
	free(watcher);
}

static int watch_events(struct watcher *watcher, sd_event *event)
{
	const struct mappings_receiver receiver = { on_mapping, on_loss, watcher };
	int r;

	r = sd_event_add_io(event, &watcher->source, watcher->fd, EPOLLIN, on_readable, watcher);
	/* Who has gone is known before somebody looks for him. */
	if (r >= 0)
		r = sd_event_source_set_priority(watcher->source, -10);
	if (r >= 0)
		r = plan_losses(watcher, event);
	return r < 0 ? r : mappings_new(event, &receiver, &watcher->mappings);
}

int watcher_new(sd_event *event, const struct config *config,
		const struct watcher_receiver *receiver, struct failure *f, struct watcher **ret)
{
	struct watcher *watcher = calloc(1, sizeof(*watcher));
	const char *source = "proc connector";
	int r;

	if (!watcher)
		return failure_oom(f);
	*watcher = (struct watcher){
		.receiver = *receiver,
		.fd = -1,
		.interval_us = config->rescan_s * 1000000ull,
	};
	r = config->is_rescanning ? -EOPNOTSUPP : open_connector(&watcher->fd);
	if (r >= 0) {
		source = "perf events";
		r = watch_events(watcher, event);
	}
	if (r < 0) {
		failure_set(f, r, UPATCH_E_UNSUPPORTED,
			    "the kernel's %s cannot be had (%s): all processes are looked at every "
			    "%u seconds instead",
			    source, strerror(-r), config->rescan_s);
		r = sd_event_add_time_relative(event, &watcher->timer, CLOCK_MONOTONIC,
					       watcher->interval_us, 0, on_interval, watcher);
	}
	if (r < 0) {
		failure_set(f, r, UPATCH_E_INTERNAL, "cannot watch processes: %s", strerror(-r));
		watcher_free(watcher);
		return r;
	}
	*ret = watcher;
	return 0;
}

const char *watcher_source(const struct watcher *watcher)
{
	if (watcher->mappings)
		return "events";
	return watcher->fd >= 0 ? "proc-connector" : "rescan";
}
