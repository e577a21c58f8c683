/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "child.h"
#include "cleanup.h"
#include "log.h"
#include "manager_private.h"
#include "reader.h"
#include "watcher.h"

enum {
	READ_DEADLINE_US = 5000000,
	FORK_DELAY_US = 5000,
	FIRST_LOOK_US = 1000,
	GRACE_STEP = 6, /* when its mappings do not tell: 64 ms must do */
	STEP_MAX_US = 30000000,
	BUSY_RETRY_US = 10000,
};

/* Nothing is desired, nothing is to be taken back: what processes are does not matter. */
static bool is_interested(const struct manager *m)
{
	return m->patches.nr > 0;
}

/* --- queue ------------------------------------------------------------------------------------- */

/* Who begins is first, before he does anything; but not who has held up the reader before. */
void scan_target(struct manager *m, struct target *target)
{
	bool is_first = target->is_young && !target->misses;

	if (!target->is_unread && !target->is_kernel_thread) {
		target->is_unread = true;
		if (is_first)
			TAILQ_INSERT_HEAD(&m->reads, target, in_reads);
		else
			TAILQ_INSERT_TAIL(&m->reads, target, in_reads);
	}
	manager_wake(m);
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct target *target = userdata;

	/* The operation's result is newer than what a look that began now would find. */
	if (!target->op)
		scan_target(target->manager, target);
	else if (target->is_stale)
		scan_target_in(target->manager, target, BUSY_RETRY_US);
	return 0;
}

void scan_target_in(struct manager *m, struct target *target, uint64_t usec)
{
	int r = 0;

	if (!target->timer)
		r = sd_event_add_time_relative(m->event, &target->timer, CLOCK_MONOTONIC, usec, 100,
					       on_time, target);
	else
		r = sd_event_source_set_time_relative(target->timer, usec);
	if (r >= 0)
		r = sd_event_source_set_enabled(target->timer, SD_EVENT_ONESHOT);
	if (r < 0)
		scan_target(m, target); /* at once is better than never */
}

/* Something has happened: what is known does not count before the next look. */
static void look_in(struct manager *m, struct target *target, uint64_t usec)
{
	target->is_stale = true;
	scan_target_in(m, target, usec);
}

void scan_forget(struct manager *m, struct target *target)
{
	struct manager_event event = {
		.kind = MANAGER_EVENT_ENTRY,
		.pid = target->process.pid,
		.comm = target->process.comm,
		.state = STATUS_STATES,
	};

	for (size_t i = 0; i < target->nr_entries; i++) {
		event.patch = target->entries[i].patch;
		event.previous = target->entries[i].state;
		manager_tell(m, &event);
	}
	m->is_tidy = false;
	if (target->is_unread)
		TAILQ_REMOVE(&m->reads, target, in_reads);
	if (m->reading == target)
		m->reading = NULL;
	work_forget(m, target);
	target_free(&m->targets, target);
	manager_wake(m);
}

static int on_last_exit(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct target *target = userdata;

	scan_forget(target->manager, target);
	return 0;
}

/* The main thread has exited; its process may live on in others, until the last has exited, too. */
static void on_exit_of_main(struct manager *m, struct target *target)
{
	_cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, target->process.pid, 0);
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	if (target->end)
		return;
	if (fd < 0 || poll(&poll_fd, 1, 0) != 0 ||
	    sd_event_add_io(m->event, &target->end, fd, EPOLLIN, on_last_exit, target) < 0 ||
	    sd_event_source_set_io_fd_own(target->end, true) < 0) {
		scan_forget(m, target);
		return;
	}
	fd = -1; /* the source's */
}

/* --- the reader -------------------------------------------------------------------------------- */

/* It could not be looked at. What was known of it stays so; of who is unknown nothing is. */
static void miss(struct manager *m, struct target *target, const struct upatch_error *error)
{
	bool is_first = !target->failure.error.message;

	(void)failure_copy(&target->failure, error);
	/* What upatchd has no right to it cannot patch either, now or later: a look at all tries again. */
	if (policy_retry(error->reason) == POLICY_GIVE_UP) {
		if (is_first)
			log_line(LOG_WARNING, "process %d: %s", (int)target->process.pid,
				 error->message);
		target->is_known = true;
		return;
	}
	target->is_known = target->process.start_time != 0;
	target->misses++;
	scan_target_in(m, target, policy_look_ms(target->misses) * 1000);
}

