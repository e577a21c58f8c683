/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus_call.h"

#include <errno.h>
#include <fcntl.h>
#include <json.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <upatch/upatch.h>

#include "bus.h"
#include "bus_error.h"
#include "bus_report.h"
#include "cleanup.h"
#include "facts.h"
#include "log.h"
#include "owner.h"

extern char **environ;

enum {
	OUTPUT_MAX = 64 << 20,
	WORKER_PATCH_FD = 3, /* as BUS_CALL_PATCH says */
	WORKER_PIDFD = 4,
};

/* --- lifecycle ------------------------------------------------------------------------------- */

static void call_free(struct bus_call *call)
{
	TAILQ_REMOVE(&call->bus->calls.list, call, calls);
	call->bus->calls.nr--;
	if (call->state == BUS_CALL_RUNNING)
		call->bus->calls.nr_running--;
	sd_bus_slot_unref(call->question);
	sd_event_source_disable_unref(call->child);
	sd_event_source_disable_unref(call->deadline);
	sd_bus_message_unref(call->message);
	for (size_t i = 0; call->argv[i]; i++)
		free(call->argv[i]);
	if (call->is_change) {
		manager_forget(call->bus->manager, call);
		free((char *)call->change.name);
		free((char *)call->change.label);
	}
	closep(&call->patch_fd);
	closep(&call->pidfd);
	closep(&call->output);
	free(call);
}

static void start_next(struct bus *bus);

static void call_end(struct bus_call *call)
{
	struct bus *bus = call->bus;

	call_free(call);
	start_next(bus);
}

/* Nobody may wait for the answer any more. */
static bool is_wanted(struct bus_call *call)
{
	return call->link && bus_link_has_room(call->link);
}

static void answer_failure(struct bus_call *call, const struct failure *f)
{
	/* When it cannot be sent the connection is at its end. */
	if (is_wanted(call))
		(void)bus_error_answer(call->message, &f->error);
	call_end(call);
}

void bus_calls_forget(struct bus *bus, const struct bus_link *link)
{
	struct bus_call *call, *next;

	for (call = TAILQ_FIRST(&bus->calls.list); call; call = next) {
		next = TAILQ_NEXT(call, calls);
		if (call->link != link)
			continue;
		call->link = NULL;
		if (call->state != BUS_CALL_RUNNING)
			call_free(call);
	}
}

void bus_calls_deinit(struct bus *bus)
{
	struct bus_call *call;

	while ((call = TAILQ_FIRST(&bus->calls.list)))
		call_free(call);
}

/* --- the worker ------------------------------------------------------------------------------ */

static const char *sender_of(const struct bus_call *call)
{
	return sd_bus_message_get_sender(call->message) ?: "";
}

static const char *worker_path(void)
{
	return getenv("UPATCHD_LOOKER") ?: UPATCHD_LOOKER;
}

/* The first error of what upatchctl printed decides what the call's answer is. */
static int answer_report(struct bus_call *call, const char *text)
{
	struct json_object *report = json_tokener_parse(text);
	struct json_object *errors = NULL;
	int r;

	if (!report || !json_object_object_get_ex(report, "errors", &errors) ||
	    !json_object_is_type(errors, json_type_array))
		r = -EBADMSG;
	else if (json_object_array_length(errors) > 0)
		r = bus_error_reply(call->message, report, text);
	else
		r = sd_bus_reply_method_return(call->message, "s", text);
	json_object_put(report);
	return r;
}

static int answer_output(struct bus_call *call)
{
	_cleanup_free_ char *text = NULL;
	struct stat st;
	size_t size;

	if (fstat(call->output, &st) < 0)
		return -errno;
	if (st.st_size == 0 || st.st_size > OUTPUT_MAX)
		return -EBADMSG;
	size = (size_t)st.st_size;
	text = malloc(size + 1);
	if (!text)
		return -ENOMEM;
	if (pread(call->output, text, size, 0) != st.st_size)
		return -EBADMSG;
	text[size] = 0;
	return answer_report(call, text);
}

