/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "soak.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/deadline.h"

enum {
	POLL_MS = 1,
	PATH_SIZE = 256,
};

void soak_fail_at(const char *file, int line, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s:%d: ", file, line);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	_exit(1); /* children die with us: PR_SET_PDEATHSIG */
}

unsigned int soak_cycles(unsigned int fallback)
{
	const char *text = getenv("UPATCH_CYCLES");
	long cycles = text ? atol(text) : (long)fallback;

	if (cycles < 1)
		soak_fail("UPATCH_CYCLES is no positive number: %s", text);
	return (unsigned int)cycles;
}

void soak_victim_path(const char *name, char *ret, size_t size)
{
	const char *dir = getenv("UPATCH_SOAK_VICTIMS");

	if (!dir)
		soak_fail("UPATCH_SOAK_VICTIMS is not set");
	snprintf(ret, size, "%s/%s", dir, name);
}

bool soak_wait(soak_condition_fn is_so, void *userdata)
{
	uint64_t deadline = deadline_in(SOAK_DEADLINE_MS * NSEC_PER_MSEC);

	while (!is_so(userdata)) {
		if (deadline_is_over(deadline))
			return false;
		(void)poll(NULL, 0, POLL_MS);
	}
	return true;
}

/* --- a folder with patches -------------------------------------------------------------------- */

static void log_line(void *userdata, enum upatch_log_level level, const char *line)
{
	fprintf(stderr, "# %s\n", line);
}

void soak_init(struct soak *s)
{
	strcpy(s->dir, "/tmp/upatch-soak.XXXXXX");
	soak_check(mkdtemp(s->dir));
	soak_check(upatch_ctx_new(&s->ctx) == 0);
	if (getenv("UPATCH_TEST_LOG"))
		upatch_ctx_set_log(s->ctx, UPATCH_LOG_DEBUG, log_line, NULL);
}

void soak_deinit(struct soak *s)
{
	char command[PATH_SIZE];

	upatch_ctx_free(s->ctx);
	snprintf(command, sizeof(command), "rm -r '%s'", s->dir);
	soak_check(system(command) == 0);
}

void soak_fail_ctx(struct soak *s, const char *what)
{
	const struct upatch_error *e = upatch_ctx_error(s->ctx);

	soak_fail("%s: [%s] pid %d tid %d function %s: %s\n%s", what, upatch_reason_name(e->reason),
		  (int)e->pid, (int)e->tid, e->function ? e->function : "-", e->message,
		  e->detail ? e->detail : "");
}

struct upatch_patch *soak_patch(struct soak *s, const char *name, const char *exe,
				const char *source)
{
	char path[PATH_SIZE], output[PATH_SIZE], object[2 * 4096];
	const char *sources[] = { path, NULL };
	const char *objects[] = { object, NULL };
	const char *file_name = strrchr(exe, '/') ? strrchr(exe, '/') + 1 : exe;
	const struct upatch_build_options opts = {
		.size = sizeof(opts),
		.output = output,
		.sources = sources,
		.objects = objects,
	};
	struct upatch_patch *patch;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s.c", s->dir, name);
	snprintf(output, sizeof(output), "%s/%s.upatch", s->dir, name);
	snprintf(object, sizeof(object), "%s=%s", file_name, exe);
	file = fopen(path, "w");
	soak_check(file);
	fprintf(file, "#include <upatch/livepatch.h>\nUPATCH_OBJECT(\"%s\");\n%s\n", file_name,
		source);
	soak_check(fclose(file) == 0);
	if (upatch_build(s->ctx, &opts) < 0)
		soak_fail_ctx(s, "build");
	if (upatch_patch_open(s->ctx, output, &patch) < 0)
		soak_fail_ctx(s, "open the patch");
	return patch;
}

struct upatch_target *soak_open(struct soak *s, pid_t pid)
{
	struct upatch_target *target;

	if (upatch_target_open(s->ctx, pid, &target) < 0)
		soak_fail_ctx(s, "open the target");
	return target;
}

void soak_apply(struct soak *s, struct upatch_target *target, struct upatch_patch *patch)
{
	if (upatch_target_apply(target, patch, NULL, NULL) != 0)
		soak_fail_ctx(s, "apply");
}

void soak_revert(struct soak *s, struct upatch_target *target, const char *name)
{
	if (upatch_target_revert(target, name, NULL, NULL) != 0)
		soak_fail_ctx(s, "revert");
}

/* --- a child that answers lines with lines ------------------------------------------------------- */

