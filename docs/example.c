/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Apply a patch file to one process: example PID FILE */
#include <stdio.h>
#include <stdlib.h>
#include <upatch/upatch.h>

static int report(const struct upatch_error *e)
{
	fprintf(stderr, "refused: %s: pid %d tid %d %s %s: %s\n", upatch_reason_name(e->reason),
		(int)e->pid, (int)e->tid, e->object ? e->object : "-",
		e->function ? e->function : "-", e->message);
	return upatch_reason_exit(e->reason);
}

int main(int argc, char *argv[])
{
	struct upatch_target *target = NULL;
	struct upatch_patch *patch = NULL;
	struct upatch_cost cost;
	struct upatch_ctx *ctx;
	int status = 0;

	if (argc != 3 || upatch_ctx_new(&ctx) < 0) {
		fprintf(stderr, "usage: %s PID FILE\n", argv[0]);
		return UPATCH_EXIT_USAGE;
	}
	if (upatch_patch_open(ctx, argv[2], &patch) < 0 ||
	    upatch_target_open(ctx, atoi(argv[1]), &target) < 0 ||
	    upatch_target_apply(target, patch, NULL, &cost) < 0)
		status = report(upatch_ctx_error(ctx));
	else
		printf("applied, longest pause %.3f ms\n", (double)cost.longest_pause / 1e6);
	upatch_target_close(target);
	upatch_patch_close(patch);
	upatch_ctx_free(ctx);
	return status;
}
