/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KERNEL_KLP_ORDER_H
#define KERNEL_KLP_ORDER_H

/*
 * Which of two livepatches is on top of a function of both: the one that was enabled later. Sysfs does not
 * tell, but a patch is enabled as its module is loaded, and /proc/modules has the newest first.
 */

struct kernel;

/**
 * klp_check_on_top() - would the patch, disabled and enabled again, be where it is now?
 * Return: 0, also where the order cannot be told, or -EBUSY raised with UPATCH_E_STACK_ORDER, which names the
 * patch that is above it.
 */
int klp_check_on_top(const struct kernel *kernel, const char *name);

#endif
