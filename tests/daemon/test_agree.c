/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The same words, whoever is asked: upatchctl itself, upatchctl through upatchd, and busctl. */
#include "schema.h"
#include "world.h"

#include <ctype.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <upatch/bus.h>

static int setup(void **state)
{
	struct world *w = world_new();

	session_start_on_bus(w->session);
	w->pid = session_spawn(w->session, getenv("HOLDER"));
	snprintf(w->pid_text, sizeof(w->pid_text), "%d", (int)w->pid);
	*state = w;
	return 0;
}

/* Without the fields that tell of one run only. */
static struct json_object *copy_of(struct json_object *json)
{
	static const char *const varying[] = { "longest_pause_ms", "wall_ms", "stops", "threads" };
	struct json_object *copy = NULL;
	struct json_object *results;

	assert_int_equal(json_object_deep_copy(json, &copy, NULL), 0);
	results = json_object_object_get(copy, "results");
	for (size_t i = 0; results && i < sizeof(varying) / sizeof(varying[0]); i++)
		json_object_object_del(json_object_array_get_idx(results, 0), varying[i]);
	return copy;
}

/* Takes over both. */
static void assert_json_equal(struct json_object *a, struct json_object *b)
{
	if (!json_object_equal(a, b)) {
		/* They may be long. */
		fprintf(stderr, "# this: %s\n# that: %s\n", json_object_to_json_string(a),
			json_object_to_json_string(b));
		fail_msg("not the same");
	}
	json_object_put(a);
	json_object_put(b);
}

/* What upatchctl says by itself is what it says when the daemon was asked. */
#define assert_agree(w, expected, ...)                                                             \
	do {                                                                                       \
		struct json_object *_direct;                                                       \
		run((w)->cli, __VA_ARGS__, "--json");                                              \
		assert_json_reason((w)->cli, (expected));                                          \
		_direct = copy_of((w)->cli->json);                                                 \
		by_daemon(w, __VA_ARGS__);                                                         \
		assert_json_reason((w)->cli, (expected));                                          \
		assert_json_equal(_direct, copy_of((w)->cli->json));                               \
	} while (0)

/* --- names ----------------------------------------------------------------------------------- */

static void test_each_reason_has_an_error_name_of_its_own(void **state)
{
	for (int i = UPATCH_E_NONE + 1; i < (int)UPATCH_E_COUNT; i++) {
		sd_bus_error error = SD_BUS_ERROR_NULL;
		char name[UPATCH_BUS_ERROR_MAX];

		upatch_bus_error_name((enum upatch_reason)i, name);
		assert_int_equal(upatch_bus_error_reason(name), i);
		/* -EINVAL is what sd-bus has for names that are none. */
		(void)sd_bus_error_set(&error, name, "text");
		assert_string_equal(error.name, name);
		sd_bus_error_free(&error);
	}
	assert_int_equal(upatch_bus_error_reason("org.freedesktop.DBus.Error.Failed"),
			 UPATCH_E_NONE);
}

/* --- refusals -------------------------------------------------------------------------------- */

static void test_refusals_are_the_same_directly_and_by_the_daemon(void **state)
{
	struct world *w = *state;

	world_build(w, "fix");
	assert_agree(w, "no-process", "revert", "-p", NO_SUCH_PID, "fix");
	assert_agree(w, "no-process", "status", "-p", NO_SUCH_PID);
	assert_agree(w, "no-process", "threads", "-p", NO_SUCH_PID);
	assert_agree(w, "no-process", "check", "-p", NO_SUCH_PID, "fix.upatch");
	assert_agree(w, "not-applied", "revert", "-p", w->pid_text, "fix");
	assert_agree(w, "no-transition", "force", "--yes", "-p", w->pid_text);
	run(w->cli, "apply", "-p", w->pid_text, "fix.upatch");
	assert_exit(w->cli, UPATCH_EXIT_DONE);
	assert_agree(w, "exists", "apply", "-p", w->pid_text, "fix.upatch");
}

