/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "api/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <upatch/kernel.h>

#include "api/ctx.h"
#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/diag.h"
#include "base/export.h"
#include "base/file.h"
#include "kernel/kernel.h"
#include "kernel/klp.h"
#include "kernel/klp_transition.h"
#include "kernel/module.h"
#include "kernel/task.h"
#include "patchfile/container.h"
#include "patchfile/kmod.h"
#include "patchfile/patchfile.h"

enum {
	DEFAULT_TIMEOUT_MS = 10000,
};

static const size_t file_size_max = 64ul << 20;

/* The public struct comes first, so that closing one closes the other. */
struct module {
	struct upatch_kernel_module public;
	struct kmod kmod;
};

static const struct kmod *kmod_of(const struct upatch_kernel_module *module)
{
	return &((const struct module *)module)->kmod;
}

/* --- modules --------------------------------------------------------------------------------- */

EXPORT void upatch_kernel_module_close(struct upatch_kernel_module *module)
{
	if (!module)
		return;
	kmod_deinit(&((struct module *)module)->kmod);
	free(module);
}

int kernel_pick(struct diag *d, const struct patchfile *file, const char *path, struct kmod *ret)
{
	char release[KMOD_RELEASE_MAX + 2];
	int r;

	r = kernel_ops_native.release(NULL, release, sizeof(release));
	if (r < 0)
		return diag_err(d, r, UPATCH_E_IO, NULL, "cannot tell the kernel's release: %s",
				strerror(-r));
	for (size_t i = 0; i < file->nr_modules; i++)
		if (strcmp(file->modules[i].release, release) == 0)
			return kmod_parse(d, path, file->modules[i].bytes, file->modules[i].size,
					  ret);
	return diag_err(d, -ENOENT, UPATCH_E_NO_MODULE, NULL,
			"'%s' has %zu klp modules, none for the running kernel %s", path,
			file->nr_modules, release);
}

static bool is_patchfile(const uint8_t *bytes, size_t size)
{
	struct container container;
	bool is;

	if (container_parse(NULL, "", bytes, size, &container) < 0)
		return false;
	is = container_find(&container, CONTAINER_MANIFEST);
	container_deinit(&container);
	return is;
}

static int read_module(struct diag *d, const char *path, struct kmod *ret)
{
	const struct file_spec spec = {
		.name = path,
		.size_max = file_size_max,
		.too_large = UPATCH_E_BAD_MODULE,
	};
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	const struct patchfile *file = NULL;
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t size;
	int r;

	if (fd < 0)
		return diag_err(d, -errno, UPATCH_E_IO, NULL, "cannot open '%s': %s", path,
				strerror(errno));
	r = file_read(d, fd, &spec, &bytes, &size);
	if (r < 0)
		return r;
	if (!is_patchfile(bytes, size))
		return kmod_parse(d, path, bytes, size, ret);
	r = patchfile_open_bytes(d, bytes, size, path, &file);
	if (r >= 0)
		r = kernel_pick(d, file, path, ret);
	patchfile_close(file);
	return r;
}

EXPORT int upatch_kernel_module_open(struct upatch_ctx *ctx, const char *path,
				     struct upatch_kernel_module **ret)
{
	struct module *module = calloc(1, sizeof(*module));
	int r;

	ctx_begin(ctx, 0, NULL);
	r = module ? read_module(&ctx->diag, path, &module->kmod) : diag_oom(&ctx->diag);
	if (r < 0) {
		free(module);
		return ctx_end(ctx, r);
	}
	module->public.info = (struct upatch_module_info){
		.name = module->kmod.name,
		.release = module->kmod.release,
		.vermagic = module->kmod.vermagic,
		.size = module->kmod.size,
	};
	*ret = &module->public;
	return ctx_end(ctx, 0);
}

/* --- the kernel as a target --------------------------------------------------------------------- */

/* Whatever it is called, and wherever it is mounted. */
static bool is_own_sysfs(const char *path)
{
	struct stat own, given;

	return stat("/sys", &own) == 0 && stat(path, &given) == 0 && own.st_dev == given.st_dev &&
	       own.st_ino == given.st_ino;
}

void kernel_begin(struct upatch_ctx *ctx, const char *name,
		  const struct upatch_kernel_options *opts, struct kernel *ret)
{
	const unsigned int timeout_ms = opts ? opts->timeout_ms : (unsigned int)DEFAULT_TIMEOUT_MS;

	ctx_begin(ctx, 0, name);
	*ret = (struct kernel){
		.diag = &ctx->diag,
		.sysfs = opts && opts->sysfs_root ? opts->sysfs_root : "/sys",
		.proc = opts && opts->proc_root ? opts->proc_root : "/proc",
		.ops = &kernel_ops_native,
		.deadline = deadline_in(timeout_ms * NSEC_PER_MSEC),
	};
	if (!is_own_sysfs(ret->sysfs))
		ret->ops = &kernel_ops_tree;
}

