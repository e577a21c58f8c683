/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_BUS_REPORT_H
#define DAEMON_BUS_REPORT_H

/*
 * What methods give: JSON as upatchctl prints it, docs/json.md. So a client of the bus, upatchctl
 * and a script that reads its --json see the same fields.
 */

#include <stddef.h>

struct failure;
struct json_object;
struct manager;
struct manager_result;
struct upatch_error;

/** bus_report_change() - of apply, revert, wait, force or gc */
struct json_object *bus_report_change(const struct manager_result *result);

/** bus_report_error() - of a call that was refused before there were results */
struct json_object *bus_report_error(const struct upatch_error *error);

/**
 * bus_report_state() - of a call that succeeded: the patch is in that state now; a new string
 * @patch: or NULL: there is nothing to say
 * @warning: or NULL
 */
char *bus_report_state(const char *patch, const char *state, const char *warning);

/** bus_report_list() - what is desired, a new string */
char *bus_report_list(struct manager *manager);

/** bus_report_host() - status of the host, a new string; 0, or -errno raised */
int bus_report_host(struct manager *manager, struct failure *f, char **ret);

#endif
