/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef UPATCHCTL_MODEL_H
#define UPATCHCTL_MODEL_H

/*
 * The model: what a verb found, as one JSON object. --json prints it, the tables and messages are
 * made from it and from nothing else, so that the two cannot disagree. docs/json.md lists the
 * fields of each verb.
 *
 * Objects take over the values that are put into them. A value that is not known is null.
 */

#include <json.h>
#include <stdint.h>
#include <upatch/upatch.h>

struct json_object *model_object(void);
struct json_object *model_array(void);

void model_put(struct json_object *object, const char *key, struct json_object *value);
void model_append(struct json_object *array, struct json_object *value);

/* @value is copied and cleaned (see text.h); NULL puts null. */
void model_put_string(struct json_object *object, const char *key, const char *value);
void model_put_lines(struct json_object *object, const char *key, const char *value);
void model_put_number(struct json_object *object, const char *key, uint64_t value);

/* An address as "0x...": JSON numbers lose bits beyond 53. */
void model_put_address(struct json_object *object, const char *key, uint64_t addr);

/* Nanoseconds, as milliseconds to the microsecond. */
void model_put_ms(struct json_object *object, const char *key, uint64_t ns);

/* What an operation cost a target: longest_pause_ms, wall_ms, stops, threads. */
void model_put_cost(struct json_object *object, const struct upatch_cost *cost);

/* Seconds since the epoch, as "2026-01-31T12:00:00Z". */
void model_put_time(struct json_object *object, const char *key, uint64_t seconds);

/** model_error() - an error as an object; outlives the context's next call */
struct json_object *model_error(const struct upatch_error *error);

/** model_patch() - what is in a patch file */
struct json_object *model_patch(const struct upatch_patch_info *info);

/* Reading, for the text rendering. "" and an empty array stand for what is missing or null. */
const char *model_string(struct json_object *object, const char *key);
struct json_object *model_get(struct json_object *object, const char *key);
size_t model_length(struct json_object *object, const char *key);
struct json_object *model_at(struct json_object *object, const char *key, size_t index);

#endif