/* Its record cannot be read. That may pass: it is tried again. */
static void take_failure(struct manager *m, struct target *target, const struct failure *failure)
{
	if (failure->error.reason == UPATCH_E_NONE) {
		/* What could not be done for it can be tried now. */
		if (target->failure.error.message)
			target_forget_attempts(target);
		failure_clear(&target->failure);
		target->misses = 0;
		return;
	}
	(void)failure_copy(&target->failure, &failure->error);
	if (policy_retry(failure->error.reason) == POLICY_GIVE_UP) {
		target->misses = 0;
		return;
	}
	target->misses++;
	scan_target_in(m, target, policy_backoff_ms(target->misses) * 1000);
}

/* The process has not begun in earnest: look again, soon, then ever later. */
static void follow_start(struct manager *m, struct target *target)
{
	uint64_t usec = FIRST_LOOK_US;

	if (target->process.startup == PROCESS_STARTUP_UNKNOWN && target->step >= GRACE_STEP)
		target->process.startup = PROCESS_STARTUP_DONE;
	if (target->process.startup == PROCESS_STARTUP_DONE) {
		target->is_young = false;
		return;
	}
	/* Its mappings do not tell: nor may it be patched yet. */
	target->process.startup = PROCESS_STARTUP_OPEN;
	for (unsigned int i = 0; i < target->step && usec < STEP_MAX_US; i++)
		usec *= 2;
	target->step++;
	scan_target_in(m, target, usec < STEP_MAX_US ? usec : (uint64_t)STEP_MAX_US);
}

static void take_process(struct manager *m, struct target *target, struct process *process,
			 struct failure *failure)
{
	bool is_same = process->start_time == target->process.start_time;

	if (!is_same && target->process.start_time)
		target_drop_entries(target); /* the PID was used again */
	process_replace(&target->process, process);
	target->is_known = true;
	take_failure(m, target, failure);
	m->is_tidy = false;
	if (target->is_young || target->process.startup == PROCESS_STARTUP_OPEN) {
		target->is_young = true;
		follow_start(m, target);
	} else {
		target->process.startup = PROCESS_STARTUP_DONE;
	}
	if (target->is_stale) /* while the reader was at it */
		scan_target_in(m, target, FIRST_LOOK_US);
	work_target(m, target);
	if (target->process.lacks_main)
		on_exit_of_main(m, target);
}

/* There is no program to be patched, or none that can be seen. */
static void take_absence(struct manager *m, struct target *target, enum reader_outcome outcome,
			 const struct failure *failure)
{
	switch (outcome) {
	case READER_NOBODY:
		scan_forget(m, target);
		break;
	case READER_KERNEL_THREAD:
		target->is_kernel_thread = true;
		target->is_known = true;
		m->is_tidy = false;
		break;
	case READER_ERROR:
		miss(m, target, &failure->error);
		break;
	case READER_PROCESS:
		break;
	}
}

static int take_answer(struct manager *m, struct wire *message)
{
	struct target *target = m->reading;
	struct process process = {};
	struct failure failure = {};
	pid_t pid = (pid_t)wire_get_max(message, INT32_MAX);
	enum reader_outcome outcome = (enum reader_outcome)wire_get_max(message, READER_ERROR);
	int r = pid == m->reading_pid ? 0 : -EBADMSG;

	if (r >= 0 && (outcome == READER_PROCESS || outcome == READER_ERROR))
		r = job_get_error(message, &failure);
	if (r >= 0 && outcome == READER_PROCESS)
		r = process_get(message, &process);
	if (r >= 0 && !wire_is_done(message))
		r = -EBADMSG;
	if (r >= 0 && target) {
		target->is_reading = false;
		if (outcome == READER_PROCESS)
			take_process(m, target, &process, &failure);
		else if (target->is_stale)
			/* What could not be looked at is no more; who begins in its place is to be. */
			scan_target_in(m, target, FIRST_LOOK_US);
		else
			take_absence(m, target, outcome, &failure);
	}
	process_deinit(&process);
	failure_clear(&failure);
	return r;
}

