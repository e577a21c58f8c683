/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "patchfile/manifest.h"

#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/diag.h"
#include "patchfile/patchfile.h"

enum {
	DEPTH_MAX = 8,
	SIZE_MAX_JSON = 16 << 20,
	STRING_MAX = 4096,
	LIST_MAX = 4096,
};

static void put_json(struct json_object *object)
{
	(void)json_object_put(object); /* tells whether it was the last reference */
}

DEFINE_CLEANUP(struct json_object *, put_json);
DEFINE_CLEANUP(struct json_tokener *, json_tokener_free);

bool manifest_is_name(const char *name)
{
	size_t len = strlen(name);

	if (!len || len > PATCHFILE_NAME_MAX || !isalnum((unsigned char)name[0]))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)name[i]) && !strchr("._+-", name[i]))
			return false;
	return true;
}

static bool is_text(const char *s, size_t len)
{
	if (len > STRING_MAX || strlen(s) != len)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] < ' ' || s[i] == 0x7f)
			return false;
	return true;
}

static int raise_bad(struct diag *d, const char *key, const char *what)
{
	return diag_err(d, -EBADMSG, UPATCH_E_BAD_PATCHFILE, NULL, "its manifest: '%s' %s", key,
			what);
}

/* A string; @fallback NULL: it must be there. */
static int take_string(struct diag *d, struct json_object *from, const char *key,
		       const char *fallback, char **ret)
{
	struct json_object *value;
	const char *s = fallback;

	if (json_object_object_get_ex(from, key, &value)) {
		if (!json_object_is_type(value, json_type_string))
			return raise_bad(d, key, "is no string");
		s = json_object_get_string(value);
		if (!is_text(s, (size_t)json_object_get_string_len(value)))
			return raise_bad(d, key, "is too long or has control characters");
	}
	if (!s)
		return raise_bad(d, key, "is missing");
	*ret = strdup(s);
	return *ret ? 0 : diag_oom(d);
}

/* A list, or NULL when it is absent. */
static int take_list(struct diag *d, struct json_object *from, const char *key,
		     struct json_object **ret)
{
	*ret = NULL;
	if (!json_object_object_get_ex(from, key, ret))
		return 0;
	if (!json_object_is_type(*ret, json_type_array) ||
	    json_object_array_length(*ret) > LIST_MAX)
		return raise_bad(d, key, "is no list of a sane length");
	return 0;
}

static int check_version(struct diag *d, struct json_object *root)
{
	struct json_object *value;
	int64_t version;

	if (!json_object_object_get_ex(root, "format", &value) ||
	    !json_object_is_type(value, json_type_int))
		return raise_bad(d, "format", "is missing or no number");
	version = json_object_get_int64(value);
	if (version > PATCHFILE_VERSION)
		return diag_err(d, -EPROTO, UPATCH_E_PATCHFILE_VERSION, NULL,
				"its format version is %lld, we know up to %d", (long long)version,
				PATCHFILE_VERSION);
	return version >= 1 ? 0 : raise_bad(d, "format", "is less than 1");
}

static int parse_cves(struct diag *d, struct json_object *root, struct manifest *m)
{
	struct json_object *list;
	int r;

	r = take_list(d, root, "cves", &list);
	if (r < 0 || !list)
		return r;
	m->cves = calloc(json_object_array_length(list) + 1, sizeof(*m->cves));
	if (!m->cves)
		return diag_oom(d);
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *value = json_object_array_get_idx(list, i);

		if (!json_object_is_type(value, json_type_string) ||
		    !is_text(json_object_get_string(value),
			     (size_t)json_object_get_string_len(value)))
			return raise_bad(d, "cves", "has something else than names");
		m->cves[m->nr_cves] = strdup(json_object_get_string(value));
		if (!m->cves[m->nr_cves++])
			return diag_oom(d);
	}
	return 0;
}

/* One of two words, the first when the key is absent. */
static int take_choice(struct diag *d, struct json_object *from, const char *key,
		       const char *const words[2], bool *ret)
{
	struct json_object *value;
	const char *s;

	*ret = false;
	if (!json_object_object_get_ex(from, key, &value))
		return 0;
	s = json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
	*ret = strcmp(s, words[1]) == 0;
	return *ret || strcmp(s, words[0]) == 0 ? 0 : raise_bad(d, key, "is no word that we know");
}

