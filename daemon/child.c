/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "child.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "serve.h"
#include "wire.h"

extern char **environ;

struct child {
	struct child_receiver receiver;
	pid_t pid;
	int pidfd; /* the PID may be another's when it has been reaped */
	int fd;
	sd_event_source *io;
	struct wire wire;
};

/* --- start ------------------------------------------------------------------------------------- */

static int spawn(const char *program, const char *role, int fd, pid_t *ret)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, pipe;
	char *const argv[] = { (char *)"upatchd", (char *)role, NULL };
	int r;

	sigemptyset(&none);
	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	r = posix_spawn_file_actions_adddup2(&actions, fd, SERVE_FD);
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(&actions, SERVE_FD + 1);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &pipe);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (r == 0)
		r = posix_spawn(ret, program, &actions, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

/* Reaped by sd-event; who talks to it learns of its end by the socket. */
static int on_exit_of_child(sd_event_source *source, const siginfo_t *info, void *userdata)
{
	if (info->si_code != CLD_EXITED && info->si_status != SIGKILL)
		log_line(LOG_WARNING, "worker %d: killed by signal %d", (int)info->si_pid,
			 info->si_status);
	else if (info->si_code == CLD_EXITED && info->si_status)
		log_line(LOG_WARNING, "worker %d: ended with status %d", (int)info->si_pid,
			 info->si_status);
	/* It was the loop's own, which would keep it, and its pidfd, until the loop's end. */
	return sd_event_source_set_floating(source, 0);
}

/* --- talk -------------------------------------------------------------------------------------- */

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct child *child = userdata;
	int r;

	r = wire_receive(&child->wire, fd);
	if (r == -EAGAIN || r == -EINTR)
		return 0;
	if (r > 0)
		r = child->receiver.on_message(child->receiver.userdata, &child->wire);
	else
		r = r < 0 ? r : -EPIPE;
	/* After its last word @child may be gone. */
	if (r < 0)
		child->receiver.on_end(child->receiver.userdata);
	return 0;
}

int child_send(struct child *child, struct wire *message)
{
	return wire_send(message, child->fd);
}

/* --- life -------------------------------------------------------------------------------------- */

void child_set_receiver(struct child *child, const struct child_receiver *receiver)
{
	child->receiver = *receiver;
}

pid_t child_pid(const struct child *child)
{
	return child->pid;
}

void child_free(struct child *child)
{
	if (!child)
		return;
	sd_event_source_disable_unref(child->io);
	closep(&child->fd);
	closep(&child->pidfd);
	wire_deinit(&child->wire);
	free(child);
}

void child_kill(struct child *child)
{
	if (child)
		(void)pidfd_send_signal(child->pidfd, SIGKILL, NULL, 0); /* or it has ended */
	child_free(child);
}

static int start(sd_event *event, const char *program, const char *role, struct child *child)
{
	int size = 2 * WIRE_MAX;
	int fds[2];
	int r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	child->fd = fds[0];
	(void)setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	r = spawn(program, role, fds[1], &child->pid);
	closep(&fds[1]);
	if (r < 0)
		return r;
	child->pidfd = pidfd_open(child->pid, 0); /* nobody reaps it before the loop goes on */
	if (child->pidfd < 0)
		return -errno;
	r = sd_event_add_child(event, NULL, child->pid, WEXITED, on_exit_of_child, NULL);
	if (r >= 0)
		r = sd_event_add_io(event, &child->io, child->fd, EPOLLIN, on_readable, child);
	return r;
}

int child_new(sd_event *event, const char *program, const char *role,
	      const struct child_receiver *receiver, struct child **ret)
{
	struct child *child = calloc(1, sizeof(*child));
	int r;

	if (!child)
		return -ENOMEM;
	*child = (struct child){ .receiver = *receiver, .pidfd = -1, .fd = -1 };
	r = wire_init(&child->wire);
	if (r >= 0)
		r = start(event, program, role, child);
	if (r < 0)
		child_free(child);
	else
		*ret = child;
	return r;
}
