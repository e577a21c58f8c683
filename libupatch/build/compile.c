/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "build/compile.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <upatch/upatch.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "build/command.h"

/*
 * How replacements are compiled:
 * PIC			any symbol may be far away, or chosen by the dynamic linker
 * no-common		a variable must have a place
 * asynchronous tables	every instruction of the payload must be unwindable
 * cf-protection	slots jump to replacements indirectly
 * no-stack-protector	is not said: what the target's authors wanted is their flags' business
 */
static const char *const base_flags[] = {
	"-c",
	"-O2",
	"-fPIC",
	"-fno-common",
	"-fasynchronous-unwind-tables",
	"-fcf-protection=branch",
	"-ffunction-sections",
	"-fdata-sections",
};

/*
 * What C compilers took for ages, and what C++ never did: a function that is not declared is called as if
 * it returned an int, which cuts pointers in half.
 */
static const char *const c_flags[] = {
	"-Werror=implicit-function-declaration",
	"-Werror=int-conversion",
};

static bool is_cxx(const char *source)
{
	static const char *const suffixes[] = { ".cc", ".cpp", ".cxx", ".C" };
	const char *dot = strrchr(source, '.');

	for (size_t i = 0; dot && i < ARRAY_SIZE(suffixes); i++)
		if (strcmp(dot, suffixes[i]) == 0)
			return true;
	return false;
}

static const char *compiler_for(const struct upatch_build_options *opts, const char *source)
{
	const char *env = getenv(is_cxx(source) ? "CXX" : "CC");

	if (opts->compiler)
		return opts->compiler;
	if (env && *env)
		return env;
	return is_cxx(source) ? "c++" : "cc";
}

int compile_source(struct diag *d, const struct upatch_build_options *opts, const char *source,
		   const char *output)
{
	const char *dir = getenv("UPATCH_INCLUDEDIR");
	_cleanup_free_ const char **argv = NULL;
	_cleanup_free_ char *include = NULL;
	_cleanup_free_ char *map = NULL;
	char cwd[PATH_MAX];
	size_t nr = 0, nr_cflags = 0;

	while (opts->cflags && opts->cflags[nr_cflags])
		nr_cflags++;
	argv = calloc(ARRAY_SIZE(base_flags) + ARRAY_SIZE(c_flags) + nr_cflags + 8, sizeof(*argv));
	if (!argv || asprintf(&include, "-I%s", dir && *dir ? dir : UPATCH_INCLUDEDIR) < 0)
		return diag_oom(d);
	/* Same input, same output, wherever it is built. */
	if (getcwd(cwd, sizeof(cwd)) && asprintf(&map, "-ffile-prefix-map=%s=.", cwd) < 0)
		return diag_oom(d);
	argv[nr++] = compiler_for(opts, source);
	for (size_t i = 0; i < ARRAY_SIZE(base_flags); i++)
		argv[nr++] = base_flags[i];
	for (size_t i = 0; !is_cxx(source) && i < ARRAY_SIZE(c_flags); i++)
		argv[nr++] = c_flags[i];
	argv[nr++] = include;
	if (map)
		argv[nr++] = map;
	for (size_t i = 0; i < nr_cflags; i++)
		argv[nr++] = opts->cflags[i];
	argv[nr++] = "-o";
	argv[nr++] = output;
	argv[nr++] = source;
	return command_run(d, argv);
}

int compile_join(struct diag *d, char *const *objects, size_t nr, const char *output)
{
	_cleanup_free_ const char **argv = calloc(nr + 5, sizeof(*argv));
	size_t n = 0;

	if (!argv)
		return diag_oom(d);
	argv[n++] = "ld";
	argv[n++] = "-r";
	argv[n++] = "-o";
	argv[n++] = output;
	for (size_t i = 0; i < nr; i++)
		argv[n++] = objects[i];
	return command_run(d, argv);
}