/* The error's name, its text and its report name the same reason. */
static void test_error_on_the_bus_has_name_text_and_report(void **state)
{
	struct world *w = *state;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	char *text;

	assert_true(sd_bus_call_method(session_client(w->session), UPATCH_BUS_NAME, UPATCH_BUS_PATH,
				       UPATCH_BUS_INTERFACE, "Revert", &error, NULL, "usa{sv}",
				       (uint32_t)w->pid, "fix", 0) < 0);
	assert_string_equal(error.name, "org.upatch.Error.NotApplied");
	by_daemon(w, "revert", "-p", w->pid_text, "fix");
	assert_json_reason(w->cli, "not-applied");
	assert_true(asprintf(&text, "process %s (cli-holder): %s [not-applied]", w->pid_text,
			     json_string_at(w->cli->json, "errors.0.message")) > 0);
	assert_string_equal(error.message, text);
	free(text);
	sd_bus_error_free(&error);
}

static void test_without_a_daemon_the_socket_is_named(void **state)
{
	struct world *w = *state;

	run(w->cli, "list", "--json", "--socket", "nowhere");
	assert_json_reason(w->cli, "no-daemon");
	assert_contains(json_string_at(w->cli->json, "errors.0.message"), "nowhere");
}

/* As a user who may do little: what does upatchctl print? */
static struct json_object *ask_as_nobody(struct world *w, const char *arguments)
{
	struct json_object *json;
	char command[512];
	char *text = NULL;
	size_t size = 0;
	FILE *f;

	snprintf(command, sizeof(command),
		 "UPATCH_SOCKET='%s' setpriv --reuid=65534 --regid=65534 --clear-groups '%s' "
		 "--json %s",
		 w->session->socket, getenv("UPATCHCTL"), arguments);
	f = popen(command, "re");
	assert_non_null(f);
	assert_true(getdelim(&text, &size, '\0', f) > 0);
	(void)pclose(f); /* its exit status is in the report, too */
	json = json_tokener_parse(text);
	if (!json)
		fail_msg("this is not JSON: %s", text);
	free(text);
	return json;
}

/* The kernel says no, the daemon is asked, and has a reason of its own; without it: permission. */
static void test_daemon_is_asked_where_rights_are_missing(void **state)
{
	struct world *w = *state;
	struct json_object *json;
	char arguments[64];

	snprintf(arguments, sizeof(arguments), "threads -p %s", w->pid_text);
	json = ask_as_nobody(w, arguments);
	assert_string_equal(json_string_at(json, "errors.0.reason"), "denied");
	assert_int_equal(json_object_get_int(json_at(json, "exit")), UPATCH_EXIT_REFUSED);
	json_object_put(json);
	json = ask_as_nobody(w, "status");
	assert_true(json_object_get_int(json_at(json, "host.known")) > 0);
	json_object_put(json);

	session_stop(w->session);
	(void)unlink(w->session->socket); /* systemd would listen on */
	json = ask_as_nobody(w, arguments);
	assert_string_equal(json_string_at(json, "errors.0.reason"), "permission");
	json_object_put(json);
}

/* --- every verb ------------------------------------------------------------------------------ */

/*
 * Two processes that are treated alike, one by upatchctl itself, the other one by upatchd: what is said of
 * them must be the same in each word and each state. Numbers that differ are those of one run.
 */
struct twins {
	struct world *w;
	pid_t direct;
	pid_t by_daemon;
	bool is_text; /* without --json */
};

enum {
	ARGS_MAX = 16,
};

/* What begins with a digit, and is no part of a word, is "N"; runs of blanks are one. */
static char *words_of(const char *text)
{
	char *words = malloc(strlen(text) + 1), *to = words;

	assert_non_null(words);
	for (const char *at = text; *at;) {
		const bool is_first = at == text || !isalnum((unsigned char)at[-1]);

		if (is_first && isdigit((unsigned char)*at)) {
			while (isalnum((unsigned char)*at) || (*at == '.' && isdigit(at[1])))
				at++;
			*to++ = 'N';
		} else if (*at == ' ' && at[1] == ' ') {
			at++;
		} else {
			*to++ = *at++;
		}
	}
	*to = '\0';
	return words;
}

