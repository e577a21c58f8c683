/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TARGET_RCALL_H
#define TARGET_RCALL_H

/*
 * System calls that a thread of the target executes for us.
 *
 * The thread's whole state goes into a signal frame on its own stack before its registers are
 * touched, and the system call instruction we use is one of the target's own that is followed by
 * a return; the return address leads to the C library's rt_sigreturn(2). So when we die at any
 * point, the thread finishes the call, returns into the frame and is what it was. When we live, we
 * stop it behind the call, read the result, and put its registers back ourselves.
 *
 * Nothing of the target's code is written to. All signals but the fatal ones wait meanwhile.
 */

#include <stdint.h>

#include "target/freeze.h"
#include "target/thread.h"

struct maps;
struct target;

/* Instructions of the target's own code that a rcall needs. */
struct rcall_sites {
	uint64_t syscall_addr;
	uint64_t sigreturn_addr;
};

struct rcall {
	struct target *target;
	struct freeze freeze; /* of a borrowed thread */
	struct thread *thread;
	struct rcall_sites sites;
	struct arch_regs saved;
	uint64_t saved_sigmask;
	uint64_t frame_sp; /* holds the address of rt_sigreturn, the frame is above */
	int xstate_note;   /* NT_X86_XSTATE, or NT_PRFPREG */
	uint8_t *xstate;
	size_t xstate_size;
	uint8_t *under; /* what was on the stack under the frame */
	size_t under_size;
	bool has_run_code;
	bool has_lost_restart; /* the kernel forgot how to go on with the thread's own system call */
};

/*
 * A function of the target that may take its time.
 *
 * @landing_addr: where the target has the bytes of arch_ops.landing, executable
 */
struct rcall_call {
	uint64_t addr;
	uint64_t args[2];
	uint64_t landing_addr;
	uint64_t deadline;
};

/* What came of it. */
struct rcall_result {
	uint64_t value; /* what it returned */
	int signal;	/* RCALL_CRASHED: of what it died */
	uint64_t pc;	/* RCALL_CRASHED, RCALL_OVERDUE: where it was */
};

enum rcall_outcome {
	RCALL_RETURNED = 0,
	RCALL_CRASHED = 1, /* it made a fault, or called abort(3) */
	RCALL_OVERDUE = 2, /* it did not return until the deadline */
};

/* May this stopped thread be borrowed? See rcall_is_suitable(). */
struct rcall_choice {
	bool (*is_suitable)(struct target *target, const struct thread *thread, void *userdata);
	void *userdata;
};

/**
 * rcall_find_sites() - look for them in the target's executable mappings
 * Reads the target, which may run. Return: 0, or -ENOENT raised with UPATCH_E_NO_SYSCALL_SITE.
 */
int rcall_find_sites(struct target *target, struct rcall_sites *ret);

/**
 * rcall_is_suitable() - may this stopped thread be used?
 *
 * It must not be about to receive a signal, and there must be proof that the memory below its
 * stack pointer is its stack: within [stack], or in the mapping that holds its thread control block.
 * @userdata: struct maps of the target. For freeze_one().
 */
bool rcall_is_suitable(struct target *target, const struct thread *thread, void *userdata);

/**
 * rcall_begin() - prepare a stopped, suitable thread
 * Return: 0, or -errno raised with the thread as it was.
 */
int rcall_begin(struct target *target, struct thread *thread, const struct rcall_sites *sites,
		struct rcall *ret);

/**
 * rcall_syscall() - run one system call
 * @ret: what it returned: -4095..-1 is an errno
 *
 * Return: 0, or -errno raised with UPATCH_E_RCALL or UPATCH_E_GONE: then only rcall_end() is left.
 */
int rcall_syscall(struct rcall *rcall, long nr, const uint64_t args[6], int64_t *ret);

/**
 * rcall_function() - run a function of the target that blocks on nothing, such as an IFUNC resolver
 *
 * Single-steps it, within a bound, so that its return is seen without a breakpoint.
 */
int rcall_function(struct rcall *rcall, uint64_t addr, uint64_t *ret);

/**
 * rcall_call() - run a function of the target that may take its time, at full speed
 *
 * All other threads run, and so do the system calls that it makes itself. Signals for the thread
 * wait; a fault of the function ends the call, and the target's handlers do not see it. When we
 * die, the function goes on, returns, and the thread is what it was; a fault is the target's then.
 *
 * After RCALL_CRASHED and RCALL_OVERDUE only rcall_end() is left, which takes the thread out of the
 * function, wherever that is. What it had locked stays locked.
 *
 * Return: RCALL_RETURNED, RCALL_CRASHED, RCALL_OVERDUE; or -errno raised with UPATCH_E_GONE or
 * UPATCH_E_RCALL: then only rcall_end() is left.
 */
int rcall_call(struct rcall *rcall, const struct rcall_call *call, struct rcall_result *ret);

/**
 * rcall_end() - put the thread back as it was; it stays stopped
 * Return: 0, or -errno raised: the thread was killed.
 */
int rcall_end(struct rcall *rcall);

/**
 * rcall_borrow() - stop one suitable thread for rcalls, while the others go on
 * @maps: a recent snapshot
 * Return: 0, or -errno raised with nobody stopped. To be followed by rcall_give_back().
 */
int rcall_borrow(struct target *target, struct maps *maps, const struct rcall_sites *sites,
		 uint64_t deadline, struct rcall *ret);

/* The same, with a choice of the caller's, which includes rcall_is_suitable(). */
int rcall_borrow_chosen(struct target *target, const struct rcall_choice *choice,
			const struct rcall_sites *sites, uint64_t deadline, struct rcall *ret);

/* rcall_end() and let it go on. Return: 0, or -errno raised. */
int rcall_give_back(struct rcall *rcall);

#endif