static int parse_object(struct diag *d, struct json_object *from, struct manifest_object *ret)
{
	static const char *const kinds[] = { "library", "executable" };
	static const char *const policies[] = { "optional", "require" };
	_cleanup_free_ char *build_id = NULL;
	struct json_object *ignored;
	int r;

	if (!json_object_is_type(from, json_type_object))
		return raise_bad(d, "objects", "has something else than objects");
	r = take_string(d, from, "name", NULL, &ret->name);
	if (r >= 0)
		r = take_string(d, from, "payload", NULL, &ret->payload);
	if (r >= 0)
		r = take_string(d, from, "build_id", NULL, &build_id);
	if (r >= 0 && json_object_object_get_ex(from, "code", &ignored))
		r = take_string(d, from, "code", NULL, &ret->code);
	if (r >= 0)
		r = take_choice(d, from, "kind", kinds, &ret->is_executable);
	if (r >= 0)
		r = take_choice(d, from, "policy", policies, &ret->is_required);
	if (r < 0)
		return r;
	if (!*ret->name)
		return raise_bad(d, "name", "of an object is empty");
	if (build_id_parse(build_id, &ret->build_id) < 0)
		return raise_bad(d, "build_id", "is no build ID");
	return 0;
}

static int parse_objects(struct diag *d, struct json_object *root, struct manifest *m)
{
	struct json_object *list;
	int r;

	r = take_list(d, root, "objects", &list);
	if (r < 0)
		return r;
	if (!list || !json_object_array_length(list))
		return raise_bad(d, "objects", "is missing or empty");
	m->objects = calloc(json_object_array_length(list), sizeof(*m->objects));
	if (!m->objects)
		return diag_oom(d);
	for (size_t i = 0; i < json_object_array_length(list) && r >= 0; i++) {
		m->nr_objects++;
		r = parse_object(d, json_object_array_get_idx(list, i), &m->objects[i]);
		for (size_t n = 0; n < i && r >= 0; n++)
			if (strcmp(m->objects[n].name, m->objects[i].name) == 0 &&
			    build_id_is_equal(&m->objects[n].build_id, &m->objects[i].build_id))
				r = raise_bad(d, m->objects[i].name, "is there twice");
	}
	return r;
}

/* The kernel's part: klp modules, and which side goes first. */
static int parse_kernel(struct diag *d, struct json_object *root, struct manifest *m)
{
	struct json_object *kernel, *list;
	_cleanup_free_ char *order = NULL;
	int r;

	if (!json_object_object_get_ex(root, "kernel", &kernel))
		return 0;
	if (!json_object_is_type(kernel, json_type_object))
		return raise_bad(d, "kernel", "is no object");
	r = take_string(d, kernel, "order", "kernel-first", &order);
	if (r >= 0)
		r = take_list(d, kernel, "modules", &list);
	if (r < 0)
		return r;
	m->kernel_last = strcmp(order, "userspace-first") == 0;
	if (!m->kernel_last && strcmp(order, "kernel-first") != 0)
		return raise_bad(d, "order", "is neither \"kernel-first\" nor \"userspace-first\"");
	if (!list || !json_object_array_length(list))
		return raise_bad(d, "modules", "is missing or empty");
	m->modules = calloc(json_object_array_length(list), sizeof(*m->modules));
	if (!m->modules)
		return diag_oom(d);
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *value = json_object_array_get_idx(list, i);

		if (!json_object_is_type(value, json_type_string))
			return raise_bad(d, "modules", "has something else than names");
		m->modules[m->nr_modules] = strdup(json_object_get_string(value));
		if (!m->modules[m->nr_modules++])
			return diag_oom(d);
	}
	return 0;
}

static int parse_stack_order(struct diag *d, struct json_object *root, struct manifest *m)
{
	struct json_object *value;
	const char *order;

	if (!json_object_object_get_ex(root, "stack_order", &value))
		return 0;
	order = json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
	m->strict = strcmp(order, "strict") == 0;
	if (!m->strict && strcmp(order, "any") != 0)
		return raise_bad(d, "stack_order", "is neither \"strict\" nor \"any\"");
	return 0;
}

static int parse_root(struct diag *d, struct json_object *root, struct manifest *m)
{
	struct json_object *value;
	int r;

	r = check_version(d, root);
	if (r >= 0)
		r = take_string(d, root, "name", NULL, &m->name);
	if (r >= 0 && !manifest_is_name(m->name))
		r = raise_bad(d, "name", "is not a legal name for a patch");
	if (r >= 0)
		r = take_string(d, root, "version", "", &m->version);
	if (r >= 0 && strlen(m->version) > PATCHFILE_NAME_MAX)
		r = raise_bad(d, "version", "is too long");
	if (r >= 0)
		r = take_string(d, root, "description", "", &m->description);
	if (r >= 0 && json_object_object_get_ex(root, "replace", &value)) {
		if (!json_object_is_type(value, json_type_boolean))
			return raise_bad(d, "replace", "is no boolean");
		m->replace = json_object_get_boolean(value);
	}
	if (r >= 0)
		r = parse_stack_order(d, root, m);
	if (r >= 0)
		r = parse_cves(d, root, m);
	if (r >= 0)
		r = parse_kernel(d, root, m);
	return r < 0 ? r : parse_objects(d, root, m);
}