static bool is_varying(const char *key)
{
	static const char *const keys[] = { "pid",   "tid",	"longest_pause_ms", "wall_ms",
					    "stops", "threads", "blocked" };

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strcmp(keys[i], key) == 0)
			return true;
	return false;
}

/* A copy with the words of all strings, and without the stacks of who was forced, which are documented to differ. */
static struct json_object *words_of_json(struct json_object *json, const char *key)
{
	struct json_object *copy;
	char *words;

	switch (json_object_get_type(json)) {
	case json_type_object:
		copy = json_object_new_object();
		json_object_object_foreach(json, name, value)
			json_object_object_add(copy, name, words_of_json(value, name));
		return copy;
	case json_type_array:
		copy = json_object_new_array();
		for (size_t i = 0; i < json_object_array_length(json); i++) {
			struct json_object *item =
				words_of_json(json_object_array_get_idx(json, i), key);

			if (strcmp(key, "forced") == 0)
				json_object_object_del(item, "frames");
			json_object_array_add(copy, item);
		}
		return copy;
	case json_type_string:
		words = words_of(json_object_get_string(json));
		copy = json_object_new_string(words);
		free(words);
		return copy;
	case json_type_int:
	case json_type_double:
		return is_varying(key) ? json_object_new_int(0) : json_object_get(json);
	default:
		return json_object_get(json);
	}
}

/* "@" is the PID. */
static void run_one(struct twins *t, const char *const *args, pid_t pid, const char *const *more)
{
	const char *argv[ARGS_MAX] = { "upatchctl" };
	char text[16];
	size_t nr = 1;

	snprintf(text, sizeof(text), "%d", (int)pid);
	for (; *args; args++)
		argv[nr++] = strcmp(*args, "@") == 0 ? text : *args;
	if (!t->is_text)
		argv[nr++] = "--json";
	for (; *more; more++)
		argv[nr++] = *more;
	assert_true(nr < ARGS_MAX);
	cli_run(t->w->cli, argv);
}

/* See words_of_json(). */
static void cut_stacks(char *words)
{
	char *at;

	while ((at = strstr(words, "\n #"))) {
		char *end = strchr(at + 1, '\n');

		memmove(at, end, strlen(end) + 1);
	}
}

static void assert_words(const char *verb, const char *direct, const char *by_daemon)
{
	char *a = words_of(direct), *b = words_of(by_daemon);

	if (strcmp(verb, "force") == 0) {
		cut_stacks(a);
		cut_stacks(b);
	}
	if (strcmp(a, b) != 0)
		fail_msg("%s: not the same: '%s' and, by the daemon, '%s'", verb, a, b);
	free(a);
	free(b);
}

/* The last one's result is what the daemon says. */
static void assert_alike(struct twins *t, enum upatch_exit expected, const char *const *args)
{
	struct cli *cli = t->w->cli;
	struct json_object *direct = NULL;
	char *out, *err;

	run_one(t, args, t->direct, (const char *const[]){ NULL });
	if (cli->status != (int)expected)
		fail_msg("%s: exit status %d, not %d: %s%s", args[0], cli->status, (int)expected,
			 cli->out, cli->err);
	out = strdup(cli->out);
	err = strdup(cli->err);
	if (!t->is_text)
		direct = words_of_json(cli->json, "");
	run_one(t, args, t->by_daemon,
		(const char *const[]){ "--socket", t->w->session->socket, NULL });
	assert_exit(cli, expected);
	if (t->is_text)
		assert_words(args[0], out, cli->out);
	else
		assert_json_equal(direct, words_of_json(cli->json, ""));
	assert_words(args[0], err, cli->err);
	free(out);
	free(err);
}

