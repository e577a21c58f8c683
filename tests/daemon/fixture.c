/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "control.h"

enum {
	DEADLINE_S = 30,
};

static const char *environment(const char *name)
{
	const char *value = getenv(name);

	if (!value)
		fail_msg("%s is not set: run this through meson", name);
	return value;
}

static double now(void)
{
	struct timespec ts;

	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &ts), 0);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

void fixture_breathe(void)
{
	(void)poll(NULL, 0, 5);
}

/* --- daemon ------------------------------------------------------------------------------------ */

void fixture_start_daemon(struct fixture *f)
{
	session_start(f->session);
}

void fixture_kill_daemon(struct fixture *f)
{
	session_kill(f->session);
}

const char *fixture_ask(struct fixture *f, const char *fmt, ...)
{
	static char answer[65536];
	char line[4096];
	va_list ap;

	va_start(ap, fmt);
	assert_true(vsnprintf(line, sizeof(line), fmt, ap) < (int)sizeof(line));
	va_end(ap);
	return control_ask(f->session, line, answer, sizeof(answer));
}

void fixture_send(struct fixture *f, const char *fmt, ...)
{
	char line[4096];
	va_list ap;

	va_start(ap, fmt);
	assert_true(vsnprintf(line, sizeof(line), fmt, ap) < (int)sizeof(line));
	va_end(ap);
	control_send(f->session, line);
}

long fixture_count(struct fixture *f, const char *name)
{
	return control_count(f->session, name);
}

void fixture_await_count(struct fixture *f, const char *name, long number)
{
	double deadline = now() + DEADLINE_S;

	while (fixture_count(f, name) != number) {
		if (now() > deadline)
			fail_msg("%s is not %ld: %s", name, number, fixture_ask(f, "status"));
		fixture_breathe();
	}
}

void fixture_await_any(struct fixture *f, const char *name)
{
	double deadline = now() + DEADLINE_S;

	while (fixture_count(f, name) <= 0) {
		if (now() > deadline)
			fail_msg("%s stays 0: %s", name, fixture_ask(f, "status"));
		fixture_breathe();
	}
}

void fixture_await_answer(struct fixture *f, const char *answer, const char *question)
{
	double deadline = now() + DEADLINE_S;
	const char *got;

	while ((got = fixture_ask(f, "%s", question)) && strcmp(got, answer) != 0) {
		if (now() > deadline)
			fail_msg("%s: '%s', not '%s'", question, got, answer);
		fixture_breathe();
	}
	assert_non_null(got);
}

/* --- victims ----------------------------------------------------------------------------------- */

/* What is executed for it. */
struct command {
	char path[4096];
	char file[96];
	char number[16];
};

static unsigned int new_slot(struct fixture *f, char program, struct command *ret)
{
	unsigned int index = f->nr_slots++;

	assert_true(index < SLOTS);
	(void)snprintf(ret->path, sizeof(ret->path), "%s/program-%c", environment("PROGRAMS"),
		       program);
	(void)snprintf(ret->file, sizeof(ret->file), "%s/slots", f->dir);
	(void)snprintf(ret->number, sizeof(ret->number), "%u", index);
	return index;
}

static void spawn_in(struct fixture *f, unsigned int index, char program,
		     const struct command *command, const char *how)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl(command->path, command->path, command->file, command->number, how, NULL);
		_exit(127);
	}
	f->slots[index].program = program;
	f->slots[index].pid = pid;
}

static unsigned int spawn(struct fixture *f, char program, const char *how)
{
	struct command command;
	unsigned int index = new_slot(f, program, &command);

	spawn_in(f, index, program, &command, how);
	return index;
}

static void await_beat(struct fixture *f, unsigned int slot)
{
	double deadline = now() + DEADLINE_S;

	while (f->slots[slot].beats == 0) {
		if (now() > deadline)
			fail_msg("victim %u does not begin", slot);
		fixture_breathe();
	}
}

unsigned int fixture_spawn(struct fixture *f, char program)
{
	return spawn(f, program, NULL);
}

unsigned int fixture_spawn_holding(struct fixture *f, char program)
{
	unsigned int slot = spawn(f, program, "hold");

	await_beat(f, slot);
	return slot;
}

unsigned int fixture_spawn_deleted(struct fixture *f, char program)
{
	struct command command;
	unsigned int index = new_slot(f, program, &command);
	char line[8400];

	(void)snprintf(line, sizeof(line), "cp %s %s/deleted", command.path, f->dir);
	assert_int_equal(system(line), 0);
	(void)snprintf(command.path, sizeof(command.path), "%s/deleted", f->dir);
	spawn_in(f, index, program, &command, NULL);
	await_beat(f, index);
	assert_int_equal(unlink(command.path), 0);
	return index;
}

