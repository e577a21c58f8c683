/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pair.h"

#include <stdlib.h>

#include "cleanup.h"
#include "memory.h"
#include "model.h"
#include "targets.h"

/* Which of a row's reasons the process exits with; reversed, it is as it was; failed, it is not. */
static enum upatch_exit exit_of(const struct upatch_pair_part *part)
{
	switch (part->state) {
	case UPATCH_PART_REFUSED:
	case UPATCH_PART_REVERSED:
	case UPATCH_PART_FAILED:
		return UPATCH_EXIT_REFUSED;
	case UPATCH_PART_PENDING:
		return UPATCH_EXIT_PENDING;
	default:
		return UPATCH_EXIT_DONE;
	}
}

static struct json_object *part_row(const char *patch, const struct upatch_pair_part *part)
{
	struct json_object *row = model_object();

	if (part->pid) {
		targets_put(row, part->pid);
	} else {
		model_put_string(row, "pid", "kernel");
		model_put(row, "comm", NULL);
	}
	model_put_string(row, "patch", patch);
	if (part->reason == UPATCH_E_NONE)
		model_put(row, "reason", NULL);
	else
		model_put_string(row, "reason", upatch_reason_name(part->reason));
	model_put_string(row, "state", upatch_part_state_name(part->state));
	model_put_number(row, "exit", exit_of(part));
	/* Nothing of the kernel is stopped by us. */
	if (part->pid)
		model_put_cost(row, &part->cost);
	return row;
}

struct json_object *pair_change(struct cli *cli, struct upatch_patch *patch,
				const struct pid_list *targets, pair_run_fn run,
				const struct upatch_pair_options *opts)
{
	const char *name = upatch_patch_info(patch)->name;
	_cleanup_free_ struct upatch_pair_part *parts =
		must(calloc(targets->nr + 1, sizeof(*parts)));
	struct json_object *rows = model_array();

	for (size_t i = 0; i < targets->nr; i++)
		parts[i + 1].pid = targets->items[i];
	if (run(cli->ctx, patch, parts, targets->nr + 1, opts) < 0)
		cli_fail(cli);
	for (size_t i = 0; i <= targets->nr; i++) {
		model_append(rows, part_row(name, &parts[i]));
		cli_worsen(cli, exit_of(&parts[i]));
	}
	return rows;
}