#define alike(t, expected, ...)                                                                    \
	assert_alike((t), UPATCH_EXIT_##expected, (const char *const[]){ __VA_ARGS__, NULL })

static void hold(struct twins *t)
{
	world_hold(t->w, t->direct);
	world_hold(t->w, t->by_daemon);
}

static void release(struct twins *t)
{
	world_release(t->w, t->direct);
	world_release(t->w, t->by_daemon);
}

/* All states that a patch can be in, by all verbs, and what they refuse. */
static void tell_story(struct twins *t)
{
	static const char *const pids[] = { "status", "threads", "wait", "gc" };

	/* nobody, and nothing */
	for (size_t i = 0; i < sizeof(pids) / sizeof(pids[0]); i++)
		alike(t, NOTHING, pids[i], "-p", NO_SUCH_PID);
	alike(t, NOTHING, "force", "--yes", "-p", NO_SUCH_PID);
	alike(t, NOTHING, "apply", "-p", NO_SUCH_PID, "fix.upatch");
	alike(t, NOTHING, "revert", "-p", NO_SUCH_PID, "fix");
	alike(t, NOTHING, "check", "-p", NO_SUCH_PID, "fix.upatch");
	alike(t, NOTHING, "revert", "-p", "@", "fix");
	alike(t, NOTHING, "force", "--yes", "-p", "@");
	alike(t, DONE, "wait", "-p", "@");
	alike(t, DONE, "gc", "-p", "@");
	alike(t, REFUSED, "apply", "-p", "@", "fix.c");
	/* a library that is not loaded */
	alike(t, DONE, "check", "-p", "@", "late.upatch");
	alike(t, DONE, "apply", "-p", "@", "late.upatch");
	alike(t, DONE, "status", "-p", "@");
	alike(t, DONE, "revert", "-p", "@", "late");
	/* there and back */
	alike(t, DONE, "check", "-p", "@", "fix.upatch");
	alike(t, DONE, "apply", "-p", "@", "fix.upatch");
	alike(t, REFUSED, "check", "-p", "@", "fix.upatch");
	alike(t, REFUSED, "apply", "-p", "@", "fix.upatch");
	alike(t, DONE, "status", "-p", "@");
	alike(t, DONE, "revert", "-p", "@", "fix");
	/* both sides: the module is for no kernel there is */
	alike(t, REFUSED, "check", "-p", "@", "pair.upatch");
	alike(t, DONE, "check", "--no-kernel", "-p", "@", "pair.upatch");
	alike(t, DONE, "apply", "--no-kernel", "-p", "@", "pair.upatch");
	alike(t, REFUSED, "check", "-p", "@", "pair.upatch");
	alike(t, REFUSED, "check", "--no-kernel", "-p", "@", "pair.upatch");
	alike(t, REFUSED, "apply", "-p", "@", "pair.upatch");
	alike(t, DONE, "revert", "-p", "@", "pair");
	/* held */
	hold(t);
	alike(t, PENDING, "check", "-p", "@", "fix.upatch");
	alike(t, PENDING, "apply", "--no-wait", "-p", "@", "fix.upatch");
	alike(t, PENDING, "apply", "--no-wait", "-p", "@", "fix.upatch");
	alike(t, REFUSED, "check", "-p", "@", "pair.upatch");
	alike(t, REFUSED, "apply", "--no-kernel", "-p", "@", "pair.upatch");
	alike(t, DONE, "status", "-p", "@");
	alike(t, DONE, "threads", "-p", "@");
	alike(t, DONE, "threads", "--backtrace", "-p", "@");
	alike(t, PENDING, "wait", "--wait=0", "-p", "@");
	alike(t, DONE, "revert", "-p", "@", "fix");
	alike(t, PENDING, "apply", "--wait=0", "-p", "@", "too.upatch");
	alike(t, DONE, "force", "--yes", "-p", "@");
	release(t);
	/* kept */
	hold(t);
	alike(t, PENDING, "revert", "--no-wait", "-p", "@", "too");
	alike(t, DONE, "force", "--yes", "-p", "@");
	alike(t, DONE, "status", "-p", "@");
	alike(t, DONE, "gc", "-p", "@");
	alike(t, REFUSED, "check", "-p", "@", "too.upatch");
	alike(t, REFUSED, "apply", "-p", "@", "too.upatch");
	release(t);
}

static struct twins twins_new(struct world *w, const char *program)
{
	return (struct twins){
		.w = w,
		.direct = session_spawn(w->session, program),
		.by_daemon = session_spawn(w->session, program),
	};
}

/* Everything that the story needs, for the holder. */
static void build_patches(struct world *w)
{
	char *module;

	world_build(w, "fix");
	cli_write(w->cli, "too.c",
		  "#include <unistd.h>\n"
		  "#include <upatch/livepatch.h>\n"
		  "UPATCH_OBJECT(\"cli-holder\");\n"
		  "static void new_hold(void)\n"
		  "{ char c = 0; while (c != '.') if (read(0, &c, 1) != 1) _exit(0);\n"
		  "  __asm__ volatile(\"\"); }\n"
		  "UPATCH_FUNC(hold, new_hold);\n");
	run(w->cli, "build", "-s", "too.c", "--object", getenv("HOLDER_OBJECT"));
	assert_exit(w->cli, UPATCH_EXIT_DONE);
	cli_write(w->cli, "late.c",
		  "#include <upatch/livepatch.h>\n"
		  "UPATCH_OBJECT(\"cli-library\");\n"
		  "static int new_answer(int x) { return x; }\n"
		  "UPATCH_FUNC(library_answer, new_answer);\n");
	run(w->cli, "build", "-s", "late.c", "-s", "fix.c", "--object", getenv("LIBRARY_OBJECT"),
	    "--object", getenv("HOLDER_OBJECT"));
	assert_exit(w->cli, UPATCH_EXIT_DONE);
	assert_true(asprintf(&module, "--kernel-module=%s", getenv("KLP_MODULE")) > 0);
	run(w->cli, "build", "-s", "fix.c", "-o", "pair.upatch", "--name", "pair", "--object",
	    getenv("HOLDER_OBJECT"), module);
	assert_exit(w->cli, UPATCH_EXIT_DONE);
	free(module);
}

static void test_each_verb_says_the_same_directly_and_by_the_daemon(void **state)
{
	struct world *w = *state;

	build_patches(w);
	for (int is_text = 0; is_text < 2; is_text++) {
		struct twins twins = twins_new(w, getenv("HOLDER"));

		twins.is_text = is_text;
		tell_story(&twins);
	}
}

/* What a worker of the daemon is warned of is for who asked. */
static void test_warnings_are_the_same_directly_and_by_the_daemon(void **state)
{
	struct world *w = *state;
	struct twins twins;

	build_patches(w);
	twins = twins_new(w, getenv("FILTERED"));
	alike(&twins, DONE, "check", "-p", "@", "late.upatch");
	assert_contains(json_string_at(w->cli->json, "warnings.0"), "cannot be followed");
	alike(&twins, DONE, "apply", "-p", "@", "late.upatch");
	assert_contains(json_string_at(w->cli->json, "warnings.0"), "cannot be followed");
	twins.is_text = true;
	alike(&twins, DONE, "revert", "-p", "@", "late");
	alike(&twins, DONE, "apply", "-p", "@", "late.upatch");
	assert_contains(w->cli->err, "warning: ");
}

/* upatchd knows of processes only, and says so. */
static void test_enabling_both_sides_warns_of_the_one_that_is_left_alone(void **state)
{
	struct world *w = *state;

	build_patches(w);
	by_daemon(w, "enable", "pair.upatch", "--name", "no-such-name");
	assert_exit(w->cli, UPATCH_EXIT_DONE);
	assert_contains(json_string_at(w->cli->json, "warnings.0"), "upatchctl kernel apply");
	by_daemon(w, "enable", "fix.upatch", "--name", "no-such-name");
	assert_exit(w->cli, UPATCH_EXIT_DONE);
	assert_int_equal(json_object_array_length(json_at(w->cli->json, "warnings")), 0);
}

/* A part that has it is there for both, and what the kernel's side is said to be is not repeated. */
static void test_part_that_is_there_is_there_for_the_daemon_as_well(void **state)
{
	struct world *w = *state;
	struct twins twins;

	build_patches(w);
	twins = twins_new(w, getenv("HOLDER"));
	alike(&twins, DONE, "apply", "--no-kernel", "-p", "@", "pair.upatch");
	alike(&twins, REFUSED, "check", "-p", "@", "pair.upatch");
	assert_int_equal(json_object_array_length(json_at(w->cli->json, "results")), 2);
	assert_int_equal(json_object_array_length(json_at(w->cli->json, "errors")), 1);
	assert_string_equal(json_string_at(w->cli->json, "results.0.reason"), "no-module");
	assert_string_equal(json_string_at(w->cli->json, "results.1.state"), "there");
}

/* --- status ---------------------------------------------------------------------------------- */

/* busctl --json=short prints {"type":"s","data":["..."]}. */
static struct json_object *ask_busctl(struct world *w)
{
	char command[512];
	struct json_object *answer, *report;
	char *text = NULL;
	size_t size = 0;
	FILE *f;

	snprintf(command, sizeof(command),
		 "DBUS_SYSTEM_BUS_ADDRESS='%s' busctl --system --json=short call " UPATCH_BUS_NAME
		 " " UPATCH_BUS_PATH " " UPATCH_BUS_INTERFACE " Status 'ua{sv}' %s 0",
		 w->session->address, w->pid_text);
	f = popen(command, "re");
	assert_non_null(f);
	assert_true(getdelim(&text, &size, '\0', f) > 0);
	assert_int_equal(pclose(f), 0);
	answer = json_tokener_parse(text);
	assert_non_null(answer);
	report = json_tokener_parse(json_string_at(answer, "data.0"));
	assert_non_null(report);
	json_object_put(answer);
	free(text);
	return report;
}

static void test_status_is_the_same_three_ways(void **state)
{
	struct world *w = *state;
	struct json_object *direct, *again;

	world_build(w, "fix");
	by_daemon(w, "apply", "-p", w->pid_text, "fix.upatch");
	assert_exit(w->cli, UPATCH_EXIT_DONE);
	assert_string_equal(json_string_at(w->cli->json, "results.0.state"), "done");

	run(w->cli, "status", "--json", "-p", w->pid_text);
	assert_exit(w->cli, UPATCH_EXIT_DONE);
	assert_string_equal(json_string_at(w->cli->json, "processes.0.patches.0.name"), "fix");
	direct = copy_of(w->cli->json);
	again = json_object_get(direct);
	by_daemon(w, "status", "-p", w->pid_text);
	assert_exit(w->cli, UPATCH_EXIT_DONE);
	assert_json_equal(direct, copy_of(w->cli->json));
	assert_json_equal(again, ask_busctl(w));
}

/* --- the host -------------------------------------------------------------------------------- */

static uint64_t number_at(struct json_object *json, const char *path)
{
	return json_object_get_uint64(json_at(json, path));
}

static bool is_patched(struct session *session, void *userdata)
{
	const uint32_t *nr = userdata;

	return session_count(session, "patched") == *nr && session_count(session, "total") == *nr;
}

static void test_enabled_patch_reaches_all_and_the_counts_add_up(void **state)
{
	struct world *w = *state;
	uint32_t nr = 3;

	world_build(w, "fix");
	session_spawn(w->session, getenv("HOLDER"));
	by_daemon(w, "enable", "fix.upatch");
	assert_exit(w->cli, UPATCH_EXIT_DONE);
	assert_string_equal(json_string_at(w->cli->json, "patch"), "fix");
	assert_string_equal(json_string_at(w->cli->json, "state"), "enabled");
	session_spawn(w->session, getenv("HOLDER"));
	session_wait(w->session, is_patched, &nr, "three processes are patched");

	by_daemon(w, "status");
	assert_exit(w->cli, UPATCH_EXIT_DONE);
	assert_keys(w->cli->json, "verb exit warnings errors processes host");
	schema_check_host(json_at(w->cli->json, "host"));
	assert_int_equal(number_at(w->cli->json, "host.counts.patched"), 3);
	assert_string_equal(json_string_at(w->cli->json, "host.cves.0.cve"), "CVE-2026-1234");
	assert_int_equal(number_at(w->cli->json, "host.cves.0.counts.patched"), 3);
	run(w->cli, "status", "--socket", w->session->socket);
	assert_contains(w->cli->out, "CVE-2026-1234");
	assert_contains(w->cli->out, "cli-holder");

	by_daemon(w, "list");
	assert_keys(json_at(w->cli->json, "patches.0"),
		    "name version description cves enabled source file since conditions error");
	assert_string_equal(json_string_at(w->cli->json, "patches.0.name"), "fix");

	by_daemon(w, "disable", "fix");
	assert_exit(w->cli, UPATCH_EXIT_DONE);
	nr = 0;
	session_wait(w->session, is_patched, &nr, "nobody is patched");
	run(w->cli, "status", "--json");
	assert_int_equal(json_object_array_length(json_at(w->cli->json, "processes")), 0);
	by_daemon(w, "disable", "fix");
	assert_json_reason(w->cli, "not-applied");
}

static void test_conditions_narrow_and_bad_ones_are_named(void **state)
{
	struct world *w = *state;

	world_build(w, "fix");
	by_daemon(w, "enable", "fix.upatch", "--name", "no-such-name", "--exclude", "user=root");
	assert_exit(w->cli, UPATCH_EXIT_DONE);
	session_wait_settled(w->session);
	assert_int_equal(session_count(w->session, "patched"), 0);
	by_daemon(w, "list");
	assert_string_equal(json_string_at(w->cli->json, "patches.0.conditions.0.key"), "name");
	assert_string_equal(json_string_at(w->cli->json, "patches.0.conditions.1.key"), "user");
	by_daemon(w, "enable", "fix.upatch", "--user", "no such user");
	assert_json_reason(w->cli, "usage");
	assert_contains(json_string_at(w->cli->json, "errors.0.message"), "no such user");
	by_daemon(w, "enable", "fix.upatch", "--exclude", "nonsense");
	assert_json_reason(w->cli, "usage");
	by_daemon(w, "enable", "fix.c");
	assert_exit(w->cli, UPATCH_EXIT_REFUSED);
	assert_json_reason(w->cli, "not-elf");
}

int main(void)
{
#define world_test(fn) cmocka_unit_test_setup_teardown(fn, setup, world_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_reason_has_an_error_name_of_its_own),
		world_test(test_refusals_are_the_same_directly_and_by_the_daemon),
		world_test(test_each_verb_says_the_same_directly_and_by_the_daemon),
		world_test(test_warnings_are_the_same_directly_and_by_the_daemon),
		world_test(test_enabling_both_sides_warns_of_the_one_that_is_left_alone),
		world_test(test_part_that_is_there_is_there_for_the_daemon_as_well),
		world_test(test_error_on_the_bus_has_name_text_and_report),
		world_test(test_without_a_daemon_the_socket_is_named),
		world_test(test_daemon_is_asked_where_rights_are_missing),
		world_test(test_status_is_the_same_three_ways),
		world_test(test_enabled_patch_reaches_all_and_the_counts_add_up),
		world_test(test_conditions_narrow_and_bad_ones_are_named),
	};

	return cmocka_run_group_tests_name("agree", tests, NULL, NULL);
}
