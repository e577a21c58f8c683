/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef BUILD_COMMAND_H
#define BUILD_COMMAND_H

/* Running compiler and linker, without a shell. */

struct diag;

/**
 * command_run() - run a program and wait for it
 * @argv: NULL-terminated; argv[0] is looked up in PATH
 * Its error output becomes the error's detail.
 * Return: 0, or -errno raised with UPATCH_E_COMPILER.
 */
int command_run(struct diag *d, const char *const argv[]);

#endif
