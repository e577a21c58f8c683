/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "loader.h"

#include <stdlib.h>
#include <string.h>

int loader_setup(void **state)
{
	*state = fixture_start("loader");
	return 0;
}

const char *loader_build(struct fixture *f, const struct loader_patch *patch)
{
	static char output[256];
	char paths[4][256], objects[6][4200];
	const char *sources[5] = {};
	const char *object_list[] = { objects[0], objects[1], objects[2], objects[3],
				      objects[4], objects[5], NULL };
	const char *required[] = { patch->required, NULL };
	struct upatch_build_options opts = {
		.size = sizeof(opts),
		.output = output,
		.sources = sources,
		.objects = object_list,
		.replace = patch->replace,
		.required = required,
	};

	for (int i = 0; i < 4 && patch->sources[i]; i++) {
		FILE *file;

		snprintf(paths[i], sizeof(paths[i]), "%s/%s-%d.c", f->dir, patch->name, i);
		sources[i] = paths[i];
		file = fopen(paths[i], "w");
		assert_non_null(file);
		fprintf(file, "%s\n", patch->sources[i]);
		assert_int_equal(fclose(file), 0);
	}
	snprintf(output, sizeof(output), "%s/%s.upatch", f->dir, patch->name);
	snprintf(objects[0], sizeof(objects[0]), "victim-loader=%s", f->exe);
	snprintf(objects[1], sizeof(objects[1]), "libplug.so=%s/libplug.so", getenv("PLUGIN_DIR"));
	snprintf(objects[2], sizeof(objects[2]), "libuser.so=%s/libuser.so", getenv("PLUGIN_DIR"));
	snprintf(objects[3], sizeof(objects[3]), "libifunc.so=%s/libifunc.so",
		 getenv("PLUGIN_DIR"));
	snprintf(objects[4], sizeof(objects[4]), "libthrow.so=%s/libthrow.so",
		 getenv("PLUGIN_DIR"));
	snprintf(objects[5], sizeof(objects[5]), "libstay.so=%s/libstay.so", getenv("PLUGIN_DIR"));
	if (upatch_build(f->ctx, &opts) < 0)
		fail_msg("build: %s", upatch_ctx_error(f->ctx)->message);
	return output;
}

int loader_try_apply(struct fixture *f, const struct loader_patch *patch,
		     const struct upatch_options *options)
{
	struct upatch_check *check;
	struct upatch_patch *file;
	int r;

	assert_int_equal(upatch_patch_open(f->ctx, loader_build(f, patch), &file), 0);
	assert_int_equal(upatch_target_check(f->target, file, &check), 0);
	r = upatch_target_apply(f->target, file, options, NULL);
	/* What can be applied is not said to be refused. */
	if (r >= 0 && !check->applicable)
		fail_msg("check: [%s] %s", upatch_reason_name(check->error.reason),
			 check->error.message);
	upatch_check_free(check);
	upatch_patch_close(file);
	return r;
}

void loader_apply(struct fixture *f, const struct loader_patch *patch)
{
	if (loader_try_apply(f, patch, NULL) != 0)
		fail_msg("apply: [%s] %s", upatch_reason_name(upatch_ctx_error(f->ctx)->reason),
			 upatch_ctx_error(f->ctx)->message);
}

/* Tell @fn of each object of a patch. */
static size_t look(struct fixture *f, const char *patch, const char *object, char state[32])
{
	struct upatch_status *status;
	size_t nr = 0;

	strcpy(state, "none");
	assert_int_equal(upatch_target_status(f->target, &status), 0);
	for (size_t i = 0; i < status->nr_patches; i++) {
		const struct upatch_status_patch *p = &status->patches[i];

		for (size_t n = 0; n < p->nr_objects && strcmp(p->name, patch) == 0; n++) {
			if (strcmp(p->objects[n].name, object) != 0)
				continue;
			snprintf(state, 32, "%s", p->objects[n].state);
			nr++;
		}
	}
	upatch_status_free(status);
	return nr;
}

const char *loader_object_state(struct fixture *f, const char *patch, const char *object)
{
	static char state[32];

	(void)look(f, patch, object, state);
	return state;
}

size_t loader_count(struct fixture *f, const char *patch, const char *object)
{
	char state[32];

	return look(f, patch, object, state);
}

/* --- is it followed? --------------------------------------------------------------------------- */

const struct loader_patch loader_plug = { .name = "p", .sources = { PLUG_VALUE(x + 100) } };
const struct loader_patch loader_both = {
	.name = "p",
	.sources = { OWN_VALUE(x + 1000), PLUG_VALUE(x + 100) },
};

void loader_assert_follows(struct fixture *f)
{
	loader_apply(f, &loader_plug);
	assert_answer(f, "open plug", "ok");
	assert_answer(f, "notes", "notes begin 101");
	assert_string_equal(loader_object_state(f, "p", "libplug.so"), "patched");
	assert_answer(f, "close plug", "ok");
	assert_answer(f, "notes", "notes end 101");
	fixture_revert(f, "p");
}

void loader_assert_not_followed(struct fixture *f, const char *why)
{
	fixture_remember(f);
	assert_true(loader_try_apply(f, &loader_plug, NULL) < 0);
	fixture_assert_reason(f, UPATCH_E_NOT_FOLLOWED);
	if (!strstr(upatch_ctx_error(f->ctx)->message, why))
		fail_msg("'%s' does not say '%s'", upatch_ctx_error(f->ctx)->message, why);
	assert_string_equal(fixture_state(f, "p"), "none");
	fixture_assert_unchanged(f);
}

void loader_assert_patches_what_is_there(struct fixture *f)
{
	loader_apply(f, &loader_both);
	assert_answer(f, "own 1", "1001");
	assert_answer(f, "open plug", "ok");
	assert_answer(f, "notes", "notes begin 11");
	fixture_revert(f, "p");
	loader_apply(f, &loader_plug);
	assert_answer(f, "call plug plug_value 5", "105");
	fixture_revert(f, "p");
	assert_answer(f, "call plug plug_value 5", "15");
	assert_answer(f, "own 1", "4");
}
