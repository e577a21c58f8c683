/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A program to be patched: it reads commands on its standard input and answers each with one line.
 *
 *	call		"call ADD SECRET TLS LIBC" results of the functions below
 *	twin		results of the two static functions named twin, here and in victim_twin.c
 *	threads N	start N threads that sleep
 *	block		start a thread that waits inside block_here()
 *	block rarely	start one that waits in the split-off part of rarely_waits()
 *	block caller	start one that waits inside block_and_call(), twice
 *	release		let one such thread go on
 *	secret		result of secret()
 *	caller		result of secret() in block_and_call(), between the two waits
 *	coroutine	start one, which suspends itself in suspend_here()
 *	resume		let it go on to its end, and free it
 *	scrub		overwrite what calls have left on stacks and in freed memory
 *	epoll		start a thread in epoll_wait(2) without time-out, which counts EINTR
 *	clones		start a thread that makes processes whose end nobody is told of, one after the other
 *	cloned		how many of them have ended
 *	eintr		how often that one saw EINTR
 *	vfork		start a thread that calls vfork(2), whose child waits to be killed; the child's PID
 *	vforked		wait until that thread goes on
 *	shared		map a GiB of shared memory, and tell where
 *	sparse		map 32 TiB of private memory
 *	endless		start a thread that waits in code whose unwind tables have no end
 *	plain		start anew, where addresses are not random
 *	exec		as soon as somebody traces it: start anew with other arguments; until then be on a stack
 *			that nothing can be run on. The old memory stays, in a child.
 *	seccomp		install a filter that kills the process for mmap(2)
 *	leave		the main thread exits, another one goes on reading commands
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define TARGET __attribute__((noipa, used))

int victim_twin(int x);
int asm_short(void);
int asm_neighbour(void);
int asm_loop(int n);
int asm_into_entry(int n);
int asm_padded(void);
void asm_endless(void);

__thread int tls_counter = 40;
static int hidden_counter = 7;
static int fds[2];
static volatile int nr_eintr;
static volatile int nr_handled;

/* Adds a private counter, so that the call can be seen to have happened. */
TARGET int add_hidden(int x)
{
	hidden_counter++;
	tls_counter++;
	return x + hidden_counter;
}

/* Private: reached by its symbol only. */
TARGET static int secret(int x)
{
	return x * 3 + hidden_counter - hidden_counter;
}

/* There are two static functions of this name. */
TARGET static int twin(int x)
{
	return x + 100;
}

/* Calls a function that never returns as its last instruction, and has a cold part. */
TARGET int unlikely(int x)
{
	if (__builtin_expect(x < 0, 0)) {
		fprintf(stderr, "negative\n");
		abort();
	}
	return x + 1;
}

TARGET void block_here(int fd)
{
	char c;

	while (read(fd, &c, 1) < 0)
		continue;
	__asm__ volatile("");
}

__attribute__((cold, noipa)) static void wait_for_byte(int fd)
{
	block_here(fd);
}

/* Its rare part, which waits, is split off: in a stripped file only a branch leads there. */
TARGET int rarely_waits(int fd)
{
	if (__builtin_expect(fd >= 0, 0)) {
		wait_for_byte(fd);
		hidden_counter += 2;
		wait_for_byte(fd);
	}
	return fd + 1;
}

static int called[2];

TARGET int block_and_call(int fd)
{
	int result;

	block_here(fd);
	result = secret(2);
	if (write(called[1], &result, sizeof(result)) < 0)
		abort();
	block_here(fd);
	return result;
}

static void *call_blocker(void *arg)
{
	block_and_call(fds[0]);
	return arg;
}

static void *rare_blocker(void *arg)
{
	rarely_waits(fds[0]);
	return arg;
}

static void *sleeper(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static void *blocker(void *arg)
{
	block_here(fds[0]);
	return arg;
}

/* As far down as any call here goes. */
__attribute__((noipa)) static void scrub_stack(void)
{
	volatile char room[65536];

	for (size_t i = 0; i < sizeof(room); i++)
		room[i] = 0;
}

/* On the one stack that the C library keeps of threads that exited. */
static void *scrubber(void *arg)
{
	scrub_stack();
	return arg;
}

/* What was freed, and will be allocated next. */
static void scrub_heap(void)
{
	char *blocks[512];

	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++)
		blocks[i] = calloc(1, 24 + i / 8 * 16);
	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++)
		free(blocks[i]);
}

