/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_STARTUP_H
#define DAEMON_STARTUP_H

/*
 * Has the dynamic linker done its work? Before that, libraries are missing or not relocated, and
 * code that a patch would have run there might crash. The last thing that glibc's and musl's linkers
 * do before constructors is to make the executable's relocated data (PT_GNU_RELRO) read-only, which
 * its mappings show.
 */

#include <stddef.h>

#include "process.h"

struct facts_mapping;

/* @mappings are by address. @procfd: of /proc/PID. */
enum process_startup startup_of(int procfd, const struct facts_mapping *mappings, size_t nr);

#endif