EXPORT int upatch_kernel_check(struct upatch_ctx *ctx, const struct upatch_kernel_module *module,
			       const struct upatch_kernel_options *opts)
{
	struct kernel kernel;

	kernel_begin(ctx, module->info.name, opts, &kernel);
	return ctx_end(ctx, klp_check(&kernel, kmod_of(module)));
}

EXPORT int upatch_kernel_apply(struct upatch_ctx *ctx, const struct upatch_kernel_module *module,
			       const struct upatch_kernel_options *opts)
{
	struct kernel kernel;

	kernel_begin(ctx, module->info.name, opts, &kernel);
	return ctx_end(ctx, klp_apply(&kernel, kmod_of(module)));
}

EXPORT int upatch_kernel_revert(struct upatch_ctx *ctx, const char *name,
				const struct upatch_kernel_options *opts)
{
	struct kernel kernel;

	kernel_begin(ctx, name, opts, &kernel);
	return ctx_end(ctx, klp_revert(&kernel, name));
}

EXPORT int upatch_kernel_force(struct upatch_ctx *ctx, const char *name,
			       const struct upatch_kernel_options *opts)
{
	struct kernel kernel;

	kernel_begin(ctx, name, opts, &kernel);
	return ctx_end(ctx, klp_force(&kernel, name));
}

/* --- status ---------------------------------------------------------------------------------- */

/* What the public struct points into. */
struct status {
	struct upatch_kernel_status public;
	struct klp_list list;
	struct task_list *tasks; /* one list for each patch */
	char release[KMOD_RELEASE_MAX + 2];
};

EXPORT void upatch_kernel_status_free(struct upatch_kernel_status *status)
{
	struct status *s = (struct status *)status;

	if (!s)
		return;
	for (size_t i = 0; i < s->public.nr_patches; i++) {
		free((void *)s->public.patches[i].objects);
		free((void *)s->public.patches[i].blocked);
		task_list_deinit(&s->tasks[i]);
	}
	free((void *)s->public.patches);
	free(s->tasks);
	klp_list_deinit(&s->list);
	free(s);
}

static int view_patch(const struct kernel *kernel, const struct klp_patch *patch,
		      struct task_list *tasks, struct upatch_kernel_patch *ret)
{
	const bool is_open = patch->state == KLP_ENABLING || patch->state == KLP_DISABLING;
	struct upatch_kernel_object *objects = calloc(patch->nr_objects + 1, sizeof(*objects));
	struct upatch_kernel_task *blocked = NULL;
	int r = 0;

	ret->objects = objects;
	if (is_open)
		r = task_list_blocked(kernel, patch->state == KLP_ENABLING, tasks);
	if (r < 0)
		return r;
	if (is_open)
		ret->blocked = blocked = calloc(tasks->nr + 1, sizeof(*blocked));
	if (!objects || (is_open && !blocked))
		return diag_oom(kernel->diag);
	for (size_t i = 0; i < patch->nr_objects; i++)
		objects[i] = (struct upatch_kernel_object){ patch->objects[i].name,
							    patch->objects[i].patched };
	for (size_t i = 0; i < tasks->nr; i++)
		blocked[i] = (struct upatch_kernel_task){ tasks->tasks[i].pid, tasks->tasks[i].tid,
							  tasks->tasks[i].comm };
	ret->name = patch->name;
	ret->state = klp_state_name(patch->state);
	ret->refcnt = module_refcnt(kernel, patch->name);
	ret->nr_objects = patch->nr_objects;
	ret->nr_blocked = tasks->nr;
	return 0;
}

static int look(const struct kernel *kernel, struct status *s)
{
	struct upatch_kernel_patch *patches;
	int r;

	r = klp_list(kernel, &s->list);
	if (r < 0)
		return r;
	s->public.patches = patches = calloc(s->list.nr + 1, sizeof(*patches));
	s->tasks = calloc(s->list.nr + 1, sizeof(*s->tasks));
	if (!patches || !s->tasks)
		return diag_oom(kernel->diag);
	for (size_t i = 0; i < s->list.nr && r >= 0; i++) {
		s->public.nr_patches++;
		r = view_patch(kernel, &s->list.patches[i], &s->tasks[i], &patches[i]);
	}
	if (r >= 0 && kernel->ops->release(kernel->userdata, s->release, sizeof(s->release)) >= 0)
		s->public.release = s->release;
	return r;
}

EXPORT int upatch_kernel_status(struct upatch_ctx *ctx, const struct upatch_kernel_options *opts,
				struct upatch_kernel_status **ret)
{
	struct status *s = calloc(1, sizeof(*s));
	struct kernel kernel;
	int r;

	kernel_begin(ctx, NULL, opts, &kernel);
	r = s ? look(&kernel, s) : diag_oom(&ctx->diag);
	if (r < 0) {
		upatch_kernel_status_free((struct upatch_kernel_status *)s);
		return ctx_end(ctx, r);
	}
	*ret = &s->public;
	return ctx_end(ctx, 0);
}
