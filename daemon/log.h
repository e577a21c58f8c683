/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

/* The daemon's log: one line per fact, lower case, subject first. To standard error, with a level. */

#include <syslog.h>

void log_line(int priority, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
