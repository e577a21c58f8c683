/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_RULE_H
#define DAEMON_RULE_H

/*
 * Which processes are meant: those that meet every condition and none of the exclusions. Used for
 * what a patch is narrowed to, and for the opt-out list. Strings are owned by the rule.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct failure;
struct process;

enum rule_key {
	RULE_UNIT, /* a component of the cgroup's path: "redis.service"; a glob */
	RULE_EXE,  /* path of the executable, as its own namespace sees it; a glob */
	RULE_NAME, /* the process's name, as ps shows it; a glob */
	RULE_USER, /* effective user, a name or a number */
	RULE_KEYS,
};

struct rule_condition {
	enum rule_key key;
	bool is_exclusion; /* who meets it is not meant */
	char *value;
	unsigned int uid; /* RULE_USER: what the value stands for, or RULE_NO_USER */
};

/*
 * Conditions of the same key are alternatives, of different keys all must hold. Without conditions
 * everybody is meant.
 */
struct rule {
	struct rule_condition *conditions;
	size_t nr;
};

enum {
	RULE_CONDITIONS_MAX = 256,
	RULE_VALUE_MAX = 4095,
};

/* What a name stands for is not known: nobody is meant by the rule that it is in. */
#define RULE_NO_USER UINT32_MAX

/**
 * rule_add() - add a condition, or with @is_exclusion an exclusion
 * @spelled: "unit", "exe", "name", "user"; with "exclude-" in front: an exclusion
 * Return: 0, -errno raised with UPATCH_E_USAGE when the key or its value means nothing.
 */
int rule_add(struct rule *rule, const char *spelled, const char *value, struct failure *f);

/*
 * To and from what is kept on disk: users as "UID NAME". Nothing is looked up, for a user may have gone
 * since, or nobody be there yet who knows him.
 */
char *rule_value(const struct rule_condition *condition); /* owned by the caller, or NULL */
int rule_restore(struct rule *rule, const char *spelled, const char *value, struct failure *f);

int rule_copy(const struct rule *from, struct rule *ret);
void rule_deinit(struct rule *rule);

/* How the key is spelled in options, files and messages. */
const char *rule_key_name(enum rule_key key);

/* The condition or exclusion that keeps @process out, or NULL when it is meant. */
const struct rule_condition *rule_stops(const struct rule *rule, const struct process *process);

/* Does the process meet any condition? What an opt-out list asks. Return: that condition or NULL. */
const struct rule_condition *rule_finds(const struct rule *rule, const struct process *process);

#endif
