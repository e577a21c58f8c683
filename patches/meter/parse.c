/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Userspace's side of the fix: understand the new format, and the old one as long as there is any. */
#include <stdio.h>
#include <upatch/livepatch.h>

UPATCH_OBJECT("reader");

struct value {
	int count;
	int sum;
	int is_new;
};

static int new_parse(const char *text, struct value *ret)
{
	ret->is_new = sscanf(text, "sum=%d count=%d", &ret->sum, &ret->count) == 2;
	if (ret->is_new)
		return 0;
	return sscanf(text, "%d %d", &ret->count, &ret->sum) == 2 ? 0 : -1;
}
UPATCH_FUNC(parse_meter, new_parse);
