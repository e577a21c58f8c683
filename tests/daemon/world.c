/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "world.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));
	void *cli, *session;

	assert_non_null(w);
	cli_setup(&cli);
	session_setup(&session);
	w->cli = cli;
	w->session = session;
	return w;
}

int world_teardown(void **state)
{
	struct world *w = *state;
	void *cli = w->cli, *session = w->session;

	if (w->session->daemon)
		session_stop(w->session);
	session_teardown(&session);
	cli_teardown(&cli);
	free(w);
	return 0;
}

void world_build(struct world *w, const char *name)
{
	char file[64];

	snprintf(file, sizeof(file), "%s.c", name);
	cli_write(w->cli, file,
		  "#include <upatch/livepatch.h>\n"
		  "UPATCH_OBJECT(\"cli-holder\");\n"
		  "static void new_hold(void) { __asm__ volatile(\"\"); }\n"
		  "UPATCH_FUNC(hold, new_hold);\n");
	run(w->cli, "build", "-s", file, "--object", getenv("HOLDER_OBJECT"), "--cve",
	    "CVE-2026-1234");
	assert_exit(w->cli, UPATCH_EXIT_DONE);
}

/* What the holder reads: it has both ends of its pipe. */
static int open_input(pid_t pid)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/fd/0", (int)pid);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static char state_of(pid_t pid)
{
	char path[64], state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%*d (%*[^)]) %c", &state), 1);
	fclose(f);
	return state;
}

static bool is_asleep(struct session *session, void *userdata)
{
	const pid_t *pid = userdata;
	int fd = open_input(*pid);
	int unread = 1;

	assert_int_equal(ioctl(fd, FIONREAD, &unread), 0);
	close(fd);
	return unread == 0 && state_of(*pid) == 'S';
}

static void tell(pid_t pid, char what)
{
	int fd = open_input(pid);

	assert_int_equal(write(fd, &what, 1), 1);
	close(fd);
}

void world_hold(struct world *w, pid_t pid)
{
	tell(pid, 'h');
	session_wait(w->session, is_asleep, &pid, "the holder is in hold()");
}

void world_release(struct world *w, pid_t pid)
{
	tell(pid, '.');
	session_wait(w->session, is_asleep, &pid, "the holder has left hold()");
}
