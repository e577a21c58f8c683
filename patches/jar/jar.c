/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A jar of cookies on the loopback interface: "look", "take N". One line for each connection. */
#include <arpa/inet.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int cookies = 10;

static int parse_count(const char *text)
{
	return atoi(text);
}

static void cmd_look(int fd, const char *arg)
{
	dprintf(fd, "%d left\n", cookies);
}

static void cmd_take(int fd, const char *arg)
{
	int n = parse_count(arg);

	cookies -= n;
	dprintf(fd, "here are %d, %d left\n", n, cookies);
}

static const struct command {
	const char *name;
	void (*run)(int fd, const char *arg);
} commands[] = {
	{ "look", cmd_look },
	{ "take", cmd_take },
};

static void answer(int fd)
{
	char line[128];
	ssize_t n = read(fd, line, sizeof(line) - 1);
	char *arg;

	line[n < 0 ? 0 : n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	arg = line + strcspn(line, " ");
	if (*arg)
		*arg++ = '\0';
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(line, commands[i].name) == 0)
			commands[i].run(fd, arg);
}

int main(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t size = sizeof(addr);
	int server = socket(AF_INET, SOCK_STREAM, 0);

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(server, (struct sockaddr *)&addr, size) < 0 || listen(server, 5) < 0 ||
	    getsockname(server, (struct sockaddr *)&addr, &size) < 0) {
		perror("jar");
		return 1;
	}
	printf("%d\n", ntohs(addr.sin_port));
	fflush(stdout);
	for (;;) {
		int fd = accept(server, NULL, NULL);

		if (fd >= 0) {
			answer(fd);
			close(fd);
		}
	}
}