static void end_reading(struct manager *m)
{
	m->reading = NULL;
	m->reading_pid = 0;
	(void)sd_event_source_set_enabled(m->reading_timer, SD_EVENT_OFF);
	manager_wake(m);
}

static int on_message(void *userdata, struct wire *message)
{
	struct manager *m = userdata;
	int r;

	if (!m->reading_pid)
		return -EBADMSG;
	r = take_answer(m, message);
	if (r >= 0)
		end_reading(m);
	return r;
}

/* What stalled or killed the reader is looked at again later, by another one. */
static void on_end(void *userdata)
{
	struct upatch_error error = {
		.reason = UPATCH_E_WORKER,
		.error = -EIO,
		.message = "it cannot be looked at: the reader was stuck or died over it",
	};
	struct manager *m = userdata;

	child_kill(m->reader);
	m->reader = NULL;
	if (m->reading_pid)
		log_line(LOG_WARNING, "reader: process %d: it cannot be looked at",
			 (int)m->reading_pid);
	if (m->reading) {
		m->reading->is_reading = false;
		error.pid = m->reading->process.pid;
		miss(m, m->reading, &error);
	}
	end_reading(m);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
	on_end(userdata);
	return 0;
}

static int ask(struct manager *m, struct target *target)
{
	const struct child_receiver receiver = { on_message, on_end, m };
	int r;

	if (!m->reader) {
		r = child_new(m->event, m->program, "--reader", &receiver, &m->reader);
		if (r < 0)
			return r;
	}
	wire_reset(&m->wire);
	wire_put(&m->wire, (uint64_t)target->process.pid);
	r = child_send(m->reader, &m->wire);
	if (r < 0)
		return r;
	m->reading = target;
	m->reading_pid = target->process.pid;
	target->is_reading = true;
	target->is_stale = false;
	(void)sd_event_source_set_time_relative(m->reading_timer, READ_DEADLINE_US);
	return sd_event_source_set_enabled(m->reading_timer, SD_EVENT_ONESHOT);
}

void scan_run(struct manager *m)
{
	struct target *target = TAILQ_FIRST(&m->reads);
	int r;

	if (!target || m->reading_pid)
		return;
	TAILQ_REMOVE(&m->reads, target, in_reads);
	target->is_unread = false;
	r = ask(m, target);
	if (r >= 0)
		return;
	/* It has died since: the next one is a new one. */
	child_kill(m->reader);
	m->reader = NULL;
	end_reading(m);
	target->is_reading = false;
	scan_target_in(m, target, STEP_MAX_US / 300);
}

/* --- what the watcher tells -------------------------------------------------------------------- */

static struct target *get_target(struct manager *m, pid_t pid)
{
	struct target *target = target_find(&m->targets, pid);

	if (!target && target_new(&m->targets, m, pid, &target) < 0)
		return NULL;
	return target;
}

/* What is known of it is what it is, all patches were considered, and none of them concerns it. */
static bool is_no_business(const struct target *target)
{
	return target->is_known && !target->is_young && !target->is_unread && !target->is_reading &&
	       !target->is_stale && !target->is_to_work && !target->op && !target->nr_entries;
}

/* A child is what its parent is, record and all; a look makes sure. */
static void on_fork(struct manager *m, pid_t pid, pid_t parent_pid)
{
	const struct target *parent = target_find(&m->targets, parent_pid);
	struct target *target = target_find(&m->targets, pid);

	if (target)
		scan_forget(m, target); /* its end was not told */
	target = get_target(m, pid);
	if (!target)
		return;
	if (!parent) {
		scan_target(m, target);
		return;
	}
	target->is_kernel_thread = parent->is_kernel_thread;
	target->is_known = target->is_kernel_thread || is_no_business(parent);
	if (target->is_known)
		return;
	look_in(m, target, FORK_DELAY_US);
}

