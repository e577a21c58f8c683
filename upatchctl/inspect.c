/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "args.h"
#include "patchview.h"
#include "verbs.h"

enum {
	KEY_RELOCS = 0x100,
};

static const struct args_option inspect_options[] = {
	{ KEY_RELOCS, "relocs", NULL, "list relocations, too (always in JSON)" },
	{},
};

static int take_inspect(struct cli *cli, int key, const char *value, void *settings)
{
	cli->flags |= CLI_RELOCS; /* the only option */
	return 0;
}

static const struct args inspect_args = {
	.synopsis = "FILE [OPTION]...",
	.summary = "Print what is in a patch file: manifest, objects, functions, relocations.",
	.options = inspect_options,
	.take = take_inspect,
};

int verb_inspect(int argc, char *argv[], void *userdata)
{
	struct cli *cli = userdata;
	const char *path;
	int r;

	r = args_parse(cli, argc, argv, &inspect_args, NULL);
	if (r != ARGS_READY)
		return r;
	r = args_operand(cli, argc, argv, "the patch file", &path);
	if (r < 0)
		return r;
	r = patchview_load(cli, path);
	if (r >= 0)
		cli->render = patchview_print;
	return r;
}
