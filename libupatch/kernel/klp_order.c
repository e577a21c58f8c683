/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernel/klp_order.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/diag.h"
#include "kernel/kernel.h"
#include "kernel/klp.h"

/* "function,position": the only one of that name is 0 or 1, as its author likes. */
static bool is_same_function(const char *one, const char *other)
{
	const size_t length = strcspn(one, ",");

	return length == strcspn(other, ",") && memcmp(one, other, length) == 0;
}

/* Do both patches replace a function of that object? */
static bool share_in_object(const struct kernel *kernel, const char *one, const char *other,
			    const char *object)
{
	struct dirent **ours, **theirs;
	int nr_ours, nr_theirs;
	char path[PATH_MAX];
	bool share = false;

	(void)snprintf(path, sizeof(path), KLP_DIR "/%s/%s", other, object);
	nr_theirs = kernel_scan(kernel->sysfs, path, &theirs);
	if (nr_theirs < 0)
		return false;
	(void)snprintf(path, sizeof(path), KLP_DIR "/%s/%s", one, object);
	nr_ours = kernel_scan(kernel->sysfs, path, &ours);
	for (int i = 0; i < nr_ours; i++)
		for (int n = 0; n < nr_theirs; n++)
			share |= is_same_function(ours[i]->d_name, theirs[n]->d_name);
	if (nr_ours >= 0)
		kernel_scan_free(ours, nr_ours);
	kernel_scan_free(theirs, nr_theirs);
	return share;
}

static bool share_a_function(const struct kernel *kernel, const char *one, const char *other)
{
	struct dirent **objects;
	char path[PATH_MAX];
	bool share = false;
	int nr;

	(void)snprintf(path, sizeof(path), KLP_DIR "/%s", one);
	nr = kernel_scan(kernel->sysfs, path, &objects);
	if (nr < 0)
		return false;
	for (int i = 0; i < nr && !share; i++)
		share = share_in_object(kernel, one, other, objects[i]->d_name);
	kernel_scan_free(objects, nr);
	return share;
}

int klp_check_on_top(const struct kernel *kernel, const char *name)
{
	_cleanup_fclose_ FILE *modules = NULL;
	_cleanup_free_ char *line = NULL;
	char path[PATH_MAX];
	size_t size = 0;

	if (snprintf(path, sizeof(path), "%s/modules", kernel->proc) >= (int)sizeof(path))
		return 0;
	modules = fopen(path, "re");
	while (modules && getline(&line, &size, modules) > 0) {
		enum klp_state state;

		line[strcspn(line, " \n")] = '\0';
		if (strcmp(line, name) == 0)
			return 0; /* the others are older */
		if (klp_state(kernel, line, &state) < 0 || !share_a_function(kernel, name, line))
			continue;
		return diag_err(
			kernel->diag, -EBUSY, UPATCH_E_STACK_ORDER, NULL,
			"livepatch '%s' was enabled after it for the same function: if another "
			"part failed this one would come back on top of it",
			line);
	}
	return 0;
}
