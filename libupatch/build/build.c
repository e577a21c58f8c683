/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "build/build.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <upatch/upatch.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "base/file.h"
#include "build/code.h"
#include "build/compile.h"
#include "build/fixup.h"
#include "elf/image.h"
#include "patchfile/container.h"
#include "patchfile/kmod.h"
#include "patchfile/manifest.h"

/* All sources that are for one object. */
struct group {
	char *object;
	char **files; /* compiled */
	size_t nr_files;
	size_t alloc_files;
	uint8_t *bytes; /* joined */
	size_t size;
	uint8_t *code; /* of the functions that are replaced */
	size_t code_size;
	struct image *image;
};

struct build {
	struct diag *d;
	const struct upatch_build_options *opts;
	char dir[64]; /* for intermediate files */
	struct group *groups;
	size_t nr_groups;
	size_t alloc_groups;
	size_t nr_files;
	struct kmod *modules;
	size_t nr_modules;
};

/* --- files ------------------------------------------------------------------------------------ */

static int read_file(struct diag *d, const char *path, uint8_t **ret, size_t *ret_size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return diag_err(d, -errno, UPATCH_E_IO, NULL, "cannot read '%s': %s", path,
				strerror(errno));
	return file_read(d, fd,
			 &(struct file_spec){
				 .name = path,
				 .size_max = SIZE_MAX,
				 .too_large = UPATCH_E_UNSUPPORTED,
			 },
			 ret, ret_size);
}

/* Beside the output and then in its place: nobody ever sees half a file. */
static int write_file(struct diag *d, const char *path, const uint8_t *bytes, size_t size)
{
	_cleanup_free_ char *temporary = NULL;
	size_t done = 0;
	int r = 0;

	if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
		return diag_oom(d);
	_cleanup_close_ int fd = mkostemp(temporary, O_CLOEXEC);

	if (fd < 0)
		return diag_err(d, -errno, UPATCH_E_IO, NULL, "cannot write '%s': %s", path,
				strerror(errno));
	while (done < size && r == 0) {
		ssize_t n = write(fd, bytes + done, size - done);

		if (n < 0 && errno != EINTR)
			r = -errno;
		else if (n > 0)
			done += (size_t)n;
	}
	if (r == 0 && (fchmod(fd, 0644) < 0 || fsync(fd) < 0 || rename(temporary, path) < 0))
		r = -errno;
	if (r == 0)
		return 0;
	(void)unlink(temporary); /* the first failure is what the user needs to know */
	return diag_err(d, r, UPATCH_E_IO, NULL, "cannot write '%s': %s", path, strerror(-r));
}

static char *new_path(struct build *b)
{
	char *path;

	return asprintf(&path, "%s/%zu.o", b->dir, b->nr_files++) < 0 ? NULL : path;
}

static int make_dir(struct build *b)
{
	const char *tmp = getenv("TMPDIR");

	if (!tmp || !*tmp || strlen(tmp) > 40)
		tmp = "/tmp";
	(void)snprintf(b->dir, sizeof(b->dir), "%s/upatch.XXXXXX", tmp);
	if (!mkdtemp(b->dir)) {
		b->dir[0] = '\0';
		return diag_err(b->d, -errno, UPATCH_E_IO, NULL,
				"cannot make a directory below '%s': %s", tmp, strerror(errno));
	}
	return 0;
}

static void remove_dir(struct build *b)
{
	char path[sizeof(b->dir) + 32];

	if (!b->dir[0])
		return;
	for (size_t i = 0; i < b->nr_files; i++) {
		(void)snprintf(path, sizeof(path), "%s/%zu.o", b->dir, i);
		(void)unlink(path); /* may never have been made */
	}
	(void)rmdir(b->dir); /* left behind, it harms nobody */
}

/* --- steps ------------------------------------------------------------------------------------- */

static struct group *find_group(struct build *b, const char *object)
{
	for (size_t i = 0; i < b->nr_groups; i++)
		if (strcmp(b->groups[i].object, object) == 0)
			return &b->groups[i];
	return NULL;
}