void soak_child_start(struct soak_child *child, const char *exe)
{
	int to[2], from[2];

	soak_check(pipe2(to, O_CLOEXEC) == 0);
	soak_check(pipe2(from, O_CLOEXEC) == 0);
	child->pid = fork();
	soak_check(child->pid >= 0);
	if (child->pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(to[0], STDIN_FILENO);
		dup2(from[1], STDOUT_FILENO);
		execl(exe, exe, (char *)NULL);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	child->to = to[1];
	child->from = from[0];
}

void soak_child_stop(struct soak_child *child)
{
	kill(child->pid, SIGKILL);
	waitpid(child->pid, NULL, 0);
	close(child->to);
	close(child->from);
}

const char *soak_child_ask(struct soak_child *child, const char *question)
{
	static char line[512];
	struct pollfd pollfd = { .fd = child->from, .events = POLLIN };
	size_t len = 0;

	soak_check(dprintf(child->to, "%s\n", question) > 0);
	do {
		ssize_t n;

		if (poll(&pollfd, 1, SOAK_DEADLINE_MS) != 1)
			soak_fail("the victim does not answer '%s'", question);
		n = read(child->from, line + len, sizeof(line) - 1 - len);
		if (n <= 0)
			soak_fail("the victim died of '%s'", question);
		len += (size_t)n;
		soak_check(len < sizeof(line) - 1);
	} while (line[len - 1] != '\n');
	line[len - 1] = '\0';
	return line;
}

/* --- a process from outside ----------------------------------------------------------------------- */

static FILE *open_proc(pid_t pid, const char *name)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	file = fopen(path, "re");
	if (!file)
		soak_fail("%s: %s", path, strerror(errno));
	return file;
}

char *soak_maps(pid_t pid)
{
	_cleanup_fclose_ FILE *maps = open_proc(pid, "maps");
	char line[4096], *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	soak_check(out);
	while (fgets(line, sizeof(line), maps)) {
		const char *name = strchr(line, '[');

		if (name && (strncmp(name, "[heap]", 6) == 0 || strncmp(name, "[stack]", 7) == 0))
			fputs(name, out);
		else
			fputs(line, out);
	}
	soak_check(fclose(out) == 0);
	return text;
}

/* Return: number of lines of @from that are not in @in; they are printed. */
static int print_missing(const char *what, const char *from, const char *in)
{
	int nr = 0;

	while (*from) {
		size_t len = strcspn(from, "\n") + 1;
		_cleanup_free_ char *line = strndup(from, len);

		if (!strstr(in, line)) {
			fprintf(stderr, "%s: %s", what, line);
			nr++;
		}
		from += len;
	}
	return nr;
}

void soak_check_same_maps(const char *before, const char *now)
{
	int nr = print_missing("gone", before, now) + print_missing("new", now, before);

	if (nr || strcmp(before, now) != 0)
		soak_fail("%d mappings differ", nr);
}

/* [from, to) of the process against the file from @offset on; what is beyond its end is zero. */
static void check_range(int mem, int file, const uint64_t range[2], uint64_t offset)
{
	static uint8_t in_memory[65536], in_file[65536];

	for (uint64_t at = range[0]; at < range[1];) {
		uint64_t left = range[1] - at;
		size_t size = left < sizeof(in_file) ? (size_t)left : sizeof(in_file);
		ssize_t n = pread(file, in_file, size, (off_t)(offset + (at - range[0])));

		soak_check(n >= 0);
		memset(in_file + n, 0, size - (size_t)n);
		soak_check(pread(mem, in_memory, size, (off_t)at) == (ssize_t)size);
		if (memcmp(in_memory, in_file, size) != 0)
			soak_fail("text differs from its file behind 0x%llx",
				  (unsigned long long)at);
		at += size;
	}
}

uint64_t soak_check_text(pid_t pid)
{
	_cleanup_fclose_ FILE *maps = open_proc(pid, "maps");
	_cleanup_fclose_ FILE *mem = open_proc(pid, "mem");
	uint64_t nr_bytes = 0;
	char line[4096];

	while (fgets(line, sizeof(line), maps)) {
		unsigned long long from, to, offset;
		int name = 0;

		if (sscanf(line, "%llx-%llx r-xp %llx %*s %*s %n", &from, &to, &offset, &name) !=
			    3 ||
		    line[name] != '/')
			continue;
		line[strcspn(line, "\n")] = '\0';
		_cleanup_close_ int file = open(line + name, O_RDONLY | O_CLOEXEC);

		if (file < 0)
			soak_fail("%s: %s", line + name, strerror(errno));
		check_range(fileno(mem), file, (const uint64_t[]){ from, to }, offset);
		nr_bytes += to - from;
	}
	soak_check(nr_bytes > 0);
	return nr_bytes;
}

long soak_rss(pid_t pid)
{
	_cleanup_fclose_ FILE *status = open_proc(pid, "status");
	char line[256];
	long kib;

	while (fgets(line, sizeof(line), status))
		if (sscanf(line, "VmRSS: %ld kB", &kib) == 1)
			return kib;
	soak_fail("no VmRSS for %d", (int)pid);
}
