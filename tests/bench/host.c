/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What upatchd costs on a whole host: run by `run`, as bench-host. */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../daemon/control.h"
#include "../daemon/fixture.h"

extern char **environ;

enum {
	TARGETS = 1000,
	IDLE = 2000,
	IDLE_SECONDS = 10,
	EXECS = 2000,
	EXECS_PER_SECOND = 200,
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail for this clock */
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void row(const char *what, double value, const char *unit, const char *goal)
{
	printf("%-56s %10.3f  %-3s  %s\n", what, value, unit, goal);
	fflush(stdout);
}

/* --- processes --------------------------------------------------------------------------------- */

static pid_t spawn(struct fixture *f, unsigned int index, const char *how)
{
	char path[4096], file[96], number[16];
	char *argv[] = { path, file, number, (char *)how, NULL };
	pid_t pid;

	(void)snprintf(path, sizeof(path), "%s/program-a", getenv("PROGRAMS"));
	(void)snprintf(file, sizeof(file), "%s/slots", f->dir);
	(void)snprintf(number, sizeof(number), "%u", index);
	if (posix_spawn(&pid, path, NULL, NULL, argv, environ) != 0)
		exit(1);
	return pid;
}

static void spawn_idle(struct fixture *f, pid_t *pids, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		f->slots[i].pid = 0;
		pids[i] = spawn(f, i, "idle"); /* it says there that it has begun */
	}
	for (unsigned int i = 0; i < nr; i++)
		while (!f->slots[i].pid)
			fixture_breathe();
}

static void end_all(struct fixture *f, pid_t *pids, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		(void)kill(pids[i], SIGKILL);
		(void)waitpid(pids[i], NULL, 0);
		f->slots[i].pid = 0;
	}
}

/* --- what the daemon uses ---------------------------------------------------------------------- */

struct usage {
	double cpu_ms;
	double rss_mib;
};

static void add_usage(const char *pid, pid_t daemon, struct usage *usage)
{
	unsigned long user, system, user_of_children, system_of_children;
	char path[300], text[1024];
	const char *end;
	FILE *file;
	long pages;
	int parent;

	(void)snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	file = fopen(path, "re");
	if (!file)
		return;
	end = fgets(text, sizeof(text), file) ? strrchr(text, ')') : NULL;
	(void)fclose(file);
	if (!end ||
	    sscanf(end + 1,
		   " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %lu %lu %*d %*d %*d "
		   "%*d %*u %*u %ld",
		   &parent, &user, &system, &user_of_children, &system_of_children, &pages) != 6)
		return;
	if (atoi(pid) != daemon && parent != daemon)
		return;
	usage->rss_mib += (double)pages * 4096 / (1 << 20);
	usage->cpu_ms += (double)(user + system + user_of_children + system_of_children) * 1000 /
			 (double)sysconf(_SC_CLK_TCK);
}

/* The daemon with all its workers. */
static struct usage usage_of(const struct fixture *f)
{
	struct usage usage = {};
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (*entry->d_name >= '1' && *entry->d_name <= '9')
			add_usage(entry->d_name, f->session->daemon, &usage);
	if (dir)
		(void)closedir(dir);
	return usage;
}

/* How many processes and threads the host has begun since it booted. */
static double count_begun(void)
{
	FILE *file = fopen("/proc/stat", "re");
	unsigned long nr = 0;
	char line[4096];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "processes %lu", &nr) == 1)
			break;
	if (file)
		(void)fclose(file);
	return (double)nr;
}

/* --- figures ----------------------------------------------------------------------------------- */

