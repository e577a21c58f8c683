/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A program that loads plugins. Commands, one a line, one answer each:
 *
 *	open NAME [lazy] [global] [nodelete]	dlopen(3)
 *	mopen NAME	in a namespace of its own
 *	close NAME	the last one that was opened under it
 *	call NAME FUNCTION X
 *	notes		what constructors and destructors said since
 *	own X		a function of the program itself
 *	storm THREADS TIMES	load, call and unload "plug" at the same time; says which values were seen
 *	judge THREADS TIMES	the same with four copies of it, judged by the word in $JUDGE: its low
 *			bits tell which version must run (1 new, 2 old, else either), the others how
 *			often that has changed; the next word counts calls. Says how many calls
 *			there were, how many could be judged, and how many were wrong
 *	fork NAME FUNCTION X	in a child: load it, call it
 *	dlsym TIMES	look a symbol up that often
 *	block, release	a thread in block_here(); and let it go
 *	block caller	a thread in block_and_call(), which calls a function when it is let go:
 *	aim NAME FUNCTION	that one; "late" says what it returned
 *	filter PATH	install the seccomp filter that is in that file
 *	filter thread PATH	in a thread of its own, which then blocks
 *	filter strict	a thread that goes into seccomp's strict mode, and blocks
 *	churn		threads come and go from now on
 *	leave		the main thread exits, another one goes on
 *	nobody		be that, and not debuggable
 *	harden		the same; and make no memory executable that was writable
 *	twin, scrub	as the other victims
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <linux/filter.h>
#include <linux/seccomp.h>
#endif

enum {
	HANDLES_MAX = 32,
	VALUES_MAX = 8,
	NOBODY = 65534,
	SET_MDWE = 65, /* PR_SET_MDWE, Linux 6.3 */
	REFUSE_EXEC_GAIN = 1,
};

struct handle {
	char name[32];
	void *handle;
};

static struct handle handles[HANDLES_MAX];
static char notes[512];
static const char *plugin_dir;

void note(const char *what, int value);
const char *plugin_path(const char *name);
int own_value(int x);

void note(const char *what, int value)
{
	size_t len = strlen(notes);

	snprintf(notes + len, sizeof(notes) - len, " %s %d", what, value);
}

const char *plugin_path(const char *name)
{
	static __thread char path[512];

	snprintf(path, sizeof(path), "%s/lib%s.so", plugin_dir, name);
	return path;
}

__attribute__((noipa)) int own_value(int x)
{
	if (x < 0)
		printf("negative\n");
	return x + 3;
}

static void keep(const char *name, void *handle)
{
	for (int i = 0; i < HANDLES_MAX; i++) {
		if (handles[i].handle)
			continue;
		snprintf(handles[i].name, sizeof(handles[i].name), "%s", name);
		handles[i].handle = handle;
		return;
	}
	abort();
}

static struct handle *find(const char *name)
{
	for (int i = HANDLES_MAX - 1; i >= 0; i--)
		if (handles[i].handle && strcmp(handles[i].name, name) == 0)
			return &handles[i];
	return NULL;
}

static void load(const char *line)
{
	int flags = strstr(line, " lazy") ? RTLD_LAZY : RTLD_NOW;
	char name[32] = "";
	void *handle;

	sscanf(line, "%*s %31s", name);
	flags |= strstr(line, " global") ? RTLD_GLOBAL : 0;
	flags |= strstr(line, " nodelete") ? RTLD_NODELETE : 0;
#ifdef LM_ID_NEWLM
	handle = *line == 'm' ? dlmopen(LM_ID_NEWLM, plugin_path(name), flags)
			      : dlopen(plugin_path(name), flags);
#else
	handle = dlopen(plugin_path(name), flags);
#endif
	if (!handle) {
		printf("error %s\n", dlerror());
		return;
	}
	keep(name, handle);
	printf("ok\n");
}

static void unload(const char *line)
{
	struct handle *h;
	char name[32] = "";

	sscanf(line, "%*s %31s", name);
	h = find(name);
	printf("%s\n", h && dlclose(h->handle) == 0 ? "ok" : "error");
	if (h)
		h->handle = NULL;
}

static int call_in(void *handle, const char *function, int x)
{
	int (*fn)(int) = handle ? (int (*)(int))dlsym(handle, function) : NULL;

	return fn ? fn(x) : -12345;
}

static void call(const char *line)
{
	char name[32] = "", function[32] = "";
	struct handle *h;
	int x = 0;

	sscanf(line, "%*s %31s %31s %d", name, function, &x);
	h = find(name);
	printf("%d\n", call_in(h ? h->handle : NULL, function, x));
}

