/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernel/klp.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "kernel/kernel.h"
#include "patchfile/kmod.h"

enum {
	NOTE_MAX = 256,
};

bool klp_is_name(const char *name)
{
	return *name && *name != '.' && !strchr(name, '/') && strlen(name) <= NAME_MAX;
}

const char *klp_state_name(enum klp_state state)
{
	static const char *const names[] = {
		[KLP_ENABLING] = "enabling",
		[KLP_ENABLED] = "enabled",
		[KLP_DISABLING] = "disabling",
		[KLP_DISABLED] = "disabled",
	};

	return names[state];
}

int klp_has(const struct kernel *kernel)
{
	if (kernel_has(kernel->sysfs, KLP_DIR))
		return 0;
	return diag_err(kernel->diag, -ENOSYS, UPATCH_E_NO_LIVEPATCH, NULL,
			"the running kernel has no %s/" KLP_DIR, kernel->sysfs);
}

static int raise_unreadable(const struct kernel *kernel, const char *name, int error)
{
	const struct diag_where where = { .patch = name };

	return diag_err(kernel->diag, error, UPATCH_E_IO, &where,
			"cannot read its state in %s/" KLP_DIR "/%s: %s", kernel->sysfs, name,
			strerror(-error));
}

int klp_state(const struct kernel *kernel, const char *name, enum klp_state *ret)
{
	char path[PATH_MAX];
	int enabled, transition;
	int r;

	if (!klp_is_name(name))
		return -ENOENT;
	(void)snprintf(path, sizeof(path), KLP_DIR "/%s/enabled", name); /* a NAME_MAX fits */
	r = kernel_read_number(kernel->sysfs, path, &enabled);
	if (r >= 0) {
		(void)snprintf(path, sizeof(path), KLP_DIR "/%s/transition", name);
		r = kernel_read_number(kernel->sysfs, path, &transition);
	}
	/* ENODEV: the directory went away while its file was open. */
	if (r == -ENOENT || r == -ENODEV)
		return -ENOENT;
	if (r < 0)
		return raise_unreadable(kernel, name, r);
	if (transition)
		*ret = enabled ? KLP_ENABLING : KLP_DISABLING;
	else
		*ret = enabled ? KLP_ENABLED : KLP_DISABLED;
	return 0;
}

bool klp_is_enabled(const struct kernel *kernel, const char *name)
{
	enum klp_state state;

	return klp_state(kernel, name, &state) >= 0 && state == KLP_ENABLED;
}

bool klp_is_left_behind(const struct kernel *kernel, const char *name)
{
	char path[PATH_MAX];
	char taint[KERNEL_TEXT_MAX];

	if (!klp_is_name(name))
		return false;
	(void)snprintf(path, sizeof(path), "module/%s/taint", name);
	return kernel_read(kernel->sysfs, path, taint, sizeof(taint)) >= 0 && strchr(taint, 'K');
}

int klp_check_same(const struct kernel *kernel, const struct kmod *kmod)
{
	const struct diag_where where = { .patch = kmod->name };
	uint8_t note[NOTE_MAX];
	char path[PATH_MAX];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "module/%s/notes/.note.gnu.build-id", kmod->name);
	n = kernel_read_bytes(kernel->sysfs, path, note, sizeof(note));
	if (n <= 0 || !kmod->note_size)
		return 0;
	if ((size_t)n == kmod->note_size && memcmp(note, kmod->note, (size_t)n) == 0)
		return 0;
	return diag_err(
		kernel->diag, -EEXIST, UPATCH_E_BUILD_ID, &where,
		"the kernel has another livepatch of that name: its build ID is not that of "
		"the module in the file");
}

/* --- list ------------------------------------------------------------------------------------ */

