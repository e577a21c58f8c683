/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <upatch/abi.h>

enum {
	ANSWER_TIMEOUT_MS = 20000,
	POLL_MS = 5,
	KEPT_TRIES = 20,
};

static void spawn(struct fixture *f)
{
	int to[2], from[2];

	assert_int_equal(pipe2(to, O_CLOEXEC), 0);
	assert_int_equal(pipe2(from, O_CLOEXEC), 0);
	f->pid = fork();
	assert_true(f->pid >= 0);
	if (f->pid == 0) {
		dup2(to[0], STDIN_FILENO);
		dup2(from[1], STDOUT_FILENO);
		/*
		 * What "scrub" can clean: one stack of the threads that exited, and one heap, of which no
		 * thread keeps freed pieces to itself.
		 */
		setenv("GLIBC_TUNABLES",
		       "glibc.pthread.stack_cache_size=0:glibc.malloc.arena_max=1:"
		       "glibc.malloc.tcache_count=0",
		       1);
		/* Of libraries that are there in two builds it takes the one it was linked to. */
		unsetenv("LD_LIBRARY_PATH");
		execl(f->exe, "victim", (char *)NULL);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	f->to = fdopen(to[1], "w");
	f->from = fdopen(from[0], "r");
	assert_non_null(f->to);
	assert_non_null(f->from);
	setvbuf(f->to, NULL, _IOLBF, 0);
	setvbuf(f->from, NULL, _IONBF, 0);
}

/* Keep milestones, without the target they are about; show everything when asked to. */
static void take_line(void *userdata, enum upatch_log_level level, const char *line)
{
	struct fixture *f = userdata;
	const char *what = strstr(line, "patch '");
	char *told;

	if (getenv("UPATCH_TEST_LOG"))
		print_message("# %s\n", line);
	if (level != UPATCH_LOG_INFO || !what)
		return;
	assert_true(asprintf(&told, "%s%s\n", f->told ? f->told : "", what) > 0);
	free(f->told);
	f->told = told;
}

struct fixture *fixture_launch(const char *flavour)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const char *victims = getenv("UPATCH_VICTIMS");

	assert_non_null(f);
	assert_non_null(victims);
	snprintf(f->exe, sizeof(f->exe), "%s/victim-%s", victims, flavour);
	strcpy(f->dir, "/tmp/upatch-test.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(upatch_ctx_new(&f->ctx), 0);
	upatch_ctx_set_log(f->ctx, UPATCH_LOG_DEBUG, take_line, f);
	spawn(f);
	return f;
}

struct fixture *fixture_start(const char *flavour)
{
	struct fixture *f = fixture_launch(flavour);

	/* Its answer shows that it has got through execve() and its start-up. */
	assert_answer(f, "twin", "twin 101 201");
	assert_int_equal(upatch_target_open(f->ctx, f->pid, &f->target), 0);
	return f;
}

static void remove_dir(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	char name[512];

	while (dir && (entry = readdir(dir))) {
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		unlink(name);
	}
	if (dir)
		closedir(dir);
	rmdir(path);
}

void fixture_stop(struct fixture *f)
{
	upatch_target_close(f->target);
	upatch_ctx_free(f->ctx);
	kill(f->pid, SIGKILL);
	waitpid(f->pid, NULL, 0);
	fclose(f->to);
	fclose(f->from);
	remove_dir(f->dir);
	free(f->before);
	free(f->told);
	free(f);
}

int fixture_setup(void **state)
{
	struct fixture *f = fixture_start("pie");

	/* So that later ones change nothing. */
	assert_answer(f, "scrub", "ok");
	*state = f;
	return 0;
}

int fixture_teardown(void **state)
{
	fixture_stop(*state);
	return 0;
}

const char *fixture_ask(struct fixture *f, const char *command)
{
	static char line[256];
	struct pollfd pollfd = { .fd = fileno(f->from), .events = POLLIN };
	size_t len;

	fprintf(f->to, "%s\n", command);
	if (poll(&pollfd, 1, ANSWER_TIMEOUT_MS) != 1)
		fail_msg("the victim does not answer '%s'", command);
	if (!fgets(line, sizeof(line), f->from)) {
		int status = 0;

		waitpid(f->pid, &status, 0);
		fail_msg("the victim died of '%s' with status 0x%x", command, status);
	}
	len = strlen(line);
	if (len && line[len - 1] == '\n')
		line[len - 1] = '\0';
	return line;
}

const char *fixture_build_source(struct upatch_ctx *ctx, const struct fixture_source *from)
{
	static char output[256];
	char path[256], object[4500];
	const char *sources[] = { path, NULL };
	const char *objects[] = { object, NULL };
	struct upatch_build_options opts = {
		.size = sizeof(opts),
		.output = output,
		.sources = sources,
		.objects = objects,
		.replace = from->flags & FIXTURE_REPLACE,
		.strict = from->flags & FIXTURE_STRICT,
	};
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s.%s", from->dir, from->name,
		 from->suffix ? from->suffix : "c");
	snprintf(output, sizeof(output), "%s/%s.upatch", from->dir, from->name);
	snprintf(object, sizeof(object), "%s=%s", from->object, from->object_path);
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "#include <upatch/livepatch.h>\nUPATCH_OBJECT(\"%s\");\n%s\n", from->object,
		from->source);
	assert_int_equal(fclose(file), 0);
	return upatch_build(ctx, &opts) < 0 ? NULL : output;
}

