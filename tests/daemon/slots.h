/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TESTS_DAEMON_SLOTS_H
#define TESTS_DAEMON_SLOTS_H

/*
 * A file that the victims map: each has a slot, says there what its functions answer and that it is
 * alive, and is told there what to do.
 */

#include <stdint.h>
#include <sys/types.h>

enum {
	SLOTS = 16384,
};

enum slot_command {
	SLOT_RUN,
	SLOT_FORK, /* a child, into the slot @arg */
	SLOT_SPAWN, /* the same, and some milliseconds later the child becomes the same program, anew */
	SLOT_EXEC, /* another program: @arg, 'a', 'b' or 'c' */
	SLOT_EXIT,
	SLOT_LOAD, /* the library; program d only */
	SLOT_UNLOAD,
	SLOT_ORPHAN, /* the main thread exits, another goes on */
};

struct slot {
	volatile pid_t pid;
	volatile char program;
	volatile uint32_t command; /* enum slot_command; the victim puts it back */
	volatile uint32_t arg;
	volatile uint32_t own;	  /* what the program's own function answers */
	volatile uint32_t shared; /* what the library's function answers; 0: it has none */
	volatile uint64_t beats;
};

#endif
