/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef UPATCHCTL_LIST_H
#define UPATCHCTL_LIST_H

/* What an option that may be repeated collects. Strings are borrowed from the command line. */

#include <stddef.h>
#include <sys/types.h>

/* @items ends with NULL; NULL itself while the list is empty. */
struct string_list {
	const char **items;
	size_t nr;
};

void string_list_add(struct string_list *list, const char *item);
void string_list_deinit(struct string_list *list);

struct pid_list {
	pid_t *items;
	size_t nr;
};

/* A PID that is listed already is not listed twice. */
void pid_list_add(struct pid_list *list, pid_t pid);
void pid_list_deinit(struct pid_list *list);

#endif
