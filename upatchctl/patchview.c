/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "patchview.h"

#include <errno.h>

#include "cleanup.h"
#include "model.h"
#include "table.h"
#include "targets.h"

static const struct table_column patch_fields[] = {
	{ "name", "name:" },
	{ "version", "version:" },
	{ "description", "description:" },
	{ "cves", "CVEs:" },
	{ "arch", "architecture:" },
	{ "replace", "replace:" },
	{ "stack_order", "stack order:" },
	{},
};

static const struct table_column object_fields[] = {
	{ "name", "object:" },	 { "build_id", "build ID:" },	       { "kind", "kind:" },
	{ "policy", "policy:" }, { "payload_size", "payload bytes:" }, {},
};

static const struct table_column module_columns[] = {
	{ "release", "KERNEL" },
	{ "name", "MODULE" },
	{ "size", "SIZE", TABLE_RIGHT },
	{},
};

static const struct table_column func_columns[] = {
	{ "name", "FUNCTION" },
	{ "sympos", "SYMPOS", TABLE_RIGHT },
	{ "old_value", "OLD-VALUE", TABLE_RIGHT },
	{ "old_size", "OLD-SIZE", TABLE_RIGHT },
	{ "new_size", "NEW-SIZE", TABLE_RIGHT },
	{ "replacement", "REPLACEMENT" },
	{},
};

static const struct table_column reloc_columns[] = {
	{ "section", "SECTION" },
	{ "offset", "OFFSET", TABLE_RIGHT },
	{ "type", "TYPE" },
	{ "addend", "ADDEND", TABLE_RIGHT },
	{ "private", "PRIVATE" },
	{ "symbol", "SYMBOL" },
	{},
};

int patchview_load(struct cli *cli, const char *path)
{
	_cleanup_(patch_closep) struct upatch_patch *patch = NULL;
	int r;

	r = upatch_patch_open(cli->ctx, path, &patch);
	if (r < 0) {
		cli_fail(cli);
		return r;
	}
	model_put(cli->model, "patch", model_patch(upatch_patch_info(patch)));
	return 0;
}

void patchview_print(const struct cli *cli, FILE *out)
{
	struct json_object *patch = model_get(cli->model, "patch");

	table_print_fields(out, patch, patch_fields);
	for (size_t i = 0; i < model_length(patch, "objects"); i++) {
		struct json_object *object = model_at(patch, "objects", i);

		fputc('\n', out);
		table_print_fields(out, object, object_fields);
		table_print(out, model_get(object, "funcs"), func_columns);
		if (cli->flags & CLI_RELOCS)
			table_print(out, model_get(object, "relocs"), reloc_columns);
	}
	if (model_length(patch, "modules") > 0)
		fprintf(out, "\norder: %s\n", model_string(patch, "order"));
	table_print(out, model_get(patch, "modules"), module_columns);
}
