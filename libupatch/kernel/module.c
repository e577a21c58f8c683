/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernel/module.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/diag.h"
#include "kernel/kernel.h"
#include "kernel/klp.h"
#include "patchfile/kmod.h"

/* What scripts/sign-file puts at the end of a module. */
static const char signature_mark[] = "~Module signature appended~\n";

/* --- what stands in the way ------------------------------------------------------------------- */

static bool is_signed(const struct kmod *kmod)
{
	const size_t len = sizeof(signature_mark) - 1;

	return kmod->size > len && memcmp(kmod->bytes + kmod->size - len, signature_mark, len) == 0;
}

/* "none [integrity] confidentiality": the one in brackets holds. */
static bool is_locked_down(const struct kernel *kernel)
{
	char text[KERNEL_TEXT_MAX];

	return kernel_read(kernel->sysfs, "kernel/security/lockdown", text, sizeof(text)) >= 0 &&
	       strchr(text, '[') && !strstr(text, "[none]");
}

static bool has_to_be_signed(const struct kernel *kernel)
{
	char text[KERNEL_TEXT_MAX];

	return kernel_read(kernel->sysfs, "module/module/parameters/sig_enforce", text,
			   sizeof(text)) >= 0 &&
	       text[0] == 'Y';
}

static bool is_ftrace_off(const struct kernel *kernel)
{
	int enabled;

	return kernel_read_number(kernel->proc, "sys/kernel/ftrace_enabled", &enabled) >= 0 &&
	       !enabled;
}

/* kernel.modules_disabled, which nobody can take back until the next boot. */
static bool is_loading_off(const struct kernel *kernel)
{
	int disabled;

	return kernel_read_number(kernel->proc, "sys/kernel/modules_disabled", &disabled) >= 0 &&
	       disabled;
}

static int raise_loading_off(const struct kernel *kernel)
{
	return diag_err(kernel->diag, -EPERM, UPATCH_E_KERNEL_REFUSED, NULL,
			"the sysctl kernel.modules_disabled is set: no module can be loaded or "
			"unloaded until the next boot");
}

static int raise_foreign(const struct kernel *kernel, const char *what)
{
	return diag_err(kernel->diag, -EOPNOTSUPP, UPATCH_E_UNSUPPORTED, NULL,
			"cannot %s modules: '%s' is not this machine's own sysfs", what,
			kernel->sysfs);
}

static int raise_permission(const struct kernel *kernel, const char *what)
{
	return diag_err(kernel->diag, -EPERM, UPATCH_E_PERMISSION, NULL,
			"not allowed to %s modules: it takes CAP_SYS_MODULE", what);
}

static int raise_lockdown(const struct kernel *kernel)
{
	return diag_err(kernel->diag, -EPERM, UPATCH_E_LOCKDOWN, NULL,
			"the kernel is locked down and the module is not signed");
}

static int raise_ftrace(const struct kernel *kernel)
{
	return diag_err(kernel->diag, -EBUSY, UPATCH_E_FTRACE_DISABLED, NULL,
			"ftrace, which livepatching works with, is switched off");
}

static int check_release(const struct kernel *kernel, const struct kmod *kmod)
{
	char release[KMOD_RELEASE_MAX + 2];
	int r;

	r = kernel->ops->release(kernel->userdata, release, sizeof(release));
	if (r < 0)
		return diag_err(kernel->diag, r, UPATCH_E_IO, NULL,
				"cannot tell the running kernel's release: %s", strerror(-r));
	if (strcmp(release, kmod->release) == 0)
		return 0;
	return diag_err(kernel->diag, -ENOEXEC, UPATCH_E_KERNEL_RELEASE, NULL,
			"the module is for kernel %s, %s is running", kmod->release, release);
}

int module_check_permission(const struct kernel *kernel)
{
	switch (kernel->ops->may_load(kernel->userdata)) {
	case -EOPNOTSUPP:
		return raise_foreign(kernel, "load");
	case -EPERM:
		return is_loading_off(kernel) ? raise_loading_off(kernel)
					      : raise_permission(kernel, "load");
	}
	return is_loading_off(kernel) ? raise_loading_off(kernel) : 0;
}

int module_check(const struct kernel *kernel, const struct kmod *kmod)
{
	int r;

	r = klp_has(kernel);
	if (r >= 0)
		r = check_release(kernel, kmod);
	if (r >= 0)
		r = module_check_permission(kernel);
	if (r < 0)
		return r;
	if (!is_signed(kmod) && is_locked_down(kernel))
		return raise_lockdown(kernel);
	if (!is_signed(kmod) && has_to_be_signed(kernel))
		return diag_err(kernel->diag, -EKEYREJECTED, UPATCH_E_MODULE_SIGNATURE, NULL,
				"the kernel takes signed modules only, and the module is not");
	if (is_ftrace_off(kernel))
		return raise_ftrace(kernel);
	return klp_check_free(kernel, kmod->name);
}

