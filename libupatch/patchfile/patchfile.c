/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "patchfile/patchfile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/diag.h"
#include "base/file.h"
#include "patchfile/code.h"
#include "patchfile/container.h"
#include "patchfile/manifest.h"
#include "patchfile/payload.h"

static const size_t file_size_max = 64ul << 20;

/* The public struct comes first, so that freeing one frees the other. */
struct file {
	struct patchfile public;
	struct manifest manifest;
	struct payload_storage **storages;
	struct code *codes;
	struct kmod *modules;
};

void patchfile_close(const struct patchfile *file)
{
	struct file *f = (struct file *)file;

	if (!f)
		return;
	for (size_t i = 0; i < f->public.nr_payloads; i++)
		payload_storage_free(f->storages[i]);
	for (size_t i = 0; f->codes && i < f->manifest.nr_objects; i++)
		code_deinit(&f->codes[i]);
	free(f->codes);
	free(f->storages);
	free((void *)f->public.payloads);
	for (size_t i = 0; i < f->public.nr_modules; i++)
		kmod_deinit(&f->modules[i]);
	free(f->modules);
	manifest_deinit(&f->manifest);
	free(f);
}

static int read_manifest(struct diag *d, const struct container *container, struct file *f)
{
	const struct container_section *section = container_find(container, CONTAINER_MANIFEST);
	int r;

	if (!section)
		return diag_err(d, -EBADMSG, UPATCH_E_BAD_PATCHFILE, NULL, "it has no section '%s'",
				CONTAINER_MANIFEST);
	r = manifest_parse(d, section->bytes, section->size, &f->manifest);
	if (r < 0)
		return r;
	f->public.name = f->manifest.name;
	f->public.version = f->manifest.version;
	f->public.description = f->manifest.description;
	f->public.replace = f->manifest.replace;
	f->public.strict = f->manifest.strict;
	f->public.cves = (const char *const *)f->manifest.cves;
	f->public.nr_cves = f->manifest.nr_cves;
	return 0;
}

static int read_code(struct diag *d, const struct container *container, const char *name,
		     struct payload *payload, struct code *ret)
{
	const struct container_section *section = container_find(container, name);

	if (!section)
		return diag_err(d, -EBADMSG, UPATCH_E_BAD_PATCHFILE, NULL, "it has no section '%s'",
				name);
	payload->has_code = true;
	/* The array is the storage's, which is ours. */
	return code_parse(d, section->bytes, section->size, (struct payload_func *)payload->funcs,
			  payload->nr_funcs, ret);
}

/* What symbols say of other payloads of the file. */
static int check_siblings(struct diag *d, const struct patchfile *file)
{
	for (size_t i = 0; i < file->nr_payloads; i++) {
		const struct payload *payload = &file->payloads[i];
		struct diag_where where = { .object = payload->object };

		for (size_t n = 0; n < payload->nr_symbols; n++)
			if (payload->symbols[n].sibling > file->nr_payloads ||
			    payload->symbols[n].sibling == i + 1)
				return diag_err(d, -EBADMSG, UPATCH_E_BAD_PATCHFILE, &where,
						"symbol '%s' is of a payload out of range",
						payload->symbols[n].name);
	}
	return 0;
}

static int read_payloads(struct diag *d, const struct container *container, struct file *f)
{
	const struct manifest *m = &f->manifest;
	struct payload *payloads = calloc(m->nr_objects, sizeof(*payloads));
	int r = 0;

	f->storages = calloc(m->nr_objects, sizeof(struct payload_storage *));
	f->codes = calloc(m->nr_objects, sizeof(*f->codes));
	f->public.payloads = payloads;
	if (!payloads || !f->storages || !f->codes)
		return diag_oom(d);
	for (size_t i = 0; i < m->nr_objects && r >= 0; i++) {
		const struct container_section *section =
			container_find(container, m->objects[i].payload);
		struct diag_where saved = d->scope;

		if (!section)
			return diag_err(d, -EBADMSG, UPATCH_E_BAD_PATCHFILE, NULL,
					"it has no section '%s'", m->objects[i].payload);
		d->scope.object = m->objects[i].name;
		r = payload_parse(d, section->bytes, section->size, &f->storages[i]);
		if (r >= 0) {
			payloads[i] = f->storages[i]->payload;
			payloads[i].object = m->objects[i].name;
			payloads[i].build_id = m->objects[i].build_id;
			payloads[i].is_executable = m->objects[i].is_executable;
			payloads[i].is_required = m->objects[i].is_required;
			f->public.nr_payloads++;
		}
		if (r >= 0 && m->objects[i].code)
			r = read_code(d, container, m->objects[i].code, &payloads[i], &f->codes[i]);
		d->scope = saved;
	}
	return r;
}