static void on_exec(struct manager *m, pid_t pid)
{
	struct target *target = get_target(m, pid);

	if (!target)
		return;
	target->is_kernel_thread = false;
	target_forget_attempts(target);
	if (!is_interested(m)) {
		/* What was in it has gone with its memory. */
		target_drop_entries(target);
		target->is_known = true;
		process_deinit(&target->process);
		target->process.pid = pid;
		return;
	}
	target->is_young = true;
	target->step = 0;
	target->misses = 0;
	look_in(m, target, FIRST_LOOK_US);
}

/*
 * What a process that begins maps is seen when it has begun. What comes later may be what a patch is
 * for; the dynamic linker may be at work on it still, which is a reason to try again.
 */
static void on_map(struct manager *m, pid_t pid, const char *build_id)
{
	struct target *target = target_find(&m->targets, pid);

	/* A look that is to come sees it; one that is under way may not, be it the first. */
	if (!target || (!target->is_reading && (!target->is_known || target->is_young)) ||
	    (build_id && !patchset_concerns(&m->patches, build_id)))
		return;
	target_forget_attempts(target);
	look_in(m, target, FIRST_LOOK_US);
}

static void on_watch(void *userdata, const struct watcher_news *news)
{
	struct manager *m = userdata;
	struct target *target;

	switch (news->event) {
	case WATCHER_FORK:
		on_fork(m, news->pid, news->parent);
		break;
	case WATCHER_EXEC:
		on_exec(m, news->pid);
		break;
	case WATCHER_EXIT:
		target = target_find(&m->targets, news->pid);
		if (target)
			on_exit_of_main(m, target);
		break;
	case WATCHER_MAP:
		if (is_interested(m))
			on_map(m, news->pid, news->build_id);
		break;
	case WATCHER_RESCAN:
		scan_all(m);
		break;
	}
}

/* --- everybody --------------------------------------------------------------------------------- */

static pid_t parse_pid(const char *name)
{
	char *end;
	long pid = strtol(name, &end, 10);

	return *name >= '1' && *name <= '9' && !*end && pid <= INT32_MAX ? (pid_t)pid : 0;
}

/* Whoever is in the table and not in /proc is found to have gone by the look at him. */
void scan_all(struct manager *m)
{
	_cleanup_(closedirp) DIR *dir = opendir("/proc");
	struct dirent *entry;

	TARGET_FOREACH(&m->targets, i, target, next)
	scan_target(m, target);
	while (dir && (entry = readdir(dir))) {
		pid_t pid = parse_pid(entry->d_name);
		struct target *target = pid ? get_target(m, pid) : NULL;

		if (target)
			scan_target(m, target);
	}
	manager_wake(m);
}

/* --- life -------------------------------------------------------------------------------------- */

int scan_init(struct manager *m, struct failure *f)
{
	const struct watcher_receiver receiver = { on_watch, m };
	int r;

	TAILQ_INIT(&m->reads);
	r = sd_event_add_time_relative(m->event, &m->reading_timer, CLOCK_MONOTONIC, 0, 0,
				       on_deadline, m);
	if (r >= 0)
		r = sd_event_source_set_enabled(m->reading_timer, SD_EVENT_OFF);
	if (r < 0)
		return failure_set(f, r, UPATCH_E_INTERNAL, "cannot make a timer: %s",
				   strerror(-r));
	/* Watch before looking: who begins in between is seen twice, not never. */
	r = watcher_new(m->event, &m->config, &receiver, &m->watcher_failure, &m->watcher);
	if (r < 0) {
		(void)failure_copy(f, &m->watcher_failure.error);
		return r;
	}
	if (m->watcher_failure.error.message)
		log_line(LOG_WARNING, "watcher: %s", m->watcher_failure.error.message);
	scan_all(m);
	return 0;
}

void scan_deinit(struct manager *m)
{
	watcher_free(m->watcher);
	child_free(m->reader);
	sd_event_source_disable_unref(m->reading_timer);
}
