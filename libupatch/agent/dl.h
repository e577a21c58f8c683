/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef AGENT_DL_H
#define AGENT_DL_H

/*
 * Libraries that come and go, as klp has it for modules: when one has been loaded, and before its
 * constructors run, every patch that has a template for its build gets its part of it; when it is about
 * to be unmapped, its destructors behind it, these parts go.
 *
 *	dl_map.h   the dynamic linker's lists, and what one library is
 *	library.h  one library, and what all patches have for it
 *	part.h	   what one patch has for one library
 *	dl.c	   the hooks, in which threads are that call dlopen(3) or dlclose(3)
 *
 * The dynamic linker holds its own lock in all hooks. Ours keeps them apart from what the host has a
 * borrowed thread do: its holder is always a thread of the target that runs, so nobody ever waits
 * for the host. It is recursive: callbacks that run in a hook may load libraries. Those that the host has
 * run may not, as another thread that loads one has the dynamic linker's lock and waits for ours; klp has
 * the same order of locks, and the same rule.
 */

#include <stdint.h>
#include <upatch/abi_agent.h>

/* Called at the entry of glibc's _dl_catch_exception() without a place for exceptions. Return: why not. */
const char *dl_on_catch(uint64_t operate, const void *arg);

/* Called where the dynamic linker tells debuggers. */
void dl_on_brk(void);

/* For the host, in borrowed threads. */
enum dl_outcome {
	DL_DONE = 0,
	DL_AGAIN = 1,	/* the dynamic linker's lists are being changed */
	DL_REFUSED = 2, /* the newest event says why */
};

/* Place the parts of patch @seq for the libraries that are there, without their entries. */
long dl_scan(uint64_t seq);

/* Run a callback. @which: index of the object, the kind above bit 32. Return: what it returned, or 0. */
long dl_callback(uint64_t seq, uint64_t which);

/*
 * A patch's parts are about to be unmapped: their unwind tables are forgotten. Return: of how many it is not
 * known whether they are, so that they must stay.
 */
long dl_forget(uint64_t seq);

/* May this process do what it takes? Return: 0, or -errno. */
long dl_probe(void);

#endif
