/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CLI_FIXTURE_H
#define CLI_FIXTURE_H

/*
 * Runs upatchctl as a user would, in a directory of its own, and looks at what comes out. Whatever
 * must hold for a test to make sense is asserted inside.
 */

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <json.h>
#include <sys/types.h>
#include <upatch/error.h>

/* No process has it: beyond the kernel's greatest PID, 2^22. */
#define NO_SUCH_PID "99999999"

/*
 * @status: of the last run, as are @out, @err and @json
 * @json:   what --json printed, NULL without it
 */
struct cli {
	char dir[PATH_MAX];
	int status;
	char *out;
	char *err;
	struct json_object *json;
};

int cli_setup(void **state);
int cli_teardown(void **state);

/* run(cli, "status", "--json"); each run forgets the one before. */
#define run(cli, ...) cli_run((cli), (const char *const[]){ "upatchctl", __VA_ARGS__, NULL })
void cli_run(struct cli *cli, const char *const *argv);

/* A file in the directory, which is also where upatchctl runs. */
void cli_write(struct cli *cli, const char *name, const char *content);

/* Source of a patch for the program, and the patch file "fix.upatch" made from it. */
void cli_write_source(struct cli *cli);
void cli_build_patch(struct cli *cli);

/* What is there in the source tree; a new string. */
char *cli_read_tree(const char *path);

/* --- what came out --------------------------------------------------------------------------- */

void assert_exit(const struct cli *cli, enum upatch_exit status);
void assert_contains(const char *text, const char *part);
void assert_lacks(const char *text, const char *part);

/* --json printed exactly this one error, and nothing on stderr; in text, this one on stderr. */
void assert_json_reason(const struct cli *cli, const char *reason);
void assert_text_reason(const struct cli *cli, const char *reason);

/* Follow a path such as "results.0.state", through objects and arrays; fails where it ends. */
struct json_object *json_at(struct json_object *json, const char *path);
const char *json_string_at(struct json_object *json, const char *path);

/* All of these keys, separated by blanks, are there, and no others. */
void assert_keys(struct json_object *object, const char *keys);

/* --- the verbs, from the tool's own help ----------------------------------------------------- */

typedef void (*word_fn)(const char *word, void *userdata);

void for_each_verb(struct cli *cli, word_fn fn, void *userdata);

/* Long options, with their dashes, of all verbs and the global ones. */
void for_each_option(struct cli *cli, word_fn fn, void *userdata);

#endif
