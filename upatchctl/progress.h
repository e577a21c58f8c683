/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef UPATCHCTL_PROGRESS_H
#define UPATCHCTL_PROGRESS_H

/*
 * One line on stderr that says how far a verb with several targets is. Shown on a terminal only,
 * and not with --json, --quiet or --verbose.
 */

#include <sys/types.h>

#include "cli.h"

/** progress_show() - target @pid, number @index of @nr, is worked on now */
void progress_show(const struct cli *cli, pid_t pid, size_t index, size_t nr);

/** progress_clear() - wipe the line before anything else is printed */
void progress_clear(const struct cli *cli, size_t nr);

#endif