/* Compile one source and put it with the others for its object. */
static int compile(struct build *b, const char *source)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	_cleanup_free_ char *object = NULL;
	_cleanup_free_ char *path = new_path(b);
	struct group *group;
	size_t size;
	int r;

	if (!path)
		return diag_oom(b->d);
	r = compile_source(b->d, b->opts, source, path);
	if (r >= 0)
		r = read_file(b->d, path, &bytes, &size);
	if (r >= 0)
		r = fixup_object_name(b->d, bytes, size, &object);
	if (r < 0)
		return r;
	group = find_group(b, object);
	if (!group) {
		if (!array_grow(b->groups, b->nr_groups, b->alloc_groups))
			return diag_oom(b->d);
		group = &b->groups[b->nr_groups++];
		group->object = take_ptr(object);
	}
	if (!array_grow(group->files, group->nr_files, group->alloc_files))
		return diag_oom(b->d);
	group->files[group->nr_files++] = take_ptr(path);
	return 0;
}

static int join(struct build *b, struct group *group)
{
	_cleanup_free_ char *path = NULL;
	int r = 0;

	if (group->nr_files == 1)
		return read_file(b->d, group->files[0], &group->bytes, &group->size);
	path = new_path(b);
	if (!path)
		return diag_oom(b->d);
	r = compile_join(b->d, group->files, group->nr_files, path);
	return r < 0 ? r : read_file(b->d, path, &group->bytes, &group->size);
}

/* The file given for an object: "NAME=PATH". */
static const char *path_of(const struct build *b, const char *object)
{
	size_t len = strlen(object);

	for (size_t i = 0; b->opts->objects && b->opts->objects[i]; i++)
		if (strncmp(b->opts->objects[i], object, len) == 0 &&
		    b->opts->objects[i][len] == '=')
			return b->opts->objects[i] + len + 1;
	return NULL;
}

/* What objcopy --only-keep-debug leaves has the symbols, and none of the bytes. */
static bool has_code(const struct image *image)
{
	const struct image_segment *segments;
	size_t nr = image_segments(image, &segments);

	for (size_t i = 0; i < nr; i++)
		if ((segments[i].flags & PF_X) && segments[i].filesz)
			return true;
	return false;
}

static int open_object(struct build *b, struct group *group)
{
	struct diag_where where = { .object = group->object };
	const char *path = path_of(b, group->object);
	int r;

	if (!path)
		return diag_err(b->d, -EINVAL, UPATCH_E_USAGE, &where,
				"no --object says which file that is: give --object %s=PATH",
				group->object);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return diag_err(b->d, -errno, UPATCH_E_IO, &where, "cannot open '%s': %s", path,
				strerror(errno));
	r = image_open_fd(b->d, fd, path, &group->image);
	if (r < 0)
		return r;
	if (!image_build_id(group->image)->size)
		return diag_err(b->d, -EINVAL, UPATCH_E_BUILD_ID, &where, "'%s' has no build ID",
				path);
	if (!has_code(group->image))
		return diag_err(b->d, -EINVAL, UPATCH_E_USAGE, &where,
				"'%s' has no code, as a separate debug file; give the object "
				"itself, its debug file is found where debuggers look for it",
				path);
	return 0;
}

static int check_objects(struct build *b)
{
	for (size_t i = 0; b->opts->objects && b->opts->objects[i]; i++) {
		const char *equals = strchr(b->opts->objects[i], '=');

		if (!equals || equals == b->opts->objects[i] || !equals[1])
			return diag_err(b->d, -EINVAL, UPATCH_E_USAGE, NULL,
					"'%s' is not NAME=PATH", b->opts->objects[i]);
	}
	return 0;
}

