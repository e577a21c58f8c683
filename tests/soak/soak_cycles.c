/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "soak.h"

/*
 * Debian's redis-server, under redis-benchmark's load, patched and reverted again and again: each
 * answer is the expected one, no request fails, and afterwards nothing is left of it.
 */

enum {
	EXIT_SKIP = 77,
	WARM_UP = 50,
	RSS_TOLERANCE_KIB = 256,
	REQUESTS = 10000, /* per command and run of redis-benchmark */
	NR_COMMANDS = 4,  /* ping in two spellings, set, get */
};

#define SERVER "/usr/bin/redis-server"
#define BENCHMARK "/usr/bin/redis-benchmark"

static const char source[] = "struct client;\n"
			     "void addReplyStatus(struct client *c, const char *status);\n"
			     "static void new_ping(struct client *c)\n"
			     "{\n"
			     "	addReplyStatus(c, \"PATCHED\");\n"
			     "}\n"
			     "UPATCH_FUNC(pingCommand, new_ping);\n";

struct server {
	pid_t pid;
	int port;
	int socket;
	char port_text[8];
};

/* Runs redis-benchmark again and again, until told to stop. */
struct load {
	pid_t pid;
	int stop;      /* closed by us: stop after this run */
	int nr_runs;   /* read by us: successful runs, as an int, or nothing after a failure */
	long nr_total; /* requests over all loads so far */
};

static int free_port(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	soak_check(fd >= 0);
	soak_check(bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	soak_check(getsockname(fd, (struct sockaddr *)&addr, &size) == 0);
	close(fd);
	return ntohs(addr.sin_port);
}

static bool is_connected(void *userdata)
{
	struct server *s = userdata;
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_port = htons((uint16_t)s->port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	soak_check(fd >= 0);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
		close(fd);
		return false;
	}
	s->socket = fd;
	return true;
}

/* In a child: what it prints goes to a file of that name in the folder. */
static _Noreturn void run(const struct soak *soak, const char *log, const char *const argv[])
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", soak->dir, log);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	execv(argv[0], (char *const *)argv);
	_exit(127);
}

static void check_ping(const struct server *s, const char *expected)
{
	struct pollfd pollfd = { .fd = s->socket, .events = POLLIN };
	char answer[32] = "";

	soak_check(write(s->socket, "PING\r\n", 6) == 6);
	if (poll(&pollfd, 1, SOAK_DEADLINE_MS) != 1)
		soak_fail("redis-server does not answer");
	if (read(s->socket, answer, sizeof(answer) - 1) <= 0 || strcmp(answer, expected) != 0)
		soak_fail("PING is answered with '%s' instead of '%s'", answer, expected);
}

static void server_start(struct server *s, const struct soak *soak)
{
	s->port = free_port();
	snprintf(s->port_text, sizeof(s->port_text), "%d", s->port);
	s->pid = fork();
	soak_check(s->pid >= 0);
	if (s->pid == 0)
		run(soak, "server",
		    (const char *[]){ SERVER, "--port", s->port_text, "--bind", "127.0.0.1",
				      "--save", "", "--dir", soak->dir, NULL });
	if (!soak_wait(is_connected, s))
		soak_fail("redis-server does not listen");
	check_ping(s, "+PONG\r\n");
}

static void server_stop(struct server *s)
{
	int status;

	soak_check(waitpid(s->pid, &status, WNOHANG) == 0);
	kill(s->pid, SIGKILL);
	waitpid(s->pid, &status, 0);
	close(s->socket);
}

/* In a child. redis-benchmark ends with 1 when a connection breaks or an answer is an error. */
static _Noreturn void run_load(const struct server *s, const struct soak *soak, int stop,
			       int result)
{
	struct pollfd pollfd = { .fd = stop, .events = POLLIN };
	char requests[16];
	int nr_runs = 0, status;

	snprintf(requests, sizeof(requests), "%d", REQUESTS);
	do {
		pid_t pid = fork();

		if (pid == 0)
			run(soak, "load",
			    (const char *[]){ BENCHMARK, "-p", s->port_text, "-t", "ping,set,get",
					      "-n", requests, "-c", "10", "-q", NULL });
		if (waitpid(pid, &status, 0) != pid || status != 0)
			_exit(1);
		nr_runs++;
	} while (poll(&pollfd, 1, 0) == 0);
	_exit(write(result, &nr_runs, sizeof(nr_runs)) == sizeof(nr_runs) ? 0 : 1);
}

