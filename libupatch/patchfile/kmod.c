/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "patchfile/kmod.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/diag.h"
#include "patchfile/container.h"

enum {
	VERMAGIC_MAX = 256,
	THIS_MODULE_NAME = 24, /* offset in struct module: behind its state and a list head */
};

static int raise_bad(struct diag *d, const char *file, const char *what)
{
	return diag_err(d, -EBADMSG, UPATCH_E_BAD_MODULE, NULL, "'%s' %s", file, what);
}

/* The value of "KEY=VALUE" among strings that each end with a 0; NULL when it is not there. */
static const char *find_value(const struct container_section *modinfo, const char *key)
{
	const char *at = (const char *)modinfo->bytes;
	const char *end = at + modinfo->size;
	size_t len = strlen(key);

	while (at < end) {
		size_t size = strnlen(at, (size_t)(end - at));

		if (size == (size_t)(end - at))
			return NULL; /* cut off */
		if (size > len && at[len] == '=' && memcmp(at, key, len) == 0)
			return at + len + 1;
		at += size + 1;
	}
	return NULL;
}

/* It becomes a file name in sysfs: nothing may lead out of there. */
static bool is_name(const char *name)
{
	size_t len = strnlen(name, KMOD_NAME_MAX + 1);

	if (!len || len > KMOD_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)name[i]) && name[i] != '_' && name[i] != '-')
			return false;
	return true;
}

static bool is_vermagic(const char *vermagic)
{
	size_t len = strnlen(vermagic, VERMAGIC_MAX + 1);
	size_t release = strcspn(vermagic, " ");

	if (len > VERMAGIC_MAX || !release || release > KMOD_RELEASE_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isprint((unsigned char)vermagic[i]))
			return false;
	return true;
}

static int read_modinfo(struct diag *d, const char *file, const struct container_section *modinfo,
			struct kmod *kmod)
{
	const char *livepatch = find_value(modinfo, "livepatch");
	const char *vermagic = find_value(modinfo, "vermagic");
	const char *name = find_value(modinfo, "name");

	if (!livepatch || livepatch[0] != 'Y')
		return raise_bad(d, file, "is no livepatch module: it lacks livepatch=Y");
	if (!name || !is_name(name))
		return raise_bad(d, file, "has no legal module name");
	if (!vermagic || !is_vermagic(vermagic))
		return raise_bad(d, file, "does not say what kernel it was built for (vermagic)");
	kmod->name = strdup(name);
	kmod->vermagic = strdup(vermagic);
	kmod->release = strndup(vermagic, strcspn(vermagic, " "));
	return kmod->name && kmod->vermagic && kmod->release ? 0 : diag_oom(d);
}

/* The kernel takes the name from here; .modinfo is what people read. */
static int check_name(struct diag *d, const char *file, const struct container *container,
		      const char *name)
{
	const struct container_section *module =
		container_find(container, ".gnu.linkonce.this_module");
	const size_t size = strlen(name) + 1;

	if (!module)
		return raise_bad(d, file, "is no kernel module: it has no struct module");
	if (module->size < THIS_MODULE_NAME + size ||
	    memcmp(module->bytes + THIS_MODULE_NAME, name, size) != 0)
		return raise_bad(d, file, "has another module name than its .modinfo says");
	return 0;
}

static int read_sections(struct diag *d, const char *file, const struct container *container,
			 struct kmod *kmod)
{
	const struct container_section *modinfo = container_find(container, ".modinfo");
	const struct container_section *note = container_find(container, ".note.gnu.build-id");
	int r;

	if (!modinfo)
		return raise_bad(d, file, "is no kernel module: it has no section '.modinfo'");
	r = read_modinfo(d, file, modinfo, kmod);
	if (r >= 0)
		r = check_name(d, file, container, kmod->name);
	if (r >= 0 && note && note->size) {
		kmod->note = note->bytes;
		kmod->note_size = note->size;
	}
	return r;
}

int kmod_parse(struct diag *d, const char *file, const uint8_t *bytes, size_t size,
	       struct kmod *ret)
{
	_cleanup_(kmod_deinit) struct kmod kmod = {};
	struct container container;
	int r;

	/* Both are relocatable ELF files; what is wrong with this one is said in its own words. */
	if (container_parse(NULL, file, bytes, size, &container) < 0)
		return raise_bad(d, file, "is no 64-bit relocatable ELF file, or it is damaged");
	r = read_sections(d, file, &container, &kmod);
	container_deinit(&container);
	if (r < 0)
		return r;
	kmod.bytes = malloc(size);
	if (!kmod.bytes)
		return diag_oom(d);
	memcpy(kmod.bytes, bytes, size);
	if (kmod.note)
		kmod.note = kmod.bytes + (kmod.note - bytes);
	kmod.size = size;
	*ret = kmod;
	kmod = (struct kmod){};
	return 0;
}

void kmod_deinit(struct kmod *kmod)
{
	free(kmod->name);
	free(kmod->vermagic);
	free(kmod->release);
	free(kmod->bytes);
	*kmod = (struct kmod){};
}