/* A root of files that nobody else sees, as a container has: the program, what it needs, the slots. */
static void make_root(const char *root, const struct command *command)
{
	char line[16384];

	if (unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS) < 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", root, "tmpfs", 0, NULL) < 0)
		_exit(125);
	(void)snprintf(
		line, sizeof(line),
		"cd %s && cp -L --parents %s $(ldd %s | grep -o '/[^ )]*') . && touch slots && "
		"mount --bind %s slots",
		root, command->path, command->path, command->file);
	if (system(line) != 0 || chroot(root) < 0 || chdir("/") < 0)
		_exit(126);
	/* Last: whoever is forked next is the first of the namespace, and its end. */
	if (unshare(CLONE_NEWPID) < 0)
		_exit(124);
}

unsigned int fixture_spawn_contained(struct fixture *f, char program)
{
	struct command command;
	unsigned int index = new_slot(f, program, &command);
	char root[96];
	pid_t pid;

	(void)snprintf(root, sizeof(root), "%s/root", f->dir);
	assert_int_equal(mkdir(root, 0755), 0);
	f->slots[index].program = program;
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		make_root(root, &command);
		pid = fork(); /* the first process of the namespace */
		if (pid == 0) {
			(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
			execl(command.path, command.path, "/slots", command.number, "contained",
			      NULL);
			_exit(127);
		}
		if (pid < 0)
			_exit(123);
		f->slots[index].pid = pid; /* as the rest of the world calls it */
		(void)waitpid(pid, NULL, 0);
		_exit(0);
	}
	await_beat(f, index);
	return index;
}

void fixture_command(struct fixture *f, unsigned int slot, enum slot_command command, uint32_t arg)
{
	f->slots[slot].arg = arg;
	if (command == SLOT_EXEC)
		f->slots[slot].program = (char)arg;
	f->slots[slot].command = command;
	if (command == SLOT_EXIT) {
		pid_t pid = f->slots[slot].pid;

		f->slots[slot].pid = 0;
		while (kill(pid, 0) == 0) {
			(void)waitpid(pid, NULL, WNOHANG); /* or its parent does */
			fixture_breathe();
		}
	}
}

static unsigned int await_child(struct fixture *f, unsigned int slot, enum slot_command command)
{
	unsigned int child = f->nr_slots++;

	assert_true(child < SLOTS);
	fixture_command(f, slot, command, child);
	while (!f->slots[child].pid)
		fixture_breathe();
	return child;
}

unsigned int fixture_fork(struct fixture *f, unsigned int slot)
{
	return await_child(f, slot, SLOT_FORK);
}

unsigned int fixture_fork_and_exec(struct fixture *f, unsigned int slot)
{
	return await_child(f, slot, SLOT_SPAWN);
}

long fixture_nr(struct fixture *f, const char *programs)
{
	long nr = 0;

	for (unsigned int i = 0; i < f->nr_slots; i++)
		nr += f->slots[i].pid && strchr(programs, f->slots[i].program);
	return nr;
}

static bool is_as_wanted(const struct fixture *f, const struct slot *slot)
{
	uint32_t own = slot->program == 'a' && f->is_own_enabled ? 2 : 1;
	uint32_t shared = slot->program == 'a' ? 0 : f->is_shared_enabled ? 2 : 1;

	return !slot->pid || slot->program == 'd' || (slot->own == own && slot->shared == shared);
}

void fixture_await_answers(struct fixture *f)
{
	double deadline = now() + DEADLINE_S;

	for (unsigned int i = 0; i < f->nr_slots; i++) {
		const struct slot *slot = &f->slots[i];

		while (!is_as_wanted(f, slot)) {
			if (now() > deadline)
				fail_msg("victim %d (%c) answers %u and %u; %s", (int)slot->pid,
					 slot->program, slot->own, slot->shared,
					 f->session->daemon ? fixture_ask(f, "status") : "");
			fixture_breathe();
		}
	}
}

void fixture_assert_alive(struct fixture *f)
{
	double deadline = now() + DEADLINE_S;
	uint64_t *beats = calloc(f->nr_slots + 1, sizeof(*beats));

	assert_non_null(beats);
	for (unsigned int i = 0; i < f->nr_slots; i++)
		beats[i] = f->slots[i].beats;
	for (unsigned int i = 0; i < f->nr_slots; i++) {
		const struct slot *slot = &f->slots[i];

		while (slot->pid && slot->beats < beats[i] + 2) {
			if (now() > deadline || kill(slot->pid, 0) < 0)
				fail_msg("victim %d (%c) does not go on", (int)slot->pid,
					 slot->program);
			fixture_breathe();
		}
	}
	free(beats);
}

/* --- patches ----------------------------------------------------------------------------------- */

/* A source with a replacement of FUNCTION_answer() of the object. */
static void write_source(struct fixture *f, const char *name, const char *object,
			 const char *function)
{
	char source[128];
	FILE *out;

	(void)snprintf(source, sizeof(source), "%s/%s.c", f->dir, name);
	out = fopen(source, "w");
	assert_non_null(out);
	fprintf(out,
		"#include <upatch/livepatch.h>\nUPATCH_OBJECT(\"%s\");\n"
		"static int new_answer(int x) { return x + 2; }\nUPATCH_FUNC(%s_answer, new_answer);\n",
		object, function);
	assert_int_equal(fclose(out), 0);
}