static void report_failure(struct bus_call *call, const siginfo_t *si, int r)
{
	_cleanup_(failure_clear) struct failure f = {};

	if (call->is_late)
		(void)bus_error_raise(&f, UPATCH_E_DEADLINE, call->request.pid,
				      "the worker did not finish %s in %u ms and was killed",
				      call->request.verb, call->request.timeout_ms);
	else if (si->si_code != CLD_EXITED)
		(void)bus_error_raise(&f, UPATCH_E_WORKER, call->request.pid,
				      "the worker was killed by signal %d (%s) during %s",
				      si->si_status, strsignal(si->si_status), call->request.verb);
	else
		(void)bus_error_raise(&f, UPATCH_E_WORKER, call->request.pid,
				      "the worker ended with status %d and without a report: %s",
				      si->si_status, strerror(-r));
	log_line(LOG_WARNING, "bus: process %d: %s", (int)call->request.pid,
		 f.error.message ?: "out of memory");
	if (is_wanted(call))
		(void)bus_error_answer(call->message, &f.error); /* else it has gone */
}

static int on_worker_end(sd_event_source *source, const siginfo_t *si, void *userdata)
{
	struct bus_call *call = userdata;
	int r = -EBADMSG;

	if (is_wanted(call) && si->si_code == CLD_EXITED)
		r = answer_output(call);
	if (r < 0)
		report_failure(call, si, r);
	call_end(call);
	return 0;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct bus_call *call = userdata;

	call->is_late = true;
	(void)kill(call->worker, SIGKILL); /* our child, not waited for yet */
	return 0;
}

/* Places of the files in the worker: out of the way first, then where they belong. */
static int add_files(posix_spawn_file_actions_t *actions, const struct bus_call *call, int *fds)
{
	int r;

	fds[0] = fcntl(call->output, F_DUPFD_CLOEXEC, 10);
	fds[1] = fcntl(call->pidfd, F_DUPFD_CLOEXEC, 10);
	fds[2] = call->patch_fd >= 0 ? fcntl(call->patch_fd, F_DUPFD_CLOEXEC, 10) : -1;
	if (fds[0] < 0 || fds[1] < 0 || (call->patch_fd >= 0 && fds[2] < 0))
		return -errno;
	r = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(actions, fds[0], STDOUT_FILENO);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(actions, fds[1], WORKER_PIDFD);
	if (r == 0 && fds[2] >= 0)
		r = posix_spawn_file_actions_adddup2(actions, fds[2], WORKER_PATCH_FD);
	return -r;
}

static int spawn(struct bus_call *call)
{
	char owner[64];
	char *const environment[] = { (char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
				      (char *)"LC_CTYPE=C.UTF-8",
				      (char *)"UPATCHCTL_TARGET_PIDFD=4",
				      call->caller.uid ? owner : NULL, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int fds[3] = { -1, -1, -1 };
	sigset_t none, all;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	(void)snprintf(owner, sizeof(owner), "UPATCHCTL_TARGET_OWNER=%u", call->caller.uid);
	if (posix_spawnattr_init(&attr) != 0)
		return -ENOMEM;
	if (posix_spawn_file_actions_init(&actions) != 0) {
		(void)posix_spawnattr_destroy(&attr);
		return -ENOMEM;
	}
	(void)posix_spawnattr_setsigmask(&attr, &none); /* these two cannot fail */
	(void)posix_spawnattr_setsigdefault(&attr, &all);
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	r = add_files(&actions, call, fds);
	if (r >= 0)
		r = -posix_spawn(&call->worker, worker_path(), &actions, &attr, call->argv,
				 environment);
	for (size_t i = 0; i < 3; i++)
		closep(&fds[i]);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)posix_spawnattr_destroy(&attr);
	return r;
}

static int watch_worker(struct bus_call *call)
{
	sd_event *event = call->bus->event;
	uint64_t usec = (uint64_t)call->request.timeout_ms * 1000;
	int r;

	r = sd_event_add_child(event, &call->child, call->worker, WEXITED, on_worker_end, call);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &call->deadline, CLOCK_MONOTONIC, usec, 0,
					       on_deadline, call);
	return r;
}

static int check_owner(struct bus_call *call, struct failure *f)
{
	pid_t pid = call->request.pid;
	int r;

	if (call->caller.uid == 0 || call->request.right != BUS_RIGHT_TARGET)
		return 0;
	r = owner_is(pid, call->caller.uid);
	if (r < 0)
		return bus_error_raise(f, UPATCH_E_NO_PROCESS, pid, "no such process");
	if (r == 0)
		return bus_error_raise(f, UPATCH_E_DENIED, pid,
				       "process %d of user %u may not do this: the process runs as "
				       "another user, or with privileges",
				       (int)call->caller.pid, call->caller.uid);
	return 0;
}

