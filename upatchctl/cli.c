/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "cleanup.h"
#include "memory.h"
#include "model.h"
#include "remote.h"
#include "report.h"
#include "text.h"

/* Warnings are results; the rest, asked for with --verbose, is a log. */
static void take_log(void *userdata, enum upatch_log_level level, const char *line)
{
	struct cli *cli = userdata;
	_cleanup_free_ char *clean = text_clean(line);

	if (level == UPATCH_LOG_WARNING)
		model_append(model_get(cli->model, "warnings"),
			     must(json_object_new_string(clean)));
	if (cli->flags & CLI_VERBOSE)
		fprintf(stderr, "%s\n", clean);
}

int cli_init(struct cli *cli)
{
	int r;

	*cli = (struct cli){ .model = model_object() };
	model_put(cli->model, "verb", NULL);
	model_put(cli->model, "exit", NULL);
	model_put(cli->model, "warnings", model_array());
	model_put(cli->model, "errors", model_array());
	r = upatch_ctx_new(&cli->ctx);
	if (r >= 0)
		upatch_ctx_set_log(cli->ctx, UPATCH_LOG_WARNING, take_log, cli);
	return r;
}

void cli_deinit(struct cli *cli)
{
	remote_free(cli->remote);
	upatch_ctx_free(cli->ctx);
	json_object_put(cli->model);
}

void cli_set_verbose(struct cli *cli)
{
	cli->flags |= CLI_VERBOSE;
	upatch_ctx_set_log(cli->ctx, UPATCH_LOG_DEBUG, take_log, cli);
}

void cli_worsen(struct cli *cli, enum upatch_exit exit_status)
{
	static const int severity[] = {
		[UPATCH_EXIT_DONE] = 0,	   [UPATCH_EXIT_NOTHING] = 1, [UPATCH_EXIT_PENDING] = 2,
		[UPATCH_EXIT_REFUSED] = 3, [UPATCH_EXIT_USAGE] = 4,
	};

	if (severity[exit_status] > severity[cli->exit])
		cli->exit = exit_status;
}

void cli_add_error(struct cli *cli, const struct upatch_error *error)
{
	model_append(model_get(cli->model, "errors"), model_error(error));
	cli_worsen(cli, upatch_reason_exit(error->reason));
}

enum upatch_exit cli_fail(struct cli *cli)
{
	const struct upatch_error *error = upatch_ctx_error(cli->ctx);

	cli_add_error(cli, error);
	return upatch_reason_exit(error->reason);
}

int cli_usage(struct cli *cli, const char *fmt, ...)
{
	struct upatch_error error = { .reason = UPATCH_E_USAGE, .error = -EINVAL };
	_cleanup_free_ char *message = NULL;
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = vasprintf(&message, fmt, ap);
	va_end(ap);
	error.message = must(r < 0 ? NULL : message);
	cli_add_error(cli, &error);
	return -EINVAL;
}

static void print_json(const struct cli *cli, FILE *out)
{
	fprintf(out, "%s\n",
		json_object_to_json_string_ext(cli->model, JSON_C_TO_STRING_PRETTY |
								   JSON_C_TO_STRING_SPACED |
								   JSON_C_TO_STRING_NOSLASHESCAPE));
}

int cli_finish(struct cli *cli)
{
	model_put_string(cli->model, "verb", cli->verb);
	model_put_number(cli->model, "exit", cli->exit);
	if (cli->flags & CLI_JSON)
		print_json(cli, stdout);
	else if (cli->render && !(cli->flags & CLI_QUIET))
		cli->render(cli, stdout);
	/* A full disk must not look like success. */
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "upatchctl: cannot write the output: %s [io]\n", strerror(errno));
		cli_worsen(cli, UPATCH_EXIT_REFUSED);
	}
	if (!(cli->flags & CLI_JSON))
		report_print(cli->model, stderr);
	return cli->exit;
}
