/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/sysinfo.h>
#include <upatch/error.h>

#include "cleanup.h"
#include "failure.h"
#include "ini.h"

enum {
	WORKERS_MIN = 2, /* one is left to what the daemon does by itself */
	WORKERS_MAX = 256,
	DEADLINE_DEFAULT_S = 60,
	DEADLINE_MAX_S = 3600,
	RESCAN_DEFAULT_S = 5,
	RESCAN_MAX_S = 3600,
	PATCHES_MAX = 1024,
};

void config_init(struct config *config)
{
	/* More would compete for CPUs with each other, and with those whom they have stopped. */
	*config = (struct config){
		.workers = (unsigned int)MIN(MAX(get_nprocs(), WORKERS_MIN), WORKERS_MAX),
		.deadline_s = DEADLINE_DEFAULT_S,
		.rescan_s = RESCAN_DEFAULT_S,
	};
}

void config_deinit(struct config *config)
{
	for (size_t i = 0; i < config->nr_patches; i++) {
		free(config->patches[i].path);
		free(config->patches[i].source);
		rule_deinit(&config->patches[i].rule);
	}
	free(config->patches);
	rule_deinit(&config->opt_out);
	*config = (struct config){};
}

/* --- one file ---------------------------------------------------------------------------------- */

struct parsing {
	struct config *config;
	const char *file;
	struct config_patch *patch; /* of the section that is being read, or NULL */
};

static int refuse(struct failure *f, const struct ini_line *line, const char *what)
{
	return failure_set(f, -EINVAL, UPATCH_E_CONFIG, "%s: %s", line->where, what);
}

static int refuse_key(struct failure *f, const struct ini_line *line)
{
	return failure_set(f, -EINVAL, UPATCH_E_CONFIG, "%s: '%s' is no setting of [%s]",
			   line->where, line->key, line->section);
}

/* "ExcludeUnit" is what "exclude-unit" is on a command line. */
static int take_condition(const struct ini_line *line, struct rule *rule, struct failure *f)
{
	static const struct {
		const char *key;
		const char *spelled;
	} keys[] = {
		{ "Unit", "unit" },
		{ "Exe", "exe" },
		{ "Name", "name" },
		{ "User", "user" },
		{ "ExcludeUnit", "exclude-unit" },
		{ "ExcludeExe", "exclude-exe" },
		{ "ExcludeName", "exclude-name" },
		{ "ExcludeUser", "exclude-user" },
	};
	struct failure why = {};
	int r;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (strcmp(line->key, keys[i].key) != 0)
			continue;
		r = rule_add(rule, keys[i].spelled, line->value, &why);
		if (r < 0 && f)
			failure_set(f, r, UPATCH_E_CONFIG, "%s: %s", line->where,
				    why.error.message ? why.error.message : "out of memory");
		failure_clear(&why);
		return r;
	}
	return refuse_key(f, line);
}

static int take_number(const struct ini_line *line, unsigned int max, unsigned int *ret,
		       struct failure *f)
{
	unsigned long number;
	char *end;

	errno = 0;
	number = strtoul(line->value, &end, 10);
	if (errno || *end || *line->value < '0' || *line->value > '9' || !number || number > max)
		return failure_set(f, -EINVAL, UPATCH_E_CONFIG, "%s: %s: a number from 1 to %u",
				   line->where, line->key, max);
	*ret = (unsigned int)number;
	return 0;
}

static int take_daemon_line(struct config *config, const struct ini_line *line, struct failure *f)
{
	if (strcmp(line->key, "Workers") == 0)
		return take_number(line, WORKERS_MAX, &config->workers, f);
	if (strcmp(line->key, "DeadlineSec") == 0)
		return take_number(line, DEADLINE_MAX_S, &config->deadline_s, f);
	if (strcmp(line->key, "RescanSec") == 0)
		return take_number(line, RESCAN_MAX_S, &config->rescan_s, f);
	if (strcmp(line->key, "Watch") == 0) {
		config->is_rescanning = strcmp(line->value, "rescan") == 0;
		return config->is_rescanning || strcmp(line->value, "events") == 0
			       ? 0
			       : refuse(f, line, "Watch: events or rescan");
	}
	return refuse_key(f, line);
}

