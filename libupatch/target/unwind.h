/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TARGET_UNWIND_H
#define TARGET_UNWIND_H

/*
 * Walking the stack of a stopped thread to its root. The only door to libunwind.
 *
 * A walk is complete only if it ended at a known root, having found unwind information for every
 * frame on the way. libunwind's own "outermost frame" is no proof: past code without unwind
 * information it guesses.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/regs.h"

struct object_list;
struct unwinder;

enum {
	UNWIND_FRAMES_MAX = 1024,
};

/*
 * @pc: return address, or where the thread stands
 * @is_exact: @pc is the next instruction to run (the innermost frame, and one that a signal
 *	      interrupted); otherwise the call is before it and @pc - 1 is inside the caller
 */
struct unwind_frame {
	uint64_t pc;
	bool is_exact;
};

struct unwind_stack {
	struct unwind_frame frames[UNWIND_FRAMES_MAX];
	size_t nr;
	uint64_t lost_at; /* UNWIND_LOST: address that there is no unwind information for */
};

enum unwind_outcome {
	UNWIND_COMPLETE = 0,
	UNWIND_LOST = 1, /* unreliable: the frames found are real, there may be more */
};

/**
 * unwinder_new() - prepare for the threads of one target
 * @objects: borrowed, outlives the unwinder; images are opened as needed
 * Return: 0, or -ENOMEM raised.
 */
int unwinder_new(struct object_list *objects, struct unwinder **ret);
void unwinder_free(struct unwinder *unwinder);

/**
 * unwinder_add_code() - code outside of any object, with its own search table
 * @hdr_addr, @hdr_size: .eh_frame_hdr in the target, read when needed
 * Return: 0, or -ENOMEM raised.
 */
int unwinder_add_code(struct unwinder *unwinder, uint64_t start, uint64_t end, uint64_t hdr_addr,
		      uint64_t hdr_size);

/**
 * unwinder_prepare() - read what walks will need while the target still runs
 * Opens the images of all objects that hold code, best effort.
 */
void unwinder_prepare(struct unwinder *unwinder);

/**
 * unwinder_walk() - all frames of a stopped thread, innermost first
 * Return: UNWIND_COMPLETE or UNWIND_LOST.
 */
enum unwind_outcome unwinder_walk(struct unwinder *unwinder, const struct arch_regs *regs,
				  struct unwind_stack *ret);

#endif
