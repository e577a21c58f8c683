/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <upatch/upatch.h>

#include "api/ctx.h"
#include "arch/arch.h"
#include "base/cleanup.h"
#include "base/export.h"
#include "patchfile/patchfile.h"

static void free_info(struct upatch_patch_info *info)
{
	for (size_t i = 0; info && i < info->nr_objects; i++) {
		free((char *)info->objects[i].build_id);
		free((void *)info->objects[i].funcs);
		free((void *)info->objects[i].relocs);
	}
	if (info) {
		free((void *)info->objects);
		free((void *)info->modules);
	}
	free(info);
}

static int fill_object(const struct payload *payload, struct upatch_object_info *ret)
{
	const struct arch_ops *arch = arch_by_machine(payload->machine);
	struct upatch_func_info *funcs = calloc(payload->nr_funcs + 1, sizeof(*funcs));
	struct upatch_reloc_info *relocs = calloc(payload->nr_relocs + 1, sizeof(*relocs));
	char *build_id = malloc(2 * BUILD_ID_MAX + 1);

	/* Owned by the info from here on, complete or not. */
	ret->funcs = funcs;
	ret->relocs = relocs;
	ret->build_id = build_id;
	if (!funcs || !relocs || !build_id)
		return -ENOMEM;
	ret->name = payload->object;
	(void)build_id_format(&payload->build_id, build_id);
	ret->is_executable = payload->is_executable;
	ret->is_required = payload->is_required;
	ret->has_code = payload->has_code;
	ret->payload_size = payload->file_size;
	ret->nr_funcs = payload->nr_funcs;
	ret->nr_relocs = payload->nr_relocs;
	for (size_t i = 0; i < payload->nr_funcs; i++) {
		const struct payload_func *f = &payload->funcs[i];
		const struct payload_symbol *symbol = &payload->symbols[f->symbol];

		funcs[i] = (struct upatch_func_info){
			.name = f->name,
			.replacement = symbol->name,
			.sympos = f->sympos,
			.old_value = f->old_value,
			.old_size = f->old_size,
			.new_size = symbol->size,
		};
	}
	for (size_t i = 0; i < payload->nr_relocs; i++) {
		const struct payload_reloc *r = &payload->relocs[i];
		const struct payload_symbol *symbol = &payload->symbols[r->symbol];
		const char *type = arch ? arch->reloc_name(r->type) : NULL;

		relocs[i] = (struct upatch_reloc_info){
			.section = payload->sections[r->section].name,
			.offset = r->offset,
			.type = type ? type : "?",
			.symbol = symbol->name,
			.addend = r->addend,
			.is_private = symbol->kind == PAYLOAD_SYMBOL_PRIVATE ||
				      symbol->kind == PAYLOAD_SYMBOL_ORIGINAL,
		};
	}
	return 0;
}

static int fill_modules(const struct patchfile *file, struct upatch_patch_info *info)
{
	struct upatch_module_info *modules = calloc(file->nr_modules + 1, sizeof(*modules));

	if (!modules)
		return -ENOMEM;
	for (size_t i = 0; i < file->nr_modules; i++)
		modules[i] = (struct upatch_module_info){
			.name = file->modules[i].name,
			.release = file->modules[i].release,
			.vermagic = file->modules[i].vermagic,
			.size = file->modules[i].size,
		};
	info->modules = modules;
	info->nr_modules = file->nr_modules;
	info->kernel_last = file->kernel_last;
	return 0;
}

static int new_info(const struct patchfile *file, struct upatch_patch_info **ret)
{
	struct upatch_patch_info *info = calloc(1, sizeof(*info));
	const struct arch_ops *arch = arch_by_machine(file->payloads[0].machine);
	struct upatch_object_info *objects = calloc(file->nr_payloads, sizeof(*objects));
	int r = 0;

	if (!info || !objects) {
		free(info);
		free(objects);
		return -ENOMEM;
	}
	*info = (struct upatch_patch_info){
		.name = file->name,
		.version = file->version,
		.description = file->description,
		.arch = arch ? arch->name : "?",
		.replace = file->replace,
		.strict = file->strict,
		.cves = file->cves,
		.nr_cves = file->nr_cves,
		.objects = objects,
		.nr_objects = file->nr_payloads,
		.digest = file->digest,
	};
	for (size_t i = 0; i < file->nr_payloads && r >= 0; i++)
		r = fill_object(&file->payloads[i], &objects[i]);
	if (r >= 0)
		r = fill_modules(file, info);
	if (r < 0) {
		free_info(info);
		return r;
	}
	*ret = info;
	return 0;
}

EXPORT void upatch_patch_close(struct upatch_patch *patch)
{
	if (!patch)
		return;
	free_info(patch->info);
	patchfile_close(patch->file);
	free(patch);
}

EXPORT int upatch_patch_open(struct upatch_ctx *ctx, const char *path, struct upatch_patch **ret)
{
	struct upatch_patch *patch = calloc(1, sizeof(*patch));
	_cleanup_close_ int fd = -1;
	int r;

	ctx_begin(ctx, 0, NULL);
	if (!patch)
		return ctx_end(ctx, diag_oom(&ctx->diag));
	patch->ctx = ctx;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		r = diag_err(&ctx->diag, -errno, UPATCH_E_IO, NULL, "cannot open '%s': %s", path,
			     strerror(errno));
	else
		r = patchfile_open_fd(&ctx->diag, fd, path, &patch->file);
	if (r >= 0 && new_info(patch->file, &patch->info) < 0)
		r = diag_oom(&ctx->diag);
	if (r < 0) {
		if (patch->file)
			upatch_patch_close(patch);
		else
			free(patch);
		return ctx_end(ctx, r);
	}
	*ret = patch;
	return ctx_end(ctx, 0);
}

EXPORT const struct upatch_patch_info *upatch_patch_info(const struct upatch_patch *patch)
{
	return patch->info;
}