static void in_child(const char *line)
{
	char name[32] = "", function[32] = "";
	int x = 0, status, to[2], answer = -1;
	pid_t child;

	sscanf(line, "%*s %31s %31s %d", name, function, &x);
	if (pipe(to) < 0)
		abort();
	child = fork();
	if (child == 0) {
		void *handle = dlopen(plugin_path(name), RTLD_NOW);

		answer = call_in(handle, function, x);
		if (handle && dlclose(handle) != 0)
			answer = -2;
		_exit(write(to[1], &answer, sizeof(answer)) < 0);
	}
	close(to[1]);
	if (read(to[0], &answer, sizeof(answer)) != sizeof(answer))
		answer = -3;
	close(to[0]);
	waitpid(child, &status, 0);
	printf("%d %d\n", answer, status);
}

static int times;

/* Values that were seen. */
static void *storm_thread(void *arg)
{
	int *values = arg;

	for (int i = 0; i < times; i++) {
		void *handle = dlopen(plugin_path("plug"), RTLD_NOW);
		int value = call_in(handle, "plug_value", 1);
		int n = 0;

		if (!handle)
			value = -1;
		else if (dlclose(handle) != 0)
			value = -2;
		while (n < VALUES_MAX - 1 && values[n] && values[n] != value)
			n++;
		values[n] = value;
	}
	return NULL;
}

static void storm(const char *line)
{
	static int values[64][VALUES_MAX];
	int nr = 0, seen[VALUES_MAX] = {}, nr_seen = 0;
	pthread_t threads[64];

	memset(values, 0, sizeof(values));
	sscanf(line, "%*s %d %d", &nr, &times);
	for (int i = 0; i < nr; i++)
		if (pthread_create(&threads[i], NULL, storm_thread, values[i]) != 0)
			abort();
	for (int i = 0; i < nr; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < nr; i++) {
		for (int n = 0; n < VALUES_MAX && values[i][n]; n++) {
			int k = 0;

			while (k < nr_seen && seen[k] != values[i][n])
				k++;
			if (k == nr_seen && nr_seen < VALUES_MAX)
				seen[nr_seen++] = values[i][n];
		}
	}
	printf("storm");
	for (int i = 0; i < nr_seen; i++)
		printf(" %d", seen[i]);
	printf("\n");
}

static volatile unsigned long *verdict; /* in $JUDGE: the word, the number of calls so far */
static unsigned long nr_judged, nr_wrong;

static void *judge_thread(void *arg)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/plug%ld.so", getenv("JUDGE_DIR"), (long)arg % 4);
	for (int i = 0; i < times; i++) {
		void *handle = dlopen(path, RTLD_NOW);
		unsigned long before = *verdict;
		int value = call_in(handle, "plug_value", 1);
		unsigned long after = *verdict;
		int right = (before & 3) == 1 ? 101 : 11;

		__atomic_fetch_add(&verdict[1], 1, __ATOMIC_RELAXED);
		if (before == after && before & 3)
			__atomic_fetch_add(&nr_judged, 1, __ATOMIC_RELAXED);
		if ((value != 11 && value != 101) ||
		    (before == after && before & 3 && value != right))
			__atomic_fetch_add(&nr_wrong, 1, __ATOMIC_RELAXED);
		if (handle && dlclose(handle) != 0)
			__atomic_fetch_add(&nr_wrong, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void judge(const char *line)
{
	int nr = 0, fd = open(getenv("JUDGE"), O_RDWR | O_CLOEXEC);
	pthread_t threads[64];
	unsigned long nr_calls;

	sscanf(line, "%*s %d %d", &nr, &times);
	verdict = mmap(NULL, 2 * sizeof(*verdict), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	verdict[1] = nr_judged = nr_wrong = 0;
	for (long i = 0; i < nr; i++)
		if (pthread_create(&threads[i], NULL, judge_thread, (void *)i) != 0)
			abort();
	for (int i = 0; i < nr; i++)
		pthread_join(threads[i], NULL);
	nr_calls = verdict[1];
	munmap((void *)verdict, 2 * sizeof(*verdict));
	close(fd);
	printf("judge %lu calls %lu judged %lu wrong\n", nr_calls, nr_judged, nr_wrong);
}

static int fds[2];

__attribute__((noipa)) void block_here(int fd);
__attribute__((noipa)) void block_here(int fd)
{
	char c;

	while (read(fd, &c, 1) < 0)
		continue;
	__asm__ volatile("");
}

/* What a thread that lags behind finds when it is let go. */
static int (*late_function)(int);
static int late_value;

static void *blocker(void *arg)
{
	block_here(fds[0]);
	return arg;
}

__attribute__((noipa)) int block_and_call(int fd);
__attribute__((noipa)) int block_and_call(int fd)
{
	block_here(fd);
	late_value = late_function ? late_function(1) : -1;
	return late_value;
}

static void *late_caller(void *arg)
{
	block_and_call(fds[0]);
	return arg;
}

static void start_thread_with(void *(*fn)(void *), void *arg)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, fn, arg) != 0)
		abort();
	pthread_detach(thread);
}

static void start_thread(void *(*fn)(void *))
{
	start_thread_with(fn, NULL);
}

static void *idle(void *arg)
{
	return arg;
}

static void *churn(void *arg)
{
	pthread_t thread;

	while (pthread_create(&thread, NULL, idle, NULL) == 0)
		pthread_join(thread, NULL);
	return arg;
}

