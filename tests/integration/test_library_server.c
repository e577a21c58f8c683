/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * nginx, which loads modules when it is told to read its configuration again: its master loads them, and
 * workers that it forks then serve requests.
 */

#define MODULE "ngx_http_echo_module.so"
#define MODULE_PATH "/usr/lib/nginx/modules/" MODULE

enum { PATIENCE_MS = 20000, STEP_MS = 5 };

struct server {
	char dir[32];
	pid_t pid;
	struct upatch_ctx *ctx;
	struct upatch_target *target;
};

static void write_config(struct server *s, const char *modules, const char *location)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "%s/conf", s->dir);
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file,
		"%s"
		"daemon off; master_process on; worker_processes 1; pid %s/pid; error_log %s/log;\n"
		"events { worker_connections 16; }\n"
		"http {\n"
		"	access_log off;\n"
		"	client_body_temp_path %s; proxy_temp_path %s; fastcgi_temp_path %s;\n"
		"	uwsgi_temp_path %s; scgi_temp_path %s;\n"
		"	server { listen unix:%s/socket; location / { %s } }\n"
		"}\n",
		modules, s->dir, s->dir, s->dir, s->dir, s->dir, s->dir, s->dir, s->dir, location);
	assert_int_equal(fclose(file), 0);
}

/* Return: the status of the answer, 0: there is none. */
static int get(struct server *s)
{
	static const char request[] = "GET / HTTP/1.0\r\n\r\n";
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), status = 0;
	char answer[512] = "";

	assert_true(fd >= 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/socket", s->dir);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 &&
	    write(fd, request, strlen(request)) > 0 && read(fd, answer, sizeof(answer) - 1) > 0)
		sscanf(answer, "HTTP/%*s %d", &status);
	close(fd);
	return status;
}

/* Return: the only worker that is not @old, 0: there are others, or none. */
static pid_t find_worker(struct server *s, pid_t old)
{
	char path[64];
	pid_t pid = 0, next;
	FILE *file;
	int nr = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)s->pid, (int)s->pid);
	file = fopen(path, "r");
	assert_non_null(file);
	for (; fscanf(file, "%d", &next) == 1; nr++)
		pid = next;
	fclose(file);
	return nr == 1 && pid != old ? pid : 0;
}

/* Wait until the new worker serves alone. */
static pid_t wait_worker(struct server *s, pid_t old)
{
	pid_t pid = 0;

	for (int ms = 0; ms < PATIENCE_MS && (!pid || !get(s)); ms += STEP_MS) {
		poll(NULL, 0, STEP_MS);
		pid = find_worker(s, old);
	}
	assert_true(pid > 0);
	return pid;
}

static pid_t reload(struct server *s, pid_t old)
{
	assert_int_equal(kill(s->pid, SIGHUP), 0);
	return wait_worker(s, old);
}

static int setup(void **state)
{
	struct server *s = calloc(1, sizeof(*s));
	char config[64];

	assert_non_null(s);
	strcpy(s->dir, "/tmp/upatch-nginx.XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	/* Its workers are somebody else. */
	assert_int_equal(chmod(s->dir, 0755), 0);
	write_config(s, "", "return 204;");
	snprintf(config, sizeof(config), "%s/conf", s->dir);
	s->pid = fork();
	assert_true(s->pid >= 0);
	if (s->pid == 0) {
		execlp("nginx", "nginx", "-p", s->dir, "-c", config, "-e", "stderr", (char *)NULL);
		_exit(127);
	}
	(void)wait_worker(s, 0);
	assert_int_equal(upatch_ctx_new(&s->ctx), 0);
	assert_int_equal(upatch_target_open(s->ctx, s->pid, &s->target), 0);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct server *s = *state;
	char command[64];
	int status;

	kill(s->pid, SIGTERM);
	assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	upatch_target_close(s->target);
	upatch_ctx_free(s->ctx);
	snprintf(command, sizeof(command), "rm -r %s", s->dir);
	assert_int_equal(system(command), 0);
	free(s);
	return 0;
}

/* The directive "echo" answers with the status that the client is a teapot. */
static void apply(struct server *s)
{
	const char *path = fixture_build_source(
		s->ctx, &(struct fixture_source){
				.dir = s->dir,
				.name = "p",
				.object = MODULE,
				.object_path = MODULE_PATH,
				.source = "static long new_echo(void *request)\n"
					  "{\n"
					  "	return request ? 418 : 500;\n"
					  "}\n"
					  "UPATCH_FUNC(ngx_http_echo_exec_echo, new_echo);\n",
			});
	struct upatch_patch *patch;

	if (!path || upatch_patch_open(s->ctx, path, &patch) < 0 ||
	    upatch_target_apply(s->target, patch, NULL, NULL) != 0)
		fail_msg("%s", upatch_ctx_error(s->ctx)->message);
	upatch_patch_close(patch);
}

static void assert_state(struct server *s, struct upatch_target *target, const char *state)
{
	struct upatch_status *status;

	assert_int_equal(upatch_target_status(target, &status), 0);
	assert_int_equal(status->nr_patches, 1);
	assert_int_equal(status->patches[0].nr_objects, 1);
	assert_string_equal(status->patches[0].objects[0].state, state);
	upatch_status_free(status);
}

static void test_a_module_is_loaded_after_its_patch(void **state)
{
	struct server *s = *state;
	struct upatch_target *target;
	pid_t worker;

	assert_int_equal(get(s), 204);
	apply(s);
	assert_state(s, s->target, "waiting");
	worker = wait_worker(s, 0);
	write_config(s, "load_module " MODULE_PATH ";\n", "echo hello;");
	worker = reload(s, worker);
	assert_int_equal(get(s), 418);
	assert_state(s, s->target, "patched");
	/* The worker was born with it. */
	assert_int_equal(upatch_target_open(s->ctx, worker, &target), 0);
	assert_state(s, target, "patched");
	assert_int_equal(upatch_target_revert(target, "p", NULL, NULL), UPATCH_DONE);
	upatch_target_close(target);
	assert_int_equal(get(s), 200);
	/* Those that the master makes next are as it is. */
	worker = reload(s, worker);
	assert_int_equal(get(s), 418);
	assert_int_equal(upatch_target_revert(s->target, "p", NULL, NULL), UPATCH_DONE);
	(void)reload(s, worker);
	assert_int_equal(get(s), 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_module_is_loaded_after_its_patch, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