/* --- what the manager does ------------------------------------------------------------------- */

static void on_result(void *userdata, const struct manager_result *result)
{
	struct bus_call *call = userdata;
	struct json_object *report = bus_report_change(result);
	const char *text = json_object_to_json_string_ext(report, JSON_C_TO_STRING_NOSLASHESCAPE);

	/* When it cannot be sent the connection is at its end. */
	if (is_wanted(call) && result->error)
		(void)bus_error_reply(call->message, report, text);
	else if (is_wanted(call))
		(void)sd_bus_reply_method_return(call->message, "s", text);
	json_object_put(report);
	call_end(call);
}

static int submit(struct bus_call *call, struct failure *f)
{
	struct facts_stat stat;
	int r;

	/*
	 * It is there after its start time was read, so that is the time of the process that was judged.
	 * The request may wait: the worker sees whether it still has that one, and whose it is then.
	 */
	r = facts_read_stat(call->request.pid, &stat);
	if (r < 0 || (pidfd_send_signal(call->pidfd, 0, NULL, 0) < 0 && errno == ESRCH))
		return bus_error_raise(f, UPATCH_E_GONE, call->request.pid,
				       "the process has exited");
	call->change.start_time = stat.start_time;
	call->change.owner = call->caller.uid;
	r = manager_submit(call->bus->manager, &call->change, on_result, call, f);
	if (r < 0)
		return r;
	call->state = BUS_CALL_RUNNING;
	call->bus->calls.nr_running++;
	return 0;
}

static int call_start(struct bus_call *call, struct failure *f)
{
	int r;

	/* Once more: it may have become another user's by execve(2) in the meantime. */
	r = check_owner(call, f);
	if (r < 0)
		return r;
	if (call->is_change)
		return submit(call, f);
	call->output = memfd_create("upatchd-report", MFD_CLOEXEC);
	r = call->output < 0 ? -errno : spawn(call);
	if (r < 0)
		return bus_error_raise(f, UPATCH_E_WORKER, call->request.pid,
				       "cannot start %s (UPATCHD_LOOKER): %s", worker_path(),
				       strerror(-r));
	call->state = BUS_CALL_RUNNING;
	call->bus->calls.nr_running++;
	r = watch_worker(call);
	if (r < 0) {
		(void)kill(call->worker, SIGKILL); /* our child */
		(void)waitpid(call->worker, NULL, 0);
		return bus_error_raise(f, UPATCH_E_NO_MEMORY, call->request.pid,
				       "cannot watch the worker: %s", strerror(-r));
	}
	return 0;
}

/* --- whose turn it is ------------------------------------------------------------------------ */

static bool is_target_taken(const struct bus *bus, pid_t pid)
{
	struct bus_call *call;

	TAILQ_FOREACH(call, &bus->calls.list, calls)
	if (call->state == BUS_CALL_RUNNING && call->request.pid == pid)
		return true;
	return false;
}

static size_t running_of_user(const struct bus *bus, uid_t uid)
{
	struct bus_call *call;
	size_t nr = 0;

	TAILQ_FOREACH(call, &bus->calls.list, calls)
	nr += call->state == BUS_CALL_RUNNING && call->caller.uid == uid;
	return nr;
}

static size_t running_of_users(const struct bus *bus)
{
	return bus->calls.nr_running - running_of_user(bus, 0);
}

/* Root has places of its own: no number of users keeps it waiting. */
static bool may_run_more(const struct bus *bus, uid_t uid, size_t nr)
{
	if (uid == 0)
		return nr < BUS_CALLS_RUNNING_OF_ROOT_MAX;
	return nr < BUS_CALLS_RUNNING_OF_USER_MAX && running_of_users(bus) < BUS_CALLS_RUNNING_MAX;
}

/* The oldest call of the user who has the fewest workers; none while its target has one. */
static struct bus_call *choose(const struct bus *bus)
{
	struct bus_call *best = NULL;
	struct bus_call *call;
	size_t fewest = SIZE_MAX;