int module_check_name(const struct kernel *kernel, const char *name)
{
	int refcnt;

	if (!module_is_loaded(kernel, name))
		return 0;
	if (!klp_is_left_behind(kernel, name))
		return diag_err(kernel->diag, -EEXIST, UPATCH_E_EXISTS, NULL,
				"a kernel module of that name is loaded, and is no livepatch");
	refcnt = module_refcnt(kernel, name);
	if (refcnt <= 0)
		return 0;
	return diag_err(kernel->diag, -EBUSY, UPATCH_E_KERNEL_IN_USE, NULL,
			"the patch is disabled, its module still has %d users and cannot make room",
			refcnt);
}

/* --- loading and unloading -------------------------------------------------------------------- */

static int raise_refused(const struct kernel *kernel, const char *what, int error)
{
	if (error == -EOPNOTSUPP)
		return raise_foreign(kernel, what);
	return diag_err(kernel->diag, error, UPATCH_E_KERNEL_REFUSED, NULL,
			"the kernel refuses to %s the module: %s", what, strerror(-error));
}

static int raise_load_permission(const struct kernel *kernel, const struct kmod *kmod, int error)
{
	int r;

	r = module_check_permission(kernel);
	if (r < 0)
		return r;
	if (!is_signed(kmod) && is_locked_down(kernel))
		return raise_lockdown(kernel);
	/* We may, and the module may be good: it is about where it comes from. */
	return diag_err(kernel->diag, error, UPATCH_E_KERNEL_REFUSED, NULL,
			"a security module of the kernel (such as LoadPin or IMA) does not let the "
			"module be loaded: %s",
			strerror(-error));
}

/* One errno has several causes: look which of them holds. */
static int raise_load(const struct kernel *kernel, const struct kmod *kmod, int error)
{
	int r;

	switch (error) {
	case -EPERM:
	case -EACCES:
		return raise_load_permission(kernel, kmod, error);
	case -EKEYREJECTED:
	case -ENOKEY:
	case -EBADMSG:
	case -ENOPKG:
		return diag_err(kernel->diag, error, UPATCH_E_MODULE_SIGNATURE, NULL,
				"the kernel does not accept the module's signature: %s",
				strerror(-error));
	case -ENOEXEC:
		r = check_release(kernel, kmod);
		if (r < 0)
			return r;
		return diag_err(kernel->diag, error, UPATCH_E_KERNEL_REFUSED, NULL,
				"the kernel does not take the module, built for '%s': its format, "
				"or what it was built with, is not this kernel's",
				kmod->vermagic);
	case -EEXIST:
		return diag_err(kernel->diag, error, UPATCH_E_EXISTS, NULL,
				"a kernel module of that name is loaded");
	case -EBUSY:
		if (is_ftrace_off(kernel))
			return raise_ftrace(kernel);
		r = klp_check_free(kernel, kmod->name);
		return r < 0 ? r : raise_refused(kernel, "load", error);
	}
	return raise_refused(kernel, "load", error);
}

int module_load(const struct kernel *kernel, const struct kmod *kmod)
{
	int r;

	r = kernel->ops->load(kernel->userdata, kmod->name, kmod->bytes, kmod->size);
	return r < 0 ? raise_load(kernel, kmod, r) : 0;
}

bool module_is_loaded(const struct kernel *kernel, const char *name)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "module/%s", name);
	return kernel_has(kernel->sysfs, path);
}

int module_refcnt(const struct kernel *kernel, const char *name)
{
	char path[PATH_MAX];
	int refcnt;

	(void)snprintf(path, sizeof(path), "module/%s/refcnt", name);
	return kernel_read_number(kernel->sysfs, path, &refcnt) < 0 ? -1 : refcnt;
}

int module_unload(const struct kernel *kernel, const char *name)
{
	int r;

	/* klp drops its reference some time after the directory has vanished. */
	do {
		if (!module_is_loaded(kernel, name))
			return 0; /* maybe somebody else has done it */
		r = module_refcnt(kernel, name) > 0 ? -EBUSY
						    : kernel->ops->unload(kernel->userdata, name);
	} while ((r == -EBUSY || r == -EAGAIN) && kernel_pause(kernel));
	switch (r) {
	case 0:
	case -ENOENT:
		return 0;
	case -EPERM:
		return raise_permission(kernel, "unload");
	case -EBUSY:
	case -EAGAIN:
		return diag_err(kernel->diag, r, UPATCH_E_KERNEL_IN_USE, NULL,
				"the patch is disabled, and its module still has %d users",
				module_refcnt(kernel, name));
	}
	return raise_refused(kernel, "unload", r);
}