int manifest_parse(struct diag *d, const void *text, size_t size, struct manifest *ret)
{
	_cleanup_(json_tokener_freep) struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
	_cleanup_(put_jsonp) struct json_object *root = NULL;
	struct manifest m = {};
	int r;

	if (!tokener)
		return diag_oom(d);
	if (size > SIZE_MAX_JSON)
		return raise_bad(d, "", "is too large");
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	root = json_tokener_parse_ex(tokener, text, (int)size);
	if (!root || json_tokener_get_parse_end(tokener) != size ||
	    !json_object_is_type(root, json_type_object))
		return raise_bad(d, "", "is no JSON object");
	r = parse_root(d, root, &m);
	if (r < 0) {
		manifest_deinit(&m);
		return r;
	}
	*ret = m;
	return 0;
}

void manifest_deinit(struct manifest *manifest)
{
	for (size_t i = 0; i < manifest->nr_objects; i++) {
		free(manifest->objects[i].name);
		free(manifest->objects[i].payload);
		free(manifest->objects[i].code);
	}
	for (size_t i = 0; i < manifest->nr_cves; i++)
		free(manifest->cves[i]);
	for (size_t i = 0; i < manifest->nr_modules; i++)
		free(manifest->modules[i]);
	free(manifest->modules);
	free(manifest->objects);
	free(manifest->cves);
	free(manifest->name);
	free(manifest->version);
	free(manifest->description);
	*manifest = (struct manifest){};
}

static struct json_object *format_objects(const struct manifest *m)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < m->nr_objects; i++) {
		struct json_object *o = json_object_new_object();
		char hex[2 * BUILD_ID_MAX + 1];

		json_object_object_add(o, "name", json_object_new_string(m->objects[i].name));
		json_object_object_add(
			o, "build_id",
			json_object_new_string(build_id_format(&m->objects[i].build_id, hex)));
		json_object_object_add(o, "kind",
				       json_object_new_string(m->objects[i].is_executable
								      ? "executable"
								      : "library"));
		if (m->objects[i].is_required)
			json_object_object_add(o, "policy", json_object_new_string("require"));
		json_object_object_add(o, "payload", json_object_new_string(m->objects[i].payload));
		if (m->objects[i].code)
			json_object_object_add(o, "code",
					       json_object_new_string(m->objects[i].code));
		json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *format_kernel(const struct manifest *m)
{
	struct json_object *kernel = json_object_new_object();
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < m->nr_modules; i++)
		json_object_array_add(list, json_object_new_string(m->modules[i]));
	json_object_object_add(kernel, "order",
			       json_object_new_string(m->kernel_last ? "userspace-first"
								     : "kernel-first"));
	json_object_object_add(kernel, "modules", list);
	return kernel;
}

char *manifest_format(const struct manifest *manifest)
{
	_cleanup_(put_jsonp) struct json_object *root = json_object_new_object();
	struct json_object *cves = json_object_new_array();
	const char *text;

	for (size_t i = 0; i < manifest->nr_cves; i++)
		json_object_array_add(cves, json_object_new_string(manifest->cves[i]));
	json_object_object_add(root, "format",
			       json_object_new_int(manifest->nr_modules ? PATCHFILE_VERSION_KERNEL
									: 1));
	json_object_object_add(root, "name", json_object_new_string(manifest->name));
	json_object_object_add(root, "version", json_object_new_string(manifest->version));
	json_object_object_add(root, "description", json_object_new_string(manifest->description));
	json_object_object_add(root, "replace", json_object_new_boolean(manifest->replace));
	if (manifest->strict)
		json_object_object_add(root, "stack_order", json_object_new_string("strict"));
	json_object_object_add(root, "cves", cves);
	json_object_object_add(root, "objects", format_objects(manifest));
	if (manifest->nr_modules)
		json_object_object_add(root, "kernel", format_kernel(manifest));
	text = json_object_to_json_string_ext(root, JSON_C_TO_STRING_PRETTY |
							    JSON_C_TO_STRING_NOSLASHESCAPE);
	return text ? strdup(text) : NULL;
}
