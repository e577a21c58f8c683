/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "targets.h"

#include <string.h>

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

void target_closep(struct upatch_target **target)
{
	upatch_target_close(*target);
}

void patch_closep(struct upatch_patch **patch)
{
	upatch_patch_close(*patch);
}
