/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef UPATCHCTL_TABLE_H
#define UPATCHCTL_TABLE_H

/* Tables of text, made from the model. The only door to libsmartcols. */

#include <json.h>
#include <stdio.h>

enum table_column_flags {
	TABLE_RIGHT = 1,
	TABLE_STATE = 2, /* coloured by what it says, on a terminal */
};

struct table_column {
	const char *key; /* of the row's object; what is missing, null or empty shows as "-" */
	const char *heading;
	unsigned int flags;
};

/**
 * table_print() - one line per object
 * @rows:    array of objects; nothing is printed when it is empty
 * @columns: ends with a key of NULL
 */
void table_print(FILE *out, struct json_object *rows, const struct table_column *columns);

/** table_print_fields() - one line per column: its heading and the one object's value */
void table_print_fields(FILE *out, struct json_object *object, const struct table_column *columns);

#endif
