/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DAEMON_BUS_CALLER_H
#define DAEMON_BUS_CALLER_H

/*
 * Who calls, and what he may do. Credentials are the kernel's (SO_PEERCRED), on the system bus as
 * its daemon reports them; nothing that a caller says about himself counts.
 */

#include <sys/types.h>
#include <systemd/sd-bus.h>

struct bus_call;
struct failure;

enum bus_right {
	BUS_RIGHT_LOOK,	  /* anybody: names and counts, no addresses */
	BUS_RIGHT_TARGET, /* root, and the owner of the process */
	BUS_RIGHT_HOST,	  /* root, and whom polkit allows org.upatch.manage */
};

struct bus_caller {
	uid_t uid;
	pid_t pid; /* for messages only; 0: not known */
};

/**
 * bus_caller_identify() - find out who made the call
 *
 * Goes on with bus_call_identified() or bus_call_refuse(), possibly before it returns, after which
 * the call may be gone.
 *
 * Return: 0, or -errno raised: nothing went on.
 */
int bus_caller_identify(struct bus_call *call, struct failure *f);

/** bus_caller_ask_polkit() - goes on with bus_call_permit() or bus_call_refuse() */
void bus_caller_ask_polkit(struct bus_call *call);

#endif
