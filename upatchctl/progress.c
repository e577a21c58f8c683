/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "progress.h"

#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

static bool is_shown(const struct cli *cli, size_t nr)
{
	return nr > 1 && !(cli->flags & (CLI_JSON | CLI_QUIET | CLI_VERBOSE)) &&
	       isatty(STDERR_FILENO);
}

void progress_show(const struct cli *cli, pid_t pid, size_t index, size_t nr)
{
	if (is_shown(cli, nr))
		fprintf(stderr, "\r\033[K%s: %zu of %zu: process %d", cli->verb, index + 1, nr,
			(int)pid);
}

void progress_clear(const struct cli *cli, size_t nr)
{
	if (is_shown(cli, nr))
		fputs("\r\033[K", stderr);
}