const char *fixture_build_as(struct fixture *f, const char *name, const char *source,
			     enum fixture_build_flags flags)
{
	return fixture_build_source(f->ctx, &(struct fixture_source){
						    .dir = f->dir,
						    .name = name,
						    .object = "victim",
						    .object_path = f->exe,
						    .source = source,
						    .flags = flags,
					    });
}

const char *fixture_build(struct fixture *f, const char *name, const char *source)
{
	return fixture_build_as(f, name, source, 0);
}

static void fail_with_error(struct fixture *f, const char *what)
{
	const struct upatch_error *e = upatch_ctx_error(f->ctx);

	fail_msg("%s: [%s] %s: %s\n%s", what, upatch_reason_name(e->reason),
		 e->function ? e->function : "-", e->message, e->detail ? e->detail : "");
}

struct upatch_patch *fixture_patch(struct fixture *f, const char *name, const char *source)
{
	const char *path = fixture_build(f, name, source);
	struct upatch_patch *patch;

	if (!path)
		fail_with_error(f, "build");
	if (upatch_patch_open(f->ctx, path, &patch) < 0)
		fail_with_error(f, "open");
	return patch;
}

void fixture_apply(struct fixture *f, const char *name, const char *source)
{
	struct upatch_patch *patch = fixture_patch(f, name, source);

	if (upatch_target_apply(f->target, patch, NULL, NULL) != 0)
		fail_with_error(f, "apply");
	upatch_patch_close(patch);
}

void fixture_revert(struct fixture *f, const char *name)
{
	if (upatch_target_revert(f->target, name, NULL, NULL) != 0)
		fail_with_error(f, "revert");
	fixture_drop_kept(f, name);
}

static bool is_kept(struct fixture *f, const char *name)
{
	struct upatch_status *status;
	bool is_kept = false;

	assert_int_equal(upatch_target_status(f->target, &status), 0);
	for (size_t i = 0; i < status->nr_patches; i++)
		if (strcmp(status->patches[i].name, name) == 0)
			is_kept = strcmp(status->patches[i].state, "kept") == 0;
	upatch_status_free(status);
	return is_kept;
}

void fixture_drop_kept(struct fixture *f, const char *name)
{
	for (int tries = 0; is_kept(f, name); tries++) {
		assert_true(tries < KEPT_TRIES);
		/* Commands that use the stack in different ways. */
		(void)fixture_ask(f, tries % 2 ? "twin" : "eintr");
		(void)fixture_ask(f, "scrub");
		assert_int_equal(upatch_target_revert(f->target, name, NULL, NULL), 0);
	}
}

void fixture_apply_refused(struct fixture *f, const char *name, const char *source,
			   unsigned int timeout_ms, enum upatch_reason reason)
{
	struct upatch_options opts = { .size = sizeof(opts), .timeout_ms = timeout_ms };
	struct upatch_patch *patch = fixture_patch(f, name, source);

	assert_true(upatch_target_apply(f->target, patch, &opts, NULL) < 0);
	fixture_assert_reason(f, reason);
	upatch_patch_close(patch);
}

static void assert_pending(struct fixture *f, int outcome)
{
	if (outcome != UPATCH_PENDING)
		fail_msg("%d: %s", outcome, upatch_ctx_error(f->ctx)->message);
	fixture_assert_reason(f, UPATCH_E_IN_FUNCTION);
}

void fixture_apply_pending(struct fixture *f, const char *name, const char *source,
			   unsigned int timeout_ms)
{
	struct upatch_options opts = { .size = sizeof(opts), .timeout_ms = timeout_ms };
	struct upatch_patch *patch = fixture_patch(f, name, source);

	assert_pending(f, upatch_target_apply(f->target, patch, &opts, NULL));
	upatch_patch_close(patch);
}

void fixture_revert_pending(struct fixture *f, const char *name, unsigned int timeout_ms)
{
	struct upatch_options opts = { .size = sizeof(opts), .timeout_ms = timeout_ms };

	assert_pending(f, upatch_target_revert(f->target, name, &opts, NULL));
}

const char *fixture_state(struct fixture *f, const char *name)
{
	struct upatch_status *status;
	const char *state = "none";

	/* State names are literals of the library. */
	assert_int_equal(upatch_target_status(f->target, &status), 0);
	for (size_t i = 0; i < status->nr_patches; i++)
		if (strcmp(status->patches[i].name, name) == 0)
			state = status->patches[i].state;
	upatch_status_free(status);
	return state;
}

/* --- milestones ------------------------------------------------------------------------------ */

void fixture_forget_told(struct fixture *f)
{
	free(f->told);
	f->told = NULL;
}

