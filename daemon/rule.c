/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rule.h"

#include <errno.h>
#include <fnmatch.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "failure.h"
#include "process.h"

/* Who wrote a condition. */
enum source {
	SOURCE_ADMIN,
	SOURCE_DISK, /* see rule_restore() */
};

static const char exclusion[] = "exclude-";

static const char *const key_names[] = {
	[RULE_UNIT] = "unit",
	[RULE_EXE] = "exe",
	[RULE_NAME] = "name",
	[RULE_USER] = "user",
};

const char *rule_key_name(enum rule_key key)
{
	return key_names[key];
}

/* --- life -------------------------------------------------------------------------------------- */

void rule_deinit(struct rule *rule)
{
	for (size_t i = 0; i < rule->nr; i++)
		free(rule->conditions[i].value);
	free(rule->conditions);
	*rule = (struct rule){};
}

static int parse_user(const char *value, unsigned int *ret, struct failure *f)
{
	const struct passwd *user;
	unsigned long number;
	char *end;

	errno = 0;
	number = strtoul(value, &end, 10);
	if (*value >= '0' && *value <= '9' && !*end) {
		if (errno || number > UINT32_MAX - 1)
			return failure_set(f, -EINVAL, UPATCH_E_USAGE, "user '%s': no user ID",
					   value);
		*ret = (unsigned int)number;
		return 0;
	}
	user = getpwnam(value);
	if (!user)
		return failure_set(f, -ESRCH, UPATCH_E_USAGE, "user '%s': there is no such user",
				   value);
	*ret = user->pw_uid;
	return 0;
}

static int append(struct rule *rule, const struct rule_condition *condition)
{
	struct rule_condition *conditions =
		reallocarray(rule->conditions, rule->nr + 1, sizeof(*conditions));

	if (!conditions)
		return -ENOMEM;
	rule->conditions = conditions;
	conditions[rule->nr] = *condition;
	conditions[rule->nr].value = strdup(condition->value);
	if (!conditions[rule->nr].value)
		return -ENOMEM;
	rule->nr++;
	return 0;
}

/* @value becomes the name in it. */
static void restore_user(const char **value, unsigned int *ret)
{
	char *end;
	unsigned long number = strtoul(*value, &end, 10);

	*ret = RULE_NO_USER;
	if (**value < '0' || **value > '9' || (*end && *end != ' ') || number >= RULE_NO_USER)
		return;
	*ret = (unsigned int)number;
	if (*end)
		*value = end + 1;
}

static int add(struct rule *rule, const char *spelled, const char *value, enum source source,
	       struct failure *f)
{
	size_t length = sizeof(exclusion) - 1;
	struct rule_condition condition = {
		.is_exclusion = strncmp(spelled, exclusion, length) == 0,
		.key = RULE_KEYS,
	};
	const char *name = spelled + (condition.is_exclusion ? length : 0);
	int r = 0;

	for (int i = 0; i < RULE_KEYS; i++)
		if (strcmp(name, key_names[i]) == 0)
			condition.key = (enum rule_key)i;
	if (condition.key == RULE_KEYS)
		return failure_set(f, -EINVAL, UPATCH_E_USAGE,
				   "'%s': processes are told by unit, exe, name and user", spelled);
	if (condition.key == RULE_USER && source == SOURCE_DISK)
		restore_user(&value, &condition.uid);
	if (!*value || strlen(value) > RULE_VALUE_MAX)
		return failure_set(f, -EINVAL, UPATCH_E_USAGE, "%s: the value is empty or too long",
				   spelled);
	if (rule->nr >= RULE_CONDITIONS_MAX)
		return failure_set(f, -E2BIG, UPATCH_E_USAGE, "%s: more than %d conditions",
				   spelled, RULE_CONDITIONS_MAX);
	if (condition.key == RULE_USER && source == SOURCE_ADMIN)
		r = parse_user(value, &condition.uid, f);
	condition.value = (char *)value; /* append() copies it */
	if (r >= 0 && append(rule, &condition) < 0)
		r = failure_oom(f);
	return r;
}

int rule_add(struct rule *rule, const char *spelled, const char *value, struct failure *f)
{
	return add(rule, spelled, value, SOURCE_ADMIN, f);
}

int rule_restore(struct rule *rule, const char *spelled, const char *value, struct failure *f)
{
	return add(rule, spelled, value, SOURCE_DISK, f);
}

char *rule_value(const struct rule_condition *condition)
{
	char *value;

	if (condition->key != RULE_USER || condition->uid == RULE_NO_USER)
		return strdup(condition->value);
	return asprintf(&value, "%u %s", condition->uid, condition->value) < 0 ? NULL : value;
}

int rule_copy(const struct rule *from, struct rule *ret)
{
	struct rule rule = {};

	for (size_t i = 0; i < from->nr; i++)
		if (append(&rule, &from->conditions[i]) < 0) {
			rule_deinit(&rule);
			return -ENOMEM;
		}
	*ret = rule;
	return 0;
}

/* --- who is meant ------------------------------------------------------------------------------ */

/* Any component of the cgroup's path: a service's own cgroups below count, and so do slices. */
static bool is_in_unit(const char *pattern, const char *cgroup)
{
	_cleanup_free_ char *path = strdup(cgroup);
	char *at = path, *component;

	while (path && (component = strsep(&at, "/")))
		if (*component && fnmatch(pattern, component, 0) == 0)
			return true;
	return false;
}

static bool is_met(const struct rule_condition *condition, const struct process *process)
{
	switch (condition->key) {
	case RULE_UNIT:
		return is_in_unit(condition->value, process->cgroup ? process->cgroup : "");
	case RULE_EXE:
		return fnmatch(condition->value, process->exe ? process->exe : "", 0) == 0;
	case RULE_NAME:
		return fnmatch(condition->value, process->comm, 0) == 0;
	case RULE_USER:
		if (condition->uid == RULE_NO_USER)
			return condition->is_exclusion;
		return condition->uid == process->uid;
	case RULE_KEYS:
		break;
	}
	return false;
}

const struct rule_condition *rule_finds(const struct rule *rule, const struct process *process)
{
	for (size_t i = 0; i < rule->nr; i++)
		if (is_met(&rule->conditions[i], process))
			return &rule->conditions[i];
	return NULL;
}

const struct rule_condition *rule_stops(const struct rule *rule, const struct process *process)
{
	const struct rule_condition *unmet[RULE_KEYS] = {};
	bool is_fine[RULE_KEYS] = {};

	for (size_t i = 0; i < rule->nr; i++) {
		const struct rule_condition *condition = &rule->conditions[i];
		bool met = is_met(condition, process);

		if (condition->is_exclusion && met)
			return condition;
		if (!condition->is_exclusion && met)
			is_fine[condition->key] = true;
		else if (!condition->is_exclusion)
			unmet[condition->key] = condition;
	}
	for (int i = 0; i < RULE_KEYS; i++)
		if (unmet[i] && !is_fine[i])
			return unmet[i];
	return NULL;
}
