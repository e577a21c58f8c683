/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef INTEGRATION_KILLER_H
#define INTEGRATION_KILLER_H

/*
 * A tool that is killed at one of its system calls, in front of it or behind: at each that is not
 * harmless, see there.
 */

#include <stdbool.h>

#include "fixture.h"

/* What the tool does, to patch "p" of the fixture's directory. */
enum act {
	ACT_APPLY,
	ACT_REVERT,
	ACT_WAIT,
	ACT_FORCE,
};

/* Return: true when the tool was killed at its @point-th system call, false when it came through. */
bool killer_kill_at(struct fixture *f, enum act act, int point);

#endif
