/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_POLICY_H
#define DAEMON_POLICY_H

/*
 * What should be done to a process: pure functions of what is desired, of what is known of the
 * process, and of who is left alone. Nothing is looked up, nothing is changed.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <upatch/upatch.h>

struct process;
struct rule;
struct rule_condition;

/* A patch that is desired, or is to be taken back. */
struct policy_patch {
	const char *name;
	const char *version;
	const struct upatch_patch_info *info; /* NULL: the file cannot be read */
	const struct rule *rule;
	bool is_enabled;
	uint64_t since; /* order of enabling */
};

struct policy_input {
	const struct policy_patch *patches;
	size_t nr_patches;
	const struct rule *opt_out; /* who meets any of its conditions is left alone */
	bool is_held;		    /* who is left alone cannot be known now: everybody is */
};

enum policy_verdict {
	POLICY_UNRELATED,  /* the patch is not for this process, nor in it */
	POLICY_SATISFIED,  /* applied, complete */
	POLICY_APPLY,	   /* to do */
	POLICY_CARRY_ON,   /* to do: a transition is open, or somebody died on the way */
	POLICY_REVERT,	   /* to do */
	POLICY_STARTING,   /* to do, once the process has started */
	POLICY_EXCLUDED,   /* left alone: see condition */
	POLICY_HELD,	   /* left alone until the configuration can be read */
	POLICY_SUPERSEDED, /* a later patch replaces it in this process */
	POLICY_FOREIGN,	   /* applied, not desired here, left alone */
};

struct policy_decision {
	enum policy_verdict verdict;
	const struct rule_condition *condition; /* EXCLUDED: what excludes it */
};

/** policy_decide() - one process and one patch, @input->patches[@index] */
struct policy_decision policy_decide(const struct policy_input *input, size_t index,
				     const struct process *process);

/* Does the process map an object of the patch? */
bool policy_matches(const struct upatch_patch_info *info, const struct process *process);

enum policy_retry {
	POLICY_RETRY, /* it may pass: try again later */
	POLICY_GONE,  /* there is nobody any more */
	POLICY_GIVE_UP,
};

/* What a refusal means for the next try. */
enum policy_retry policy_retry(enum upatch_reason reason);

/* Milliseconds until the next try, after @attempts without success. */
uint64_t policy_backoff_ms(unsigned int attempts);

/* The same until the next look at a process, after @misses looks in a row that held up the reader. */
uint64_t policy_look_ms(unsigned int misses);

#endif