static int read_module(struct diag *d, const struct container *container, const char *name,
		       struct file *f)
{
	const struct container_section *section = container_find(container, name);
	struct kmod *module = &f->modules[f->public.nr_modules];
	int r;

	if (!section)
		return diag_err(d, -EBADMSG, UPATCH_E_BAD_PATCHFILE, NULL, "it has no section '%s'",
				name);
	r = kmod_parse(d, name, section->bytes, section->size, module);
	if (r < 0)
		return r;
	f->public.nr_modules++;
	for (size_t i = 0; i + 1 < f->public.nr_modules; i++)
		if (strcmp(f->modules[i].release, module->release) == 0)
			return diag_err(d, -EBADMSG, UPATCH_E_BAD_PATCHFILE, NULL,
					"it has two modules for kernel %s", module->release);
	return 0;
}

/*
 * Each is copied: sections that overlap would make a small file fill the memory.
 * @size: of the file
 */
static int check_modules(struct diag *d, const struct container *container, const struct file *f,
			 size_t size)
{
	const struct manifest *m = &f->manifest;

	for (size_t i = 0; i < m->nr_modules; i++) {
		const struct container_section *section = container_find(container, m->modules[i]);

		if (section && section->size > size)
			return diag_err(
				d, -EBADMSG, UPATCH_E_BAD_PATCHFILE, NULL,
				"its modules overlap: together they are larger than the file");
		size -= section ? section->size : 0;
	}
	return 0;
}

static int read_modules(struct diag *d, const struct container *container, struct file *f)
{
	const struct manifest *m = &f->manifest;
	int r = 0;

	f->public.kernel_last = m->kernel_last;
	if (!m->nr_modules)
		return 0;
	f->modules = calloc(m->nr_modules, sizeof(*f->modules));
	if (!f->modules)
		return diag_oom(d);
	f->public.modules = f->modules;
	for (size_t i = 0; i < m->nr_modules && r >= 0; i++)
		r = read_module(d, container, m->modules[i], f);
	return r;
}

/* FNV-1a, folded: it tells builds apart, and is not meant to stop who forges one. */
static uint32_t digest_of(const uint8_t *bytes, size_t size)
{
	uint64_t sum = 0xcbf29ce484222325ull;
	uint32_t folded;

	for (size_t i = 0; i < size; i++)
		sum = (sum ^ bytes[i]) * 0x100000001b3ull;
	folded = (uint32_t)(sum ^ sum >> 32);
	return folded ? folded : 1;
}

int patchfile_open_bytes(struct diag *d, const void *bytes, size_t size, const char *name,
			 const struct patchfile **ret)
{
	struct container container;
	struct file *f;
	int r;

	if (size > file_size_max)
		return diag_err(d, -EFBIG, UPATCH_E_BAD_PATCHFILE, NULL,
				"'%s' is larger than %zu bytes", name, file_size_max);
	r = container_parse(d, name, bytes, size, &container);
	if (r < 0)
		return r;
	f = calloc(1, sizeof(*f));
	r = f ? read_manifest(d, &container, f) : diag_oom(d);
	if (r >= 0)
		r = check_modules(d, &container, f, size);
	if (r >= 0)
		r = read_payloads(d, &container, f);
	if (r >= 0)
		r = check_siblings(d, &f->public);
	if (r >= 0)
		r = read_modules(d, &container, f);
	container_deinit(&container);
	if (r < 0) {
		patchfile_close(&f->public);
		return r;
	}
	f->public.digest = digest_of(bytes, size);
	*ret = &f->public;
	return 0;
}

int patchfile_open_fd(struct diag *d, int fd, const char *name, const struct patchfile **ret)
{
	const struct file_spec spec = {
		.name = name,
		.size_max = file_size_max,
		.too_large = UPATCH_E_BAD_PATCHFILE,
	};
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t size;
	int r;

	r = file_read(d, fd, &spec, &bytes, &size);
	return r < 0 ? r : patchfile_open_bytes(d, bytes, size, name, ret);
}