/* It calls a plugin's function, which it finds now, when it is let go. */
static void aim(const char *line)
{
	char name[32] = "", function[32] = "";
	struct handle *h;

	sscanf(line, "%*s %31s %31s", name, function);
	h = find(name);
	late_function = h ? (int (*)(int))dlsym(h->handle, function) : NULL;
	printf("ok\n");
}

__attribute__((noipa)) static void scrub(void)
{
	volatile char room[65536];

	for (size_t i = 0; i < sizeof(room); i++)
		room[i] = 0;
}

#ifdef __GLIBC__
static int install(const char *path)
{
	static struct sock_filter insns[BPF_MAXINSNS];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct sock_fprog program = { .filter = insns };
	ssize_t size = read(fd, insns, sizeof(insns));

	close(fd);
	if (size <= 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	program.len = (unsigned short)((size_t)size / sizeof(*insns));
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static void *filtered(void *path)
{
	printf("%s\n", install(path) == 0 ? "ok" : "error");
	block_here(fds[0]);
	return NULL;
}

static void *strict(void *arg)
{
	char ok[] = "ok\n";

	/* Neither stdio's locks nor the end of a thread would be permitted. */
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0 && write(1, ok, strlen(ok)) > 0)
		block_here(fds[0]);
	return arg;
}

/* A thread answers for itself. */
static void filter(const char *line)
{
	static char path[128];

	if (strcmp(line, "filter strict\n") == 0)
		start_thread(strict);
	else if (sscanf(line, "filter thread %127s", path) == 1)
		start_thread_with(filtered, path);
	else
		printf("%s\n", sscanf(line, "filter %127s", path) == 1 && install(path) == 0
				       ? "ok"
				       : "error");
}
#else
static void filter(const char *line)
{
	printf("error\n"); /* that compiler does not have the kernel's headers */
}
#endif

static int be_nobody(void)
{
	if (setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
		return -1;
	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

static int harden(void)
{
	return be_nobody() < 0 ? -1 : prctl(SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0);
}

static void *serve(void *arg);

static void leave(void)
{
	static pthread_t self;

	self = pthread_self();
	start_thread_with(serve, &self);
	pthread_exit(NULL);
}

static void answer_of_process(const char *line)
{
	if (strcmp(line, "block\n") == 0) {
		start_thread(blocker);
		printf("ok\n");
	} else if (strcmp(line, "block caller\n") == 0) {
		start_thread(late_caller);
		printf("ok\n");
	} else if (strncmp(line, "aim ", 4) == 0) {
		aim(line);
	} else if (strcmp(line, "late\n") == 0) {
		printf("late %d\n", late_value);
	} else if (strcmp(line, "release\n") == 0) {
		printf("%s\n", write(fds[1], "x", 1) == 1 ? "ok" : "error");
	} else if (strncmp(line, "filter ", 7) == 0) {
		filter(line);
	} else if (strcmp(line, "churn\n") == 0) {
		start_thread(churn);
		printf("ok\n");
	} else if (strcmp(line, "leave\n") == 0) {
		leave();
	} else if (strcmp(line, "nobody\n") == 0) {
		printf("%s\n", be_nobody() == 0 ? "ok" : "error");
	} else if (strcmp(line, "harden\n") == 0) {
		printf("%s\n", harden() == 0 ? "ok" : "error");
	} else if (strcmp(line, "twin\n") == 0) {
		printf("twin 101 201\n");
	} else if (strcmp(line, "scrub\n") == 0) {
		scrub();
		printf("ok\n");
	} else {
		printf("?\n");
	}
}

static void answer(const char *line)
{
	if (strncmp(line, "open ", 5) == 0 || strncmp(line, "mopen ", 6) == 0) {
		load(line);
	} else if (strncmp(line, "close ", 6) == 0) {
		unload(line);
	} else if (strncmp(line, "call ", 5) == 0) {
		call(line);
	} else if (strncmp(line, "fork ", 5) == 0) {
		in_child(line);
	} else if (strncmp(line, "storm ", 6) == 0) {
		storm(line);
	} else if (strncmp(line, "judge ", 6) == 0) {
		judge(line);
	} else if (strcmp(line, "notes\n") == 0) {
		printf("notes%s\n", notes);
		notes[0] = '\0';
	} else if (strncmp(line, "own ", 4) == 0) {
		printf("%d\n", own_value(atoi(line + 4)));
	} else {
		answer_of_process(line);
	}
}

/* Until the end of its input. @arg: the thread that it takes over from, which has gone when it says so */
static void *serve(void *arg)
{
	char line[256];

	if (arg && pthread_join(*(pthread_t *)arg, NULL) == 0)
		printf("ok\n");
	while (fgets(line, sizeof(line), stdin))
		answer(line);
	exit(0);
}

int main(void)
{
	plugin_dir = getenv("PLUGIN_DIR");
	if (pipe(fds) < 0)
		return 1;
	setvbuf(stdout, NULL, _IOLBF, 0);
	return serve(NULL) != NULL;
}