static void load_start(struct load *load, const struct server *s, const struct soak *soak)
{
	int stop[2], result[2];

	soak_check(pipe2(stop, O_CLOEXEC) == 0);
	soak_check(pipe2(result, O_CLOEXEC) == 0);
	load->pid = fork();
	soak_check(load->pid >= 0);
	if (load->pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(stop[1]);
		run_load(s, soak, stop[0], result[1]);
	}
	close(stop[0]);
	close(result[1]);
	load->stop = stop[1];
	load->nr_runs = result[0];
}

/* Every single request of it must have been answered. */
static void load_stop(struct load *load, const struct soak *soak)
{
	char command[128];
	int nr_runs, status;

	close(load->stop);
	if (read(load->nr_runs, &nr_runs, sizeof(nr_runs)) != sizeof(nr_runs)) {
		snprintf(command, sizeof(command), "tail -c 500 '%s/load' >&2", soak->dir);
		(void)!system(command);
		soak_fail("redis-benchmark failed");
	}
	close(load->nr_runs);
	soak_check(waitpid(load->pid, &status, 0) == load->pid && status == 0);
	load->nr_total += (long)nr_runs * REQUESTS * NR_COMMANDS;
}

/* What one cycle works on. */
struct scene {
	struct soak soak;
	struct server server;
	struct load load;
	struct upatch_target *target;
	struct upatch_patch *patch;
};

static void run_cycles(struct scene *s, unsigned int nr)
{
	load_start(&s->load, &s->server, &s->soak);
	for (unsigned int i = 0; i < nr; i++) {
		soak_apply(&s->soak, s->target, s->patch);
		check_ping(&s->server, "+PATCHED\r\n");
		soak_revert(&s->soak, s->target, "p");
		check_ping(&s->server, "+PONG\r\n");
	}
	load_stop(&s->load, &s->soak);
}

static bool has_no_clients(void *userdata)
{
	const struct scene *s = userdata;
	char path[64], command[160];

	/* Connections that are being closed still have their buffers. */
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)s->server.pid);
	snprintf(command, sizeof(command), "test $(ls -l %s | grep -c socket:) -le 2", path);
	return system(command) == 0;
}

static long resting_rss(struct scene *s)
{
	if (!soak_wait(has_no_clients, s))
		soak_fail("redis-benchmark's connections stay");
	return soak_rss(s->server.pid);
}

int main(void)
{
	unsigned int nr_cycles = soak_cycles(1000);
	struct scene s = {};
	long rss_before, rss_after;
	char *maps, *maps_after;
	uint64_t nr_bytes;

	if (access(SERVER, X_OK) != 0 || access(BENCHMARK, X_OK) != 0) {
		printf("soak_cycles: skipped: no redis-server or redis-benchmark\n");
		return EXIT_SKIP;
	}
	soak_init(&s.soak);
	server_start(&s.server, &s.soak);
	s.patch = soak_patch(&s.soak, "p", SERVER, source);
	s.target = soak_open(&s.soak, s.server.pid);
	/* Under load alone it takes what memory it needs. */
	run_cycles(&s, 0);
	maps = soak_maps(s.server.pid);
	run_cycles(&s, WARM_UP);
	/* Reading the code makes it resident: once before the figures are taken. */
	soak_check_text(s.server.pid);
	rss_before = resting_rss(&s);
	run_cycles(&s, nr_cycles);
	rss_after = resting_rss(&s);
	maps_after = soak_maps(s.server.pid);
	soak_check_same_maps(maps, maps_after);
	nr_bytes = soak_check_text(s.server.pid);
	printf("soak_cycles: %u cycles, %ld requests, 0 failed, %llu bytes of text identical, "
	       "maps identical, RSS %ld KiB before, %ld KiB after\n",
	       nr_cycles, s.load.nr_total, (unsigned long long)nr_bytes, rss_before, rss_after);
	soak_check(rss_after <= rss_before + RSS_TOLERANCE_KIB);
	free(maps);
	free(maps_after);
	upatch_patch_close(s.patch);
	upatch_target_close(s.target);
	server_stop(&s.server);
	soak_deinit(&s.soak);
	return 0;
}