static int take_path(struct parsing *parsing, const struct ini_line *line, struct failure *f)
{
	const char *slash = strrchr(parsing->file, '/');
	int folder = slash && *line->value != '/' ? (int)(slash - parsing->file + 1) : 0;

	if (parsing->patch->path || !*line->value)
		return refuse(f, line, "one File for each [Patch]");
	if (asprintf(&parsing->patch->path, "%.*s%s", folder, parsing->file, line->value) < 0) {
		parsing->patch->path = NULL;
		return failure_oom(f);
	}
	return 0;
}

static int begin_patch(struct parsing *parsing, const struct ini_line *line, struct failure *f)
{
	struct config *config = parsing->config;
	struct config_patch *patches;

	if (config->nr_patches >= PATCHES_MAX)
		return refuse(f, line, "too many patches");
	patches = reallocarray(config->patches, config->nr_patches + 1, sizeof(*patches));
	if (!patches)
		return failure_oom(f);
	config->patches = patches;
	parsing->patch = &patches[config->nr_patches++];
	*parsing->patch = (struct config_patch){ .source = strdup(parsing->file) };
	return parsing->patch->source ? 0 : failure_oom(f);
}

static int end_patch(struct parsing *parsing, const char *where, struct failure *f)
{
	const struct config_patch *patch = parsing->patch;

	parsing->patch = NULL;
	if (patch && !patch->path)
		return failure_set(f, -EINVAL, UPATCH_E_CONFIG, "%s: a [Patch] without File",
				   where);
	return 0;
}

static int take_line(void *userdata, const struct ini_line *line, struct failure *f)
{
	struct parsing *parsing = userdata;
	int r;

	if (!line->key) {
		r = end_patch(parsing, line->where, f);
		if (r >= 0 && strcmp(line->section, "Patch") == 0)
			return begin_patch(parsing, line, f);
		if (r >= 0 && strcmp(line->section, "Daemon") != 0 &&
		    strcmp(line->section, "Exclude") != 0)
			return refuse(f, line, "sections are [Daemon], [Exclude] and [Patch]");
		return r;
	}
	if (strcmp(line->section, "Daemon") == 0)
		return take_daemon_line(parsing->config, line, f);
	if (strcmp(line->section, "Exclude") == 0)
		return take_condition(line, &parsing->config->opt_out, f);
	if (strcmp(line->key, "File") == 0)
		return take_path(parsing, line, f);
	return take_condition(line, &parsing->patch->rule, f);
}

int config_parse(const char *text, size_t size, const char *file, struct config *config,
		 struct failure *f)
{
	struct parsing parsing = { .config = config, .file = file };
	int r;

	r = ini_parse(text, size, file, take_line, &parsing, f);
	return r < 0 ? r : end_patch(&parsing, file, f);
}

/* --- all files --------------------------------------------------------------------------------- */

static int load_file(const char *path, struct config *config, struct failure *f)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	int r;

	r = ini_read(path, &text, &size, f);
	if (r == -ENOENT)
		return 0;
	return r < 0 ? r : config_parse(text, size, path, config, f);
}

static int is_drop_in(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return entry->d_name[0] != '.' && length > 5 &&
	       strcmp(entry->d_name + length - 5, ".conf") == 0;
}

static int load_drop_ins(const char *folder, struct config *config, struct failure *f)
{
	struct dirent **entries = NULL;
	int nr = scandir(folder, &entries, is_drop_in, alphasort);
	int r = 0;

	if (nr < 0 && errno != ENOENT)
		return failure_set(f, -errno, UPATCH_E_IO, "cannot read the folder '%s': %s",
				   folder, strerror(errno));
	for (int i = 0; i < nr; i++) {
		_cleanup_free_ char *path = NULL;

		if (r >= 0 && asprintf(&path, "%s/%s", folder, entries[i]->d_name) < 0)
			r = failure_oom(f);
		if (r >= 0)
			r = load_file(path, config, f);
		free(entries[i]);
	}
	free(entries);
	return r;
}

int config_load(const char *root, struct config *ret, struct failure *f)
{
	_cleanup_free_ char *file = NULL, *folder = NULL;
	struct config config;
	int r;

	config_init(&config);
	if (asprintf(&file, "%s/upatchd.conf", root) < 0 || asprintf(&folder, "%s.d", file) < 0)
		r = failure_oom(f);
	else
		r = load_file(file, &config, f);
	if (r >= 0)
		r = load_drop_ins(folder, &config, f);
	if (r < 0)
		config_deinit(&config);
	else
		*ret = config;
	return r;
}
