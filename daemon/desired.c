/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "desired.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "failure.h"
#include "ini.h"

/* --- the list ---------------------------------------------------------------------------------- */

void desired_patch_deinit(struct desired_patch *patch)
{
	free(patch->name);
	free(patch->file);
	free(patch->drop_in);
	rule_deinit(&patch->rule);
	*patch = (struct desired_patch){};
}

void desired_deinit(struct desired *desired)
{
	for (size_t i = 0; i < desired->nr; i++)
		desired_patch_deinit(&desired->patches[i]);
	free(desired->patches);
	*desired = (struct desired){};
}

struct desired_patch *desired_find(const struct desired *desired, const char *name)
{
	for (size_t i = 0; i < desired->nr; i++)
		if (strcmp(desired->patches[i].name, name) == 0)
			return &desired->patches[i];
	return NULL;
}

bool desired_is_enabled(const struct desired *desired, const char *name)
{
	const struct desired_patch *patch = desired_find(desired, name);

	return patch && patch->is_enabled;
}

uint64_t desired_next_order(const struct desired *desired)
{
	uint64_t order = 0;

	for (size_t i = 0; i < desired->nr; i++)
		if (desired->patches[i].order > order)
			order = desired->patches[i].order;
	return order + 1;
}

int desired_put(struct desired *desired, struct desired_patch *patch)
{
	struct desired_patch *place = desired_find(desired, patch->name);
	struct desired_patch *patches;

	if (!place) {
		patches = reallocarray(desired->patches, desired->nr + 1, sizeof(*patches));
		if (!patches)
			return -ENOMEM;
		desired->patches = patches;
		place = &patches[desired->nr++];
		*place = (struct desired_patch){};
	}
	desired_patch_deinit(place);
	*place = *patch;
	*patch = (struct desired_patch){};
	return 0;
}

const struct desired_patch *desired_find_drop_in(const struct desired *desired, const char *file)
{
	for (size_t i = 0; i < desired->nr; i++) {
		const struct desired_patch *patch = &desired->patches[i];

		if (!patch->is_enabled && patch->drop_in && strcmp(patch->drop_in, file) == 0)
			return patch;
	}
	return NULL;
}

int desired_put_drop_in(struct desired *desired, const char *name, const char *file)
{
	const struct desired_patch *last = desired_find_drop_in(desired, file);
	struct desired_patch patch = {};

	if (desired_is_enabled(desired, name) || (last && strcmp(last->name, name) == 0))
		return 0;
	if (last) {
		struct desired_patch *other = desired_find(desired, last->name);

		free(other->drop_in); /* the file has become another patch's */
		other->drop_in = NULL;
	}
	patch = (struct desired_patch){
		.name = strdup(name),
		.file = strdup(""), /* none is needed to revert */
		.drop_in = strdup(file),
	};
	if (patch.name && patch.file && patch.drop_in && desired_put(desired, &patch) >= 0)
		return 1;
	desired_patch_deinit(&patch);
	return -ENOMEM;
}

void desired_remove(struct desired *desired, const char *name)
{
	struct desired_patch *patch = desired_find(desired, name);

	if (!patch)
		return;
	desired_patch_deinit(patch);
	memmove(patch, patch + 1,
		(size_t)(desired->patches + desired->nr - patch - 1) * sizeof(*patch));
	desired->nr--;
}

int desired_copy(const struct desired *from, struct desired *ret)
{
	struct desired copy = {};

	for (size_t i = 0; i < from->nr; i++) {
		struct desired_patch patch = from->patches[i];

		patch.name = strdup(from->patches[i].name);
		patch.file = strdup(from->patches[i].file);
		patch.drop_in = from->patches[i].drop_in ? strdup(from->patches[i].drop_in) : NULL;
		patch.rule = (struct rule){};
		if (!patch.name || !patch.file || !patch.drop_in != !from->patches[i].drop_in ||
		    rule_copy(&from->patches[i].rule, &patch.rule) < 0 ||
		    desired_put(&copy, &patch) < 0) {
			desired_patch_deinit(&patch);
			desired_deinit(&copy);
			return -ENOMEM;
		}
	}
	*ret = copy;
	return 0;
}