static void scrub(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, scrubber, NULL) != 0 || pthread_join(thread, NULL) != 0)
		abort();
	scrub_stack();
	scrub_heap();
}

enum {
	COROUTINE_STACK = 256 * 1024,
};

static ucontext_t main_context, coroutine_context;
static int coroutine_result;

TARGET int suspend_here(int x)
{
	swapcontext(&coroutine_context, &main_context);
	return x + 1;
}

static void run_coroutine(void)
{
	coroutine_result = suspend_here(1);
}

static void start_coroutine(void)
{
	getcontext(&coroutine_context);
	coroutine_context.uc_stack.ss_sp = mmap(NULL, COROUTINE_STACK, PROT_READ | PROT_WRITE,
						MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (coroutine_context.uc_stack.ss_sp == MAP_FAILED)
		abort();
	coroutine_context.uc_stack.ss_size = COROUTINE_STACK;
	coroutine_context.uc_link = &main_context;
	makecontext(&coroutine_context, run_coroutine, 0);
	swapcontext(&main_context, &coroutine_context);
}

static void resume_coroutine(void)
{
	void *stack = coroutine_context.uc_stack.ss_sp;

	swapcontext(&main_context, &coroutine_context);
	munmap(stack, COROUTINE_STACK);
	memset(&coroutine_context, 0, sizeof(coroutine_context));
}

static void *poller(void *arg)
{
	int fd = epoll_create1(0);
	struct epoll_event event;

	for (;;)
		if (epoll_wait(fd, &event, 1, -1) < 0)
			nr_eintr++;
	return arg;
}

static volatile int nr_cloned;

static void *cloner(void *arg)
{
	for (;;) {
		pid_t pid = (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, 0);

		if (pid == 0)
			_exit(0);
		if (pid < 0 || waitpid(pid, NULL, __WALL) != pid)
			abort();
		nr_cloned++;
	}
	return arg;
}

static void handle(int signal)
{
	nr_handled++;
}

static void start(void *(*fn)(void *))
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, fn, NULL) != 0)
		abort();
	pthread_detach(thread);
}

static volatile pid_t vfork_child;
static volatile int nr_vforked;

static void *endless(void *arg)
{
	asm_endless();
	return arg;
}

static void *vforker(void *arg)
{
	pid_t pid = vfork();

	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		vfork_child = getpid();
		for (;;)
			pause();
	}
	(void)waitpid(pid, NULL, 0);
	nr_vforked++;
	return arg;
}

static int traced[2];
static char exec_stack[65536], observer_stack[65536];

/* In the parent's memory. */
static int observe(void *arg)
{
	static char path[32], text[4096];

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)getppid());
	do {
		int fd = open(path, O_RDONLY);

		if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
			_exit(1);
		close(fd);
	} while (strstr(text, "\nTracerPid:\t0\n"));
	(void)!write(traced[1], "x", 1);
	for (;;)
		pause();
	return 0;
}

static void exec_when_traced(void)
{
	const char *const argv[] = { "victim", "with", "other", "arguments", NULL };
	char c;

	printf("ok\n");
	while (read(traced[0], &c, 1) < 0)
		continue;
	execv("/proc/self/exe", (char *const *)argv);
	abort();
}

static void begin_exec(void)
{
	if (pipe(traced) < 0 ||
	    clone(observe, observer_stack + sizeof(observer_stack), CLONE_VM | SIGCHLD, NULL) < 0)
		abort();
	getcontext(&coroutine_context);
	coroutine_context.uc_stack.ss_sp = exec_stack;
	coroutine_context.uc_stack.ss_size = sizeof(exec_stack);
	coroutine_context.uc_link = &main_context;
	makecontext(&coroutine_context, exec_when_traced, 0);
	swapcontext(&main_context, &coroutine_context);
}

static void start_plainly(void)
{
	const char *const argv[] = { "victim", NULL };

	printf("ok\n");
	(void)personality(ADDR_NO_RANDOMIZE);
	execv("/proc/self/exe", (char *const *)argv);
	abort();
}

static void *map(size_t size, int flags)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		    0);
}

