/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "memory.h"
#include "process.h"
#include "text.h"

struct json_object *model_object(void)
{
	return must(json_object_new_object());
}

struct json_object *model_array(void)
{
	return must(json_object_new_array());
}

void model_put(struct json_object *object, const char *key, struct json_object *value)
{
	if (json_object_object_add(object, key, value) < 0)
		(void)must(NULL); /* it fails for want of memory only */
}

void model_append(struct json_object *array, struct json_object *value)
{
	if (json_object_array_add(array, value) < 0)
		(void)must(NULL);
}

void model_put_string(struct json_object *object, const char *key, const char *value)
{
	_cleanup_free_ char *clean = value ? text_clean(value) : NULL;

	model_put(object, key, clean ? must(json_object_new_string(clean)) : NULL);
}

void model_put_lines(struct json_object *object, const char *key, const char *value)
{
	_cleanup_free_ char *clean = value ? text_clean_lines(value) : NULL;

	model_put(object, key, clean ? must(json_object_new_string(clean)) : NULL);
}

void model_put_number(struct json_object *object, const char *key, uint64_t value)
{
	model_put(object, key, must(json_object_new_uint64(value)));
}

void model_put_address(struct json_object *object, const char *key, uint64_t addr)
{
	char hex[2 + 16 + 1];

	snprintf(hex, sizeof(hex), "0x%" PRIx64, addr);
	model_put_string(object, key, hex);
}

void model_put_ms(struct json_object *object, const char *key, uint64_t ns)
{
	uint64_t us = ns / 1000;
	char ms[32];

	snprintf(ms, sizeof(ms), "%" PRIu64 ".%03u", us / 1000, (unsigned int)(us % 1000));
	model_put(object, key, must(json_object_new_double_s((double)us / 1e3, ms)));
}

void model_put_cost(struct json_object *object, const struct upatch_cost *cost)
{
	model_put_ms(object, "longest_pause_ms", cost->longest_pause);
	model_put_ms(object, "wall_ms", cost->wall);
	model_put_number(object, "stops", cost->stops);
	model_put_number(object, "threads", cost->threads);
}

void model_put_time(struct json_object *object, const char *key, uint64_t seconds)
{
	time_t when = (time_t)seconds;
	struct tm tm;
	char text[64];

	/* What a target says about itself may be no date at all. */
	if (!gmtime_r(&when, &tm) || !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
		model_put(object, key, NULL);
	else
		model_put_string(object, key, text);
}

static void put_id(struct json_object *object, const char *key, pid_t id)
{
	if (id > 0)
		model_put_number(object, key, (uint64_t)id);
	else
		model_put(object, key, NULL);
}

struct json_object *model_error(const struct upatch_error *error)
{
	struct json_object *object = model_object();
	const char *hint = upatch_reason_hint(error->reason);
	char comm[PROCESS_COMM_MAX];

	model_put_string(object, "reason", upatch_reason_name(error->reason));
	model_put_number(object, "exit", upatch_reason_exit(error->reason));
	model_put_string(object, "errno", strerrorname_np(-error->error));
	put_id(object, "pid", error->pid);
	model_put_string(object, "comm", process_comm(error->pid, comm));
	put_id(object, "tid", error->tid);
	model_put_string(object, "patch", error->patch);
	model_put_string(object, "object", error->object);
	model_put_string(object, "function", error->function);
	model_put_string(object, "message", error->message);
	model_put_lines(object, "detail", error->detail);
	model_put_string(object, "hint", *hint ? hint : NULL);
	return object;
}

static struct json_object *patch_func(const struct upatch_func_info *func)
{
	struct json_object *object = model_object();

	model_put_string(object, "name", func->name);
	model_put_number(object, "sympos", func->sympos);
	model_put_string(object, "replacement", func->replacement);
	if (func->old_value)
		model_put_address(object, "old_value", func->old_value);
	else
		model_put(object, "old_value", NULL);
	if (func->old_size)
		model_put_number(object, "old_size", func->old_size);
	else
		model_put(object, "old_size", NULL);
	model_put_number(object, "new_size", func->new_size);
	return object;
}

static struct json_object *patch_reloc(const struct upatch_reloc_info *reloc)
{
	struct json_object *object = model_object();

	model_put_string(object, "section", reloc->section);
	model_put_address(object, "offset", reloc->offset);
	model_put_string(object, "type", reloc->type);
	model_put_string(object, "symbol", reloc->symbol);
	model_put(object, "addend", must(json_object_new_int64(reloc->addend)));
	model_put(object, "private", must(json_object_new_boolean(reloc->is_private)));
	return object;
}

static struct json_object *patch_object(const struct upatch_object_info *info)
{
	struct json_object *object = model_object();
	struct json_object *funcs = model_array();
	struct json_object *relocs = model_array();

	for (size_t i = 0; i < info->nr_funcs; i++)
		model_append(funcs, patch_func(&info->funcs[i]));
	for (size_t i = 0; i < info->nr_relocs; i++)
		model_append(relocs, patch_reloc(&info->relocs[i]));
	model_put_string(object, "name", info->name);
	model_put_string(object, "build_id", info->build_id);
	model_put_string(object, "kind", info->is_executable ? "executable" : "library");
	model_put_string(object, "policy", info->is_required ? "require" : "optional");
	model_put(object, "code", must(json_object_new_boolean(info->has_code)));
	model_put_number(object, "payload_size", info->payload_size);
	model_put(object, "funcs", funcs);
	model_put(object, "relocs", relocs);
	return object;
}

static struct json_object *patch_module(const struct upatch_module_info *info)
{
	struct json_object *object = model_object();

	model_put_string(object, "name", info->name);
	model_put_string(object, "release", info->release);
	model_put_string(object, "vermagic", info->vermagic);
	model_put_number(object, "size", info->size);
	return object;
}

struct json_object *model_patch(const struct upatch_patch_info *info)
{
	struct json_object *patch = model_object();
	struct json_object *objects = model_array();
	struct json_object *modules = model_array();
	struct json_object *cves = model_array();

	for (size_t i = 0; i < info->nr_modules; i++)
		model_append(modules, patch_module(&info->modules[i]));
	for (size_t i = 0; i < info->nr_cves; i++) {
		_cleanup_free_ char *cve = text_clean(info->cves[i]);

		model_append(cves, must(json_object_new_string(cve)));
	}
	for (size_t i = 0; i < info->nr_objects; i++)
		model_append(objects, patch_object(&info->objects[i]));
	model_put_string(patch, "name", info->name);
	model_put_string(patch, "version", info->version);
	model_put_string(patch, "description", info->description);
	model_put_string(patch, "arch", info->arch);
	model_put(patch, "replace", must(json_object_new_boolean(info->replace)));
	model_put_string(patch, "stack_order", info->strict ? "strict" : "any");
	model_put(patch, "cves", cves);
	model_put_string(patch, "order", info->kernel_last ? "userspace-first" : "kernel-first");
	model_put(patch, "objects", objects);
	model_put(patch, "modules", modules);
	return patch;
}

struct json_object *model_get(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	(void)json_object_object_get_ex(object, key, &value); /* NULL is the answer then */
	return value;
}

const char *model_string(struct json_object *object, const char *key)
{
	struct json_object *value = model_get(object, key);

	return value ? json_object_get_string(value) : "";
}

size_t model_length(struct json_object *object, const char *key)
{
	struct json_object *array = model_get(object, key);

	return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

struct json_object *model_at(struct json_object *object, const char *key, size_t index)
{
	return json_object_array_get_idx(model_get(object, key), index);
}