/* --- written ----------------------------------------------------------------------------------- */

/* FNV-1a: it finds what a disk or a crash did, and is not meant to find what an enemy did. */
static uint64_t sum_of(const char *text, size_t size)
{
	uint64_t sum = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < size; i++)
		sum = (sum ^ (uint8_t)text[i]) * 0x100000001b3ull;
	return sum;
}

/* What would end a line or be trimmed is written as %XX. */
static void put_value(FILE *out, const char *key, const char *value)
{
	fprintf(out, "%s=", key);
	for (const char *p = value; *p; p++) {
		bool is_edge = p == value || !p[1];

		if ((unsigned char)*p < ' ' || *p == '%' || (*p == ' ' && is_edge))
			fprintf(out, "%%%02x", (unsigned char)*p);
		else
			fputc(*p, out);
	}
	fputc('\n', out);
}

static int put_patch(FILE *out, const struct desired_patch *patch)
{
	fputs("[Patch]\n", out);
	put_value(out, "Name", patch->name);
	put_value(out, "File", patch->file);
	if (patch->drop_in)
		put_value(out, "DropIn", patch->drop_in);
	fprintf(out, "Enabled=%d\nSince=%" PRIu64 "\nOrder=%" PRIu64 "\n", patch->is_enabled,
		patch->since, patch->order);
	for (size_t i = 0; i < patch->rule.nr; i++) {
		const struct rule_condition *condition = &patch->rule.conditions[i];
		_cleanup_free_ char *value = rule_value(condition);
		char key[32];

		if (!value)
			return -ENOMEM;
		(void)snprintf(key, sizeof(key), "%s%s", condition->is_exclusion ? "exclude-" : "",
			       rule_key_name(condition->key));
		put_value(out, key, value);
	}
	return 0;
}

int desired_format(const struct desired *desired, char **ret, size_t *ret_size)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	int r = 0;

	if (!out)
		return -ENOMEM;
	fputs("# What upatchd is to keep applied. Written by upatchd: see upatchctl enable.\n",
	      out);
	for (size_t i = 0; i < desired->nr && r >= 0; i++)
		r = put_patch(out, &desired->patches[i]);
	if (fflush(out) == 0)
		fprintf(out, "[End]\nPatches=%zu\nSum=%016" PRIx64 "\n", desired->nr,
			sum_of(text, size));
	if (fclose(out) != 0 || r < 0) {
		free(text);
		return -ENOMEM;
	}
	*ret = text;
	*ret_size = size;
	return 0;
}

/* --- read -------------------------------------------------------------------------------------- */

struct parsing {
	struct desired desired;
	struct desired_patch patch; /* whose section is being read */
	bool is_in_patch;
	bool has_end;
	uint64_t nr;
	uint64_t sum;
};

static int refuse(struct failure *f, const struct ini_line *line, const char *what)
{
	return failure_set(f, -EBADMSG, UPATCH_E_CONFIG, "%s: %s", line->where, what);
}

