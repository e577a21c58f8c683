/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "verbs.h"

#include <stddef.h>
#include <string.h>

const struct verb *verbs_find(const struct verb *verbs, const char *name)
{
	for (; verbs->name; verbs++)
		if (strcmp(verbs->name, name) == 0)
			return verbs;
	return NULL;
}
