/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));
	void *cli, *session;

	assert_non_null(w);
	cli_setup(&cli);
	session_setup(&session);
	w->cli = cli;
	w->session = session;
	return w;
}

int world_teardown(void **state)
{
	struct world *w = *state;
	void *cli = w->cli, *session = w->session;

	if (w->session->daemon)
		session_stop(w->session);
	session_teardown(&session);
	cli_teardown(&cli);
	free(w);
	return 0;
}

void world_build(struct world *w, const char *name)
{
	char file[64];

	snprintf(file, sizeof(file), "%s.c", name);
	cli_write(w->cli, file,
		  "#include <upatch/livepatch.h>\n"
		  "UPATCH_OBJECT(\"cli-holder\");\n"
		  "static void new_hold(void) { __asm__ volatile(\"\"); }\n"
		  "UPATCH_FUNC(hold, new_hold);\n");
	run(w->cli, "build", "-s", file, "--object", getenv("HOLDER_OBJECT"), "--cve",
	    "CVE-2026-1234");
	assert_exit(w->cli, UPATCH_EXIT_DONE);
}
