/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "list.h"

#include <stdlib.h>

#include "memory.h"

void string_list_add(struct string_list *list, const char *item)
{
	list->items = must(reallocarray(list->items, list->nr + 2, sizeof(*list->items)));
	list->items[list->nr++] = item;
	list->items[list->nr] = NULL;
}

void string_list_deinit(struct string_list *list)
{
	free(list->items);
}

void pid_list_add(struct pid_list *list, pid_t pid)
{
	for (size_t i = 0; i < list->nr; i++)
		if (list->items[i] == pid)
			return;
	list->items = must(reallocarray(list->items, list->nr + 1, sizeof(*list->items)));
	list->items[list->nr++] = pid;
}

void pid_list_deinit(struct pid_list *list)
{
	free(list->items);
}