	TAILQ_FOREACH(call, &bus->calls.list, calls)
	{
		size_t nr;

		if (call->state != BUS_CALL_QUEUED || is_target_taken(bus, call->request.pid))
			continue;
		nr = running_of_user(bus, call->caller.uid);
		if (nr >= fewest || !may_run_more(bus, call->caller.uid, nr))
			continue;
		best = call;
		fewest = nr;
	}
	return best;
}

/* One user never has all workers, even when nobody else is there: who comes next starts at once. */
static void start_next(struct bus *bus)
{
	struct bus_call *call;

	while ((call = choose(bus))) {
		_cleanup_(failure_clear) struct failure f = {};

		if (call_start(call, &f) >= 0)
			continue;
		if (is_wanted(call))
			(void)bus_error_answer(call->message, &f.error); /* or it is gone */
		call_free(call);
	}
}

/* --- taking a call in ------------------------------------------------------------------------ */

static size_t calls_of_client(const struct bus_call *self)
{
	struct bus_call *call;
	size_t nr = 0;

	TAILQ_FOREACH(call, &self->bus->calls.list, calls)
	nr += call->link == self->link && strcmp(sender_of(call), sender_of(self)) == 0;
	return nr;
}

static size_t calls_of_user(const struct bus *bus, uid_t uid)
{
	struct bus_call *call;
	size_t nr = 0;

	TAILQ_FOREACH(call, &bus->calls.list, calls)
	nr += call->is_identified && call->caller.uid == uid;
	return nr;
}

static int refuse_one_more(const struct bus_call *call, struct failure *f)
{
	return bus_error_raise(f, UPATCH_E_LIMIT, call->request.pid,
			       "%d calls are in work, the most there may be", BUS_CALLS_MAX);
}

/* Before it is known who calls. */
static int check_limits(struct bus_call *call, struct failure *f)
{
	const struct bus_link *link = call->link;
	size_t nr = calls_of_client(call);

	if (call->bus->calls.nr > BUS_CALLS_MAX + BUS_CALLS_FOR_ROOT)
		return refuse_one_more(call, f);
	if (nr <= BUS_CALLS_OF_LINK_MAX)
		return 0;
	if (link->is_private)
		return bus_error_raise(f, UPATCH_E_LIMIT, call->request.pid,
				       "process %d of user %u has %d calls in work, the most a "
				       "client may have",
				       (int)link->pid, link->uid, BUS_CALLS_OF_LINK_MAX);
	return bus_error_raise(f, UPATCH_E_LIMIT, call->request.pid,
			       "client %s has %d calls in work, the most a client may have",
			       sender_of(call), BUS_CALLS_OF_LINK_MAX);
}

static int copy_change(struct bus_call *call, const struct manager_request *change)
{
	if (!change)
		return 0;
	call->is_change = true;
	call->change = *change;
	call->change.patch_fd = call->patch_fd;
	call->change.name = change->name ? strdup(change->name) : NULL;
	call->change.label = change->label ? strdup(change->label) : NULL;
	return (change->name && !call->change.name) || (change->label && !call->change.label)
		       ? -ENOMEM
		       : 0;
}

/* upatchctl VERB --json -p PID ARGS... */
static int copy_args(struct bus_call *call, const struct bus_request *request)
{
	size_t nr = 0;

	if (!request->verb)
		return 0;
	call->argv[nr++] = strdup("upatchctl");
	call->argv[nr++] = strdup(request->verb);
	call->argv[nr++] = strdup("--json");
	if (asprintf(&call->argv[nr++], "--pid=%d", (int)request->pid) < 0)
		return -ENOMEM;
	for (size_t i = 0; request->args && request->args[i]; i++) {
		if (i >= BUS_CALL_ARGS_MAX)
			return -E2BIG;
		call->argv[nr++] = strdup(request->args[i]);
	}
	for (size_t i = 0; i < nr; i++)
		if (!call->argv[i])
			return -ENOMEM;
	call->request.verb = call->argv[1];
	call->request.args = NULL;
	return 0;
}

/*
 * Root opens it again: the caller must have had the right to read it himself. What the kernel knows of it is
 * enough: a file system that the caller serves must not be asked, as it need not answer.
 */
int bus_call_check_file(int fd, struct failure *f)
{
	struct statx st;
	int flags;

	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &st) < 0)
		return failure_set(f, -errno, UPATCH_E_IO, "the patch file: %s", strerror(errno));
	if ((flags & O_PATH) || (flags & O_ACCMODE) == O_WRONLY)
		return failure_set(f, -EBADF, UPATCH_E_IO,
				   "the patch file is not open for reading");
	if (!S_ISREG(st.stx_mode))
		return failure_set(f, -EINVAL, UPATCH_E_IO, "the patch is not a regular file");
	return 0;
}

