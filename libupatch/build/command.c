/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "build/command.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/diag.h"

extern char **environ;

enum {
	OUTPUT_MAX = 1 << 20,
};

/* All that comes until the other side is closed; what is too long is read and dropped. */
static char *read_all(int fd)
{
	size_t size = 0, room = 4096;
	char *text = malloc(room);

	while (text) {
		char dropped[4096];
		bool is_full = size + 1 >= OUTPUT_MAX;
		ssize_t n = read(fd, is_full ? dropped : text + size,
				 is_full ? sizeof(dropped) : room - size - 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		if (is_full)
			continue;
		size += (size_t)n;
		if (room - size < 2 && room < OUTPUT_MAX) {
			char *p = realloc(text, room * 2);

			if (!p)
				break;
			text = p;
			room *= 2;
		}
	}
	if (text)
		text[size] = '\0';
	while (text && size && text[size - 1] == '\n')
		text[--size] = '\0';
	return text;
}

static int spawn(const char *const argv[], int output, pid_t *ret)
{
	posix_spawn_file_actions_t actions;
	int r;

	r = posix_spawn_file_actions_init(&actions);
	if (r)
		return -r;
	r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (!r)
		r = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	if (!r)
		r = posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
	if (!r)
		r = posix_spawnp(ret, argv[0], &actions, NULL, (char *const *)argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions); /* cannot fail once initialised */
	return -r;
}

/* What it says though it is content: a warning of the compiler is a crash of the target's, later. */
static void pass_on(struct diag *d, const char *command, char *output)
{
	char *rest = output;

	for (char *line; (line = strsep(&rest, "\n"));)
		if (*line)
			diag_warn(d, "%s: %s", command, line);
}

int command_run(struct diag *d, const char *const argv[])
{
	_cleanup_free_ char *output = NULL;
	int pipes[2], status = 0;
	pid_t pid;
	int r;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return diag_err(d, -errno, UPATCH_E_IO, NULL, "cannot make a pipe: %s",
				strerror(errno));
	_cleanup_close_ int in = pipes[0];
	_cleanup_close_ int out = pipes[1];

	r = spawn(argv, out, &pid);
	if (r < 0)
		return diag_err(d, r, UPATCH_E_COMPILER, NULL, "cannot run '%s': %s", argv[0],
				strerror(-r));
	closep(&out);
	out = -1;
	output = read_all(in);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		pass_on(d, argv[0], output);
		return 0;
	}
	r = diag_err(d, -EINVAL, UPATCH_E_COMPILER, NULL, "'%s' failed with status %d", argv[0],
		     WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	diag_set_detail(d, output);
	return r;
}
