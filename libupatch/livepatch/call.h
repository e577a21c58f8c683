/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LIVEPATCH_CALL_H
#define LIVEPATCH_CALL_H

/*
 * Running a function in a target, in a thread that is borrowed for it.
 *
 * Which thread: the main one, which has most stack, and needs no memory of its own to allocate some;
 * after 10 ms any. One that waits in a system call, if there is one soon, and in no case one whose
 * stack shows a memory allocator, the dynamic linker or the unwinder: their locks are the ones that
 * almost every function takes. What else the thread holds while it waits is for the function to avoid.
 */

#include <stdint.h>

struct session;

/*
 * @what:	  for messages: "pre-patch callback"
 * @object:	  likewise
 * @landing_addr: of the payload that the function is of, or works for
 */
struct call {
	const char *what;
	const char *object;
	uint64_t addr;
	uint64_t args[2];
	uint64_t landing_addr;
};

/**
 * call_function() - run it, until the session's deadline or for two seconds, whichever is later
 * @ret: what it returned
 *
 * Return: 0, or -errno raised: UPATCH_E_CALLBACK when it crashed (-EFAULT) or did not return in
 * time (-ETIMEDOUT): the thread was taken out of it; UPATCH_E_RCALL when no thread may run it, ...
 */
int call_function(struct session *session, const struct call *call, uint64_t *ret);

#endif
