/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_DAEMON_SCHEMA_H
#define TESTS_DAEMON_SCHEMA_H

/* docs/json.md, as far as a host and an error are described there: what is not so fails the test. */

struct json_object;

/* Every field of "status of the host" with its type, no other field, and every sum. */
void schema_check_host(struct json_object *host);

void schema_check_error(struct json_object *error);

#endif