void fixture_assert_told(struct fixture *f, const char *expected)
{
	assert_string_equal(f->told ? f->told : "", expected);
	fixture_forget_told(f);
}

void fixture_assert_reason(struct fixture *f, enum upatch_reason reason)
{
	const struct upatch_error *e = upatch_ctx_error(f->ctx);

	if (e->reason != reason)
		fail_msg("refused for '%s' (%s) instead of '%s'", upatch_reason_name(e->reason),
			 e->message, upatch_reason_name(reason));
	assert_true(e->error < 0);
	assert_true(strlen(e->message) > 0);
}

/* --- the victim's memory --------------------------------------------------------------------- */

uint64_t fixture_record_addr(struct fixture *f)
{
	char path[64], line[512];
	uint64_t found = 0;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)f->pid);
	maps = fopen(path, "r");
	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		unsigned long long start, inode;
		char prot[5];

		assert_int_equal(sscanf(line, "%llx-%*x %4s %*x %*s %llu", &start, prot, &inode),
				 3);
		/* The agent may have made mappings of their own of parts of it. */
		if (strcmp(prot, "r--p") == 0 && !inode && !strstr(line, "[v") &&
		    (start & 0xffffff) == UPATCH_RECORD_ADDR_LOW)
			found = start;
	}
	fclose(maps);
	assert_int_not_equal(found, 0);
	return found;
}

static int open_memory(struct fixture *f, int flags)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)f->pid);
	fd = open(path, flags | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

void fixture_write(struct fixture *f, uint64_t addr, const void *bytes, size_t size)
{
	int fd = open_memory(f, O_RDWR);

	assert_int_equal(pwrite(fd, bytes, size, (off_t)addr), size);
	close(fd);
}

void fixture_read(struct fixture *f, uint64_t addr, void *bytes, size_t size)
{
	int fd = open_memory(f, O_RDONLY);

	assert_int_equal(pread(fd, bytes, size, (off_t)addr), size);
	close(fd);
}

/* --- looking the same ----------------------------------------------------------------------- */

static uint64_t hash_memory(struct fixture *f, uint64_t start, uint64_t end)
{
	static uint8_t buf[65536];
	uint64_t hash = 14695981039346656037ull;
	int fd = open_memory(f, O_RDONLY);

	for (uint64_t at = start; at < end; at += sizeof(buf)) {
		size_t size = end - at < sizeof(buf) ? end - at : sizeof(buf);
		ssize_t n = pread(fd, buf, size, (off_t)at);

		for (ssize_t i = 0; i < n; i++)
			hash = (hash ^ buf[i]) * 1099511628211ull;
	}
	close(fd);
	return hash;
}

/* All mappings, and for those that nobody may write to their contents' hash. */
static char *describe(struct fixture *f)
{
	char path[64], line[4096], *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size), *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)f->pid);
	maps = fopen(path, "r");
	assert_non_null(out);
	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		unsigned long long start, end;
		char perms[5];

		assert_int_equal(sscanf(line, "%llx-%llx %4s", &start, &end, perms), 3);
		/* What the victim itself makes grow. */
		if (strstr(line, "[heap]") || strstr(line, "[stack]") || strstr(line, "[v"))
			continue;
		fprintf(out, "%.*s %llx\n", (int)strcspn(line, "\n"), line,
			perms[1] == 'w' || perms[0] != 'r'
				? 0
				: (unsigned long long)hash_memory(f, start, end));
	}
	fclose(maps);
	assert_int_equal(fclose(out), 0);
	return text;
}

void fixture_remember(struct fixture *f)
{
	free(f->before);
	f->before = describe(f);
}

/* Lines of one description that are not in the other. */
static void print_missing(const char *what, const char *from, const char *in)
{
	while (*from) {
		size_t len = strcspn(from, "\n") + 1;
		char *line = strndup(from, len);

		if (!strstr(in, line))
			print_error("%s: %s", what, line);
		free(line);
		from += len;
	}
}

void fixture_assert_unchanged(struct fixture *f)
{
	char *now = describe(f);

	assert_non_null(f->before);
	if (strcmp(now, f->before) != 0) {
		print_missing("gone", f->before, now);
		print_missing("new", now, f->before);
		fail_msg("the victim was changed");
	}
	free(now);
}

static size_t count_asleep(struct fixture *f)
{
	char path[300], state;
	struct dirent *entry;
	size_t nr = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)f->pid);
	dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		FILE *file;

		snprintf(path, sizeof(path), "/proc/%d/task/%.20s/stat", (int)f->pid,
			 entry->d_name);
		file = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
		if (!file)
			continue;
		if (fscanf(file, "%*d %*s %c", &state) == 1 && state == 'S')
			nr++;
		fclose(file);
	}
	closedir(dir);
	return nr;
}

void fixture_wait_asleep(struct fixture *f, size_t nr_threads)
{
	for (int ms = 0; ms < ANSWER_TIMEOUT_MS; ms += POLL_MS) {
		if (count_asleep(f) >= nr_threads)
			return;
		poll(NULL, 0, POLL_MS);
	}
	fail_msg("the victim's %zu threads do not come to rest", nr_threads);
}