static int finish_patch(struct parsing *parsing, const char *where, struct failure *f)
{
	if (!parsing->is_in_patch)
		return 0;
	parsing->is_in_patch = false;
	if (!parsing->patch.name || !*parsing->patch.name || !parsing->patch.file ||
	    strchr(parsing->patch.file, '/'))
		return failure_set(f, -EBADMSG, UPATCH_E_CONFIG,
				   "%s: the patch above has no Name or no File", where);
	if (parsing->desired.nr >= DESIRED_MAX)
		return failure_set(f, -EBADMSG, UPATCH_E_CONFIG, "%s: more than %d patches", where,
				   DESIRED_MAX);
	if (desired_find(&parsing->desired, parsing->patch.name))
		return failure_set(f, -EBADMSG, UPATCH_E_CONFIG, "%s: patch '%s' is there twice",
				   where, parsing->patch.name);
	return desired_put(&parsing->desired, &parsing->patch) < 0 ? failure_oom(f) : 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static char *unescape(const char *value)
{
	char *copy = strdup(value), *to = copy;

	for (const char *p = value; copy && *p; p++) {
		int high = *p == '%' ? hex_digit(p[1]) : -1;
		int low = high >= 0 ? hex_digit(p[2]) : -1;

		if (low >= 0 && (high || low)) {
			*to++ = (char)(high << 4 | low);
			p += 2;
		} else {
			*to++ = *p;
		}
	}
	if (copy)
		*to = 0;
	return copy;
}

static int take_number(const struct ini_line *line, int base, uint64_t *ret, struct failure *f)
{
	char *end;

	errno = 0;
	*ret = strtoull(line->value, &end, base);
	if (errno || *end || !*line->value || *line->value == '-')
		return refuse(f, line, "no number");
	return 0;
}

static int take_patch_line(struct parsing *parsing, const struct ini_line *line, struct failure *f)
{
	struct desired_patch *patch = &parsing->patch;
	_cleanup_free_ char *value = unescape(line->value);
	uint64_t number;
	int r;

	if (!value)
		return failure_oom(f);
	if (strcmp(line->key, "Name") == 0) {
		free(patch->name);
		patch->name = take_ptr(value);
		return 0;
	}
	if (strcmp(line->key, "File") == 0) {
		free(patch->file);
		patch->file = take_ptr(value);
		return 0;
	}
	if (strcmp(line->key, "DropIn") == 0) {
		free(patch->drop_in);
		patch->drop_in = take_ptr(value);
		return 0;
	}
	if (strcmp(line->key, "Since") == 0)
		return take_number(line, 10, &patch->since, f);
	if (strcmp(line->key, "Order") == 0)
		return take_number(line, 10, &patch->order, f);
	if (strcmp(line->key, "Enabled") == 0) {
		r = take_number(line, 10, &number, f);
		patch->is_enabled = number;
		return r;
	}
	r = rule_restore(&patch->rule, line->key, value, f);
	return r < 0 ? refuse(f, line, "no setting of a patch") : 0;
}

static int take_line(void *userdata, const struct ini_line *line, struct failure *f)
{
	struct parsing *parsing = userdata;
	int r;

	if (!line->key) {
		r = finish_patch(parsing, line->where, f);
		if (r < 0)
			return r;
		if (parsing->has_end)
			return refuse(f, line, "something follows the end");
		parsing->is_in_patch = strcmp(line->section, "Patch") == 0;
		parsing->has_end = strcmp(line->section, "End") == 0;
		return parsing->is_in_patch || parsing->has_end
			       ? 0
			       : refuse(f, line, "no section of a journal");
	}
	if (parsing->is_in_patch)
		return take_patch_line(parsing, line, f);
	if (strcmp(line->key, "Patches") == 0)
		return take_number(line, 10, &parsing->nr, f);
	if (strcmp(line->key, "Sum") == 0)
		return take_number(line, 16, &parsing->sum, f);
	return refuse(f, line, "no setting of a journal");
}

/* Where the last section begins, which is not in the sum. */
static size_t end_of_body(const char *text, size_t size)
{
	static const char end[] = "[End]\n";

	for (size_t at = size; at-- > 0;)
		if (size - at >= sizeof(end) - 1 && memcmp(text + at, end, sizeof(end) - 1) == 0 &&
		    (at == 0 || text[at - 1] == '\n'))
			return at;
	return size;
}

int desired_parse(const char *text, size_t size, const char *file, struct desired *ret,
		  struct failure *f)
{
	struct parsing parsing = {};
	int r;

	r = ini_parse(text, size, file, take_line, &parsing, f);
	if (r >= 0 && !parsing.has_end)
		r = failure_set(f, -EBADMSG, UPATCH_E_CONFIG, "%s: it has no end: half-written",
				file);
	if (r >= 0 && (parsing.nr != parsing.desired.nr ||
		       parsing.sum != sum_of(text, end_of_body(text, size))))
		r = failure_set(f, -EBADMSG, UPATCH_E_CONFIG,
				"%s: it is not what was written: its sum differs", file);
	desired_patch_deinit(&parsing.patch);
	if (r < 0)
		desired_deinit(&parsing.desired);
	else
		*ret = parsing.desired;
	return r;
}