static int read_objects(const struct kernel *kernel, struct klp_patch *patch)
{
	struct dirent **names;
	char path[PATH_MAX];
	size_t alloc = 0;
	int nr;

	(void)snprintf(path, sizeof(path), KLP_DIR "/%s", patch->name);
	nr = kernel_scan(kernel->sysfs, path, &names);
	if (nr < 0)
		return nr;
	for (int i = 0; i < nr; i++) {
		struct klp_object *object;

		if (!array_grow(patch->objects, patch->nr_objects, alloc))
			break;
		object = &patch->objects[patch->nr_objects];
		object->name = strdup(names[i]->d_name);
		if (!object->name)
			break;
		patch->nr_objects++;
		(void)snprintf(path, sizeof(path), KLP_DIR "/%s/%s/patched", patch->name,
			       object->name);
		if (kernel_read_number(kernel->sysfs, path, &object->patched) < 0)
			object->patched = -1;
	}
	kernel_scan_free(names, nr);
	return patch->nr_objects == (size_t)nr ? 0 : -ENOMEM;
}

/* Return: 0, -ENOENT, unraised, when it has vanished, or -errno raised. */
static int read_patch(const struct kernel *kernel, const char *name, struct klp_patch *patch)
{
	int r;

	r = klp_state(kernel, name, &patch->state);
	if (r < 0)
		return r;
	patch->name = strdup(name);
	r = patch->name ? read_objects(kernel, patch) : -ENOMEM;
	if (r == -ENOMEM)
		return diag_oom(kernel->diag);
	return r == 0 || r == -ENOENT ? r : raise_unreadable(kernel, name, r);
}

static void klp_patch_deinit(struct klp_patch *patch)
{
	for (size_t i = 0; i < patch->nr_objects; i++)
		free(patch->objects[i].name);
	free(patch->objects);
	free(patch->name);
	*patch = (struct klp_patch){};
}

int klp_list(const struct kernel *kernel, struct klp_list *ret)
{
	_cleanup_(klp_list_deinit) struct klp_list list = {};
	struct dirent **names;
	size_t alloc = 0;
	int nr, r;

	r = klp_has(kernel);
	if (r < 0)
		return r;
	nr = kernel_scan(kernel->sysfs, KLP_DIR, &names);
	if (nr < 0)
		return diag_err(kernel->diag, nr, UPATCH_E_IO, NULL,
				"cannot list %s/" KLP_DIR ": %s", kernel->sysfs, strerror(-nr));
	for (int i = 0; i < nr && r >= 0; i++) {
		if (!array_grow(list.patches, list.nr, alloc)) {
			r = diag_oom(kernel->diag);
			break;
		}
		r = read_patch(kernel, names[i]->d_name, &list.patches[list.nr]);
		if (r >= 0)
			list.nr++;
		else
			klp_patch_deinit(&list.patches[list.nr]);
		if (r == -ENOENT)
			r = 0;
	}
	kernel_scan_free(names, nr);
	if (r < 0)
		return r;
	*ret = list;
	list = (struct klp_list){};
	return 0;
}

void klp_list_deinit(struct klp_list *list)
{
	for (size_t i = 0; i < list->nr; i++)
		klp_patch_deinit(&list->patches[i]);
	free(list->patches);
	*list = (struct klp_list){};
}

/* A patch, other than @except, in transition; NULL when there is none. */
static const struct klp_patch *find_open(const struct klp_list *list, const char *except)
{
	for (size_t i = 0; i < list->nr; i++)
		if (list->patches[i].state != KLP_ENABLED &&
		    list->patches[i].state != KLP_DISABLED &&
		    strcmp(list->patches[i].name, except) != 0)
			return &list->patches[i];
	return NULL;
}

int klp_check_free(const struct kernel *kernel, const char *except)
{
	_cleanup_(klp_list_deinit) struct klp_list list = {};
	const struct klp_patch *open;
	int r;

	r = klp_list(kernel, &list);
	if (r < 0)
		return r;
	open = find_open(&list, except);
	if (!open)
		return 0;
	return diag_err(kernel->diag, -EBUSY, UPATCH_E_KERNEL_BUSY, NULL,
			"the kernel's transition of '%s' is open (%s)", open->name,
			klp_state_name(open->state));
}