static int forbid_mmap(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { 4, filter };

	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* What makes a target difficult. */
static void answer_difficult(const char *line)
{
	if (strcmp(line, "endless\n") == 0) {
		start(endless);
		printf("ok\n");
	} else if (strcmp(line, "vfork\n") == 0) {
		start(vforker);
		while (!vfork_child)
			sched_yield();
		printf("vfork %d\n", (int)vfork_child);
	} else if (strcmp(line, "vforked\n") == 0) {
		while (!nr_vforked)
			sched_yield();
		printf("ok\n");
	} else if (strcmp(line, "plain\n") == 0)
		start_plainly();
	else if (strcmp(line, "exec\n") == 0)
		begin_exec();
	else if (strcmp(line, "shared\n") == 0)
		printf("shared %p\n", map(1ul << 30, MAP_SHARED));
	else if (strcmp(line, "sparse\n") == 0)
		printf("%s\n", map(1ul << 45, MAP_PRIVATE) == MAP_FAILED ? "failed" : "ok");
	else if (strcmp(line, "seccomp\n") == 0)
		printf("%s\n", forbid_mmap() == 0 ? "ok" : "failed");
	else
		printf("what?\n");
}

static void answer(const char *line)
{
	int n;

	if (strcmp(line, "call\n") == 0) {
		int added = add_hidden(1), known = secret(2);

		printf("call %d %d %d %d\n", added, known, tls_counter, unlikely(4));
	} else if (strcmp(line, "twin\n") == 0)
		printf("twin %d %d\n", twin(1), victim_twin(1));
	else if (strcmp(line, "asm\n") == 0)
		printf("asm %d %d %d %d %d\n", asm_short(), asm_neighbour(), asm_loop(3),
		       asm_into_entry(3), asm_padded());
	else if (sscanf(line, "threads %d", &n) == 1) {
		while (n--)
			start(sleeper);
		printf("ok\n");
	} else if (strcmp(line, "block\n") == 0) {
		start(blocker);
		printf("ok\n");
	} else if (strcmp(line, "block rarely\n") == 0) {
		start(rare_blocker);
		printf("ok\n");
	} else if (strcmp(line, "block caller\n") == 0) {
		start(call_blocker);
		printf("ok\n");
	} else if (strcmp(line, "coroutine\n") == 0) {
		start_coroutine();
		printf("ok\n");
	} else if (strcmp(line, "resume\n") == 0) {
		resume_coroutine();
		printf("resumed %d\n", coroutine_result);
	} else if (strcmp(line, "scrub\n") == 0) {
		scrub();
		printf("ok\n");
	} else if (strcmp(line, "secret\n") == 0) {
		printf("secret %d\n", secret(2));
	} else if (strcmp(line, "caller\n") == 0) {
		if (read(called[0], &n, sizeof(n)) != sizeof(n))
			abort();
		printf("caller %d\n", n);
	} else if (strcmp(line, "release\n") == 0)
		printf("%s\n", write(fds[1], "x", 1) == 1 ? "ok" : "failed");
	else if (strcmp(line, "epoll\n") == 0) {
		start(poller);
		printf("ok\n");
	} else if (strcmp(line, "clones\n") == 0) {
		start(cloner);
		printf("ok\n");
	} else if (strcmp(line, "cloned\n") == 0)
		printf("cloned %d\n", nr_cloned);
	else if (strcmp(line, "eintr\n") == 0)
		printf("eintr %d handled %d\n", nr_eintr, nr_handled);
	else if (strcmp(line, "fork\n") == 0) {
		int pid = fork();

		if (pid == 0) {
			(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (;;)
				pause();
		}
		printf("fork %d\n", pid);
	} else
		answer_difficult(line);
}

static void *serve(void *arg)
{
	char line[128];

	while (fgets(line, sizeof(line), stdin)) {
		if (strcmp(line, "leave\n") == 0) {
			start(serve);
			pthread_exit(NULL);
		}
		answer(line);
		/* Where frames of what has just run were, and those of waiting for a line will be. */
		if (strcmp(line, "scrub\n") == 0)
			scrub_stack();
	}
	exit(0);
	return arg;
}

int main(void)
{
	struct sigaction action = { .sa_handler = handle, .sa_flags = SA_RESTART };

	setvbuf(stdout, NULL, _IOLBF, 0);
	sigaction(SIGUSR1, &action, NULL);
	if (pipe(fds) < 0 || pipe(called) < 0)
		return 1;
	serve(NULL);
	return 0;
}
