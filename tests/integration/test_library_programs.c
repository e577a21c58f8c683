/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

/*
 * Programs as Debian ships them that load plugins for real: the patch is applied first, the library is
 * loaded afterwards, and is another one from its first call on.
 */

static int setup(void **state)
{
	*state = fixture_start("python");
	return 0;
}

/* Where a library is, by the name that programs load it under. */
static const char *path_of(const char *soname)
{
	static char path[4096];
	void *handle = dlopen(soname, RTLD_LAZY);
	struct link_map *map;

	if (!handle)
		fail_msg("%s", dlerror());
	assert_int_equal(dlinfo(handle, RTLD_DI_LINKMAP, &map), 0);
	assert_non_null(realpath(map->l_name, path));
	dlclose(handle);
	return path;
}

/* A patch for one library of the system. */
static void apply(struct fixture *f, const char *soname, const char *source)
{
	const char *path = fixture_build_source(f->ctx, &(struct fixture_source){
								.dir = f->dir,
								.name = "p",
								.object = soname,
								.object_path = path_of(soname),
								.source = source,
							});
	struct upatch_patch *patch;

	if (!path || upatch_patch_open(f->ctx, path, &patch) < 0 ||
	    upatch_target_apply(f->target, patch, NULL, NULL) != 0)
		fail_msg("%s", upatch_ctx_error(f->ctx)->message);
	upatch_patch_close(patch);
}

static void test_python_imports_an_extension(void **state)
{
	struct fixture *f = *state;

	apply(f, "libsqlite3.so.0",
	      "static const char *new_version(void) { return \"9.8.7\"; }\n"
	      "UPATCH_FUNC(sqlite3_libversion, new_version);\n");
	/* The extension asks when it is initialised, and never again. */
	assert_answer(f, "sqlite", "9.8.7");
	fixture_revert(f, "p");
}

static void test_python_loads_and_unloads_a_library(void **state)
{
	struct fixture *f = *state;
	char original[64];

	assert_answer(f, "load libbz2.so.1.0", "ok");
	snprintf(original, sizeof(original), "%s",
		 fixture_ask(f, "call libbz2.so.1.0 BZ2_bzlibVersion"));
	assert_answer(f, "unload libbz2.so.1.0", "ok");
	apply(f, "libbz2.so.1.0",
	      "static const char *new_version(void) { return \"patched\"; }\n"
	      "UPATCH_FUNC(BZ2_bzlibVersion, new_version);\n");
	for (int i = 0; i < 20; i++) {
		assert_answer(f, "load libbz2.so.1.0", "ok");
		assert_answer(f, "call libbz2.so.1.0 BZ2_bzlibVersion", "patched");
		assert_answer(f, "unload libbz2.so.1.0", "ok");
	}
	fixture_revert(f, "p");
	assert_answer(f, "load libbz2.so.1.0", "ok");
	assert_answer(f, "call libbz2.so.1.0 BZ2_bzlibVersion", original);
}

/* As login(1) and sshd(8) do: glibc itself loads the module, when the first user is looked up. */
static void test_the_name_service_switch_loads_a_module(void **state)
{
	struct fixture *f = *state;

	apply(f, "libnss_systemd.so.2",
	      "#include <nss.h>\n"
	      "#include <pwd.h>\n"
	      "#include <string.h>\n"
	      "static enum nss_status new_getpwnam(const char *name, struct passwd *pw, char *buf,\n"
	      "				    size_t size, int *err)\n"
	      "{\n"
	      "	(void)err;\n"
	      "	if (strcmp(name, \"patched\") != 0 || size < 64)\n"
	      "		return NSS_STATUS_NOTFOUND;\n"
	      "	memcpy(buf, \"patched\\0/\\0\", 11);\n"
	      "	memset(pw, 0, sizeof(*pw));\n"
	      "	pw->pw_name = buf;\n"
	      "	pw->pw_uid = 4711;\n"
	      "	pw->pw_dir = pw->pw_shell = buf + 8;\n"
	      "	pw->pw_passwd = pw->pw_gecos = buf + 9;\n"
	      "	return NSS_STATUS_SUCCESS;\n"
	      "}\n"
	      "UPATCH_FUNC(_nss_systemd_getpwnam_r, new_getpwnam);\n");
	assert_answer(f, "user patched", "patched 4711");
	assert_answer(f, "user root", "root 0");
	assert_answer(f, "user nobody-at-all", "none");
	fixture_revert(f, "p");
	assert_answer(f, "user patched", "none");
}

#define test(fn) cmocka_unit_test_setup_teardown(fn, setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_python_imports_an_extension),
		test(test_python_loads_and_unloads_a_library),
		test(test_the_name_service_switch_loads_a_module),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
