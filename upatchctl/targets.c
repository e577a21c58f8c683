/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "targets.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model.h"
#include "number.h"
#include "process.h"

int targets_take(struct cli *cli, const char *value, struct pid_list *targets)
{
	const char *text = value;
	pid_t pid;

	for (;;) {
		size_t length = strcspn(text, ",");

		if (number_pid(text, length, &pid) < 0)
			return cli_usage(cli, "option '--pid': '%s' is no PID", value);
		pid_list_add(targets, pid);
		text += length;
		if (!*text)
			return 0;
		text++;
	}
}

int targets_needed(struct cli *cli, const struct pid_list *targets)
{
	return targets->nr ? 0 : cli_usage(cli, "option '--pid' is missing");
}

void targets_put(struct json_object *row, pid_t pid)
{
	char comm[PROCESS_COMM_MAX];

	model_put_number(row, "pid", (uint64_t)pid);
	model_put_string(row, "comm", process_comm(pid, comm));
}

/* Ready to be read once the process has exited. */
static bool has_exited(const char *pidfd)
{
	struct pollfd pollfd = { .fd = atoi(pidfd), .events = POLLIN };

	return poll(&pollfd, 1, 0) != 0;
}

/* It is root's when it has privileges, see owner_is() of upatchd. */
static bool is_owned_by(pid_t pid, const char *uid)
{
	char path[32];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	return stat(path, &st) == 0 && st.st_uid == strtoul(uid, NULL, 10);
}

int targets_open(struct cli *cli, pid_t pid, struct upatch_target **ret)
{
	const char *pidfd = getenv("UPATCHCTL_TARGET_PIDFD");
	const char *owner = getenv("UPATCHCTL_TARGET_OWNER");
	struct upatch_error error = { .pid = pid };
	struct upatch_target *target;
	int r;

	r = upatch_target_open(cli->ctx, pid, &target);
	if (r < 0)
		return r;
	if (pidfd && has_exited(pidfd)) {
		error.reason = UPATCH_E_GONE;
		error.error = -ESRCH;
		error.message = "it has exited";
	} else if (owner && !is_owned_by(pid, owner)) {
		error.reason = UPATCH_E_DENIED;
		error.error = -EPERM;
		error.message = "it does not run as who asked, or with privileges";
	}
	if (error.message) {
		/* There is nothing else to do: it is our only target. */
		upatch_target_close(target);
		cli_add_error(cli, &error);
		exit(cli_finish(cli));
	}
	*ret = target;
	return 0;
}

void target_closep(struct upatch_target **target)
{
	upatch_target_close(*target);
}

void patch_closep(struct upatch_patch **patch)
{
	upatch_patch_close(*patch);
}
