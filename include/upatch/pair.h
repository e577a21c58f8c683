/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef UPATCH_PAIR_H
#define UPATCH_PAIR_H

/*
 * Paired patches: a patch file with klp modules fixes the kernel and processes as one transaction.
 * Conventions as in <upatch/upatch.h>.
 *
 * First all parts are looked at, and one that would refuse refuses it all; so does one, other than the last to go,
 * that could not come back (UPATCH_E_STACK_ORDER, UPATCH_E_UNSUPPORTED). Then they go one after the other, in
 * the order that the file declares, and backwards when they are disabled. What does not come through
 * by the deadline has everything reversed that this call did; what was there before stays, and is logged as a warning
 * (UPATCH_LOG_WARNING) with what to do about it. The kernel tries about once a second; no process
 * is held stopped meanwhile.
 *
 * Nothing is remembered elsewhere: after the caller's death the kernel and the processes tell what was done, and
 * the next call goes on with it, or takes it back.
 */

#include <stddef.h>
#include <sys/types.h>
#include <upatch/upatch.h>

#ifdef __cplusplus
extern "C" {
#endif

enum upatch_pair_flags {
	UPATCH_PAIR_FORCE =
		0x100, /* at the deadline force who has not switched, instead of reversing */
};

/* @sysfs_root, @proc_root: as of struct upatch_kernel_options. */
struct upatch_pair_options {
	size_t size;		 /* sizeof(struct upatch_pair_options) */
	unsigned int flags;	 /* enum upatch_pair_flags, UPATCH_SCAN_MEMORY */
	unsigned int timeout_ms; /* for all parts together; once more for a reversal */
	const char *sysfs_root;
	const char *proc_root;
};

enum upatch_part_state {
	UPATCH_PART_UNTOUCHED, /* it was not its turn */
	UPATCH_PART_THERE,     /* it was so before, and stays so whatever becomes of the others */
	UPATCH_PART_DONE,
	UPATCH_PART_REFUSED,  /* and is as it was */
	UPATCH_PART_REVERSED, /* and is as it was */
	UPATCH_PART_PENDING,  /* it could not be reversed by the deadline: its transition is open */
	UPATCH_PART_FAILED,   /* it could not be reversed, and nothing is open: it stays changed */
};

/*
 * One part. The caller says which process, or 0 for the kernel; the rest is filled in, also when the call
 * fails.
 */
struct upatch_pair_part {
	pid_t pid;
	enum upatch_part_state state;
	enum upatch_reason
		reason; /* refused, reversed, pending, failed: why it did not come through */
	struct upatch_cost cost; /* of a process */
};

/** upatch_part_state_name() - "untouched", "there", "done", "refused", "reversed", "pending", "failed" */
const char *upatch_part_state_name(enum upatch_part_state state);

/**
 * upatch_pair_apply() - enable both sides of a patch, or neither
 * @parts: which processes, and the kernel, in any order
 * @opts: or NULL for the defaults (10 s)
 *
 * Return: UPATCH_DONE, or -errno: UPATCH_E_EXISTS when all of it is enabled, or what the part said that did
 * not come through, as upatch_target_apply() and upatch_kernel_apply() do: UPATCH_E_IN_FUNCTION and
 * UPATCH_E_KERNEL_TASKS are failures here.
 */
int upatch_pair_apply(struct upatch_ctx *ctx, struct upatch_patch *patch,
		      struct upatch_pair_part *parts, size_t nr_parts,
		      const struct upatch_pair_options *opts);

/**
 * upatch_pair_check() - would upatch_pair_apply() refuse before it changes anything? Changes nothing
 * The states of parts are there, refused, or untouched: it would go. Who is in the way now is not looked for.
 * Return: 0, or -errno as upatch_pair_apply().
 */
int upatch_pair_check(struct upatch_ctx *ctx, struct upatch_patch *patch,
		      struct upatch_pair_part *parts, size_t nr_parts,
		      const struct upatch_pair_options *opts);

/**
 * upatch_pair_revert() - disable both sides of a patch, or neither; otherwise as upatch_pair_apply()
 * Takes the file and no name, so that the way back is open until the end. A klp module that stays in use is no
 * failure: its patch is disabled.
 * Return: UPATCH_DONE, or -errno: UPATCH_E_NOT_APPLIED when none of it is enabled, ...
 */
int upatch_pair_revert(struct upatch_ctx *ctx, struct upatch_patch *patch,
		       struct upatch_pair_part *parts, size_t nr_parts,
		       const struct upatch_pair_options *opts);

#ifdef __cplusplus
}
#endif

#endif