static void measure_apply(struct fixture *f, pid_t *pids)
{
	struct usage before, after;
	uint64_t start;

	spawn_idle(f, pids, TARGETS);
	fixture_start_daemon(f);
	fixture_await_count(f, "unread", 0);
	before = usage_of(f);
	start = now_ns();
	assert_string_equal(fixture_ask(f, "enable %s", fixture_patch(f, "own")), "ok own");
	fixture_await_count(f, "patched", TARGETS);
	row("1000 processes: enable to all patched", (double)(now_ns() - start) / 1e9, "s", "2");
	after = usage_of(f);
	row("1000 processes: CPU of daemon and workers", (after.cpu_ms - before.cpu_ms) / 1000, "s",
	    "");
	row("1000 processes: longest pause of any thread",
	    control_number(f->session, "longest_pause_ms"), "ms", "1");
	start = now_ns();
	fixture_kill_daemon(f);
	fixture_start_daemon(f);
	row("1000 patched: kill -9 to answering again", (double)(now_ns() - start) / 1e6, "ms", "");
	fixture_await_count(f, "patched", TARGETS);
	row("1000 patched: kill -9 to the whole view again", (double)(now_ns() - start) / 1e9, "s",
	    "");
	start = now_ns();
	assert_string_equal(fixture_ask(f, "disable own"), "ok own");
	fixture_await_count(f, "patched", 0);
	fixture_await_count(f, "reverting", 0);
	row("1000 processes: disable to all reverted", (double)(now_ns() - start) / 1e9, "s", "");
	fixture_kill_daemon(f);
	end_all(f, pids, TARGETS);
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void measure_execs(struct fixture *f, pid_t *pids)
{
	static uint64_t took[EXECS];
	struct usage before, after;
	uint64_t begun = now_ns();
	char start[32];

	fixture_start_daemon(f);
	assert_string_equal(fixture_ask(f, "enable %s", fixture_patch(f, "own")), "ok own");
	fixture_await_count(f, "settled", 1);
	before = usage_of(f);
	for (unsigned int i = 0; i < EXECS; i++) {
		uint64_t due = begun + (uint64_t)i * 1000000000 / EXECS_PER_SECOND;

		while (now_ns() < due)
			(void)poll(NULL, 0, 1);
		f->slots[i].beats = 0;
		(void)snprintf(start, sizeof(start), "%llu", (unsigned long long)now_ns());
		pids[i] = spawn(f, i, start);
	}
	for (unsigned int i = 0; i < EXECS; i++) {
		(void)waitpid(pids[i], NULL, 0);
		took[i] = f->slots[i].beats;
		f->slots[i].pid = 0;
	}
	after = usage_of(f);
	qsort(took, EXECS, sizeof(*took), compare);
	row("200 execs a second: exec to patched, p50", (double)took[EXECS / 2] / 1e6, "ms", "");
	row("200 execs a second: exec to patched, p99", (double)took[EXECS * 99 / 100] / 1e6, "ms",
	    "");
	row("200 execs a second: CPU of daemon and workers, each",
	    (after.cpu_ms - before.cpu_ms) / EXECS, "ms", "");
	fixture_kill_daemon(f);
}

static void measure_idle(struct fixture *f, pid_t *pids)
{
	struct usage before, after;
	double begun;
	uint64_t end;

	spawn_idle(f, pids, IDLE);
	fixture_start_daemon(f);
	assert_string_equal(fixture_ask(f, "enable %s", fixture_patch(f, "own")), "ok own");
	fixture_await_count(f, "patched", IDLE);
	fixture_await_count(f, "settled", 1);
	/* Workers that have nothing to do go. */
	for (end = now_ns() + 7ull * 1000000000; now_ns() < end;)
		(void)poll(NULL, 0, 1000);
	before = usage_of(f);
	begun = count_begun();
	for (end = now_ns() + IDLE_SECONDS * 1000000000ull; now_ns() < end;)
		(void)poll(NULL, 0, 1000);
	after = usage_of(f);
	row("2000 patched, idle: others begun in ten seconds", count_begun() - begun, "", "");
	row("2000 patched, idle: CPU in ten seconds", after.cpu_ms - before.cpu_ms, "ms", "0");
	row("2000 patched, idle: RSS of daemon and reader", after.rss_mib, "MiB", "");
	fixture_kill_daemon(f);
	end_all(f, pids, IDLE);
}

int main(void)
{
	static pid_t pids[EXECS];
	void *state;
	struct fixture *f;

	(void)fixture_setup(&state);
	f = state;
	printf("%-56s %10s  %-4s %s\n", "what", "value", "unit", "goal");
	measure_apply(f, pids);
	measure_execs(f, pids);
	measure_idle(f, pids);
	return fixture_teardown(&state);
}