/* Each klp module says what kernel it is for; one file has one for each kernel. */
static int add_module(struct build *b, const char *path)
{
	struct kmod *module = &b->modules[b->nr_modules];
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t size;
	int r;

	r = read_file(b->d, path, &bytes, &size);
	if (r >= 0)
		r = kmod_parse(b->d, path, bytes, size, module);
	if (r < 0)
		return r;
	b->nr_modules++;
	for (size_t i = 0; i + 1 < b->nr_modules; i++)
		if (strcmp(b->modules[i].release, module->release) == 0)
			return diag_err(b->d, -EEXIST, UPATCH_E_USAGE, NULL,
					"'%s' is the second module for kernel %s", path,
					module->release);
	return 0;
}

static int add_modules(struct build *b)
{
	const char *const *paths = b->opts->kernel_modules;
	size_t nr = 0;
	int r = 0;

	while (paths && paths[nr])
		nr++;
	b->modules = calloc(nr + 1, sizeof(*b->modules));
	if (!b->modules)
		return diag_oom(b->d);
	for (size_t i = 0; i < nr && r >= 0; i++)
		r = add_module(b, paths[i]);
	return r;
}

/* The patch's name: as given, or the output's without directory and suffix. */
static char *patch_name(const struct upatch_build_options *opts)
{
	const char *slash = strrchr(opts->output, '/');
	char *name = strdup(opts->name ? opts->name : slash ? slash + 1 : opts->output);
	char *dot = name && !opts->name ? strstr(name, ".upatch") : NULL;

	if (dot)
		*dot = '\0';
	return name;
}

static bool is_listed(const char *const *list, const char *name)
{
	for (; list && *list; list++)
		if (strcmp(*list, name) == 0)
			return true;
	return false;
}

static int fill_manifest(struct build *b, struct manifest *m)
{
	const struct upatch_build_options *opts = b->opts;

	m->name = patch_name(opts);
	m->version = strdup(opts->version ? opts->version : "");
	m->description = strdup(opts->description ? opts->description : "");
	m->replace = opts->replace;
	m->strict = opts->strict;
	m->objects = calloc(b->nr_groups, sizeof(*m->objects));
	if (!m->name || !m->version || !m->description || !m->objects)
		return diag_oom(b->d);
	if (!manifest_is_name(m->name))
		return diag_err(
			b->d, -EINVAL, UPATCH_E_USAGE, NULL,
			"'%s' is not a legal name for a patch: letters, digits and . _ + -, "
			"starting with a letter or digit, at most 63",
			m->name);
	while (opts->cves && opts->cves[m->nr_cves])
		m->nr_cves++;
	m->cves = calloc(m->nr_cves + 1, sizeof(*m->cves));
	for (size_t i = 0; m->cves && i < m->nr_cves; i++)
		m->cves[i] = strdup(opts->cves[i]);
	for (size_t i = 0; i < b->nr_groups; i++) {
		m->nr_objects++;
		m->objects[i].name = strdup(b->groups[i].object);
		m->objects[i].build_id = *image_build_id(b->groups[i].image);
		m->objects[i].is_executable = image_is_executable(b->groups[i].image);
		m->objects[i].is_required = is_listed(opts->required, b->groups[i].object);
		if (!m->cves || !m->objects[i].name ||
		    asprintf(&m->objects[i].payload, "%s%zu", CONTAINER_PAYLOAD, i) < 0 ||
		    asprintf(&m->objects[i].code, "%s%zu", CONTAINER_CODE, i) < 0)
			return diag_oom(b->d);
	}
	return 0;
}

static int fill_kernel(struct build *b, struct manifest *m)
{
	m->kernel_last = b->opts->userspace_first;
	m->modules = calloc(b->nr_modules + 1, sizeof(*m->modules));
	if (!m->modules)
		return diag_oom(b->d);
	for (size_t i = 0; i < b->nr_modules; i++) {
		if (asprintf(&m->modules[i], "%s%zu", CONTAINER_KERNEL, i) < 0) {
			m->modules[i] = NULL;
			return diag_oom(b->d);
		}
		m->nr_modules++;
	}
	return 0;
}

