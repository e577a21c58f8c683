/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fixture.h"

#include <fcntl.h>
#include <ftw.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static const char *from_environment(const char *name)
{
	const char *value = getenv(name);

	if (!value)
		fail_msg("%s is not set: run this through meson", name);
	return value;
}

static char *join_path(const char *dir, const char *name)
{
	char *path;

	assert_true(asprintf(&path, "%s/%s", dir, name) > 0);
	return path;
}

static char *read_all(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = NULL;
	size_t size = 0;

	if (!f)
		fail_msg("cannot open %s", path);
	if (getdelim(&text, &size, '\0', f) < 0) {
		free(text);
		text = strdup("");
	}
	assert_non_null(text);
	assert_int_equal(fclose(f), 0);
	return text;
}

char *cli_read_tree(const char *path)
{
	char *full = join_path(from_environment("UPATCH_SOURCE_ROOT"), path);
	char *text = read_all(full);

	free(full);
	return text;
}

/* --- lifecycle ------------------------------------------------------------------------------- */

int cli_setup(void **state)
{
	struct cli *cli = calloc(1, sizeof(*cli));
	const char *tmp = getenv("TMPDIR");

	assert_non_null(cli);
	snprintf(cli->dir, sizeof(cli->dir), "%s/upatch-cli-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(cli->dir));
	*state = cli;
	return 0;
}

static void forget(struct cli *cli)
{
	free(cli->out);
	free(cli->err);
	json_object_put(cli->json);
	cli->out = NULL;
	cli->err = NULL;
	cli->json = NULL;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

int cli_teardown(void **state)
{
	struct cli *cli = *state;

	assert_int_equal(nftw(cli->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
	forget(cli);
	free(cli);
	return 0;
}

/* --- running --------------------------------------------------------------------------------- */

static void spawn_and_wait(struct cli *cli, const char *const *argv)
{
	posix_spawn_file_actions_t actions;
	int flags = O_WRONLY | O_CREAT | O_TRUNC;
	int status;
	pid_t pid;

	assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
	assert_int_equal(posix_spawn_file_actions_addchdir_np(&actions, cli->dir), 0);
	assert_int_equal(posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0),
			 0);
	assert_int_equal(posix_spawn_file_actions_addopen(&actions, 1, "stdout", flags, 0600), 0);
	assert_int_equal(posix_spawn_file_actions_addopen(&actions, 2, "stderr", flags, 0600), 0);
	assert_int_equal(posix_spawn(&pid, from_environment("UPATCHCTL"), &actions, NULL,
				     (char *const *)argv, environ),
			 0);
	assert_int_equal(posix_spawn_file_actions_destroy(&actions), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	cli->status = WEXITSTATUS(status);
}

static char *read_output(struct cli *cli, const char *name)
{
	char *path = join_path(cli->dir, name);
	char *text = read_all(path);

	free(path);
	return text;
}

void cli_run(struct cli *cli, const char *const *argv)
{
	forget(cli);
	spawn_and_wait(cli, argv);
	cli->out = read_output(cli, "stdout");
	cli->err = read_output(cli, "stderr");
	for (; *argv; argv++) {
		if (strcmp(*argv, "--json") != 0)
			continue;
		cli->json = json_tokener_parse(cli->out);
		if (!cli->json)
			fail_msg("this is not JSON: %s", cli->out);
		assert_int_equal(json_object_get_int(json_at(cli->json, "exit")), cli->status);
	}
}

void cli_write(struct cli *cli, const char *name, const char *content)
{
	char *path = join_path(cli->dir, name);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(content, f) >= 0);
	assert_int_equal(fclose(f), 0);
	free(path);
}

void cli_write_source(struct cli *cli)
{
	cli_write(cli, "fix.c",
		  "#include <upatch/livepatch.h>\n"
		  "UPATCH_OBJECT(\"program\");\n"
		  "extern int hits UPATCH_PRIVATE(\"hits\", 0);\n"
		  "static int new_answer(int x) { return x + ++hits; }\n"
		  "UPATCH_FUNC(answer, new_answer);\n");
}

static char *object_option(void)
{
	char *option;

	assert_true(asprintf(&option, "--object=program=%s", from_environment("PROGRAM")) > 0);
	return option;
}

void cli_build_patch(struct cli *cli)
{
	char *object = object_option();

	cli_write_source(cli);
	run(cli, "build", "--json", "--source", "fix.c", object, "--patch-version", "1.2",
	    "--description", "answers more", "--cve", "CVE-2026-0001", "--cve", "CVE-2026-0002",
	    "--replace");
	free(object);
	if (cli->status != UPATCH_EXIT_DONE)
		fail_msg("the patch cannot be built: %s", cli->out);
}

/* --- what came out --------------------------------------------------------------------------- */

void assert_exit(const struct cli *cli, enum upatch_exit status)
{
	if (cli->status != (int)status)
		fail_msg("exit status %d, not %d; stderr: %s, stdout: %s", cli->status, status,
			 cli->err, cli->out);
}

void assert_contains(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("'%s' is not in: %s", part, text);
}

void assert_lacks(const char *text, const char *part)
{
	if (strstr(text, part))
		fail_msg("'%s' is in: %s", part, text);
}

void assert_json_reason(const struct cli *cli, const char *reason)
{
	assert_non_null(cli->json);
	assert_int_equal(json_object_array_length(json_at(cli->json, "errors")), 1);
	assert_string_equal(json_string_at(cli->json, "errors.0.reason"), reason);
	assert_string_equal(cli->err, "");
}

void assert_text_reason(const struct cli *cli, const char *reason)
{
	char *tag;

	assert_null(cli->json);
	assert_true(asprintf(&tag, " [%s]\n", reason) > 0);
	assert_contains(cli->err, tag);
	assert_contains(cli->err, "\nhint: ");
	free(tag);
}

struct json_object *json_at(struct json_object *json, const char *path)
{
	char *copy = strdup(path);
	char *rest = copy;
	char *step;

	assert_non_null(copy);
	while ((step = strsep(&rest, "."))) {
		struct json_object *next = NULL;

		if (json_object_is_type(json, json_type_array))
			next = json_object_array_get_idx(json, strtoul(step, NULL, 10));
		else if (!json_object_object_get_ex(json, step, &next))
			fail_msg("no '%s' of '%s'", step, path);
		json = next;
	}
	free(copy);
	return json;
}

const char *json_string_at(struct json_object *json, const char *path)
{
	struct json_object *value = json_at(json, path);

	if (!json_object_is_type(value, json_type_string))
		fail_msg("'%s' is no string", path);
	return json_object_get_string(value);
}

void assert_keys(struct json_object *object, const char *keys)
{
	char *copy = strdup(keys);
	char *rest = copy;
	char *key;
	int nr = 0;

	assert_non_null(copy);
	assert_true(json_object_is_type(object, json_type_object));
	while ((key = strsep(&rest, " "))) {
		nr++;
		if (!json_object_object_get_ex(object, key, NULL))
			fail_msg("no '%s' in %s", key, json_object_to_json_string(object));
	}
	free(copy);
	if (json_object_object_length(object) != nr)
		fail_msg("not only '%s' in %s", keys, json_object_to_json_string(object));
}

/* --- the verbs, from the tool's own help ----------------------------------------------------- */

void for_each_verb(struct cli *cli, word_fn fn, void *userdata)
{
	char *help, *rest, *line;
	char verb[32];

	run(cli, "--help");
	assert_exit(cli, UPATCH_EXIT_DONE);
	help = strdup(cli->out);
	assert_non_null(help);
	rest = strstr(help, "\nVerbs");
	assert_non_null(rest);
	rest++;
	(void)strsep(&rest, "\n"); /* the heading */
	while ((line = strsep(&rest, "\n")) && sscanf(line, "  %31[a-z]", verb) == 1)
		fn(verb, userdata);
	free(help);
}

struct option_walk {
	struct cli *cli;
	word_fn fn;
	void *userdata;
};

/* Of the last run's help: in each line that begins with blanks, the first word with two dashes. */
static void walk_options(const struct option_walk *walk)
{
	char *help = strdup(walk->cli->out);
	char *rest = help;
	char *line;

	assert_non_null(help);
	while ((line = strsep(&rest, "\n"))) {
		char *option = *line == ' ' ? strstr(line, "--") : NULL;

		if (!option)
			continue;
		option[strcspn(option, " [")] = 0; /* "--wait[=SECONDS]" */
		walk->fn(option, walk->userdata);
	}
	free(help);
}

static void walk_verb(const char *verb, void *userdata)
{
	const struct option_walk *walk = userdata;

	run(walk->cli, verb, "--help");
	assert_exit(walk->cli, UPATCH_EXIT_DONE);
	walk_options(walk);
}

void for_each_option(struct cli *cli, word_fn fn, void *userdata)
{
	struct option_walk walk = { .cli = cli, .fn = fn, .userdata = userdata };

	run(cli, "--help");
	walk_options(&walk);
	for_each_verb(cli, walk_verb, &walk);
}