static void run_build(struct fixture *f, const char *name, const char *options)
{
	char command[16384];

	(void)snprintf(command, sizeof(command),
		       "cd %s && %s build -q --source %s.c -o %s.upatch %s", f->dir,
		       environment("UPATCHCTL"), name, name, options);
	assert_int_equal(system(command), 0);
}

static void build(struct fixture *f, const char *name, const char *object)
{
	char options[8192];

	write_source(f, name, object, name);
	(void)snprintf(options, sizeof(options), "--cve CVE-2026-%s --object %s=%s/%s",
		       strcmp(name, "own") == 0 ? "1001" : "1002", object, environment("PROGRAMS"),
		       object);
	run_build(f, name, options);
}

static void build_both(struct fixture *f)
{
	const char *programs = environment("PROGRAMS");
	char options[8192];

	write_source(f, "both", "program-d", "own");
	write_source(f, "both-shared", "libshared.so", "shared");
	(void)snprintf(options, sizeof(options),
		       "--source both-shared.c --object program-d=%s/program-d "
		       "--object libshared.so=%s/libshared.so",
		       programs, programs);
	run_build(f, "both", options);
}

/* What it calls is nowhere: no process can have it. */
static void build_broken(struct fixture *f)
{
	char source[128], options[8192];
	FILE *out;

	(void)snprintf(source, sizeof(source), "%s/broken.c", f->dir);
	out = fopen(source, "w");
	assert_non_null(out);
	fputs("#include <upatch/livepatch.h>\nUPATCH_OBJECT(\"program-a\");\n"
	      "int nowhere(int x);\n"
	      "static int new_answer(int x) { return nowhere(x); }\n"
	      "UPATCH_FUNC(own_answer, new_answer);\n",
	      out);
	assert_int_equal(fclose(out), 0);
	(void)snprintf(options, sizeof(options), "--object program-a=%s/program-a",
		       environment("PROGRAMS"));
	run_build(f, "broken", options);
}

const char *fixture_patch(struct fixture *f, const char *name)
{
	static char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s.upatch", f->dir, name);
	if (access(path, F_OK) == 0)
		return path;
	if (strcmp(name, "both") == 0)
		build_both(f);
	else if (strcmp(name, "broken") == 0)
		build_broken(f);
	else
		build(f, name, strcmp(name, "shared") == 0 ? "libshared.so" : "program-a");
	return path;
}

const char *fixture_patch_variant(struct fixture *f, const char *name, unsigned int answer,
				  const char *options)
{
	static char path[128];
	char command[16384];

	(void)fixture_patch(f, "own"); /* its source is beside it */
	(void)snprintf(command, sizeof(command),
		       "mkdir -p %s/variants && cd %s/variants && "
		       "sed 's/x + 2/x + %u/' ../own.c >%s.c && "
		       "%s build -q --source %s.c -o %s.upatch --object program-a=%s/program-a %s",
		       f->dir, f->dir, answer, name, environment("UPATCHCTL"), name, name,
		       environment("PROGRAMS"), options);
	assert_int_equal(system(command), 0);
	(void)snprintf(path, sizeof(path), "%s/variants/%s.upatch", f->dir, name);
	return path;
}

const char *fixture_patch_corrected(struct fixture *f)
{
	return fixture_patch_variant(f, "own", 3, "--cve CVE-2026-1001");
}

/* --- life -------------------------------------------------------------------------------------- */

int fixture_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	void *session;
	char path[96];
	int fd;

	assert_non_null(f);
	(void)session_setup(&session);
	f->session = session;
	f->dir = f->session->dir;
	(void)snprintf(path, sizeof(path), "%s/slots", f->dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, SLOTS * sizeof(struct slot)), 0);
	f->slots =
		mmap(NULL, SLOTS * sizeof(struct slot), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(f->slots != MAP_FAILED);
	(void)close(fd);
	*state = f;
	return 0;
}

int fixture_teardown(void **state)
{
	struct fixture *f = *state;
	void *session = f->session;

	/* Victims write there: no number that means others, or everybody, is believed. */
	for (unsigned int i = 0; i < f->nr_slots; i++)
		if (f->slots[i].pid > 1)
			(void)kill(f->slots[i].pid, SIGKILL);
	(void)munmap(f->slots, SLOTS * sizeof(struct slot));
	(void)session_teardown(&session);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	free(f);
	return 0;
}

pid_t fixture_parent_of(const char *pid)
{
	char path[300], text[512];
	const char *end;
	FILE *file;
	int parent = 0;

	(void)snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fgets(text, sizeof(text), file) && (end = strrchr(text, ')')))
		(void)sscanf(end + 1, " %*c %d", &parent);
	(void)fclose(file);
	return parent;
}