static int write_output(struct build *b)
{
	const size_t nr = 1 + 2 * b->nr_groups + b->nr_modules;
	_cleanup_free_ struct container_section *sections = calloc(nr, sizeof(*sections));
	_cleanup_(manifest_deinit) struct manifest manifest = {};
	_cleanup_free_ uint8_t *bytes = NULL;
	_cleanup_free_ char *text = NULL;
	size_t size;
	int r;

	if (!sections)
		return diag_oom(b->d);
	r = fill_manifest(b, &manifest);
	if (r >= 0)
		r = fill_kernel(b, &manifest);
	if (r < 0)
		return r;
	text = manifest_format(&manifest);
	if (!text)
		return diag_oom(b->d);
	sections[0] = (struct container_section){ CONTAINER_MANIFEST, (const uint8_t *)text,
						  strlen(text) };
	for (size_t i = 0; i < b->nr_groups; i++) {
		const struct group *group = &b->groups[i];

		sections[2 * i + 1] = (struct container_section){ manifest.objects[i].payload,
								  group->bytes, group->size };
		sections[2 * i + 2] = (struct container_section){ manifest.objects[i].code,
								  group->code, group->code_size };
	}
	for (size_t i = 0; i < b->nr_modules; i++)
		sections[1 + 2 * b->nr_groups + i] =
			(struct container_section){ manifest.modules[i], b->modules[i].bytes,
						    b->modules[i].size };
	r = container_format(sections, nr, image_machine(b->groups[0].image), &bytes, &size);
	return r < 0 ? diag_oom(b->d) : write_file(b->d, b->opts->output, bytes, size);
}

/* All payloads know their objects: which of these has what others refer to? */
static int relate(struct build *b)
{
	_cleanup_free_ struct fixup_sibling *siblings = calloc(b->nr_groups, sizeof(*siblings));
	int r = 0;

	if (!siblings)
		return diag_oom(b->d);
	for (size_t i = 0; i < b->nr_groups; i++)
		siblings[i] = (struct fixup_sibling){ b->groups[i].image, b->groups[i].bytes,
						      b->groups[i].size };
	for (size_t i = 0; i < b->nr_groups && r >= 0; i++)
		r = fixup_siblings(b->d, siblings, b->nr_groups, i);
	return r;
}

static void build_deinit(struct build *b)
{
	for (size_t i = 0; i < b->nr_groups; i++) {
		struct group *group = &b->groups[i];

		for (size_t n = 0; n < group->nr_files; n++)
			free(group->files[n]);
		free(group->files);
		free(group->object);
		free(group->bytes);
		free(group->code);
		image_unref(group->image);
	}
	for (size_t i = 0; i < b->nr_modules; i++)
		kmod_deinit(&b->modules[i]);
	free(b->modules);
	free(b->groups);
	remove_dir(b);
}

int build_run(struct diag *d, const struct upatch_build_options *opts)
{
	struct build b = { .d = d, .opts = opts };
	int r;

	if (!opts->sources || !opts->sources[0] || !opts->output)
		return diag_err(d, -EINVAL, UPATCH_E_USAGE, NULL, "sources and output are needed");
	r = check_objects(&b);
	if (r >= 0)
		r = add_modules(&b);
	if (r >= 0)
		r = make_dir(&b);
	for (size_t i = 0; r >= 0 && opts->sources[i]; i++)
		r = compile(&b, opts->sources[i]);
	for (size_t i = 0; i < b.nr_groups && r >= 0; i++) {
		r = join(&b, &b.groups[i]);
		if (r >= 0)
			r = open_object(&b, &b.groups[i]);
		if (r >= 0)
			r = fixup_payload(d, b.groups[i].image, b.groups[i].object,
					  b.groups[i].bytes, b.groups[i].size);
		if (r >= 0)
			r = code_collect(d, b.groups[i].image, b.groups[i].bytes, b.groups[i].size,
					 &b.groups[i].code, &b.groups[i].code_size);
	}
	if (r >= 0)
		r = relate(&b);
	if (r >= 0)
		r = write_output(&b);
	build_deinit(&b);
	return r;
}
