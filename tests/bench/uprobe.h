/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef BENCH_UPROBE_H
#define BENCH_UPROBE_H

#include <stdint.h>

/**
 * uprobe_open() - have the kernel trap a function of a program, perf_event_open(2)
 * Return: a descriptor, closing it ends the trap; or -errno.
 */
int uprobe_open(const char *path, uint64_t offset);

#endif