/* Of a caller who has been judged. */
static int take_patch(struct bus_call *call, struct failure *f)
{
	int fd = call->request.patch_fd; /* the message's */
	int r;

	if (fd < 0)
		return 0;
	r = bus_call_check_file(fd, f);
	if (r < 0)
		return r;
	call->patch_fd = fcntl(fd, F_DUPFD_CLOEXEC, 10);
	if (call->patch_fd < 0)
		return bus_error_raise(f, UPATCH_E_IO, 0, "the patch file: %s", strerror(errno));
	call->change.patch_fd = call->patch_fd;
	return 0;
}

static int take_target(struct bus_call *call, struct failure *f)
{
	if (call->request.pid == 0)
		return 0;
	call->pidfd = pidfd_open(call->request.pid, 0);
	if (call->pidfd >= 0)
		return 0;
	if (errno == ESRCH)
		return bus_error_raise(f, UPATCH_E_NO_PROCESS, call->request.pid,
				       "no such process");
	return bus_error_raise(f, UPATCH_E_USAGE, 0, "%d is no PID of a process: %s",
			       (int)call->request.pid, strerror(errno));
}

int bus_call_begin(struct bus_link *link, sd_bus_message *message,
		   const struct bus_request *request, struct failure *f)
{
	struct bus *bus = link->bus;
	struct bus_call *call = calloc(1, sizeof(*call));
	int r;

	if (!call)
		return failure_oom(f);
	*call = (struct bus_call){
		.bus = bus,
		.link = link,
		.message = sd_bus_message_ref(message),
		.request = *request,
		.patch_fd = -1,
		.pidfd = -1,
		.output = -1,
	};
	TAILQ_INSERT_TAIL(&bus->calls.list, call, calls);
	bus->calls.nr++;
	r = check_limits(call, f);
	if (r >= 0)
		r = take_target(call, f);
	if (r >= 0 && (copy_args(call, request) < 0 || copy_change(call, request->change) < 0))
		r = failure_oom(f);
	if (r >= 0)
		r = bus_caller_identify(call, f);
	if (r < 0) {
		call_free(call);
		return r;
	}
	return 1;
}

/* --- what bus_caller.c found ----------------------------------------------------------------- */

void bus_call_refuse(struct bus_call *call, const struct failure *f)
{
	answer_failure(call, f);
}

void bus_call_permit(struct bus_call *call)
{
	_cleanup_(failure_clear) struct failure f = {};
	int r;

	if (!call->request.run) {
		call->state = BUS_CALL_QUEUED;
		start_next(call->bus);
		return;
	}
	r = call->request.run(call->message, call->link, &f);
	if (r < 0 && !f.error.message)
		(void)bus_error_raise(&f, UPATCH_E_USAGE, 0, "the arguments cannot be read: %s",
				      strerror(-r));
	if (r < 0)
		answer_failure(call, &f);
	else
		call_end(call);
}

static int check_user_limits(const struct bus_call *call, struct failure *f)
{
	uid_t uid = call->caller.uid;

	if (uid == 0)
		return 0;
	if (call->bus->calls.nr > BUS_CALLS_MAX)
		return refuse_one_more(call, f);
	if (calls_of_user(call->bus, uid) <= BUS_CALLS_OF_USER_MAX)
		return 0;
	return bus_error_raise(f, UPATCH_E_LIMIT, call->request.pid,
			       "user %u has %d calls in work, the most a user may have", uid,
			       BUS_CALLS_OF_USER_MAX);
}

void bus_call_identified(struct bus_call *call, const struct bus_caller *caller)
{
	_cleanup_(failure_clear) struct failure f = {};
	int r;

	call->caller = *caller;
	call->is_identified = true;
	r = check_user_limits(call, &f);
	if (r >= 0)
		r = check_owner(call, &f);
	if (r >= 0)
		r = take_patch(call, &f);
	if (r < 0) {
		answer_failure(call, &f);
		return;
	}
	if (call->request.right == BUS_RIGHT_HOST && caller->uid != 0)
		bus_caller_ask_polkit(call);
	else
		bus_call_permit(call);
}
